"""Checks of stored rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from volassets.evaluation import row_checks
from volassets.features.catalogue import catalogue
from volassets.features.feature_table import build_features
from volassets.market.calendar import calendar_for


def test_real_features_pass_and_a_hole_after_the_warm_up_does_not(simulated_bars: Callable[..., pd.DataFrame]) -> None:
    features = build_features(simulated_bars(600, 1), calendar_for("ACME"))
    warm_up = {feature.name: feature.warm_up for feature in catalogue()}
    assert row_checks.features_not_finite(features, warm_up) == []
    name = "log_proxy_22"
    features.iloc[500, features.columns.get_loc(name)] = np.nan
    features.iloc[501, features.columns.get_loc("return_z")] = np.inf
    (finding,) = row_checks.features_not_finite(features, warm_up)
    assert finding.severity == "error"
    assert sorted(finding.rows["feature"]) == sorted([name, "return_z"])
    assert set(finding.rows["first"]) == {features.index[500], features.index[501]}


def test_selection_of_nothing_shows_the_reasons() -> None:
    rows = pd.DataFrame({"feature": ["a", "b"], "selected": [True, False], "reason": ["kept", "correlated"]})
    assert row_checks.selection_empty(rows) == []
    (finding,) = row_checks.selection_empty(rows.assign(selected=False, reason=["missing", "constant"]))
    assert finding.severity == "error"
    assert list(finding.rows["reason"]) == ["missing", "constant"]


def test_a_fit_that_did_not_converge_is_a_warning() -> None:
    fits = pd.DataFrame({"model": ["garch", "gjr"], "converged": [True, True], "message": ["", ""]})
    assert row_checks.fits_not_converged(fits) == []
    (finding,) = row_checks.fits_not_converged(fits.assign(converged=[True, False], message=["", "start 3 used"]))
    assert finding.severity == "warning"
    assert finding.rows.to_dict("records") == [{"model": "gjr", "message": "start 3 used"}]


def _forecasts(variances: list[float], model: str = "garch") -> pd.DataFrame:
    origins = pd.bdate_range("2018-12-03", periods=len(variances))
    return pd.DataFrame({"model": model, "horizon": 1, "origin_date": origins, "variance": variances})


def test_forecasts_must_be_positive_finite_and_moving() -> None:
    good = _forecasts([1e-4, 2e-4, 3e-4, 2e-4, 1e-4, 1e-4])
    assert row_checks.forecasts_broken(good) == []
    for bad in (0.0, -1e-5, np.nan, np.inf):
        (finding,) = row_checks.forecasts_broken(good.assign(variance=[1e-4, bad, 3e-4, 2e-4, 1e-4, 1e-4]))
        assert finding.check == "not_positive"
        assert len(finding.rows) == 1
    (finding,) = row_checks.forecasts_broken(pd.concat([good, _forecasts([1e-4] * 6, "gjr")]))
    assert finding.check == "frozen"
    assert finding.rows.to_dict("records") == [{"model": "gjr", "horizon": 1, "origins": 6, "variance": 1e-4}]
    assert row_checks.forecasts_broken(_forecasts([1e-4] * 4)) == []


def test_coverage_is_judged_by_independent_outcomes() -> None:
    board = pd.DataFrame({"model": ["a", "b", "c"], "horizon": [1, 1, 22], "n": 600, "coverage_90": [0.91, 0.70, 0.70]})
    (finding,) = row_checks.coverage_off(board, 0.90)
    assert finding.severity == "warning"
    assert list(finding.rows["model"]) == ["b"]
    assert row_checks.coverage_off(board.assign(n=40), 0.90) == []


def test_an_audit_that_failed_or_never_ran() -> None:
    columns = ["cut_date", "replacement", "stage", "rule", "detail", "passed"]
    rows = pd.DataFrame([[pd.Timestamp("2018-06-01"), "noise", "fits", "unchanged", "", True]], columns=columns)
    assert row_checks.audit_failures(rows) == []
    (never,) = row_checks.audit_failures(rows.iloc[:0])
    assert never.severity == "warning"
    (leak,) = row_checks.audit_failures(rows.assign(passed=False, detail="row 3"))
    assert leak.severity == "error"
    assert list(leak.rows["detail"]) == ["row 3"]
