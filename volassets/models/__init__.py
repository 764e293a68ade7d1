"""Models: one file per family, a protocol, a registry, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from volassets.models.protocol import Fit


def load(path: str | Path) -> Fit:
    """Return the fit kept in a checkpoint; see `volassets.models.checkpoints.load`."""
    # Imported here: reading a checkpoint is rare, and everything else imports this package.
    from volassets.models.checkpoints import load as load_checkpoint

    return load_checkpoint(path)
