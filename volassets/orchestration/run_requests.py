"""Requests for runs over blocks of steps: the smallest range that holds the cells, and the exact cells as options."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from volassets.orchestration.assets import RANGE_END_TAG, RANGE_START_TAG
from volassets.orchestration.jobs import op_name
from volassets.pipeline.cells import Partition, bounding_range, spans
from volassets.pipeline.planner import named, span
from volassets.settings import Settings

SCHEDULE_TAG = "volassets/schedule"
STARTED_TAG, TICKERS_TAG, MONTHS_TAG = "volassets/started_by", "volassets/tickers", "volassets/months"
SHOWN_TICKERS = 5


def range_tags(settings: Settings, partitions: Sequence[Partition]) -> dict[str, str]:
    """Return the tags that make a run cover the rectangle around `partitions`; none for a run without partitions."""
    first, last = bounding_range(partitions, settings.tickers)
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
) -> dg.RunRequest:
    """Return the request for one run over a block of steps.

    Parameters
    ----------
    settings : Settings
    block : str
        Name of the block.
    steps : sequence of str
        Assets of the block to compute; all where none is named.
    partitions : sequence of Partition
        Exact cells.
    run_key : str
        A request with a key that was seen before starts nothing.
    schedule : str
        Who asks.
    """
    return dg.RunRequest(
        run_key=run_key,
        run_config=run_config(block, partitions),
        tags={
            SCHEDULE_TAG: schedule,
            **described_tags(partitions, schedule),
            **range_tags(settings, partitions),
            **(tags or {}),
        },
        asset_selection=[dg.AssetKey(name) for name in steps] or None,
    )
