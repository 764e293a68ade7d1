"""An earlier month of risk, computed after later ones, changes them: its partition says so until they are repaired."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from volassets.definitions import build_definitions
from volassets.orchestration.jobs import RANGE_END_TAG, RANGE_START_TAG
from volassets.settings import Settings, load_settings
from volassets_tests.conftest import simulate_bars

GRID = ("lag_analysis", "selected_features", "benchmark_forecasts", "risk_forecasts")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with the bars of one ticker in a file."""
    for name in ("VOLASSETS_HOME", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    simulate_bars(520, 1, "2005-01-03").to_csv(tmp_path / "A.csv", date_format="%Y-%m-%d")
    own = {"source": "csv", "csv_dir": str(tmp_path), "tickers": ("A",), "models": ("naive",), "jobs": 1}
    return load_settings(tmp_path / "home", {**own, "minimum_history": 400, "start_month": "2006-07"})


@pytest.mark.slow
def test_later_months_are_named_until_they_are_computed(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "dagster"
    folder.mkdir()
    job = build_definitions(settings).get_repository_def().get_implicit_global_asset_job_def()
    with dg.DagsterInstance.local_temp(str(folder)) as instance:

        def later_months_of(assets: tuple[str, ...], first: str, last: str) -> list[str]:
            """Materialize a range; return what its partitions of risk say of later months."""
            result = job.execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(name) for name in assets],
                tags={RANGE_START_TAG: first, RANGE_END_TAG: last},
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
            events = result.get_asset_materialization_events()
            risk = [event.materialization.metadata for event in events if event.asset_key == dg.AssetKey(GRID[-1])]
            return [str(one["later_months"].value) for one in risk if "later_months" in one]

        later_months_of(("raw_prices", "realized_vol_features"), "A", "A")
        assert later_months_of(GRID, "2006-11-01|A", "2006-12-01|A") == []
        (text,) = later_months_of(GRID, "2006-09-01|A", "2006-10-01|A")
        assert text == "risk_forecasts of A 2006-11 .. 2006-12 goes on from what was computed: materialize it as well"
        assert later_months_of(GRID, "2006-11-01|A", "2006-12-01|A") == []
        assert pd.Timestamp("2006-12-01") in set(
            pd.to_datetime([key.split("|")[0] for key in instance.get_materialized_partitions(dg.AssetKey(GRID[-1]))])
        )
