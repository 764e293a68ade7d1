"""The pooled models through the pipeline: rows, shared checkpoints, a second run, a bad member, the audit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.leakage_audit import audit_ticker
from volassets.pipeline.partition_result import PartitionResult
from volassets.pipeline.state import State
from volassets.pipeline.steps import graph_steps, steps
from volassets.settings import DEFAULT_MODELS, Settings, load_settings
from volassets.warehouse.store import Warehouse, open_warehouse

TICKERS, MONTHS = ("AAA", "BBB", "CCC"), pd.date_range("2006-10-01", "2006-11-01", freq="MS")
POOLED = ("pooled_boosting", "pooled_lstm", "pooled_ridge")
TOML = """
models = ["pooled_lstm", "pooled_ridge", "pooled_boosting"]
[pooled_lstm]
seeds = 2
epochs = 1
[pooled_boosting]
trees = 10
leaf_rows = 50
"""
Results = Mapping[tuple[str, str], list[PartitionResult]]


def home_of(place: Path, simulated_bars, tickers: tuple[str, ...] = TICKERS, jobs: int = 1) -> Settings:
    (place / "home").mkdir(parents=True)
    (place / "home" / "volassets.toml").write_text(TOML)
    for seed, ticker in enumerate(sorted(tickers)):
        simulated_bars(520, seed).to_csv(place / f"{ticker}.csv", date_format="%Y-%m-%d")
    values = {"source": "csv", "csv_dir": str(place), "tickers": tickers, "minimum_history": 400, "jobs": jobs}
    return load_settings(place / "home", {**values, "start_month": "2006-01"})


def run(settings: Settings) -> list[PartitionResult]:
    places = {
        Scope.TICKER: [Partition(ticker) for ticker in settings.tickers],
        Scope.MONTH: [Partition("", month) for month in MONTHS],
        Scope.TICKER_MONTH: [Partition(ticker, month) for ticker in settings.tickers for month in MONTHS],
    }
    listed = [step for step in steps(settings) if step.scope in places and not step.has_page]
    with Context(settings) as context:
        return list(Executor(State(context)).run(listed, {step.name: places[step.scope] for step in listed}))


def fits_of(settings: Settings) -> tuple[Warehouse, pd.DataFrame]:
    store = open_warehouse(settings)
    return store, store.read("pooled_fits").sort_values(["refit_month", "model", "ticker"], ignore_index=True)


@pytest.mark.slow
def test_a_month_has_one_fit_over_all_tickers_and_forecasts_of_each(tmp_path: Path, simulated_bars) -> None:
    settings = home_of(tmp_path / "one", simulated_bars)
    assert not [item.failures for item in run(settings) if item.failures]
    store, fits = fits_of(settings)
    assert fits.groupby(["refit_month", "model"])["ticker"].agg(list).tolist() == [list(TICKERS)] * 6
    assert (
        fits.groupby(["refit_month", "model"])[["data_hash", "checkpoint"]].nunique(dropna=False).eq(1).all(axis=None)
    )
    assert all(json.loads(row)["pool"] == list(TICKERS) for row in fits["parameters"])
    files = [str(file.relative_to(settings.home)) for file in settings.home.rglob("*.safetensors")]
    assert sorted(files) == sorted(set(fits["checkpoint"]) - {""})
    assert len(files) == 4
    history = store.read("training_history")
    assert history.groupby(["ticker", "refit_month"]).size().tolist() == [2] * 6
    forecasts = store.read("pooled_forecasts")
    assert set(forecasts["model"]) == set(POOLED)
    assert forecasts.groupby(["model", "ticker", "refit_month", "horizon"]).ngroups == 3 * 3 * 2 * 3
    assert (forecasts["variance"] > 0).all()
    assert set(store.read("attention")["ticker"]) == set(TICKERS)

    again = run(settings)
    assert not [item for item in again if item.computed]

    # Neither the order of the tickers nor the number of processes changes a bit.
    other = home_of(tmp_path / "other", simulated_bars, ("CCC", "AAA", "BBB"), jobs=2)
    run(other)
    columns = ["ticker", "refit_month", "model", "parameters", "data_hash"]
    pd.testing.assert_frame_equal(fits_of(other)[1][columns], fits[columns], check_exact=True)
    key = ["ticker", "refit_month", "model", "origin_date", "horizon"]
    stored = (forecasts, fits_of(other)[0].read("pooled_forecasts"))
    one, two = (table.sort_values(key, ignore_index=True) for table in stored)
    pd.testing.assert_frame_equal(one, two, check_exact=True)


@pytest.mark.slow
def test_a_member_without_bars_leaves_the_month_to_the_others(tmp_path: Path, simulated_bars) -> None:
    settings = home_of(tmp_path, simulated_bars)
    (tmp_path / "BBB.csv").unlink()
    results = run(settings)
    assert {item.partition.ticker for item in results if item.failures} == {"BBB"}
    _, fits = fits_of(settings)
    assert set(fits["ticker"]) == {"AAA", "CCC"}
    assert {tuple(json.loads(row)["pool"]) for row in fits["parameters"]} == {("AAA", "CCC")}


@pytest.mark.slow
def test_the_audit_finds_no_leak(tmp_path: Path, simulated_bars) -> None:
    settings = home_of(tmp_path, simulated_bars, ("AAA",))
    result = audit_ticker("AAA", simulated_bars(800, 3), settings)
    assert result.passed, result.text()
    assert result.comparisons.query("stage == 'fits'")["rows"].min() == 3


def test_they_are_known_and_no_default(tmp_path: Path) -> None:
    assert not set(POOLED) & set(DEFAULT_MODELS)
    plain = load_settings(tmp_path)
    assert "pooled_fits" not in {step.name for step in graph_steps(plain)}
    asked = {step.name: step.scope for step in graph_steps(plain, ["pooled_ridge"])}
    assert (asked["pooled_fits"], asked["pooled_forecasts"]) == (Scope.MONTH, Scope.TICKER_MONTH)
    assert set(POOLED) == {name for name in POOLED if plain.model(name).family == "pooled"}
