"""What a combination keeps when its home grows to the size of a pool, and what brings it up to date."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from volassets.models.combination import Combination
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.partition_result import PartitionResult
from volassets.pipeline.pool_membership import differing_pools
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import Settings, load_settings
from volassets.warehouse.store import open_warehouse

pytestmark = pytest.mark.slow
# The running month of the last bar is the second one.
MONTHS = pd.date_range("2006-11-01", "2006-12-01", freq="MS")
BARS = 500
MODELS = ("gjr", "elastic_net", "lstm", "transformer", "pooled_lstm", "pooled_ridge", "pooled_boosting", "combination")
QUICK = "[pooled_boosting]\ntrees = 10\n" + "".join(
    f"[{name}]\nseeds = 1\nepochs = 1\n" for name in ("lstm", "transformer", "pooled_lstm")
)


@pytest.fixture
def place(tmp_path: Path, simulated_bars) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "volassets.toml").write_text(QUICK)
    for seed, ticker in enumerate(("AAA", "BBB", "CCC")):
        simulated_bars(BARS + 3, seed).iloc[:BARS].to_csv(tmp_path / f"{ticker}.csv", date_format="%Y-%m-%d")
    return tmp_path


def settings_of(place: Path, tickers: Sequence[str]) -> Settings:
    values = {"source": "csv", "csv_dir": str(place), "minimum_history": 400, "jobs": 1, "start_month": "2006-01"}
    return load_settings(place / "home", {"models": MODELS, **values, "tickers": tickers, "pooled_from": 3})


def run(settings: Settings, only: str = "", force: bool = False, refit_pool: bool = False) -> list[PartitionResult]:
    places = {
        Scope.TICKER: [Partition(ticker) for ticker in settings.tickers],
        Scope.MONTH: [Partition("", month) for month in MONTHS],
        Scope.TICKER_MONTH: [Partition(ticker, month) for ticker in settings.tickers for month in MONTHS],
    }
    listed = [step for step in steps(settings) if step.scope in places and not step.has_page and only in step.name]
    with Context(settings, refit_pool=refit_pool) as context:
        results = list(Executor(State(context), force).run(listed, {step.name: places[step.scope] for step in listed}))
    assert not [item.failures for item in results if item.failures]
    return results


def combined(settings: Settings, ticker: str) -> pd.DataFrame:
    key = ["refit_month", "origin_date", "horizon"]
    return open_warehouse(settings).read("combined_forecasts", ticker=[ticker]).sort_values(key, ignore_index=True)


def recomputed(results: Sequence[PartitionResult]) -> set[str]:
    tables = ("combined_forecasts", "risk_forecasts")
    return {item.partition.ticker for item in results if item.step.name in tables and "combination" in item.computed}


def test_a_home_that_grows_keeps_what_was_combined(place: Path, simulated_bars) -> None:
    two = settings_of(place, ("AAA", "BBB"))
    run(two)
    before = combined(two, "AAA")

    three = settings_of(place, ("AAA", "BBB", "CCC"))
    assert three.model("combination").member_names == Combination.members_with_pool
    assert recomputed(run(three)) == {"CCC"}
    # A forced run makes the kept ones again, of the same members.
    run(three, "combined_forecasts", force=True)
    pd.testing.assert_frame_equal(combined(three, "AAA"), before, check_exact=True)
    assert not [item for item in run(three) if item.computed]
    text = differing_pools(Context(three))[-1]
    assert text.startswith("combination: 4 months of 2 tickers (2006-11 .. 2006-12) keep the members that they had")

    # A new bar of the running month changes no member of its days before.
    simulated_bars(BARS + 3, 0).to_csv(place / "AAA.csv", date_format="%Y-%m-%d")
    run(three)
    after = combined(three, "AAA")
    assert len(after) > len(before)
    shared = after.merge(before, on=["refit_month", "origin_date", "horizon"])
    assert (shared["variance_x"] == shared["variance_y"]).all()

    assert recomputed(run(three, refit_pool=True)) == {"AAA", "BBB", "CCC"}
    assert not [text for text in differing_pools(Context(three)) if text.startswith("combination")]
    assert not [item for item in run(three) if item.computed]
