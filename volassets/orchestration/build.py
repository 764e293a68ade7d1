"""The definitions of one home's settings: assets, checks, jobs, schedules, resources."""

from typing import Any

import dagster as dg

from volassets.market.sources import PriceSource, make_source
from volassets.orchestration.assets import comparison, features, models, prices, selection
from volassets.orchestration.checks import build_checks
from volassets.orchestration.jobs import build_jobs
from volassets.orchestration.schedules import build_schedules
from volassets.orchestration.sensors import build_sensors
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
    assets = build_assets(settings)
    jobs = build_jobs(assets)
    return dg.Definitions(
        assets=assets,
        asset_checks=build_checks(settings),
        jobs=list(jobs.values()),
        schedules=build_schedules(settings, assets, jobs),
        sensors=build_sensors(settings, jobs),
        resources=build_resources(settings),
        executor=dg.in_process_executor,
    )
