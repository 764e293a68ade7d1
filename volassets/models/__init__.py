"""Models: one file per model or family, the protocol, the registry, and how fits are stored."""
