"""The record of a book's risk: coverage and losses, against RiskMetrics and against the book's own series alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from volassets.evaluation.accuracy_tests import equal_accuracy
from volassets.evaluation.covariance_calibration import bias_statistic
from volassets.evaluation.losses import annualised_volatility
from volassets.evaluation.portfolio_panel import Panel, ewma_variances
from volassets.evaluation.portfolio_risk import FILLED_UP, LEVELS, outcomes_of
from volassets.evaluation.portfolio_variance import book_returns
from volassets.evaluation.risk_backtest import risk_backtests

_TESTED = (
    "n",
    "violations",
    "violation_rate",
    "kupiec_p",
    "christoffersen_p",
    "conditional_coverage_p",
    "es_test",
    "es_p",
    "quantile_score",
    "fz_loss",
)


def variance_loss(forecast: np.ndarray, mean_square: np.ndarray) -> np.ndarray:
    """Return ln f + y/f, whose differences between forecasts are those of QLIKE and which a y of 0 allows."""
    return np.log(forecast) + mean_square / forecast


def riskmetrics(panel: Panel, held: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """Return w'Sw at each origin, S the exponentially weighted second moments of the members (RiskMetrics 1996)."""
    found = np.full(len(origins), np.nan)
    for weights in np.unique(held[origins], axis=0):
        mine = (held[origins] == weights).all(axis=1)
        returns = book_returns(panel.moves, weights)
        begun = np.flatnonzero(np.isfinite(returns))
        if len(begun):
            # For fixed weights the variance of the matrix is that of the book's own returns.
            after = ewma_variances(returns[begun[0] :])[1:]
            places = origins[mine] - begun[0]
            found[mine] = np.where(places >= 0, after[np.maximum(places, 0)], np.nan)
    return found


def portfolio_backtests(
    forecasts: pd.DataFrame, panel: Panel, held: np.ndarray, calibration: pd.DataFrame
) -> pd.DataFrame:
    """Test the forecasts of one book.

    Parameters
    ----------
    forecasts : DataFrame
        `volassets.evaluation.portfolio_risk.COLUMNS` and `method`; every origin a session of `panel`.
    panel : Panel
        Of the book's members.
    held : ndarray, shape (sessions, n)
        Weights known at each session.
    calibration : DataFrame
        `volassets.evaluation.covariance_calibration.book_calibration` of the same origins.

    Returns
    -------
    DataFrame
        One row per horizon and level. Value at risk that filled-up residuals are behind is not counted, variances
        are. Volatilities of the interval are compared on the scale on which they were annualised.
    """
    rows = []
    for h, own in forecasts.groupby("horizon", sort=True):
        horizon = int(str(h))
        own = own.sort_values("origin_date", kind="stable")
        origins = np.searchsorted(panel.dates, own["origin_date"].to_numpy().astype(panel.dates.dtype))
        total, mean_square = (values[origins] for values in outcomes_of(panel, held, horizon))
        scores = _variance_scores(own, horizon, total, mean_square, riskmetrics(panel, held, origins))
        scores |= _calibrated(calibration[calibration["horizon"] == horizon], horizon)
        for level in LEVELS:
            tested = _tested(own, horizon, level, total)
            rows.append({"horizon": horizon, "level": level, **tested, **scores})
    return pd.DataFrame(rows)


def _tested(own: pd.DataFrame, horizon: int, level: float, total: np.ndarray) -> dict[str, float]:
    name = f"{round(100 * level):02d}"
    early = own["method"].str.endswith(FILLED_UP).to_numpy(bool)
    limits = own[f"value_at_risk_{name}"].mask(early)
    columns: dict[str, Any] = {
        "model": "portfolio",
        "horizon": horizon,
        "level": level,
        "tail": "lower",
        "outcome": total,
    }
    risk = pd.DataFrame({"origin_date": own["origin_date"].to_numpy(), "value_at_risk": limits.to_numpy()})
    risk = risk.assign(expected_shortfall=own[f"expected_shortfall_{name}"].to_numpy(), **columns)
    row = risk_backtests(risk, baseline="").iloc[0]
    return {column: row[column] for column in _TESTED}


def _variance_scores(
    own: pd.DataFrame, horizon: int, total: np.ndarray, mean_square: np.ndarray, exponential: np.ndarray
) -> dict[str, float]:
    variance = own["variance"].to_numpy(np.float64)
    known = np.isfinite(mean_square) & np.isfinite(exponential)
    y = mean_square[known]
    loss = variance_loss(variance[known], y)
    found = {"qlike": float(loss.mean()) if known.any() else float("nan")}
    rivals = {"riskmetrics": exponential, "own": own["sigma_own"].to_numpy(np.float64) ** 2}
    for name, rival in rivals.items():
        difference = loss - variance_loss(rival[known], y)
        test = equal_accuracy(difference, horizon)
        found[f"qlike_vs_{name}"] = float(difference.mean()) if known.any() else float("nan")
        found[f"dm_vs_{name}"], found[f"dm_{name}_p"] = test.statistic, test.p_value
    found["bias"] = bias_statistic(total[known], variance[known], horizon)
    scale = own["volatility"].to_numpy(np.float64) / np.sqrt(variance)
    realised = annualised_volatility(np.where(np.isfinite(mean_square), mean_square, np.nan), 1) * scale
    lower, upper = own["lower"].to_numpy(np.float64), own["upper"].to_numpy(np.float64)
    banded = np.isfinite(realised) & np.isfinite(lower)
    inside = (realised >= lower) & (realised <= upper)
    found["coverage_90"] = float(inside[banded].mean()) if banded.any() else float("nan")
    return found


def _calibrated(own: pd.DataFrame, horizon: int) -> dict[str, float]:
    """Return the mean ratios of one horizon over windows that do not overlap."""
    apart = own.dropna(subset=["diagonal"]).sort_values("origin_date", kind="stable").iloc[::horizon]
    return {f"{name}_ratio": float(apart[name].mean()) for name in ("mahalanobis", "diagonal")}
