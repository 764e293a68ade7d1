"""Months that a ticker cannot have are nothing to compute, with the reason, for every step; the others are computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.market.calendar import calendar_for
from volassets.orchestration.runner import Request, Runner
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.partition_result import PartitionResult
from volassets.pipeline.planner import MISSING, partitions_of, plan
from volassets.pipeline.state import COMPLETE, NOTHING, State
from volassets.pipeline.steps import steps
from volassets.settings import Settings, load_settings
from volassets.timing import months_between
from volassets_tests.conftest import simulate_bars

MONTHS = months_between(pd.Timestamp("2006-07-01"), pd.Timestamp("2008-08-01"))
HISTORY = 400
# Ticker to the first halted month and the number of halted months; bars are of 2005-01-03 to 2008-06-13.
HALTS = {
    "ONE": ("2007-03", 1),
    "SIX": ("2007-03", 6),
    "THIRTEEN": ("2006-11", 13),
    "START1": ("2005-02", 1),
    "START6": ("2005-02", 6),
    "START13": ("2005-02", 13),
    "END1": ("2008-05", 1),
    "END6": ("2007-12", 6),
    "END13": ("2007-05", 13),
    "DELISTED": ("2007-06-14", 24),
}


def halted(first: str, months: int) -> pd.DataFrame:
    """Return bars without those of `months` months from the day `first`."""
    bars, start = simulate_bars(900, 3), pd.Timestamp(first)
    return bars[(bars.index < start) | (bars.index >= start + pd.DateOffset(months=months))]


def possible(bars: pd.DataFrame) -> list[pd.Timestamp]:
    """Return the months with a history before them and a session that the bars reach, by the definition alone."""
    sessions = {calendar_for("ANY").next_session(day).replace(day=1) for day in bars.index}
    return [month for month in MONTHS if month in sessions and (bars.index < month).sum() >= HISTORY]


def write(folder: Path, bars: dict[str, pd.DataFrame]) -> None:
    for ticker, rows in bars.items():
        rows.to_csv(folder / f"{ticker}.csv", date_format="%Y-%m-%d")


def settings_of(folder: Path, tickers: Sequence[str], **overrides: object) -> Settings:
    values = {
        "source": "csv",
        "csv_dir": str(folder),
        "tickers": tuple(tickers),
        "models": ("naive", "garch"),
        "minimum_history": HISTORY,
        "start_month": "2006-01",
        "jobs": 2,
    }
    return load_settings(folder / "home", {**values, **overrides})


def run(settings: Settings) -> list[PartitionResult]:
    months = dict.fromkeys(settings.tickers, MONTHS)
    listed = [step for step in steps(settings) if step.scope is not Scope.ONCE]
    with Context(settings) as context:
        return list(Executor(State(context)).run(listed, {step.name: partitions_of(step, months) for step in listed}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("halts")
    write(folder, {ticker: halted(*halt) for ticker, halt in HALTS.items()})
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> list[PartitionResult]:
    return run(settings_of(folder, list(HALTS)))


def reason_for(month: pd.Timestamp, bars: pd.DataFrame) -> str:
    if (bars.index < month).sum() < HISTORY:
        return "minimum_history"
    return "the bars of" if month > bars.index[-1] else "it was not traded"


def test_a_halt_stops_neither_its_ticker_nor_another(done: list[PartitionResult]) -> None:
    assert not {(item.step.name, item.partition): item.failures for item in done if item.failures}
    compared = [item for item in done if item.step.name == "comparison_reports"]
    assert [item.partition.ticker for item in compared if item.computed] == list(HALTS)


@pytest.mark.parametrize("ticker", HALTS)
def test_every_step_computes_the_same_months_and_gives_the_reason_for_the_others(
    folder: Path, done: list[PartitionResult], ticker: str
) -> None:
    bars = halted(*HALTS[ticker])
    expected = possible(bars)
    assert 4 < len(expected) < len(MONTHS)
    grid = [item for item in done if item.partition.ticker == ticker and item.partition.month is not None]
    by_step = {
        step: [item for item in grid if item.step is step]
        for step in {item.step.name: item.step for item in grid}.values()
    }
    assert len(by_step) == 6
    with Context(settings_of(folder, list(HALTS))) as context:
        state = State(context)
        for step, items in by_step.items():
            assert [item.partition.month for item in items if item.computed and not item.nothing] == expected
            for item in items:
                month = item.partition.refit_month
                if month in expected:
                    assert state.completeness(step, item.partition) == COMPLETE
                    continue
                assert item.nothing.startswith((ticker, f"the bars of {ticker}", f"no bar of {ticker}"))
                assert reason_for(month, bars) in item.nothing
                assert (item.computed, item.rows) == ([], 0)
                assert state.completeness(step, item.partition) == NOTHING
            stored = context.warehouse.read(step.table, ["refit_month"], ticker=ticker)["refit_month"]
            assert sorted(stored.unique()) == expected
        forecasts = context.warehouse.read("garch_forecasts", ["refit_month", "target_date"], ticker=ticker)
        # After a halt the next session may be a later one than the calendar gave at the origin.
        assert (forecasts["target_date"] >= forecasts["refit_month"]).all()


def test_nothing_is_left_to_compute_until_bars_arrive(
    folder: Path, done: list[PartitionResult], tmp_path: Path
) -> None:
    settings = settings_of(folder, list(HALTS))
    listed = [step for step in steps(settings) if step.scope is not Scope.ONCE]
    with Context(settings) as context:
        assert plan(State(context), listed, dict.fromkeys(HALTS, MONTHS)) == []
        context.set_bars("SIX", simulate_bars(900, 3))
        context.set_bars("DELISTED", simulate_bars(900, 3))
        cells = plan(State(context), listed, dict.fromkeys(HALTS, MONTHS))
    missing = {
        ticker: sorted(
            {c.partition.refit_month for c, reason in cells if c.partition[0] == ticker and reason == MISSING}
        )
        for ticker in HALTS
    }
    everything = possible(simulate_bars(900, 3))
    expected = {ticker: set(everything) - set(possible(halted(*HALTS[ticker]))) for ticker in ("SIX", "DELISTED")}
    assert {ticker: set(months) for ticker, months in missing.items() if months} == expected
    steps_of = {cell.step for cell, reason in cells if reason == MISSING}
    grid = {"lag_analysis", "selected_features", "benchmark_forecasts", "garch_fits", "garch_forecasts"}
    assert steps_of == {*grid, "risk_forecasts"}


def test_the_months_before_a_halt_keep_their_rows_when_it_comes(folder: Path, done: list[PartitionResult]) -> None:
    with Context(settings_of(folder, list(HALTS))) as context:
        state, whole = State(context), Context(settings_of(folder, ("SIX",)))
        whole.set_bars("SIX", simulate_bars(900, 3))
        model = context.settings.model("garch")
        before = [month for month in possible(halted(*HALTS["SIX"])) if month <= pd.Timestamp("2007-02-01")]
        assert before
        for month in before:
            partition = Partition("SIX", month)
            assert state.fingerprints(partition).forecast(model, month) == whole.ticker("SIX").fingerprints.forecast(
                model, month
            )


def test_a_request_for_months_of_a_halt_leaves_them_out_and_is_refused_where_nothing_else_is_asked_for(
    folder: Path,
) -> None:
    six = settings_of(folder, ("SIX", "ONE"))
    runner = Runner(six, None, lambda _line: None)
    first, last = pd.Timestamp("2007-03-01"), pd.Timestamp("2007-10-01")
    months = runner.prepare(Request(("SIX", "ONE"), first, last))
    assert months == {"SIX": [first, pd.Timestamp("2007-09-01"), last], "ONE": months_between(first, last)}
    with pytest.raises(InputError, match="no bar of SIX has its next session in 2007-05: it was not traded"):
        runner.prepare(Request(("SIX",), pd.Timestamp("2007-05-01"), pd.Timestamp("2007-06-01")))
