"""A new model or step is its declaration and one line: assets, tables, jobs, report rows, status and audit follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from volassets.definitions import build_definitions
from volassets.models.benchmark import Naive
from volassets.models.protocol import Fit, PooledModel, Window, forecast_frame, new_fit, rows_of
from volassets.models.registry import MODELS
from volassets.orchestration.runner import Request, Runner
from volassets.pipeline import steps as declared
from volassets.pipeline.cells import Scope
from volassets.pipeline.context import Context
from volassets.pipeline.home_status import read_status
from volassets.pipeline.leakage_audit import audit_ticker
from volassets.pipeline.step import Inputs, Output, Step
from volassets.settings import Settings, load_settings
from volassets.warehouse import schema
from volassets.warehouse.columns import DATA_HASH, MONTH, TICKER, number
from volassets.warehouse.declarations import Table
from volassets.warehouse.store import open_warehouse

LEAKING: list[bool] = []
FROM, TO = pd.Timestamp("2006-10-01"), pd.Timestamp("2006-11-01")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Unstored(Naive):
    """A family without stored fits."""

    name: ClassVar[str] = "unstored"
    family: ClassVar[str] = "unstored"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Pooled(PooledModel):
    """The mean over all tickers of their mean variance, scaled by each one's own."""

    name: ClassVar[str] = "pooled_mean"
    family: ClassVar[str] = "pooled_means"
    code_version: ClassVar[str] = "1"

    def fit_pool(self, windows: Mapping[str, Window]) -> dict[str, Fit]:
        means = {ticker: float(window.features["proxy_variance"].mean()) for ticker, window in windows.items()}
        shared = sum(means.values()) / len(means)
        return {
            ticker: new_fit(
                self,
                window,
                pd.DatetimeIndex(window.features.index),
                parameters={"shared": shared, "own": means[ticker]},
            )
            for ticker, window in windows.items()
        }

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        last = features["proxy_variance"].to_numpy()[rows_of(features, origins)]
        value = fit.ratio * (fit.parameters["shared"] + fit.parameters["own"] + last) / 3
        return forecast_frame(dict.fromkeys(fit.horizons, value), origins)


def _count(inputs: Inputs) -> Output:
    (features,) = inputs.features.values() if inputs.features else (pd.DataFrame(),)
    month = inputs.partition.month
    if month is not None and not LEAKING:
        features = features[features.index < month]
    table = _TABLES[month is not None, bool(inputs.partition.ticker)]
    return Output({table: pd.DataFrame({"rows": [float(len(features))]})})


def _extra(name: str, scope: Scope, **fields: object) -> Step:
    step = Step(
        name=name,
        scope=scope,
        tables=(name,),
        upstream=("realized_vol_features",),
        description="A step that only this test knows.",
        group="features",
        fingerprint=lambda state, partition, _: "0" * 16,
        compute=_count,
        needs_features=scope is not Scope.ONCE,
    )
    return replace(step, **fields)  # type: ignore[arg-type]


_TABLES = {(False, True): "of_ticker", (True, True): "of_month", (False, False): "of_all"}
_COLUMNS = (number("rows", "Rows of the feature table."), DATA_HASH)
TABLES = (
    Table("of_ticker", "Per ticker.", (TICKER, *_COLUMNS), key=("ticker",)),
    Table(
        "of_month",
        "Per month.",
        (TICKER, MONTH, *_COLUMNS),
        key=("ticker", "refit_month"),
        cell=("ticker", "refit_month"),
    ),
    Table("of_all", "Once.", _COLUMNS, key=("rows",), cell=()),
)


def _extra_steps(_settings: Settings, _models: object) -> Iterator[Step]:
    yield _extra("of_ticker", Scope.TICKER)
    yield _extra("of_month", Scope.TICKER_MONTH)
    yield _extra("of_all", Scope.ONCE)


@pytest.fixture
def settings(tmp_path: Path, simulated_bars, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home of two tickers, with one of each kind registered."""
    for name in ("VOLASSETS_HOME", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(MODELS, Unstored.name, Unstored)
    monkeypatch.setitem(MODELS, Pooled.name, Pooled)
    monkeypatch.setattr(declared, "BUILDERS", [*declared.BUILDERS, _extra_steps])
    monkeypatch.setattr(schema, "REPORT_TABLES", (*schema.REPORT_TABLES, *TABLES))
    for seed, ticker in enumerate(("AAA", "BBB")):
        simulated_bars(520, seed).to_csv(tmp_path / f"{ticker}.csv", date_format="%Y-%m-%d")
    values = {
        "source": "csv",
        "csv_dir": str(tmp_path),
        "tickers": ("AAA", "BBB"),
        "models": ("naive", "gjr", "unstored", "pooled_mean"),
        "minimum_history": 400,
        "start_month": "2006-01",
        "jobs": 1,
        "reports": "always",
    }
    return load_settings(tmp_path / "home", values)


def test_the_graph_has_one_of_each(settings: Settings) -> None:
    repository = build_definitions(settings).get_repository_def()
    assets = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    assert {
        "unstored_forecasts",
        "pooled_means_fits",
        "pooled_means_forecasts",
        "of_ticker",
        "of_month",
        "of_all",
    } <= assets
    assert "unstored_fits" not in assets
    jobs = {job.name for job in repository.get_all_jobs()}
    assert {"refresh_of_ticker", "refresh_of_month", "refresh_of_all", "refresh_pooled_means_fits"} <= jobs
    selected = {
        job.name: {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
        for job in repository.get_all_jobs()
    }
    assert not {"of_ticker", "of_month", "of_all"} & selected["compare_panel"]


@pytest.mark.slow
def test_a_run_computes_compares_and_audits_one_of_each(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    # Workers are other processes, which know what a package declares and not what a test does.
    monkeypatch.setattr("volassets.pipeline.executor.run_jobs", _here)
    monkeypatch.setattr("volassets.pipeline.report_pages.run_jobs", _here)
    request = Request(["AAA", "BBB"], FROM, TO)
    runner = Runner(settings, None, lambda _line: None)
    result = runner.run(runner.prepare(request), request, lambda _step: None)
    assert not result.failures
    store = open_warehouse(settings)
    board = store.read("leaderboard")
    assert {"unstored", "pooled_mean"} <= set(board["model"])
    fits = store.read("pooled_means_fits")
    assert len(fits) == 4
    assert fits.groupby("refit_month")["data_hash"].nunique().eq(1).all()
    for table, rows in (("of_ticker", 2), ("of_month", 4), ("of_all", 1)):
        assert len(store.read(table)) == rows
    page = (settings.home / "reports" / "AAA.html").read_text("utf-8")
    assert "pooled_mean" in page
    ((_, statuses),) = read_status(Context(settings), declared.steps(settings))
    assert [status.cells for status in statuses] == [[], []]
    again = runner.run(runner.prepare(request), request, lambda _step: None)
    assert not again.refreshed


def test_the_audit_covers_a_model_over_all_tickers(settings: Settings, simulated_bars) -> None:
    result = audit_ticker("AAA", simulated_bars(800, 3), settings)
    assert result.passed, result.text()
    fits = result.comparisons.query("stage == 'fits'")
    assert fits["rows"].min() == 2  # gjr and pooled_mean


@pytest.mark.slow
def test_the_audit_catches_a_new_step_that_looks_ahead(
    settings: Settings, simulated_bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "LEAKING", [True])
    result = audit_ticker("AAA", simulated_bars(800, 3), settings)
    assert set(result.failures["stage"]) == {"of_month"}


def _here(jobs, function, _workers):
    for job in jobs:
        yield job, function(job)
