"""The audit of a pool of several tickers: passes as it is, fails on a scaler and on rows that look ahead."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from volassets.evaluation.leakage import CONTROL, UNCHANGED, AuditResult
from volassets.evaluation.pool_leakage import OTHERS, audit_pool
from volassets.models import pool
from volassets.models.linear import center_and_scale
from volassets.models.pool import DAYS, flat_inputs
from volassets.models.sequences import build_inputs
from volassets.models.window import make_window
from volassets.pipeline import model_steps
from volassets.pipeline.leakage_audit import cut_dates
from volassets.pipeline.pool_audit import pool_pipeline
from volassets.settings import Settings
from volassets_tests.conftest import simulate_bars

MONTH = pd.Timestamp("2006-11-01")
SETTINGS = Settings(models=("pooled_ridge",), minimum_history=400)


@pytest.fixture(scope="module")
def bars() -> dict[str, pd.DataFrame]:
    """Bars of three tickers; CCC misses the days of both cuts, as an exchange with holidays of its own."""
    tables = {name: simulate_bars(560, seed) for seed, name in enumerate(("AAA", "BBB", "CCC"))}
    missed = cut_dates(pd.DatetimeIndex(tables["AAA"].index), MONTH)
    tables["CCC"] = tables["CCC"].drop(list(missed))
    return tables


def audited(bars: Mapping[str, pd.DataFrame], alone: str, cuts: int = 2, *replacements: str) -> AuditResult:
    dates = cut_dates(pd.DatetimeIndex(bars["AAA"].index), MONTH)[:cuts]
    return audit_pool(bars, pool_pipeline(SETTINGS, MONTH), dates, alone, replacements=replacements)


def test_a_pool_passes(bars: dict[str, pd.DataFrame]) -> None:
    result = audited(bars, "BBB", 2, "noise", "constant", "dropped")
    assert result.passed, result.text()
    rules = result.comparisons
    assert set(rules["stage"]) == {"pooled fits", "pooled forecasts"}
    assert not rules.duplicated(["cut_date", "replacement", "stage", "rule"]).any()
    assert (rules.loc[rules["rule"] == CONTROL, "changed_rows"] > 0).all()
    together = rules[(rules["rule"] == UNCHANGED) & (rules["stage"] == "pooled fits")]
    assert set(together["rows"]) == {3}
    alone = rules[rules["rule"] == OTHERS]
    assert set(alone.loc[alone["stage"] == "pooled fits", "rows"]) == {2}
    assert (alone.loc[alone["stage"] == "pooled forecasts", "rows"] > 100).all()


def scaler_of_all_rows(patch: pytest.MonkeyPatch) -> None:
    """Standardise the pool with the mean and deviation of every row that there is."""
    whole: dict[str, pd.DataFrame] = {}

    def window(ticker: str, month: pd.Timestamp, features: pd.DataFrame, *given: Any) -> Any:
        whole[ticker] = features
        return make_window(ticker, month, features, *given)

    def scale(_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs = [build_inputs(table, DAYS) for table in whole.values()]
        return center_and_scale(np.concatenate([flat_inputs(part.take(part.usable)) for part in inputs]))

    patch.setattr(model_steps, "make_window", window)
    patch.setattr(pool, "center_and_scale", scale)


def rows_after_the_cut_off(patch: pytest.MonkeyPatch) -> None:
    """Cut one member's rows a month too late, as a calendar of another exchange would have it."""

    def window(ticker: str, month: pd.Timestamp, features: pd.DataFrame, *given: Any) -> Any:
        late = month + pd.offsets.MonthBegin(1) if ticker == "BBB" else month
        return dataclasses.replace(make_window(ticker, late, features, *given), month=month)

    patch.setattr(model_steps, "make_window", window)


@pytest.mark.parametrize("plant", [scaler_of_all_rows, rows_after_the_cut_off], ids=lambda plant: plant.__name__)
def test_each_planted_leak_is_caught(
    bars: dict[str, pd.DataFrame], plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    result = audited(bars, "BBB", 1, "noise")
    caught = set(result.failures["stage"] + ": " + result.failures["rule"])
    # Together, and through one member alone into the fits and forecasts of the others.
    assert {f"pooled fits: {UNCHANGED}", f"pooled fits: {OTHERS}", f"pooled forecasts: {OTHERS}"} <= caught
