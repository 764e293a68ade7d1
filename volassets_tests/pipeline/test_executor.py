"""When a step's results are handed on, which locks are held meanwhile, and how often is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from volassets.errors import VolassetsError
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.locks import write_lock
from volassets.pipeline.partition_result import MOST_COMMIT_ROWS, CommitPace, PartitionResult, commit_wait
from volassets.pipeline.planner import partitions_of
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.pipeline.workers import run_jobs
from volassets.settings import Settings, load_settings
from volassets_tests.conftest import simulate_bars

TICKERS = ("AAA", "BBB")
MONTHS = [pd.Timestamp("2007-03-01"), pd.Timestamp("2007-04-01")]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for number, ticker in enumerate(TICKERS):
        simulate_bars(700, number).to_csv(tmp_path / f"{ticker}.csv", date_format="%Y-%m-%d")
    values: dict[str, Any] = {"source": "csv", "csv_dir": str(tmp_path), "tickers": TICKERS, "models": ("har", "gjr")}
    return load_settings(tmp_path / "home", {**values, "minimum_history": 400, "jobs": 2})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables whose jobs were given to workers, in order; the workers are the real ones."""
    names: list[str] = []

    def listed(jobs: Iterator[Any], function: Callable[[Any], Any], workers: int) -> Iterator[tuple[Any, Any]]:
        names.append("")
        return run_jobs(_named(jobs, names), function, workers)

    monkeypatch.setattr("volassets.pipeline.executor.run_jobs", listed)
    return names


def _named(jobs: Iterator[Any], names: list[str]) -> Iterator[Any]:
    for job in jobs:
        names[-1] = job.compute.__name__
        yield job


def executed(context: Context) -> Iterator[PartitionResult]:
    settings = context.settings
    listed = [step for step in steps(settings) if step.scope in (Scope.TICKER, Scope.TICKER_MONTH)]
    listed = [step for step in listed if step.name != "comparison_reports"]
    months = dict.fromkeys(settings.tickers, MONTHS)
    return Executor(State(context)).run(listed, {step.name: partitions_of(step, months) for step in listed})


def test_a_step_is_handed_on_when_the_workers_have_jobs_of_the_next(settings: Settings, asked: list[str]) -> None:
    started: dict[str, int] = {}
    with Context(settings) as context:
        for item in executed(context):
            assert not item.failures
            started.setdefault(item.step.name, len(asked))
    names = list(started)
    # raw_prices are taken without workers, and nothing comes after the last step.
    assert [started[name] for name in names] == [*range(1, len(names)), len(names) - 1]
    assert all(asked)


def test_no_lock_is_held_after_a_run_that_is_left(settings: Settings) -> None:
    with Context(settings) as context:
        left = executed(context)
        for item in left:
            if item.step.name == "selected_features":
                break
        lock = write_lock(settings.home, "AAA")
        assert not lock.take(), "the next step should have begun"
        left.close()
        assert lock.take()
        lock.release()
    # What the left run computed is kept, and another one goes on from there.
    with Context(settings) as context:
        done = {(item.step.name, item.partition): item for item in executed(context)}
    assert done["selected_features", Partition("AAA", MONTHS[0])].unchanged == [""]
    assert done["garch_forecasts", Partition("BBB", MONTHS[1])].computed == ["gjr"]


def test_a_step_that_cannot_start_loses_no_result_of_the_one_before(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def refused(*given: Any) -> Iterator[tuple[Any, Any]]:
        nonlocal count
        count += 1
        if count == 3:
            raise VolassetsError("no worker can be had")
        return run_jobs(*given)

    monkeypatch.setattr("volassets.pipeline.executor.run_jobs", refused)
    seen: list[tuple[str, str]] = []
    with Context(settings) as context, pytest.raises(VolassetsError, match="no worker can be had"):
        seen.extend((item.step.name, item.partition.ticker) for item in executed(context))
    assert [name for name, ticker in seen if ticker == "BBB"] == [
        "raw_prices",
        "realized_vol_features",
        *["lag_analysis"] * len(MONTHS),
    ]
    for ticker in TICKERS:
        lock = write_lock(settings.home, ticker)
        assert lock.take()
        lock.release()


@pytest.mark.parametrize(("took", "wait"), [(0.0, 1.0), (0.05, 1.0), (0.1, 2.0), (0.2, 4.0), (0.3, 5.0), (60.0, 5.0)])
def test_commits_take_a_twentieth_of_the_time_and_come_within_five_seconds(took: float, wait: float) -> None:
    assert commit_wait(took) == pytest.approx(wait)


def test_the_pace_counts_from_the_end_of_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([100.0, 100.9, 101.0, 101.0, 101.2, 105.1, 105.3])
    monkeypatch.setattr("volassets.pipeline.partition_result.time.monotonic", lambda: next(moments))
    pace = CommitPace()
    assert not pace.is_due
    assert pace.is_due
    with pace.committing():
        pass
    assert not pace.is_due
    assert pace.is_due


def test_many_rows_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volassets.pipeline.partition_result.time.monotonic", lambda: 100.0)
    pace = CommitPace()
    pace.add(MOST_COMMIT_ROWS - 1)
    assert not pace.is_due
    pace.add(1)
    assert pace.is_due
    with pace.committing():
        pass
    assert not pace.is_due


@pytest.mark.parametrize(("most", "commits"), [(1, 2), (10**9, 1)])
def test_a_commit_has_no_more_rows_than_it_may(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, most: int, commits: int
) -> None:
    monkeypatch.setattr("volassets.pipeline.partition_result.MOST_COMMIT_ROWS", most)
    monkeypatch.setattr("volassets.pipeline.partition_result.COMMIT_SECONDS", 600.0)
    monkeypatch.setattr("volassets.pipeline.partition_result.commit_wait", lambda seconds: 600.0)
    written: list[str] = []
    with Context(settings) as context:
        write = context.warehouse.write

        def listed(*changes: Any) -> Any:
            written.extend({change.table for change in changes})
            return write(*changes)

        monkeypatch.setattr(context.warehouse, "write", listed)
        assert not [item.failures for item in executed(context) if item.failures]
    for table in ("raw_prices", "realized_vol_features"):
        assert written.count(table) == commits
