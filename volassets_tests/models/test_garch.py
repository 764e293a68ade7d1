from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.models import garch_estimation
from volassets.models.garch import Egarch, Garch, Gjr
from volassets.models.garch_estimation import Kind, conditional_variance, estimate, log_likelihood, refusal
from volassets.models.protocol import Fit
from volassets_tests.models.windows import forecast, origins_after, window_of

MODELS = (Garch(), Gjr(), Egarch())
COEFFICIENTS: dict[Kind, list[float]] = {
    "garch": [0.02, 0.08, 0.9],
    "gjr": [0.02, 0.01, 0.12, 0.9],
    "egarch": [0.01, 0.1, -0.12, 0.97],
}
VOLATILITY = {"garch": {"vol": "GARCH", "o": 0}, "gjr": {"vol": "GARCH", "o": 1}, "egarch": {"vol": "EGARCH", "o": 1}}
by_name = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


@pytest.fixture(scope="module")
def fits(sp500_features: pd.DataFrame) -> dict[str, Fit]:
    window = window_of(sp500_features)
    return {model.name: model.fit(window) for model in MODELS}


def percent(features: pd.DataFrame, month: str = "2008-10", rows: int = 1260) -> np.ndarray:
    return 100 * features.loc[features.index < month, "return"].to_numpy()[-rows:]


def naive_variances(kind: Kind, coefficients: list[float], residuals: np.ndarray, start: float) -> list[float]:
    """The three recursions, written out."""
    if kind == "egarch":
        omega, alpha, gamma, beta = coefficients
        logs = [omega + beta * np.log(start)]
        for e in residuals:
            z = e / np.exp(logs[-1] / 2)
            logs.append(omega + alpha * (abs(z) - np.sqrt(2 / np.pi)) + gamma * z + beta * logs[-1])
        return np.exp(logs).tolist()
    omega, alpha, *rest = coefficients
    gamma, beta = rest if kind == "gjr" else (0.0, *rest)
    found = [omega + (alpha + gamma / 2 + beta) * start]
    for e in residuals:
        found.append(omega + (alpha + gamma * (e < 0)) * e**2 + beta * found[-1])
    return found


@pytest.mark.parametrize("first", ["", "import arch.univariate"])
def test_a_filter_needs_no_other_part_of_arch_and_arch_works_after_it(first: str) -> None:
    code = f"""
import sys
import numpy as np
{first}
from volassets.models.garch_estimation import conditional_variance
resids, before = np.random.default_rng(1).standard_normal(300), set(sys.modules)
conditional_variance("garch", {{"omega": 0.02, "alpha": 0.08, "beta": 0.9}}, resids, 1.3)
assert not {{"arch", "matplotlib", "statsmodels", "numba"}} & (set(sys.modules) - before)
from arch import arch_model
assert arch_model(resids).fit(disp="off").params.notna().all()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("kind", list(COEFFICIENTS))
def test_filter_is_the_recursion_written_out(kind: Kind) -> None:
    residuals = np.random.default_rng(1).standard_t(5, 300)
    names = garch_estimation.COEFFICIENTS[kind]
    fast = conditional_variance(kind, dict(zip(names, COEFFICIENTS[kind], strict=True)), residuals, 1.3)
    np.testing.assert_allclose(fast, naive_variances(kind, COEFFICIENTS[kind], residuals, 1.3), rtol=1e-12)


@pytest.mark.parametrize("month", ["2004-03", "2008-10", "2012-06"])
@pytest.mark.parametrize("kind", list(COEFFICIENTS))
def test_maximum_is_not_below_that_of_arch(kind: Kind, month: str, sp500_features: pd.DataFrame) -> None:
    from arch import arch_model

    returns = percent(sp500_features, month)
    oracle = arch_model(returns, p=1, q=1, dist="t", rescale=False, **VOLATILITY[kind]).fit(disp="off")
    assert estimate(kind, returns).log_likelihood > oracle.loglikelihood - 1e-2


@by_name
def test_filtering_on_equals_arch_with_fixed_parameters(
    model: Garch, fits: dict[str, Fit], sp500_features: pd.DataFrame
) -> None:
    from arch import arch_model

    fit = fits[model.name]
    origins = origins_after(sp500_features)
    names = ["mu", "omega", "alpha", "gamma", "beta", "nu"]
    values = [fit.parameters[name] for name in names if name in fit.parameters]
    returns = 100 * sp500_features.loc[fit.train_start : origins[-1], "return"]
    oracle = arch_model(returns, p=1, q=1, dist="t", rescale=False, **VOLATILITY[model.name])
    horizon = 1 if model.name == "egarch" else 22
    expected = oracle.fix(values, last_obs=fit.n_train).forecast(horizon=horizon, start=origins[0], reindex=False)
    ours = model.forecast(fit, sp500_features, origins)
    for h in (1, 5, 22)[: 1 if horizon == 1 else 3]:
        mean = expected.variance.iloc[:, :h].mean(axis=1).to_numpy() / 1e4
        np.testing.assert_allclose(ours[h].to_numpy(), mean, rtol=1e-9)


@by_name
def test_forecasts_move_daily_and_later_rows_change_no_bit(
    model: Garch, fits: dict[str, Fit], sp500_features: pd.DataFrame
) -> None:
    fit = fits[model.name]
    origins = origins_after(sp500_features, before=500)
    whole = forecast(fit, sp500_features, origins)
    assert (whole.diff().iloc[1:] != 0).all(axis=None)
    assert np.isfinite(whole).all(axis=None)
    assert (whole > 0).all(axis=None)
    for at in (0, 250, 505, 519):
        part = forecast(fit, sp500_features[: origins[at]], origins[[at]])
        pd.testing.assert_frame_equal(part, whole.iloc[[at]], check_exact=True)


@by_name
def test_fit_sees_nothing_after_the_cut_off_and_repeats_bit_for_bit(
    model: Garch, fits: dict[str, Fit], sp500_features: pd.DataFrame
) -> None:
    again = model.fit(window_of(sp500_features[:"2008-09"]))
    assert again.parameters == fits[model.name].parameters
    assert again.log_likelihood == fits[model.name].log_likelihood


@by_name
def test_fit_keeps_persistence_and_half_life(model: Garch, fits: dict[str, Fit]) -> None:
    fit = fits[model.name]
    parameters = fit.parameters
    assert fit.converged
    assert fit.n_train == 1260
    assert parameters["recursion"] == model.name
    assert 0.9 < parameters["persistence"] < 1
    assert parameters["persistence"] ** parameters["half_life"] == pytest.approx(0.5)
    assert 0.05 < parameters["unconditional_volatility"] < 0.5


def test_annualised_with_the_sessions_of_the_calendar(sp500_features: pd.DataFrame) -> None:
    window = window_of(sp500_features)
    stocks, coins = (Garch().fit(replace(window, sessions_per_year=n)).parameters for n in (252, 365))
    ratio = coins.pop("unconditional_volatility") / stocks.pop("unconditional_volatility")
    assert ratio == pytest.approx(np.sqrt(365 / 252))
    assert coins == stocks


def test_rows_before_the_window_have_no_forecast(fits: dict[str, Fit], sp500_features: pd.DataFrame) -> None:
    fit = fits["gjr"]
    first = sp500_features.index.get_loc(fit.train_start)
    forecasts = forecast(fit, sp500_features, sp500_features.index[first - 3 : first + 3])
    assert forecasts[1].isna().tolist() == [True, True, True, False, False, False]


def test_egarch_several_days_ahead_is_the_mean_over_resampled_returns(
    fits: dict[str, Fit], sp500_features: pd.DataFrame
) -> None:
    fit = fits["egarch"]
    parameters = fit.parameters
    origin = origins_after(sp500_features, count=1)
    one, five = forecast(fit, sp500_features, origin).iloc[0][[1, 5]]
    names = ("omega", "alpha", "gamma", "beta")
    omega, alpha, gamma, beta = coefficients = [parameters[name] for name in names]
    residuals = percent(sp500_features) - parameters["mu"]
    z = residuals / np.sqrt(naive_variances("egarch", coefficients, residuals, parameters["backcast"])[:-1])
    rng = np.random.default_rng(0)
    logs = np.full(200_000, np.log(one * 1e4))
    total = np.exp(logs)
    for _ in range(4):
        draw = rng.choice(z, len(logs))
        logs = omega + alpha * (np.abs(draw) - np.sqrt(2 / np.pi)) + gamma * draw + beta * logs
        total += np.exp(logs)
    assert five * 1e4 == pytest.approx(total.mean() / 5, rel=2e-3)


GOOD = {"mu": 0.0, "omega": 0.1, "alpha": 0.1, "gamma": -0.1, "beta": 0.9}


@pytest.mark.parametrize(
    ("kind", "changes", "likelihood", "reason"),
    [
        ("egarch", {}, -1600.0, ""),
        ("egarch", {"beta": 1.0}, -1600.0, "|beta| = 1.0000 >= 1"),
        ("egarch", {"beta": -1.2}, -1600.0, "|beta| = 1.2000 >= 1"),
        ("garch", {"alpha": 0.2, "gamma": 0.0}, -1600.0, "persistence 1.1000 > 0.9999"),
        ("egarch", {}, -3200.0, "log-likelihood 1,600 below GARCH's"),
        ("egarch", {}, float("nan"), "not finite"),
        ("egarch", {"omega": float("inf")}, -1600.0, "not finite"),
    ],
)
def test_bad_optima_are_refused(kind: Kind, changes: dict[str, float], likelihood: float, reason: str) -> None:
    assert refusal(kind, GOOD | changes, likelihood, 1260, -1600.0) == reason


def test_a_refused_start_is_retried_from_another(monkeypatch: pytest.MonkeyPatch, sp500_features: pd.DataFrame) -> None:
    returns = percent(sp500_features)
    good = estimate("egarch", returns)
    judged: list[float] = []

    def refuse_two(kind: Kind, values: dict[str, float], likelihood: float, n: int, reference: float | None) -> str:
        if kind == "egarch":
            judged.append(likelihood)
        return "made up" if 0 < len(judged) <= 2 else ""

    monkeypatch.setattr(garch_estimation, "refusal", refuse_two)
    found = estimate("egarch", returns)
    assert (found.converged, found.message) == (True, "2 of 3 starting values refused: made up")
    assert found.log_likelihood == pytest.approx(good.log_likelihood, abs=0.5)


def test_without_an_acceptable_start_garch_stands_in_and_says_so(
    monkeypatch: pytest.MonkeyPatch, sp500_features: pd.DataFrame, fits: dict[str, Fit]
) -> None:
    monkeypatch.setattr(garch_estimation, "refusal", lambda kind, *rest: "" if kind == "garch" else "made up")
    fit = Egarch().fit(window_of(sp500_features))
    assert not fit.converged
    assert fit.message == "8 of 8 starting values refused: made up. The GARCH of the same window stands in."
    assert fit.parameters["recursion"] == "garch"
    origins = origins_after(sp500_features)
    pd.testing.assert_frame_equal(
        forecast(fit, sp500_features, origins), forecast(fits["garch"], sp500_features, origins), check_exact=True
    )


def test_without_any_garch_an_exponential_mean_stands_in(
    monkeypatch: pytest.MonkeyPatch, sp500_features: pd.DataFrame
) -> None:
    monkeypatch.setattr(garch_estimation, "refusal", lambda *rest: "made up")
    fit = Gjr().fit(window_of(sp500_features))
    assert not fit.converged
    assert "An exponential mean of .94 stands in." in fit.message
    assert fit.parameters["half_life"] is None
    json.dumps(fit.parameters, allow_nan=False)
    forecasts = forecast(fit, sp500_features, origins_after(sp500_features))
    assert (forecasts > 0).all(axis=None)
    np.testing.assert_allclose(forecasts[1], forecasts[22])


def test_the_window_setting_counts_returns(sp500_features: pd.DataFrame) -> None:
    window = window_of(sp500_features)
    fit = Garch(window=500).fit(window)
    assert fit.n_train == 500
    assert fit.train_end == window.features.index[-1]
    assert fit.parameters["backcast"] != Garch(window=600).fit(window).parameters["backcast"]


def test_normal_innovations_can_be_asked_for(sp500_features: pd.DataFrame) -> None:
    fit = Gjr(distribution="normal").fit(window_of(sp500_features))
    assert "nu" not in fit.parameters
    assert fit.converged


def test_prices_that_never_move_are_refused(sp500_features: pd.DataFrame) -> None:
    still = sp500_features.assign(**{"return": 0.0})
    with pytest.raises(InputError, match="needs prices that move"):
        Garch().fit(window_of(still))


def test_likelihood_is_finite_at_the_limits() -> None:
    returns = np.random.default_rng(0).standard_t(4, 500)
    for nu in (2.05, 500.0):
        theta = np.array([0.0, 2.0, 1.0, -1.0, 0.9999, nu])
        assert np.isfinite(log_likelihood("egarch", "t", theta, returns, 1.0))
