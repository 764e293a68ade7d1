"""The definitions of one home's settings: assets, checks, jobs, schedules, resources."""

from typing import Any

import dagster as dg

from volassets.market.sources import PriceSource, make_source
from volassets.orchestration.assets import comparison, features, models, prices, selection
from volassets.settings import Settings


def build_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return every asset of the graph, in pipeline order."""
    stages = (prices, features, selection, models, comparison)
    return [asset for stage in stages for asset in stage.build(settings)]


def build_resources(settings: Settings, source: PriceSource | None = None) -> dict[str, Any]:
    """Return what the assets need: the settings, and where bars come from."""
    return {"settings": settings, "source": source or make_source(settings)}


def build_definitions(settings: Settings) -> dg.Definitions:
    """Return the definitions of `settings`."""
    return dg.Definitions(
        assets=build_assets(settings),
        resources=build_resources(settings),
        executor=dg.in_process_executor,
    )
