"""Whether forecast covariances have the size of what came: skfolio's calibration ratios, 1 where they do.

Over the h sessions after an origin, with R the members' returns summed and S the forecast daily covariance of n members
(skfolio 1.12, `covariance_forecast_evaluation`):

- Mahalanobis ratio R' (h S)^-1 R / n: of the whole matrix, every direction alike;
- diagonal ratio, the mean over members of R_i^2 / (h S_ii): of the variances alone.

Above 1 risk is forecast too low. As in skfolio windows do not overlap: of several sessions every h-th origin counts.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from volassets.evaluation.correlations import CorrelationFit
from volassets.evaluation.portfolio_panel import Panel
from volassets.evaluation.portfolio_variance import month_horizon_correlations


def calibration_ratios(returns: np.ndarray, covariances: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the Mahalanobis and the diagonal ratio of each origin.

    Parameters
    ----------
    returns : ndarray, shape (origins, n)
        Sums of the members' returns over the horizon, NaN where not all sessions have passed.
    covariances : ndarray, shape (origins, n, n)
        Daily covariances forecast at the origins.
    horizon : int

    Returns
    -------
    mahalanobis, diagonal : ndarray, shape (origins,)
        NaN without an outcome, the first also where a matrix cannot be inverted.
    """
    n = returns.shape[1]
    scaled = horizon * covariances
    variances = np.diagonal(scaled, axis1=1, axis2=2)
    diagonal = (returns**2 / variances).mean(axis=1)
    mahalanobis = np.full(len(returns), np.nan)
    for place in np.flatnonzero(np.isfinite(returns).all(axis=1)):
        try:
            factor = np.linalg.cholesky(scaled[place])
        except np.linalg.LinAlgError:
            continue
        standard = np.linalg.solve(factor, returns[place])
        mahalanobis[place] = standard @ standard / n
    return mahalanobis, diagonal


def bias_statistic(returns: np.ndarray, variances: np.ndarray, horizon: int) -> float:
    """Return the sample standard deviation of r / sqrt(h f) over windows that do not overlap; NaN with fewer than 2.

    Parameters
    ----------
    returns, variances : ndarray, shape (origins,)
        Return over the horizon and mean daily variance forecast for it, at consecutive origins.
    horizon : int
    """
    standard = (returns / np.sqrt(horizon * variances))[::horizon]
    return float(standard.std(ddof=1)) if len(standard) > 1 else float("nan")


def book_calibration(
    panel: Panel,
    fits: Mapping[pd.Timestamp, CorrelationFit],
    variances: Mapping[int, np.ndarray],
    residuals: np.ndarray,
    origins: Mapping[pd.Timestamp, np.ndarray],
) -> pd.DataFrame:
    """Return the ratios of the covariances behind a book's forecasts, horizon by horizon.

    Parameters
    ----------
    panel : Panel
        Of the book's members.
    fits : mapping of Timestamp to CorrelationFit
        By refit month, over these members.
    variances : mapping of int to ndarray, shape (sessions, n)
        Members' mean daily variance by horizon and origin.
    residuals : ndarray, shape (sessions, n)
    origins : mapping of Timestamp to ndarray of int
        Sessions at whose close was forecast, by refit month.

    Returns
    -------
    DataFrame
        Columns horizon, origin_date, mahalanobis, diagonal; a row per horizon and origin.
    """
    parts = []
    for month, places in origins.items():
        correlations = month_horizon_correlations(fits[month], residuals, places, panel.before(month), tuple(variances))
        for horizon, correlation in correlations.items():
            deviation = np.sqrt(variances[horizon][places])
            covariance = deviation[:, :, None] * correlation * deviation[:, None, :]
            returns = _ahead(panel.moves, places, horizon)
            mahalanobis, diagonal = calibration_ratios(returns, covariance, horizon)
            rows = {"horizon": horizon, "origin_date": panel.dates[places]}
            parts.append(pd.DataFrame({**rows, "mahalanobis": mahalanobis, "diagonal": diagonal}))
    columns = ["horizon", "origin_date", "mahalanobis", "diagonal"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _ahead(moves: np.ndarray, places: np.ndarray, horizon: int) -> np.ndarray:
    """Return each member's moves over the `horizon` sessions after each of `places`, summed; NaN where they end."""
    total = np.full((len(places), moves.shape[1]), np.nan)
    known = places + horizon < len(moves)
    total[known] = sum(moves[places[known] + step] for step in range(1, horizon + 1))
    return total
