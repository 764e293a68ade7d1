"""Jobs, one per block of steps, and the tags, options and requests of runs over exact cells."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from volassets.pipeline.cells import Partition, bounding_range, spans
from volassets.pipeline.planner import named, span
from volassets.pipeline.step import Step
from volassets.pipeline.steps import blocks
from volassets.settings import Settings

Jobs = dict[str, UnresolvedAssetJobDefinition]

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
SCHEDULE_TAG = "volassets/schedule"
COMMAND_LINE = "command line"
STARTED_TAG, TICKERS_TAG, MONTHS_TAG = "volassets/started_by", "volassets/tickers", "volassets/months"
RETRY_TAG = "dagster/retry_number"
SHOWN_TICKERS = 5


def block_name(block: Sequence[Step]) -> str:
    """Return the name of a block of steps: its job."""
    return block[0].job or f"refresh_{block[0].name}"


def op_name(block: str) -> str:
    """Return the name of a block's op, which has the run's options; Dagster wants it to differ from the job's."""
    return f"{block}_assets"


def build_jobs(steps: Sequence[Step]) -> Jobs:
    """Return the jobs by name."""
    return {
        block_name(block): dg.define_asset_job(
            block_name(block),
            selection=dg.AssetSelection.assets(*(step.name for step in block)),
            description=f"Computes {', '.join(step.name for step in block)}: what is missing or stale of them.",
        )
        for block in blocks(steps)
    }


def range_tags(settings: Settings, partitions: Sequence[Partition]) -> dict[str, str]:
    """Return the tags that make a run cover the rectangle around `partitions`; none for a run without partitions."""
    first, last = bounding_range(partitions, (*settings.tickers, *settings.portfolios))
    return {RANGE_START_TAG: first.key, RANGE_END_TAG: last.key} if first.key else {}


def described_tags(partitions: Sequence[Partition], started_by: str) -> dict[str, str]:
    """Return the tags that say in the list of runs what a run is about and where it came from."""
    tickers = named((partition.ticker for partition in partitions), SHOWN_TICKERS)
    months = span(partition.month for partition in partitions)
    tags = {STARTED_TAG: started_by}
    if tickers:
        tags[TICKERS_TAG] = tickers
    if months:
        tags[MONTHS_TAG] = months
    return tags


def repeat_tags(run: dg.DagsterRun) -> dict[str, str]:
    """Return the tag that says of a re-execution or a retry what it repeats; none for any other run.

    Dagster gives it the tags of the run that it repeats, and so who had started that one.
    """
    if run.parent_run_id is None or STARTED_TAG not in run.tags:
        return {}
    what = "retry" if RETRY_TAG in run.tags else "re-execution"
    return {STARTED_TAG: f"{what} of {run.parent_run_id[:8]}"}


def run_config(block: str, partitions: Sequence[Partition], **options: Any) -> dict[str, Any]:
    """Return the configuration of a run over a block: its options with the exact cells."""
    cells = spans(partition for partition in partitions if partition != Partition())
    return {"ops": {op_name(block): {"config": {**options, "cells": cells}}}}


def block_request(
    settings: Settings,
    block: str,
    steps: Sequence[str],
    partitions: Sequence[Partition],
    run_key: str,
    schedule: str,
    tags: Mapping[str, str] | None = None,
    **options: Any,
) -> dg.RunRequest:
    """Return the request for one run over exact partitions of `steps`, or of the whole block where none is named.

    A request with a `run_key` that was seen before starts nothing.
    """
    return dg.RunRequest(
        run_key=run_key,
        run_config=run_config(block, partitions, **options),
        tags={
            SCHEDULE_TAG: schedule,
            **described_tags(partitions, schedule),
            **range_tags(settings, partitions),
            **(tags or {}),
        },
        asset_selection=[dg.AssetKey(name) for name in steps] or None,
    )


def step_error(event: dg.DagsterEvent) -> str:
    """Return why a step failed: its own words, or the innermost exception's."""
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    return (failure.error.cause or failure.error).message.strip() if failure.error else ""
