"""Every partition at once, as the first button of the UI asks for them, and a universe in which some things fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from volassets.definitions import build_definitions
from volassets.orchestration.jobs import RANGE_END_TAG, RANGE_START_TAG
from volassets.orchestration.partitions import partitions_of as partitions_def
from volassets.pipeline.cells import Scope, parse_partition
from volassets.pipeline.context import Context
from volassets.pipeline.planner import MISSING, partitions_of, plan
from volassets.pipeline.state import State
from volassets.pipeline.steps import blocks, graph_steps
from volassets.settings import Settings, load_settings
from volassets.timing import months_between
from volassets.warehouse.store import open_warehouse
from volassets_tests.conftest import simulate_bars

# Partitions reach from January 2022 to the running month, the bars of OLD from 2021 to 2022-12-30.
LONGER = simulate_bars(545, 1, "2021-01-04")
TICKERS = {"OLD": LONGER.iloc[:520], "YOUNG": simulate_bars(520, 2, "2022-05-02")}
POSSIBLE = {
    "OLD": months_between(pd.Timestamp("2022-08-01"), pd.Timestamp("2023-01-01")),
    "YOUNG": months_between(pd.Timestamp("2023-12-01"), pd.Timestamp("2024-04-01")),
}
LATER = pd.Timestamp("2023-02-01")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A fresh home."""
    for name in ("VOLASSETS_HOME", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    for ticker, bars in TICKERS.items():
        bars.to_csv(tmp_path / f"{ticker}.csv", date_format="%Y-%m-%d")
    values = {
        "source": "csv",
        "csv_dir": str(tmp_path),
        "tickers": tuple(TICKERS),
        "models": ("naive", "garch"),
        "minimum_history": 400,
        "start_month": "2022-01",
        "jobs": 2,
    }
    return load_settings(tmp_path / "home", values)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    folder = tmp_path / "dagster"
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder)) as made:
        yield made


def materialize(
    settings: Settings, instance: dg.DagsterInstance, assets: list[str], *ends: str
) -> dg.ExecuteInProcessResult:
    """Run assets over the range between two partition keys, or without partitions."""
    job = build_definitions(settings).get_repository_def().get_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(name) for name in assets],
        tags=dict(zip((RANGE_START_TAG, RANGE_END_TAG), ends, strict=True)) if ends else {},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )


def materialize_all(settings: Settings, instance: dg.DagsterInstance) -> dict[str, dg.ExecuteInProcessResult]:
    """Run every block over all of its partitions, as the backfill behind the button does."""
    results = {}
    for block in blocks(graph_steps(settings)):
        partitions = partitions_def(settings, block[0].scope)
        names = partitions.get_partition_keys() if partitions else []
        assets = [step.name for step in block]
        results[block[0].name] = materialize(settings, instance, assets, *(names[:1] + names[-1:]))
        for step in block:
            recorded = instance.get_materialized_partitions(dg.AssetKey(step.name))
            assert recorded == set(names), step.name
    return results


def nothing_to_compute(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], str]:
    """Return (asset, partition key) to the reason of everything recorded as nothing to compute."""
    found = {}
    for event in result.get_asset_materialization_events():
        metadata = event.materialization.metadata
        if "nothing_to_compute" in metadata:
            assert metadata["dagster/row_count"].value == 0
            key = event.asset_key.to_user_string() if event.asset_key else ""
            found[key, event.partition or ""] = str(metadata["nothing_to_compute"].value)
    return found


@pytest.mark.slow
def test_the_button_ends_green_with_everything_computed_that_can_be(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    results = materialize_all(settings, instance)
    assert all(result.success for result in results.values())
    grid = [step for step in graph_steps(settings) if step.scope is Scope.TICKER_MONTH]
    store = open_warehouse(settings)
    reasons = nothing_to_compute(results[grid[0].name])
    for step in grid:
        stored = store.read(step.table, ["ticker", "refit_month"]).drop_duplicates()
        months = stored.groupby("ticker")["refit_month"].agg(sorted).to_dict()
        assert months == POSSIBLE
        recorded = instance.get_materialized_partitions(dg.AssetKey(step.name))
        empty = {parse_partition(step.scope, key) for asset, key in reasons if asset == step.name}
        assert len(recorded) > 2 * 40
        assert len(recorded) - len(empty) == sum(map(len, POSSIBLE.values()))
        assert all(place.month not in POSSIBLE[place.ticker] for place in empty)
    for key in ("2022-01-01|OLD", "2023-11-01|YOUNG"):
        assert "minimum_history" in reasons["garch_fits", key]
    assert "the bars of OLD end on 2022-12-30" in reasons["garch_fits", f"{LATER:%Y-%m-%d}|OLD"]
    assert set(store.read("leaderboard")["ticker"]) == set(TICKERS)
    assert len(store.read("panel_leaderboard"))

    # What Dagster has as green is missing as soon as there are bars for it, and the next run computes it.
    LONGER.to_csv(Path(settings.csv_dir) / "OLD.csv", date_format="%Y-%m-%d")
    assert materialize(settings, instance, ["raw_prices", "realized_vol_features"], "OLD", "OLD").success
    first, last = (f"{month:%Y-%m-%d}|OLD" for month in (POSSIBLE["OLD"][-1], LATER))
    result = materialize(settings, instance, [step.name for step in grid], first, last)
    assert result.success
    assert not nothing_to_compute(result)
    stored = store.read("garch_fits", ["refit_month"], ticker="OLD")["refit_month"].tolist()
    assert stored == [*POSSIBLE["OLD"], LATER]


def test_the_planner_looks_at_bars_and_not_at_what_was_recorded(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    result = materialize(settings, instance, ["raw_prices", "realized_vol_features"], "OLD", "YOUNG")
    assert result.success
    late = f"{LATER:%Y-%m-%d}|OLD"
    assert materialize(settings, instance, ["lag_analysis"], late, late).success
    assert instance.get_materialized_partitions(dg.AssetKey("lag_analysis")) == {late}
    steps = [step for step in graph_steps(settings) if step.name == "lag_analysis"]
    months = {"OLD": [LATER]}
    with Context(settings) as context:
        assert plan(State(context), steps, months) == []
        context.set_bars("OLD", LONGER)
        ((cell, reason),) = plan(State(context), steps, months)
    assert (cell.partition, reason) == (partitions_of(steps[0], months)[0], MISSING)
