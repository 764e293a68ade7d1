"""A run of 24 tickers in which bars are bad, a month is impossible and a fit fails: everything else is computed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from volassets.cli import cli
from volassets.models.benchmark import Naive
from volassets.models.protocol import Fit, Window
from volassets.models.registry import MODELS
from volassets.orchestration.instance import open_instance
from volassets.pipeline.cells import Partition
from volassets.settings import load_settings
from volassets.timing import months_between
from volassets.warehouse.store import open_warehouse

TICKERS = [f"T{number:02d}" for number in range(24)]
BAD, YOUNG, FAILING = "T05", "T11", "T17"
MONTHS = months_between(pd.Timestamp("2016-03-01"), pd.Timestamp("2016-05-01"))
FAILED_MONTH = MONTHS[1]
BROKEN = [True]
GRID = ("lag_analysis", "selected_features", "benchmark_forecasts", "fragile_fits", "fragile_forecasts")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Fragile(Naive):
    """A model whose fit raises for one ticker and month."""

    name: ClassVar[str] = "fragile"
    family: ClassVar[str] = "fragile"
    stored_fits: ClassVar[bool] = True

    def fit(self, window: Window) -> Fit:
        if BROKEN and (window.ticker, window.month) == (FAILING, FAILED_MONTH):
            raise ZeroDivisionError("the sum of no squares")
        return super().fit(window)


def _here(jobs: Iterator, function: Callable, _workers: int) -> Iterator:
    for job in jobs:
        yield job, function(job)


@pytest.fixture
def home(tmp_path: Path, sp500_bars: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of 24 files: the S&P 500 of 2014 to May 2016 times a random walk of each ticker's own."""
    for name in [name for name in os.environ if name.startswith(("VOLASSETS_", "DAGSTER_HOME"))]:
        monkeypatch.delenv(name)
    # Workers are other processes, which know the models that the package registers and not a test's.
    monkeypatch.setattr("volassets.pipeline.executor.run_jobs", _here)
    monkeypatch.setattr("volassets.pipeline.report_pages.run_jobs", _here)
    monkeypatch.setitem(MODELS, Fragile.name, Fragile)
    monkeypatch.setitem(globals(), "BROKEN", [True])
    for seed, ticker in enumerate(TICKERS):
        bars = sp500_bars.loc["2014":"2016-05"].copy()
        walk = np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.005, len(bars))))
        prices = ["open", "high", "low", "close", "adj_close"]
        bars[prices] = bars[prices].mul(walk, axis=0)
        if ticker == YOUNG:
            # 400 bars before April 2016 and fewer before March.
            bars = bars.iloc[bars.index.searchsorted(MONTHS[1]) - 400 :]
        if ticker == BAD:
            bars.iloc[300, bars.columns.get_loc("high")] = bars["low"].iloc[300] * 0.9
        bars.to_csv(tmp_path / f"{ticker}.csv", date_format="%Y-%m-%d")
    monkeypatch.setenv("VOLASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VOLASSETS_MODELS", "naive,fragile")
    monkeypatch.setenv("VOLASSETS_MINIMUM_HISTORY", "400")
    return tmp_path


def run(folder: Path) -> Result:
    names = [word for ticker in TICKERS for word in ("--ticker", ticker)]
    months = ["--from", f"{MONTHS[0]:%Y-%m}", "--to", f"{MONTHS[-1]:%Y-%m}"]
    source = ["--source", "csv", "--csv-dir", str(folder), "--jobs", "1"]
    result = CliRunner().invoke(cli, ["run", *source, *names, *months], prog_name="volassets")
    assert "Traceback" not in result.output
    return result


def recorded(asset: str) -> set[str]:
    with open_instance(load_settings().home) as instance:
        return set(instance.get_materialized_partitions(dg.AssetKey(asset)))


def statuses() -> dict[str, dg.DagsterRunStatus]:
    """Return the newest run of each asset, by the asset's name, and how it ended."""
    with open_instance(load_settings().home) as instance:
        runs = sorted(instance.get_run_records(), key=lambda record: record.create_timestamp)
        return {
            key.to_user_string(): record.dagster_run.status
            for record in runs
            for key in record.dagster_run.asset_selection or ()
        }


def keys(*but: tuple[str, pd.Timestamp], tickers: list[str] | None = None) -> set[str]:
    usable = [ticker for ticker in tickers or TICKERS if ticker != BAD]
    places = [Partition(ticker, month) for ticker in usable for month in MONTHS]
    return {place.key for place in places if tuple(place) not in {*but, (YOUNG, MONTHS[0])}}


@pytest.mark.slow
def test_what_fails_stays_alone_and_the_next_run_computes_it(home: Path) -> None:
    first = run(home)
    assert first.exit_code == 1, first.output
    failed = (FAILING, FAILED_MONTH)

    # Said: who is left out and why, what failed, and that the rest is kept.
    assert f"{BAD} is left out: " in first.stdout
    assert f"{YOUNG} 2016-03 left out: {YOUNG} has " in first.stdout
    assert "ZeroDivisionError: the sum of no squares" in first.stderr
    lines = [line for line in first.stderr.splitlines() if line.startswith("failed: ")]
    assert {line.split()[1] for line in lines} == {BAD, FAILING}
    assert first.stderr.splitlines()[-1].endswith("the rest is kept; run again to retry them.")

    # Computed: every other ticker and month, and the comparisons of all that have forecasts.
    store = open_warehouse(load_settings())
    usable = [ticker for ticker in TICKERS if ticker != BAD]
    for table in GRID:
        stored = store.read(table, ["ticker", "refit_month"]).drop_duplicates().itertuples(index=False)
        without = {failed} if table.startswith("fragile") else set()
        assert {Partition(t, pd.Timestamp(m)).key for t, m in stored} == keys(*without), table
    assert sorted(store.read("leaderboard", ["ticker"])["ticker"].unique()) == usable
    found = store.read("data_quality", severity="error")
    assert set(found["ticker"]) == {BAD}
    assert store.read("raw_prices", ticker=BAD).empty
    assert len(store.read("panel_leaderboard"))

    # Recorded: the cells that are right and the month that cannot be; the failed cell is the only red one of the run.
    impossible = {Partition(YOUNG, MONTHS[0]).key}
    for asset in GRID:
        assert recorded(asset) == keys(*({failed} if asset.startswith("fragile") else set())) | impossible, asset
    assert recorded("comparison_reports") == set(usable)
    ended = statuses()
    assert ended["fragile_fits"] == ended["lag_analysis"] == dg.DagsterRunStatus.FAILURE
    assert ended["raw_prices"] == ended["comparison_reports"] == ended["panel_report"] == dg.DagsterRunStatus.SUCCESS

    # Repaired, the next run computes the failed cells and what follows from them, and nothing else.
    BROKEN.clear()
    bars = pd.read_csv(home / f"{BAD}.csv", index_col="date")
    bars.loc[bars.index[300], "high"] = bars.iloc[300][["open", "close", "high", "low"]].max()
    bars.to_csv(home / f"{BAD}.csv")
    second = run(home)
    assert second.exit_code == 0, second.output
    done = {line.split(": ")[0]: line for line in second.stdout.splitlines() if ": missing" in line}
    assert done["fragile_fits"] == f"fragile_fits: 4 cells of {BAD}, {FAILING}, 2016-03 .. 2016-05: missing"
    assert done["lag_analysis"] == f"lag_analysis: 3 cells of {BAD}, 2016-03 .. 2016-05: missing"
    assert "realized_vol_features: 1 cell of T05: missing" in second.stdout
    compared = [line for line in second.stdout.splitlines() if line.startswith("comparison_reports: ")]
    assert len(compared) == 2
    for asset in GRID:
        assert recorded(asset) == keys() | impossible | {Partition(BAD, month).key for month in MONTHS}, asset
    assert set(statuses().values()) == {dg.DagsterRunStatus.SUCCESS}
    third = run(home)
    assert third.exit_code == 0
    assert "nothing to do: every cell asked for is up to date" in third.stdout
