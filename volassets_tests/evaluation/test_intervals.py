from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.evaluation.intervals import adaptive_intervals
from volassets.features.targets import target
from volassets.models.linear import LogHar
from volassets.models.window import calibration_origins
from volassets_tests.models.windows import forecast, window_of


def simulated(n: int, seed: int = 0, drift: float = 0.0) -> tuple[pd.Series, pd.Series]:
    """Forecasts and labels whose log ratio is normal, its spread growing by `drift` over the sample."""
    rng = np.random.default_rng(seed)
    index = pd.bdate_range("2005-01-03", periods=n, name="date")
    variances = pd.Series(np.exp(rng.standard_normal(n) - 9), index=index)
    return variances, variances * np.exp(rng.standard_normal(n) * (1 + drift * np.arange(n) / n))


def naive(variances: pd.Series, labels: pd.Series, horizon: int, level: float, step: float, window: int) -> np.ndarray:
    """Every origin from scratch: sort the known errors, replay every miss."""
    errors = np.log(labels / variances).to_numpy()
    n, alpha, judged = len(errors), 1 - level, 0
    bounds = np.full((n, 2), np.nan)
    for t in range(n):
        while judged + horizon <= t:
            if np.isfinite(bounds[judged]).all():
                miss = not bounds[judged, 0] <= errors[judged] <= bounds[judged, 1]
                alpha += step * (1 - level - miss)
            judged += 1
        known = np.sort(errors[:judged][-window:])
        if len(known) >= 50:
            ranks = (len(known) + 1) * np.array([alpha / 2, 1 - alpha / 2]) - 1
            bounds[t] = np.interp(ranks, np.arange(len(known)), known)
    return variances.to_numpy()[:, None] * np.exp(bounds)


@pytest.mark.parametrize(("horizon", "step", "window"), [(1, 0.01, 500), (5, 0.05, 100), (22, 0.0, 60)])
def test_equals_the_plain_rule(horizon: int, step: float, window: int) -> None:
    variances, labels = simulated(400, drift=2.0)
    fast = adaptive_intervals(variances, labels, horizon, 0.9, step, window)
    np.testing.assert_allclose(fast.to_numpy(), naive(variances, labels, horizon, 0.9, step, window), rtol=1e-12)


@pytest.mark.parametrize("horizon", [1, 5, 22])
def test_an_outcome_is_used_h_rows_later_and_not_before(horizon: int) -> None:
    variances, labels = simulated(300)
    whole = adaptive_intervals(variances, labels, horizon)
    t = 200
    changed = labels.copy()
    changed.iloc[t - horizon + 1 :] *= 50.0
    after = adaptive_intervals(variances, changed, horizon)
    pd.testing.assert_frame_equal(after[: t + 1], whole[: t + 1], check_exact=True)
    assert (after.iloc[t + 1] != whole.iloc[t + 1]).any()
    unknown = labels.where(np.arange(300) <= t - horizon)
    part = adaptive_intervals(variances[: t + 1], unknown[: t + 1], horizon)
    pd.testing.assert_frame_equal(part, whole[: t + 1], check_exact=True)


def test_sessions_are_counted_in_the_rows_of_the_target() -> None:
    variances, labels = simulated(400)
    sparse = variances[::4]
    wide = adaptive_intervals(sparse, labels, 4)
    pd.testing.assert_frame_equal(wide, adaptive_intervals(sparse, labels[::4], 1), check_exact=True)


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_coverage_is_nominal_even_when_the_spread_grows(level: float) -> None:
    variances, labels = simulated(4000, seed=2, drift=3.0)
    bounds = adaptive_intervals(variances, labels, 1, level=level).iloc[500:]
    outcome = labels.iloc[500:]
    assert ((outcome >= bounds["lower"]) & (outcome <= bounds["upper"])).mean() == pytest.approx(level, abs=0.012)


def test_missing_forecasts_and_few_outcomes_give_no_interval() -> None:
    variances, labels = simulated(120)
    variances.iloc[80] = np.nan
    bounds = adaptive_intervals(variances, labels, 1)
    assert bounds["lower"].isna().to_numpy().nonzero()[0].tolist() == [*range(50), 80]
    assert (bounds["lower"] < variances).iloc[90:].mean() > 0.9


def test_an_origin_that_the_target_lacks_is_named() -> None:
    variances, labels = simulated(60)
    with pytest.raises(InputError, match="2005-01-03"):
        adaptive_intervals(variances, labels.iloc[1:], 1)


def test_coverage_on_the_sp500_with_each_month_calibrated_by_its_own_fit(sp500_features: pd.DataFrame) -> None:
    """2004-2008, every second month, log_har: the share inside the 90 % interval."""
    index = pd.DatetimeIndex(sp500_features.index)
    inside = []
    for month in pd.date_range("2004-01-01", "2008-12-01", freq="2MS"):
        window = window_of(sp500_features, f"{month:%Y-%m}")
        fit = LogHar().fit(window)
        first = index.searchsorted(month) - 1
        origins = calibration_origins(index, month).append(index[first : first + 20])
        variances = forecast(fit, sp500_features, origins)[1]
        outcome = target(sp500_features["proxy_variance"], 1, window.ratio)
        bounds = adaptive_intervals(variances, outcome, 1).iloc[-20:]
        realised = outcome[bounds.index]
        inside.append((realised >= bounds["lower"]) & (realised <= bounds["upper"]))
    assert 0.88 <= np.mean(inside) <= 0.92
