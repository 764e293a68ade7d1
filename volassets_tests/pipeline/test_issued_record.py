"""What was forecast on the day is appended once, stays whatever is computed later, and is compared with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volassets import __version__
from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.issued_record import issue, issued_apart, parted
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import Settings, load_settings
from volassets.warehouse.interface import Warehouse
from volassets.warehouse.store import open_warehouse

TICKER, MONTH = "AAA", pd.Timestamp("2006-11-01")
BARS = 480
LOGS = ("issued_forecasts", "issued_risk")
NEWEST = "SELECT * FROM {} WHERE origin_date = (SELECT max(origin_date) FROM forecasts)"


@pytest.fixture
def home(tmp_path: Path, simulated_bars: Callable[..., pd.DataFrame]) -> Settings:
    """A home with one ticker whose bars end in the month."""
    write(tmp_path, simulated_bars(BARS, 3))
    common = {"source": "csv", "csv_dir": str(tmp_path), "tickers": (TICKER,), "models": ("ewma", "gjr")}
    return load_settings(tmp_path / "home", common | {"minimum_history": 300, "start_month": "2006-01", "jobs": 1})


def write(folder: Path, bars: pd.DataFrame) -> None:
    bars.to_csv(folder / f"{TICKER}.csv", date_format="%Y-%m-%d")


def update(settings: Settings, after: timedelta = timedelta(hours=5)) -> int:
    """Compute the month and issue, `after` the close of the last bar's session; return what was issued."""
    with Context(settings) as context:
        state = State(context)
        month, once = [Partition(TICKER, MONTH)], [Partition(TICKER)]
        listed = [step for step in steps(settings) if step.name not in ("comparison_reports", "panel_report")]
        asked = {step.name: month if "month" in step.scope.value else once for step in listed}
        for item in Executor(state).run(listed, asked):
            assert not item.failures, item.failures
        last = context.ticker(TICKER).index[-1]
        # 16:00 in New York is 21:00 UTC in winter.
        context.now = datetime(last.year, last.month, last.day, 21, tzinfo=UTC) + after
        return issue(state, [TICKER])


def rows(settings: Settings) -> dict[str, pd.DataFrame]:
    store: Warehouse = open_warehouse(settings)
    return {name: store.read(name) for name in LOGS}


def findings(settings: Settings) -> list[str]:
    with Context(settings) as context:
        found = parted(State(context), [Partition(TICKER)])
        return [finding.message for listed in found.values() for finding in listed]


def test_the_newest_forecasts_are_issued_once(home: Settings) -> None:
    assert findings(home) == []
    # Two models, three horizons; risk at three levels each.
    assert update(home) == 6 + 18
    first = rows(home)
    assert [len(first[name]) for name in LOGS] == [6, 18]
    stored = open_warehouse(home)
    for name, source in zip(LOGS, ("forecasts", "risk_forecasts"), strict=True):
        newest = stored.query(NEWEST.format(source))
        shared = [column for column in first[name] if column in newest]
        order = [column for column in ("model", "horizon", "level") if column in shared]
        expected = newest[shared].sort_values(order, ignore_index=True)
        pd.testing.assert_frame_equal(first[name][shared].sort_values(order, ignore_index=True), expected)
        assert set(first[name]["code_version"]) == {__version__}
        assert first[name]["bars_hash"].nunique() == 1
    assert findings(home) == []
    update(home, timedelta(hours=9))
    for name, again in rows(home).items():
        pd.testing.assert_frame_equal(again, first[name])


def test_a_revision_leaves_what_was_issued_and_is_found(home: Settings, simulated_bars: Callable) -> None:
    update(home)
    first = rows(home)
    bars = simulated_bars(BARS, 3)
    bars.iloc[-30, bars.columns.get_loc("low")] *= 0.97
    write(Path(home.csv_dir), bars)
    update(home)
    for name, again in rows(home).items():
        pd.testing.assert_frame_equal(again, first[name])
    [message] = findings(home)
    assert "issued numbers differ from what is stored now" in message
    live = open_warehouse(home).read("live_forecasts")
    moved = live[live["difference"] != 0]
    stored = open_warehouse(home).query(NEWEST.format("forecasts"))
    assert set(moved["model"]) == {"ewma"}
    for row in moved.itertuples():
        now = stored[(stored["model"] == row.model) & (stored["horizon"] == row.horizon)]["variance"].item()
        assert row.stored_variance == now
        assert row.difference == pytest.approx(now / row.issued_variance - 1)


def test_a_day_later_the_next_origin_is_issued_and_the_outcome_of_the_first_is_known(
    home: Settings, simulated_bars: Callable
) -> None:
    bars = simulated_bars(BARS, 3)
    write(Path(home.csv_dir), bars.iloc[:-1])
    update(home)
    first = rows(home)
    write(Path(home.csv_dir), bars)
    update(home)
    for name, again in rows(home).items():
        assert again["origin_date"].nunique() == 2
        kept = again[again["origin_date"] == bars.index[-2]].reset_index(drop=True)
        pd.testing.assert_frame_equal(kept, first[name])
    assert findings(home) == []
    store = open_warehouse(home)
    risk = store.read("live_risk", horizon=1, tail="lower").dropna(subset=["outcome"])
    outcome = np.log(bars["adj_close"].iloc[-1] / bars["adj_close"].iloc[-2])
    assert set(risk["origin_date"]) == {bars.index[-2]}
    np.testing.assert_allclose(risk["outcome"], outcome)
    assert (risk["violation"] == (outcome < risk["issued_value_at_risk"])).all()
    live = store.read("live_forecasts", horizon=1).dropna(subset=["realized_variance"])
    assert set(live["origin_date"]) == {bars.index[-2]}
    assert (live["issued_qlike"] == live["stored_qlike"]).all()


def test_nothing_is_issued_once_the_session_has_closed(home: Settings) -> None:
    """The last bar is a Friday's or earlier: a week later its next session is past."""
    assert update(home, timedelta(days=7)) == 0
    assert all(found.empty for found in rows(home).values())


def test_rounding_is_no_difference() -> None:
    row = {"what": "forecast", "model": "gjr", "horizon": 1, "origin_date": pd.Timestamp("2016-03-01"), "issued": 1e-4}
    table = pd.DataFrame([row | {"stored": 1e-4 * (1 + 1e-12)}, row | {"stored": 1e-4}])
    assert issued_apart(table.assign(difference=table["stored"] / table["issued"] - 1)) == []
    table = pd.DataFrame([row | {"stored": 1e-4 * (1 + 1e-7)}, row | {"stored": np.nan}])
    [finding] = issued_apart(table.assign(difference=table["stored"] / table["issued"] - 1))
    assert "1 of 2 issued numbers differ" in finding.message
    assert "1 of 2 issued numbers are not stored any more" in finding.message
    assert finding.severity == "warning"
