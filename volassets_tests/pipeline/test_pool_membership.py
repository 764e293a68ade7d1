"""Who is in a month's pool, what a later, short or lost ticker changes, and what a refit of the pool costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.partition_result import PartitionResult
from volassets.pipeline.pool_membership import differing_pools
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import Settings, load_settings
from volassets.warehouse.store import open_warehouse

MONTHS = pd.date_range("2006-10-01", "2006-11-01", freq="MS")
FITS, FORECASTS = "pooled_fits", "pooled_forecasts"
KEY = ["ticker", "refit_month", "model", "origin_date", "horizon"]


@pytest.fixture
def place(tmp_path: Path, simulated_bars) -> Path:
    """A directory of prices: AAA to CCC have 459 bars before the first month, NEW has 95."""
    (tmp_path / "home").mkdir()
    for seed, ticker in enumerate(("AAA", "BBB", "CCC", "NEW")):
        bars = simulated_bars(520, seed)
        first = bars.index.searchsorted(MONTHS[0]) - 95 if ticker == "NEW" else 0
        bars.iloc[first:].to_csv(tmp_path / f"{ticker}.csv", date_format="%Y-%m-%d")
    return tmp_path


def settings_of(place: Path, tickers: Sequence[str], **fields: object) -> Settings:
    values = {"source": "csv", "csv_dir": str(place), "minimum_history": 400, "jobs": 1, "start_month": "2006-01"}
    return load_settings(
        place / "home", {"models": ("ewma", "pooled_ridge"), **values, "tickers": tuple(tickers), **fields}
    )


def run(settings: Settings, refit_pool: bool = False) -> list[PartitionResult]:
    places = {
        Scope.TICKER: [Partition(ticker) for ticker in settings.tickers],
        Scope.MONTH: [Partition("", month) for month in MONTHS],
        Scope.TICKER_MONTH: [Partition(ticker, month) for ticker in settings.tickers for month in MONTHS],
    }
    listed = [step for step in steps(settings) if step.scope in places and not step.has_page]
    with Context(settings, refit_pool=refit_pool) as context:
        results = list(Executor(State(context)).run(listed, {step.name: places[step.scope] for step in listed}))
    assert not [item.failures for item in results if item.failures]
    return results


def computed(results: Sequence[PartitionResult], step: str) -> set[str]:
    return {item.partition.ticker for item in results if item.step.name == step and item.computed}


def pools_of(settings: Settings) -> set[tuple[str, ...]]:
    rows = open_warehouse(settings).read(FITS)
    assert set(rows["ticker"]) == {name for row in rows["parameters"] for name in json.loads(row)["pool"]}
    return {tuple(json.loads(row)["candidates"]) for row in rows["parameters"]}


def forecasts_of(settings: Settings, tickers: Sequence[str]) -> pd.DataFrame:
    rows = open_warehouse(settings).read(FORECASTS, ticker=list(tickers))
    return rows.sort_values(KEY, ignore_index=True)


@pytest.mark.slow
def test_a_later_ticker_is_forecast_and_changes_nothing_until_asked(place: Path) -> None:
    first = settings_of(place, ("AAA", "BBB"))
    run(first)
    before = forecasts_of(first, ("AAA", "BBB"))

    later = settings_of(place, ("BBB", "AAA", "CCC"))
    results = run(later)
    assert computed(results, FITS) == set()
    assert computed(results, FORECASTS) == {"CCC"}
    assert pools_of(later) == {("AAA", "BBB")}
    pd.testing.assert_frame_equal(forecasts_of(later, ("AAA", "BBB")), before, check_exact=True)
    (text,) = differing_pools(Context(later))
    assert text.startswith("pooled_ridge: 2 months (2006-10 .. 2006-11)")
    assert "forecasts of 3 tickers" in text

    again = run(later, refit_pool=True)
    assert computed(again, FORECASTS) == {"AAA", "BBB", "CCC"}
    assert pools_of(later) == {("AAA", "BBB", "CCC")}
    assert not differing_pools(Context(later))
    assert not [item for item in run(later) if item.computed]

    # A ticker that is no longer listed stays in the months that it was in.
    fewer = settings_of(place, ("AAA", "BBB"))
    assert not [item for item in run(fewer) if item.computed]


def test_a_changed_pinned_pool_fits_again(place: Path) -> None:
    settings = settings_of(place, ("AAA", "BBB", "CCC"), pool=("CCC", "AAA"))
    run(settings)
    assert pools_of(settings) == {("AAA", "CCC")}
    assert set(forecasts_of(settings, settings.tickers)["ticker"]) == {"AAA", "BBB", "CCC"}
    other = settings_of(place, settings.tickers, pool=("AAA", "BBB"))
    assert computed(run(other), FORECASTS) == set(settings.tickers)
    assert pools_of(other) == {("AAA", "BBB")}


def test_a_member_whose_bars_are_lost_leaves_the_month_to_the_others(place: Path) -> None:
    settings = settings_of(place, ("AAA", "BBB"))
    run(settings)
    with duckdb.connect(str(settings.database)) as connection:
        connection.execute("DELETE FROM raw_prices WHERE ticker = 'BBB'")
    run(settings_of(place, ("AAA",)))
    assert pools_of(settings) == {("AAA",)}


def test_a_short_history_has_forecasts_of_the_pooled_models_alone(place: Path) -> None:
    settings = settings_of(place, ("AAA", "BBB", "NEW"))
    run(settings)
    assert pools_of(settings) == {("AAA", "BBB")}
    rows = forecasts_of(settings, ("NEW",))
    assert set(rows["refit_month"]) == set(MONTHS)
    assert set(rows["model"]) == {"pooled_ridge"}
    assert (rows["variance"] > 0).all()
    store = open_warehouse(settings)
    assert set(store.read("benchmark_forecasts")["ticker"]) == {"AAA", "BBB"}
    assert not len(store.read("selected_features", ticker=["NEW"]))
    assert set(store.read("risk_forecasts", ticker=["NEW"])["model"]) == {"pooled_ridge"}
    # With fewer bars there is nothing to compute, and nothing fails.
    few = settings_of(place, ("AAA", "BBB", "NEW"), short_history=110)
    step = next(step for step in steps(few) if step.name == FORECASTS)
    gap = step.gap(State(Context(few)), Partition("NEW", MONTHS[0]), few.model("pooled_ridge"))
    assert "a refit needs 110 (short_history): the first possible month is 2006-11" in gap
