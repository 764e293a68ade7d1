"""What comes out at the edges, through to the record: a rule each, and no exception."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.evaluation import risk_forecasts
from volassets.evaluation.risk_backtest import risk_backtests
from volassets.evaluation.risk_forecasts import METHODS, MonthForecasts, Rules, month_risk
from volassets.evaluation.tail_risk import ParetoTail, horizon_returns
from volassets.settings import Settings

MONTH, FIRST = 21, 20
SESSIONS = 30 * MONTH


def record(
    returns: np.ndarray, variance: np.ndarray, sessions: int = SESSIONS, horizon: int = 1, method: str = "evt_conformal"
) -> tuple[pd.DataFrame, pd.Series]:
    """Return a model's value at risk at 1 % month by month, with what came, and the row that tests it."""
    rows, outcome = np.arange(FIRST, FIRST + sessions), horizon_returns(returns, horizon)
    parts, before = [], {}
    for first in range(0, sessions, MONTH):
        end = min(first + MONTH, sessions)
        month = MonthForecasts(rows[:end], variance[rows[:end]], first, outcome, horizon)
        (risk,) = month_risk(month, Rules((0.01,), method=method), before)  # type: ignore[arg-type]
        before = {(risk.tail, risk.level): risk.steering}
        limits = {"value_at_risk": risk.value_at_risk, "expected_shortfall": risk.expected_shortfall}
        parts.append(pd.DataFrame({**limits, "method": risk.method, "row": rows[first:end]}))
    found = pd.concat(parts, ignore_index=True).assign(model="gjr", horizon=horizon, level=0.01, tail="lower")
    found["origin_date"] = pd.Timestamp("2004-01-01") + pd.to_timedelta(found["row"], "D")
    found["outcome"] = outcome[found["row"]]
    return found, risk_backtests(found).iloc[0]


def market(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    n = FIRST + SESSIONS + 30
    return 0.01 * np.random.default_rng(seed).standard_normal(n), np.full(n, 1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_first_hundred_residuals_have_no_number(method: str) -> None:
    found, tested = record(*market(), method=method)
    early = found["method"] == f"{method}, too few residuals"
    # A month is judged at its cut-off; quantiles of all residuals as each becomes known.
    assert early.sum() == 5 * MONTH
    last = 99 if method == "historical" else 5 * MONTH - 1
    assert found.loc[:last, "value_at_risk"].isna().all()
    assert found.loc[last + 1 :, "value_at_risk"].notna().all()
    assert tested["n"] == found["value_at_risk"].notna().sum()


def test_fewer_than_a_year_of_outcomes_is_not_judged() -> None:
    _, tested = record(*market(), sessions=16 * MONTH)
    assert 0 < tested["n"] < 250
    assert np.isnan(tested["kupiec_p"])
    assert np.isnan(tested["es_p"])
    assert tested["traffic_light"] is None
    assert np.isfinite(tested["quantile_score"])


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_price_is_never_beyond_its_limit(method: str) -> None:
    returns, variance = market()
    found, tested = record(np.zeros_like(returns), variance, method=method)
    assert (found["value_at_risk"].dropna() <= 0).all()
    assert tested["violations"] == 0
    assert tested["quantile_score"] >= 0
    assert np.isfinite(tested["kupiec_p"])
    if method != "student_t":
        assert (found["value_at_risk"].dropna() == 0).all()
        assert np.isnan(tested["fz_loss"]), "FZ0 needs a shortfall below 0"


def test_a_forecast_of_no_variance_has_no_number() -> None:
    returns, _ = market()
    found, tested = record(returns, np.zeros_like(returns))
    assert found["value_at_risk"].isna().all()
    assert tested["n"] == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_day_far_beyond_its_limit_is_one_violation(method: str) -> None:
    returns, variance = market()
    crash = returns.copy()
    place = FIRST + 400
    calm, _ = record(returns, variance, method=method)
    limit = calm.loc[calm["row"] == place, "value_at_risk"].iloc[0]
    crash[place + 1] = 10 * limit
    found, tested = record(crash, variance, method=method)
    assert np.isfinite(found["value_at_risk"].iloc[5 * MONTH :]).all()
    assert np.isfinite(tested[["fz_loss", "quantile_score", "kupiec_p"]].astype(float)).all()
    beyond = found.loc[found["outcome"] < found["value_at_risk"], "row"]
    assert place in set(beyond)
    assert tested["violations"] == len(beyond)
    assert (found["value_at_risk"].dropna() > -1).all(), "the tail stays finite"
    same = found["row"] <= place
    pd.testing.assert_series_equal(found.loc[same, "value_at_risk"], calm.loc[same, "value_at_risk"])


def test_a_tail_without_a_mean_has_a_limit_and_no_shortfall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risk_forecasts, "fit_pareto", lambda *_: ParetoTail(1.4, 1.0, 0.6, 0.1))
    found, tested = record(*market())
    assert set(found["method"].iloc[5 * MONTH :]) == {"evt_conformal, no expected shortfall"}
    assert found["value_at_risk"].iloc[5 * MONTH :].notna().all()
    assert found["expected_shortfall"].isna().all()
    assert np.isfinite(tested["kupiec_p"])
    assert np.isnan([tested["fz_loss"], tested["es_p"]]).all()


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_level_zero_or_one_is_refused_before_anything_runs(level: float) -> None:
    with pytest.raises(InputError, match=r"give a share above 0 and at most 0\.25"):
        Rules((level,))
    with pytest.raises(ValueError, match="risk"):
        Settings(risk_levels=(level,))


def test_a_horizon_beyond_the_bars_has_no_outcome_and_no_number() -> None:
    returns, variance = market()
    found, tested = record(returns, variance, sessions=MONTH, horizon=len(returns))
    assert found["value_at_risk"].isna().all()
    assert set(found["method"]) == {"evt_conformal, too few residuals"}
    assert tested["n"] == 0
    assert np.isnan(tested["violation_rate"])


def test_the_newest_origins_wait_for_their_outcome() -> None:
    returns, variance = market()
    known = FIRST + SESSIONS
    found, tested = record(returns[:known], variance, horizon=22)
    assert found["value_at_risk"].iloc[-22:].notna().all(), "forecast they are"
    assert found["outcome"].iloc[-22:].isna().all()
    assert tested["n"] == found.dropna(subset=["value_at_risk", "outcome"]).shape[0]
