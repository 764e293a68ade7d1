"""Numbers computed elsewhere: by hand, in the literature's own formulas, or by statsmodels."""

from __future__ import annotations

import numpy as np
import pytest

from volassets.evaluation.accuracy_tests import (
    diebold_mariano,
    hac_lag,
    long_run_variance,
    mincer_zarnowitz,
    model_confidence_set,
)
from volassets.evaluation.losses import qlike
from volassets.evaluation.risk_tests import christoffersen, kupiec

DIFFERENTIAL = np.array([0.3, -0.1, 0.2, 0.4, -0.2, 0.1, 0.5, 0.0, 0.2, -0.1, 0.3, 0.1])


@pytest.mark.parametrize(("horizon", "lag", "statistic", "p"), [(1, 0, 2.280997, 0.04346), (3, 2, 4.259872, 0.00134)])
def test_diebold_mariano(horizon, lag, statistic, p):
    test = diebold_mariano(DIFFERENTIAL, horizon, lag)
    assert test.statistic == pytest.approx(statistic, abs=5e-7)
    assert test.p_value == pytest.approx(p, abs=5e-6)
    assert test.n == 12


@pytest.mark.parametrize(("y", "f", "loss"), [(2.0, 1.0, 0.306853), (1.0, 2.0, 0.193147)])
def test_qlike(y, f, loss):
    assert qlike(np.array([y]), np.array([f]))[0] == pytest.approx(loss, abs=5e-7)


@pytest.mark.parametrize(
    ("violations", "n", "level", "statistic", "p"),
    [(15, 1000, 0.01, 2.189248, 0.13898), (20, 250, 0.05, 4.039520, 0.04445)],
)
def test_kupiec(violations, n, level, statistic, p):
    test = kupiec(violations, n, level)
    assert test.statistic == pytest.approx(statistic, abs=5e-7)
    assert test.p_value == pytest.approx(p, abs=5e-6)


def test_christoffersen_by_hand():
    """Ten sessions, hits at 3, 4 and 8: transitions 00:4, 01:2, 10:2, 11:1, so the ratio is exactly 1 and LR 0."""
    hits = np.zeros(10, bool)
    hits[[3, 4, 8]] = True
    assert christoffersen(hits).statistic == pytest.approx(0.0, abs=1e-12)
    hits = np.array([0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0], bool)
    # 00:6, 01:1, 10:1, 11:2
    free = 6 * np.log(6 / 7) + np.log(1 / 7) + np.log(1 / 3) + 2 * np.log(2 / 3)
    same = 7 * np.log(0.7) + 3 * np.log(0.3)
    assert christoffersen(hits).statistic == pytest.approx(2 * (free - same), rel=1e-12)


@pytest.mark.parametrize("lag", [0, 1, 4, 21])
def test_long_run_variance_is_that_of_statsmodels(lag):
    import statsmodels.api as sm

    rng = np.random.default_rng(3)
    values = np.convolve(rng.standard_normal(520), np.ones(21), "valid")
    fitted = sm.OLS(values, np.ones(len(values))).fit(cov_type="HAC", cov_kwds={"maxlags": lag})
    expected = float(np.asarray(fitted.cov_params())[0, 0]) * len(values)
    assert long_run_variance(values, lag) == pytest.approx(expected, rel=1e-10)


def test_mincer_zarnowitz_is_that_of_statsmodels():
    import statsmodels.api as sm

    rng = np.random.default_rng(4)
    forecast = 1e-4 * np.exp(rng.standard_normal(400))
    realized = 2e-5 + 0.8 * forecast * np.exp(0.5 * rng.standard_normal(400))
    result = mincer_zarnowitz(realized, forecast, 5)
    fitted = sm.OLS(252 * realized, sm.add_constant(252 * forecast)).fit(
        cov_type="HAC", cov_kwds={"maxlags": hac_lag(400, 5)}
    )
    wald = fitted.wald_test((np.eye(2), np.array([0.0, 1.0])), use_f=False, scalar=True)
    assert (result.intercept, result.slope) == pytest.approx(tuple(fitted.params), rel=1e-10)
    assert result.p_value == pytest.approx(float(wald.pvalue), rel=1e-8)


def test_model_confidence_set_is_that_of_arch():
    import pandas as pd
    from arch.bootstrap import MCS

    rng = np.random.default_rng(5)
    shared = rng.gamma(1.0, 1.0, (600, 1))
    losses = pd.DataFrame(shared + 0.3 * rng.standard_normal((600, 4)) + [0.0, 0.005, 0.02, 0.3], columns=list("abcd"))
    mine = model_confidence_set(losses, 1, block=12, replications=500, seed=9)
    test = MCS(losses.to_numpy(), 0.1, reps=500, block_size=12, method="R", bootstrap="stationary", seed=9)
    test.compute()
    assert mine.to_numpy() == pytest.approx(test.pvalues["Pvalue"].sort_index().to_numpy(), abs=0)
    assert mine["d"] == 0.0
    assert mine.max() == 1.0
