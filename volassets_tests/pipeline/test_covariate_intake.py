"""Covariates in a home: stored beside the bars, part of the hashes of those who use them, never in anybody's way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.orchestration.runner import Request, Runner
from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.covariate_intake import take_covariates
from volassets.pipeline.price_intake import reason_to_fetch
from volassets.pipeline.prune import prunable
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import Settings, load_settings
from volassets.warehouse.store import open_warehouse
from volassets_tests.conftest import simulate_bars

NOW = datetime(2010, 1, 4, tzinfo=UTC)
MONTH = pd.Timestamp("2008-02-01")
MODELS = ["har", "elastic_net"]


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    folder = tmp_path / "prices"
    folder.mkdir()
    for seed, name in enumerate(("AAA", "BBB")):
        simulate_bars(900, seed).to_csv(folder / f"{name}.csv")
    closes(8).to_csv(folder / "FEAR.csv")
    return folder


def closes(seed: int) -> pd.DataFrame:
    """Return a file that has closes alone."""
    return simulate_bars(900, seed)[["close"]]


@pytest.fixture
def settings_for(tmp_path: Path, prices: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    monkeypatch.setenv("VOLASSETS_HOME", str(tmp_path / "home"))

    def make(**overrides: object) -> Settings:
        values = {
            "tickers": ["AAA", "BBB"], "source": "csv", "csv_dir": str(prices), "models": MODELS, "jobs": 1,
            "minimum_history": 400, "start_month": "2007-01", "horizons": [1, 5], "reports": "never",
        }  # fmt: skip
        return load_settings(tmp_path / "home", {**values, **overrides})

    return make


def run(settings: Settings, *tickers: str) -> None:
    """Compute one month, as `volassets run` does."""
    runner = Runner(settings, None, lambda _: None, NOW)
    request = Request(tickers=tickers, first=MONTH, last=MONTH)
    result = runner.run(runner.prepare(request), request, lambda _: None)
    assert not result.failures, result.failures


def hashes(settings: Settings, ticker: str) -> dict[str, str]:
    """Return the stored hash of each model's forecasts."""
    store = open_warehouse(settings)
    rows = store.query("SELECT DISTINCT model, data_hash FROM forecasts WHERE ticker = $ticker", {"ticker": ticker})
    return dict(zip(rows["model"], rows["data_hash"], strict=True))


def findings(settings: Settings, ticker: str) -> list[str]:
    rows = open_warehouse(settings).read("data_quality", ticker=ticker)
    return rows.loc[rows["check_name"] == "covariate", "message"].tolist()


@pytest.mark.slow
def test_a_run_stores_it_and_fits_again_only_who_uses_it(settings_for: Callable[..., Settings], prices: Path) -> None:
    run(settings_for(), "AAA", "BBB")
    before = {name: hashes(settings_for(), name) for name in ("AAA", "BBB")}
    settings = settings_for(covariates={"AAA": ["FEAR"]})
    run(settings, "AAA", "BBB")
    store = open_warehouse(settings)
    roles = store.query(
        "SELECT ticker, any_value(role) AS role, count(*) AS n FROM raw_prices GROUP BY ticker ORDER BY 1"
    )
    assert roles.replace({np.nan: None}).to_numpy().tolist() == [
        ["AAA", None, 900],
        ["BBB", None, 900],
        ["FEAR", "covariate", 900],
    ]
    after = {name: hashes(settings, name) for name in ("AAA", "BBB")}
    assert after["BBB"] == before["BBB"]
    assert after["AAA"]["har"] == before["AAA"]["har"]
    assert after["AAA"]["elastic_net"] != before["AAA"]["elastic_net"]
    features = store.read("realized_vol_features").groupby("ticker")["cov_fear_level"].agg(lambda x: x.notna().mean())
    assert features.to_dict() == {"AAA": 1.0, "BBB": 0.0}
    assert findings(settings, "AAA") == []
    # A value of the future of the month is in nobody's fit.
    _same_after(settings, prices, closes(8).iloc[:850], {"har", "elastic_net"})
    revised = closes(8)
    revised.iloc[100] *= 1.1
    _same_after(settings, prices, revised, {"har"})


def _same_after(settings: Settings, prices: Path, bars: pd.DataFrame, same: set[str]) -> None:
    """Change the covariate's file and run again: the forecasts of `same` keep their hashes, the others do not."""
    before = hashes(settings, "AAA")
    bars.to_csv(prices / "FEAR.csv")
    run(settings, "AAA", "BBB")
    after = hashes(settings, "AAA")
    assert {model for model in MODELS if after[model] == before[model]} == same
    with Context(settings, now=NOW) as context:
        state = State(context)
        for step in steps(settings):
            if step.stage in ("fits", "forecasts"):
                for model in step.variants:
                    assert state.is_current(step, Partition("AAA", MONTH), model)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda file: file.unlink(), "has no values, its columns are 0"),
        (lambda file: file.write_text("date,close\n2008-01-02,5\n2008-01-02,6\n"), "repeats the one before it"),
        (lambda file: closes(8).iloc[:300].to_csv(file), "over 10 days before the last bar: its columns are 0"),
    ],
)
def test_a_missing_or_bad_one_is_said_and_stops_nobody(
    settings_for: Callable[..., Settings], prices: Path, write: Callable[[Path], None], words: str
) -> None:
    write(prices / "FEAR.csv")
    settings = settings_for(covariates=["FEAR"])
    run(settings, "AAA", "BBB")
    for ticker in ("AAA", "BBB"):
        (message,) = findings(settings, ticker)
        assert words in message
    newest = open_warehouse(settings).read("realized_vol_features", ticker="AAA").iloc[-1]
    assert newest[["cov_fear_level", "cov_fear_change", "cov_fear_change_5"]].tolist() == [0.0, 0.0, 0.0]
    # Set right, the finding goes and the features come.
    closes(8).to_csv(prices / "FEAR.csv")
    run(settings, "AAA")
    assert findings(settings, "AAA") == []
    assert open_warehouse(settings).read("realized_vol_features", ticker="AAA")["cov_fear_change"].iloc[-1] != 0


def test_stored_values_stay_where_the_source_is_wrong(settings_for: Callable[..., Settings], prices: Path) -> None:
    settings = settings_for(covariates=["FEAR"])
    run(settings, "AAA")
    before = hashes(settings, "AAA")
    bars = closes(8)
    bars.iloc[-1] = -1.0
    bars.to_csv(prices / "FEAR.csv")
    run(settings, "AAA")
    assert hashes(settings, "AAA") == before
    (message,) = findings(settings, "AAA")
    assert "could not be refreshed and is used to" in message


def test_one_that_is_a_ticker_too_is_taken_as_such(settings_for: Callable[..., Settings]) -> None:
    settings = settings_for(covariates=["BBB"])
    run(settings, "AAA", "BBB")
    assert open_warehouse(settings).read("raw_prices", ["role"])["role"].isna().all()
    with Context(settings, now=NOW) as context:
        assert context.pools.candidates(MONTH) == ["AAA"]
        assert settings.covariates_of("BBB") == ()
        assert settings.covariates_of("AAA") == ("BBB",)


def test_one_that_becomes_a_ticker_is_taken_in_again(settings_for: Callable[..., Settings], prices: Path) -> None:
    run(settings_for(covariates=["FEAR"]), "AAA")
    simulate_bars(900, 8).to_csv(prices / "FEAR.csv")
    settings = settings_for(tickers=["AAA", "FEAR"], covariates=["FEAR"])
    with Context(settings, now=NOW) as context:
        assert "those of a covariate" in reason_to_fetch(context, "FEAR")
    run(settings, "AAA", "FEAR")
    assert open_warehouse(settings).read("raw_prices", ["role"], ticker="FEAR")["role"].isna().all()


def test_one_look_a_run(settings_for: Callable[..., Settings], prices: Path) -> None:
    with Context(settings_for(covariates=["FEAR"]), now=NOW) as context:
        take_covariates(context, ["AAA", "BBB"])
        (prices / "FEAR.csv").unlink()
        take_covariates(context, ["AAA", "BBB"])
        assert context.covariate_problems == {"FEAR": ""}
        assert len(context.covariates("AAA")[0].bars) == 900


def test_it_is_pruned_once_the_settings_do_not_name_it(settings_for: Callable[..., Settings]) -> None:
    with Context(settings_for(covariates={"AAA": ["FEAR"]}), now=NOW) as context:
        take_covariates(context, ["AAA"])
        assert prunable(context).cells == {}
    with Context(settings_for(), now=NOW) as context:
        assert prunable(context).cells["raw_prices"]["ticker"].tolist() == ["FEAR"]


def test_names_that_would_share_columns_are_refused(settings_for: Callable[..., Settings]) -> None:
    with pytest.raises(InputError, match="would have the same columns"):
        settings_for(covariates=["^VIX", "VIX"])
    with pytest.raises(InputError, match="named twice"):
        settings_for(covariates={"AAA": ["X", "X"]})
