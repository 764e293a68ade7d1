"""What Dagster has recorded of each partition, against what the tables hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
import pandas as pd

from volassets.pipeline.cells import Partition, Scope, parse_partition
from volassets.pipeline.fingerprints import digest
from volassets.pipeline.state import COMPLETE, State
from volassets.pipeline.step import Step

DATA_VERSION = "dagster/data_version"
NOT_RECORDED = "in the tables, not recorded in Dagster"

Recorded = Mapping[str, Mapping[str, str]]
"""Step to partition key to the data version that Dagster has of it."""


def data_version(state: State, step: Step, partition: Partition) -> str:
    """Return the version of a complete partition: its one cell's hash, or a hash over those of its models."""
    if step.compute is None:
        return step.fingerprint(state, partition, None)
    models = [model.name for model in step.models]
    names = [name for name in models if name in state.context.settings.models] or models or [""]
    hashes = [state.stored(step, partition, name) for name in names]
    return hashes[0] if len(hashes) == 1 else digest(*sorted(filter(None, hashes)))


def recorded_versions(instance: dg.DagsterInstance, steps: Iterable[Step]) -> dict[str, dict[str, str]]:
    """Return the data version of the newest materialization of every partition of `steps`."""
    found: dict[str, dict[str, str]] = {}
    for step in steps:
        key = dg.AssetKey(step.name)
        if step.scope is Scope.ONCE:
            event = instance.get_latest_materialization_event(key)
            tags = event.asset_materialization.tags if event and event.asset_materialization else None
            found[step.name] = {"": tags[DATA_VERSION]} if tags and DATA_VERSION in tags else {}
            continue
        # The one query for all partitions; the public interface reads them one by one.
        by_partition = instance.event_log_storage.get_latest_tags_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION]
        )
        found[step.name] = {partition: values[DATA_VERSION] for partition, values in by_partition.items()}
    return found


def unrecorded(
    state: State, steps: Iterable[Step], partitions: Mapping[str, Sequence[Partition]], recorded: Recorded
) -> dict[str, list[Partition]]:
    """Return the complete partitions that Dagster does not know with their version, as after a kill, by step."""
    found: dict[str, list[Partition]] = {}
    with state.context.warehouse.reading():
        for step in steps:
            known = recorded.get(step.name, {})
            for partition in partitions.get(step.name, ()):
                if state.completeness(step, partition) != COMPLETE:
                    continue
                if known.get(partition.key) != data_version(state, step, partition):
                    found.setdefault(step.name, []).append(partition)
    return found


@dataclass(frozen=True)
class Difference:
    """Partitions of a step on which Dagster's record and the tables differ.

    Attributes
    ----------
    recorded : bool
        Whether Dagster has them and the tables do not, or have others; else the tables have them alone.
    """

    step: str
    ticker: str
    recorded: bool
    months: list[pd.Timestamp]


def differences(state: State, steps: Iterable[Step], recorded: Recorded, tickers: Iterable[str]) -> list[Difference]:
    """Return where Dagster's record of the steps over months differs from the tables."""
    names, found = set(tickers), []
    for step in steps:
        if step.scope is not Scope.TICKER_MONTH:
            continue
        known = {parse_partition(step.scope, key): version for key, version in recorded.get(step.name, {}).items()}
        stored = {place for place, _ in state.stored_hashes.hashes(step.table)}
        for is_recorded, places in ((False, stored), (True, set(known) - stored)):
            by_ticker: dict[str, list[pd.Timestamp]] = {}
            for place in places:
                differs = is_recorded or (
                    state.completeness(step, place) == COMPLETE and known.get(place) != data_version(state, step, place)
                )
                if place.ticker in names and place.month is not None and differs:
                    by_ticker.setdefault(place.ticker, []).append(place.month)
            found += [Difference(step.name, name, is_recorded, sorted(months)) for name, months in by_ticker.items()]
    return found
