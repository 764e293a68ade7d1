"""The graph, assembled."""

import dagster as dg

from volassets.orchestration.graph import build_definitions
from volassets.settings import load_settings


@dg.definitions
def defs() -> dg.Definitions:
    """Return the graph of the home's settings."""
    return build_definitions(load_settings())
