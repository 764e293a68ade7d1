"""The definitions of one home's settings: assets with their checks, jobs, schedules, sensors, resources."""

import dagster as dg

from volassets.orchestration.assets import build_assets
from volassets.orchestration.backups import backup_schedules
from volassets.orchestration.jobs import build_jobs
from volassets.orchestration.resources import Home, OpenHome
from volassets.orchestration.schedules import build_schedules
from volassets.orchestration.sensors import build_sensors
from volassets.pipeline.steps import graph_steps
from volassets.settings import Settings, load_settings


def build_definitions(settings: Settings, home: OpenHome | None = None, also: tuple[str, ...] = ()) -> dg.Definitions:
    """Return the definitions of `settings`.

    Parameters
    ----------
    settings : Settings
    home : OpenHome, optional
        What the assets work on; opened for every run where not given.
    also : tuple of str
        Models that a run asks for beside the home's own.
    """
    steps = graph_steps(settings, also)
    jobs = build_jobs(steps)
    return dg.Definitions(
        assets=build_assets(settings, steps),
        jobs=list(jobs.values()),
        schedules=[*build_schedules(settings, steps, jobs), *backup_schedules(settings)],
        sensors=build_sensors(settings, steps),
        resources={"home": home or Home.of(settings)},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the graph of the home's settings."""
    return build_definitions(load_settings())
