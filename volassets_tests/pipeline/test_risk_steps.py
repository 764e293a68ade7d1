"""Risk of a home's months: stored month by month, from the start, and from what is stored, the same bits."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.planner import plan
from volassets.pipeline.risk_steps import BACKTESTS, RISK, STEERING
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import Settings, load_settings
from volassets.timing import months_between
from volassets.warehouse.store import open_warehouse

TICKER = "AAA"
MONTHS = months_between(pd.Timestamp("2006-11-01"), pd.Timestamp("2008-11-01"))
VALUES = ["value_at_risk", "expected_shortfall"]


def settings_of(folder: Path, **values: object) -> Settings:
    common = {"source": "csv", "csv_dir": str(folder), "tickers": (TICKER,), "models": ("ewma", "gjr")}
    more = {"minimum_history": 400, "start_month": "2006-01", "jobs": 1, "risk_tails": ("lower", "upper")}
    return load_settings(folder / "home", common | more | values)


def run(settings: Settings, months: Sequence[pd.Timestamp], only: Sequence[str] = (), force: bool = False) -> None:
    """Compute what is missing or stale of some months, of all steps but the panel or of `only` some."""
    with Context(settings) as context:
        state = State(context)
        asked = {}
        chosen = [step for step in steps(settings) if not only or step.name in only]
        for step in chosen:
            monthly = "month" in step.scope.value
            asked[step.name] = [Partition(TICKER, month) for month in months] if monthly else [Partition(TICKER)]
        asked.pop("panel_report", None)
        for item in Executor(state, force).run(chosen, asked):
            assert not item.failures, item.failures


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, simulated_bars) -> Path:
    """A folder with the prices and the home of all months."""
    folder = tmp_path_factory.mktemp("risk")
    simulated_bars(1020, 1).to_csv(folder / f"{TICKER}.csv", date_format="%Y-%m-%d")
    run(settings_of(folder), MONTHS)
    return folder


@pytest.fixture
def settings(folder: Path) -> Settings:
    """The home of all months."""
    return settings_of(folder)


def rows(settings: Settings, table: str = RISK) -> pd.DataFrame:
    return open_warehouse(settings).read(table)


def drop(settings: Settings, tables: Sequence[str], where: str) -> None:
    import duckdb

    with duckdb.connect(str(settings.database)) as connection:
        for table in tables:
            connection.execute(f"DELETE FROM {table} WHERE {where}")


def test_every_forecast_has_its_risk(settings: Settings) -> None:
    risk = rows(settings)
    forecasts = open_warehouse(settings).read("forecasts")
    assert len(risk) == len(forecasts) * 6
    keys = ["ticker", "refit_month", "model", "horizon", "origin_date", "target_date"]
    assert len(risk.merge(forecasts, on=keys)) == len(risk)
    assert risk[VALUES].notna().all(axis=None)
    lower, upper = risk[risk["tail"] == "lower"], risk[risk["tail"] == "upper"]
    assert (lower["expected_shortfall"] < lower["value_at_risk"]).all()
    assert (lower["value_at_risk"] < 0).all()
    assert (upper["expected_shortfall"] > upper["value_at_risk"]).all()


def test_in_sample_residuals_are_named_until_there_are_enough(settings: Settings) -> None:
    risk = rows(settings)
    day = risk[(risk["horizon"] == 1) & (risk["model"] == "gjr")].drop_duplicates("origin_date")
    filled = day["method"] == "evt_conformal, in-sample"
    assert (day.loc[~filled, "method"] == "evt_conformal").all()
    # 250 outcomes are known at the first origin of the first month without any.
    first = day.loc[~filled, "refit_month"].iloc[0]
    assert 250 <= (day["refit_month"] < first).sum() - 1 < 273
    assert day.loc[filled, "refit_month"].max() < first


def test_the_views_show_the_newest_and_the_old_columns(settings: Settings) -> None:
    store = open_warehouse(settings)
    latest = store.read("latest_risk")
    assert set(latest["origin_date"]) == {rows(settings)["origin_date"].max()}
    assert len(latest) == 2 * 3 * 3 * 2
    tested = store.read("value_at_risk")
    assert len(tested) == 6
    assert (tested["n"] > 200).all()
    backtests = rows(settings, BACKTESTS)
    assert len(backtests) == len(latest)
    assert set(backtests.loc[backtests["n"] >= 250, "kupiec_p"].isna()) <= {False}
    assert backtests.loc[backtests["n"] < 250, "kupiec_p"].isna().all()


@pytest.mark.parametrize("lost", ["refit_month = '2008-11-01'", "refit_month >= '2008-06-01'", "true"])
def test_a_month_alone_goes_on_from_what_is_stored_or_from_the_start(settings: Settings, lost: str) -> None:
    before, steering = rows(settings), rows(settings, STEERING)
    drop(settings, (RISK, STEERING), lost)
    run(settings, MONTHS[-1:], (RISK,))
    last = {"ticker": TICKER, "refit_month": MONTHS[-1]}
    for table, whole in ((RISK, before), (STEERING, steering)):
        expected = whole[whole["refit_month"] == MONTHS[-1]].reset_index(drop=True)
        pd.testing.assert_frame_equal(open_warehouse(settings).read(table, **last), expected, check_exact=True)
    run(settings, MONTHS, (RISK,))
    pd.testing.assert_frame_equal(rows(settings), before, check_exact=True)


def test_months_in_any_order_and_processes_give_the_same_bits(settings: Settings) -> None:
    before = rows(settings)
    run(settings.model_copy(update={"jobs": 2}), MONTHS[::-1], (RISK,), force=True)
    pd.testing.assert_frame_equal(rows(settings), before, check_exact=True)


def test_other_earlier_months_make_later_risk_stale_with_that_reason(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    copy = settings_of(tmp_path / "copy", models=("ewma",))
    run(copy, MONTHS, (RISK, BACKTESTS))
    earlier = months_between(pd.Timestamp("2006-09-01"), pd.Timestamp("2006-10-01"))
    with Context(copy) as context:
        assert not [p for p in plan(State(context), steps(copy), {TICKER: MONTHS}) if p.cell.step == RISK]
    run(copy, earlier)
    with Context(copy) as context:
        stale = [p for p in plan(State(context), steps(copy), {TICKER: MONTHS}) if p.cell.step == RISK]
    assert {p.cell.partition.month for p in stale} == set(MONTHS)
    assert {p.reason for p in stale} == {"forecasts of this or an earlier month, bars or settings changed"}
    run(copy, MONTHS, (RISK, BACKTESTS))
    with Context(copy) as context:
        assert not [p for p in plan(State(context), steps(copy), {TICKER: MONTHS}) if p.cell.step == RISK]


def test_another_method_replaces_the_rows(folder: Path) -> None:
    keys = ["ticker", "model", "horizon", "level", "tail"]
    before = rows(settings_of(folder), BACKTESTS)
    for method in ("student_t", "historical", "evt_conformal"):
        run(settings_of(folder, risk_method=method), MONTHS, (RISK, BACKTESTS))
        risk, tested = rows(settings_of(folder)), rows(settings_of(folder), BACKTESTS)
        assert risk["method"].str.startswith(method).all()
        assert np.isfinite(risk["value_at_risk"]).all()
        pd.testing.assert_frame_equal(tested[keys], before[keys])


def test_a_changed_level_is_the_only_one_that_changes(folder: Path) -> None:
    before = rows(settings_of(folder))
    run(settings_of(folder, risk_levels=(0.01, 0.1)), MONTHS, (RISK,))
    after = rows(settings_of(folder))
    assert set(after["level"]) == {0.01, 0.1}
    kept = [frame[frame["level"] == 0.01].drop(columns="data_hash").reset_index(drop=True) for frame in (before, after)]
    pd.testing.assert_frame_equal(*kept, check_exact=True)
