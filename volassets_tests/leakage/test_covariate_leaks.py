"""The audit with a covariate: joined or dated a day late it passes, a day early it is found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from volassets.evaluation.leakage import UNCHANGED, AuditResult
from volassets.features import covariates
from volassets.market.bundled import BundledSource
from volassets.pipeline.leakage_audit import NOT_FOLLOWED, audit_ticker
from volassets.settings import Settings
from volassets_tests.features.test_covariates import dated

# Beside the stocks' own hours, so that a day early is a leak.
SETTINGS = Settings(
    models=("naive", "elastic_net"),
    covariates=("^VIX",),
    calendars={"^VIX": "XNYS"},
    horizons=(1,),
    minimum_history=600,
)


@pytest.fixture(scope="module")
def audited(sp500_bars: pd.DataFrame) -> Callable[[pd.DataFrame], AuditResult]:
    bars = sp500_bars["2014-01":"2017-06"]
    return lambda vix: audit_ticker("^GSPC", bars, SETTINGS, pd.Timestamp("2017-03-01"), {"^VIX": vix})


@pytest.fixture(scope="module")
def vix() -> pd.DataFrame:
    return BundledSource().fetch("^VIX")[:"2017-08"]


def test_the_join_passes(audited: Callable, vix: pd.DataFrame) -> None:
    result = audited(vix)
    assert result.passed, result.text()
    rows = result.comparisons
    assert rows.loc[rows["rule"] == NOT_FOLLOWED, "stage"].tolist() == ["covariate ^VIX"]


@pytest.mark.parametrize(("rows", "found"), [(1, True), (-1, False)])
def test_a_join_a_day_early_is_found_and_one_a_day_late_is_none(
    audited: Callable, vix: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, rows: int, found: bool
) -> None:
    honest = covariates.last_known

    def planted(closed: pd.DatetimeIndex, at: pd.DatetimeIndex) -> np.ndarray:
        return np.clip(honest(closed, at) + rows, -1, len(closed) - 1)

    monkeypatch.setattr(covariates, "last_known", planted)
    result = audited(vix)
    leaks = result.failures[result.failures["rule"] == UNCHANGED]
    assert ("features" in set(leaks["stage"])) is found, result.text()
    assert result.passed is not found
    if found:
        (first, *_) = leaks.loc[leaks["stage"] == "features", "detail"]
        assert "cov_vix" in first


@pytest.mark.parametrize(("sessions", "found"), [(-1, True), (1, False)])
def test_values_dated_a_day_early_are_found_and_those_a_day_late_only_know_less(
    audited: Callable, vix: pd.DataFrame, sessions: int, found: bool
) -> None:
    """Replacing the future shows nothing of a source whose dates are wrong; the returns that follow it do."""
    result = audited(dated(vix, sessions))
    assert result.failures["rule"].tolist() == ([NOT_FOLLOWED] if found else []), result.text()
    if found:
        assert "dated a day early" in result.first_difference
