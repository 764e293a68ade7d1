"""Checks in the graph: one result per partition, and a bad ticker that stops alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from volassets.orchestration.assets import build_assets
from volassets.orchestration.jobs import RANGE_END_TAG, RANGE_START_TAG
from volassets.orchestration.resources import Home
from volassets.orchestration.runner import QUIET
from volassets.pipeline.steps import graph_steps
from volassets.settings import Settings
from volassets.warehouse.store import open_warehouse

Evaluations = dict[tuple[str, str | None], dg.AssetCheckEvaluation]


def _materialize(
    settings: Settings, instance: dg.DagsterInstance, selection: list[str], first: str, last: str
) -> tuple[dg.ExecuteInProcessResult, Evaluations]:
    """Run a range, as the UI's backfill does; return its check results by (check, partition)."""
    result = dg.materialize(
        build_assets(settings, graph_steps(settings)),
        selection=selection,
        instance=instance,
        resources={"home": Home.of(settings)},
        tags={RANGE_START_TAG: first, RANGE_END_TAG: last},
        run_config=QUIET,
        raise_on_error=False,
    )
    events = [e for e in result.all_events if e.event_type_value == "ASSET_CHECK_EVALUATION"]
    found = [event.asset_check_evaluation_data for event in events]
    return result, {(evaluation.check_name, evaluation.partition): evaluation for evaluation in found}


@pytest.fixture
def two(
    write_csv: Callable[[str, pd.DataFrame], Path],
    csv_settings: Callable[..., Settings],
    simulated_bars: Callable[..., pd.DataFrame],
) -> Settings:
    """GOOD, and BAD with a high below its low."""
    write_csv("GOOD", simulated_bars(520, 1))
    bad = simulated_bars(520, 2)
    bad.iloc[300, bad.columns.get_loc("high")] = bad["low"].iloc[300] * 0.9
    write_csv("BAD", bad)
    return csv_settings("GOOD", "BAD")


def test_bad_bars_stop_their_ticker_alone(two: Settings, instance: dg.DagsterInstance) -> None:
    chain = ["raw_prices", "realized_vol_features"]
    result, found = _materialize(two, instance, chain, "GOOD", "BAD")
    assert not result.success
    assert found["bars_valid", "GOOD"].passed
    refused = found["bars_valid", "BAD"]
    assert not refused.passed
    assert refused.severity == dg.AssetCheckSeverity.ERROR
    (table,) = [value for key, value in refused.metadata.items() if key.startswith("rows: ")]
    assert isinstance(table, dg.TableMetadataValue)
    assert len(table.records) == 1
    warehouse = open_warehouse(two)
    assert warehouse.query("SELECT DISTINCT ticker FROM raw_prices")["ticker"].tolist() == ["GOOD"]
    assert warehouse.query("SELECT DISTINCT ticker FROM realized_vol_features")["ticker"].tolist() == ["GOOD"]
    assert instance.get_materialized_partitions(dg.AssetKey("realized_vol_features")) == {"GOOD"}
    # The months of both in one run: those of GOOD are made and recorded, BAD is named.
    month = "2006-12-01"
    grid, _ = _materialize(two, instance, ["lag_analysis"], f"{month}|GOOD", f"{month}|BAD")
    assert not grid.success
    assert "BAD" in str(grid.failure_data_for_node("refit_months_assets"))
    assert instance.get_materialized_partitions(dg.AssetKey("lag_analysis")) == {f"{month}|GOOD"}


def test_bad_bars_alone_block_the_chain_and_keep_the_stored_ones(
    two: Settings,
    instance: dg.DagsterInstance,
    write_csv: Callable[[str, pd.DataFrame], Path],
    simulated_bars: Callable[..., pd.DataFrame],
) -> None:
    write = _materialize(two, instance, ["raw_prices", "realized_vol_features"], "GOOD", "GOOD")
    assert write[0].success
    warehouse = open_warehouse(two)
    before = warehouse.read("raw_prices")
    broken = simulated_bars(521, 1)
    broken.iloc[-1] = -1.0
    write_csv("GOOD", broken)
    result, found = _materialize(two, instance, ["raw_prices", "realized_vol_features"], "GOOD", "GOOD")
    assert not result.success
    assert [event.step_key for event in result.all_events if event.is_step_failure] == ["refresh_prices_assets"]
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert "realized_vol_features" not in made
    assert found["bars_valid", "GOOD"].blocking
    pd.testing.assert_frame_equal(warehouse.read("raw_prices"), before)
    assert set(warehouse.read("data_quality", severity="error")["ticker"]) == {"GOOD"}
    # Corrected, the ticker goes on and nothing is left of the refusal.
    write_csv("GOOD", simulated_bars(521, 1))
    result, found = _materialize(two, instance, ["raw_prices", "realized_vol_features"], "GOOD", "GOOD")
    assert result.success
    assert found["bars_valid", "GOOD"].passed
    assert warehouse.read("data_quality", severity="error").empty


def test_every_cell_of_a_range_has_its_own_result(two: Settings, instance: dg.DagsterInstance) -> None:
    _materialize(two, instance, ["raw_prices", "realized_vol_features"], "GOOD", "GOOD")
    grid = ["lag_analysis", "selected_features", "benchmark_forecasts", "garch_fits", "garch_forecasts"]
    result, found = _materialize(two, instance, grid, "2006-10-01|GOOD", "2006-11-01|GOOD")
    assert result.success
    for name in ("selection_not_empty", "benchmark_forecasts_sane", "garch_fits_converged", "garch_forecasts_sane"):
        for month in ("2006-10-01", "2006-11-01"):
            assert found[name, f"{month}|GOOD"].passed
    assert found["selection_not_empty", "2006-10-01|GOOD"].metadata["findings"].value == 0
