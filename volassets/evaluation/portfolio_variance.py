"""The variance of a book, month by month: from its members' forecasts and from its own returns, and who contributes.

- From the members: sigma_H^2 = w'Hw with H = D R D, D the square roots of the members' forecast variances and R their
  correlations over the horizon (`volassets.evaluation.correlations`).
- From the book alone: a GJR-GARCH with Student-t innovations on the book's own returns at today's weights, fitted
  before the month's cut-off and filtered day by day ("aggregate first").
- The forecast is the mean of the two in logs, sigma_p = sqrt(sigma_H sigma_own).
- Contribution of a member: sigma_p w_i (Hw)_i / w'Hw (Euler; Tasche 1999). Nothing is inverted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.evaluation.correlations import CorrelationFit, horizon_correlations, month_states
from volassets.evaluation.portfolio_panel import ENOUGH, Panel, ewma_variances
from volassets.evaluation.shrinkage import with_floor

WINDOW = 1260
# Mean of r^2 / h over the last 250 days of a fit; outside, the fit does not describe its own window.
PLAUSIBLE = (0.5, 2.0)
# Below this share of the squared positions, what is left of a hedged book is rounding.
FULLY_HEDGED = 1e-12


@dataclass(frozen=True)
class BookVariance:
    """One month and horizon of a book: arrays by origin.

    Attributes
    ----------
    variance, assets, own : ndarray, shape (origins,)
        Mean daily variance over the horizon: the forecast, w'Hw, and the one from the book's own returns.
    shares : ndarray, shape (origins, n)
        Share of the volatility that each member contributes; a row sums to 1.
    """

    variance: np.ndarray
    assets: np.ndarray
    own: np.ndarray
    shares: np.ndarray


def book_returns(moves: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return r_p by session: the sum of w_i times the simple return; NaN before every member with a weight has begun.

    Parameters
    ----------
    moves : ndarray, shape (sessions, n)
    weights : ndarray, shape (n,)
        Shares of the book's value.
    """
    return np.asarray(moves[:, weights != 0] @ weights[weights != 0])


def assets_variance(
    weights: np.ndarray, variances: np.ndarray, correlation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return w'Hw and each member's share of it, by origin.

    Parameters
    ----------
    weights : ndarray, shape (n,) or (origins, n)
    variances : ndarray, shape (origins, n)
        Daily variances of the members.
    correlation : ndarray, shape (origins, n, n)

    Returns
    -------
    total : ndarray, shape (origins,)
    shares : ndarray, shape (origins, n)
    """
    positions = weights * np.sqrt(variances)
    parts = positions * np.einsum("tij,tj->ti", correlation, positions)
    total = parts.sum(axis=1)
    if (total <= FULLY_HEDGED * (positions**2).sum(axis=1)).any():
        parts = positions * np.einsum("tij,tj->ti", with_floor(correlation), positions)
        total = parts.sum(axis=1)
    return total, parts / total[:, None]


def own_variances(
    returns: np.ndarray, end: int, origins: Sequence[int], horizons: Sequence[int]
) -> tuple[dict[int, np.ndarray], str]:
    """Return the variance forecasts of a book from its own returns, fitted before a cut-off.

    Parameters
    ----------
    returns : ndarray, shape (sessions,)
        r_p; NaN before the book begins.
    end : int
        Sessions before the cut-off: the fit sees no others.
    origins : sequence of int
        Sessions at whose close is forecast.
    horizons : sequence of int

    Returns
    -------
    variances : dict of int to ndarray
        Mean daily variance by horizon.
    message : str
        Why an exponentially weighted variance stands in for the fit; empty where none does.

    Raises
    ------
    InputError
        If the book has fewer than 50 returns before the cut-off.
    """
    first = int(np.argmax(np.isfinite(returns))) if np.isfinite(returns).any() else len(returns)
    start = max(first, end - WINDOW)
    history, last = returns[start:end], max(origins) + 1
    if len(history) < ENOUGH // 5:
        raise InputError(f"the book has {len(history)} returns before its cut-off and needs {ENOUGH // 5}.")
    message = f"{len(history)} returns" if len(history) < ENOUGH else ""
    if not message:
        ahead, message = _gjr_ahead(returns[start:last], end - start, horizons)
    if message:
        every = ewma_variances(np.append(history, returns[end:last]), start=len(history[:ENOUGH]))[1:]
        ahead = dict.fromkeys(horizons, every)
    places = np.asarray(origins) - start
    return {horizon: ahead[horizon][places] for horizon in horizons}, message


def _gjr_ahead(returns: np.ndarray, end: int, horizons: Sequence[int]) -> tuple[dict[int, np.ndarray], str]:
    """Return the variance after each of `returns` by horizon, and why the fit on the first `end` is not believed."""
    from volassets.models.garch import Gjr
    from volassets.models.protocol import Window

    days = pd.DatetimeIndex(np.datetime64("2000-01-01", "ns") + np.arange(len(returns)) * np.timedelta64(1, "D"))
    features = pd.DataFrame({"return": returns}, index=days)
    listed = tuple(dict.fromkeys((1, *horizons)))
    try:
        model = Gjr(window=WINDOW)
        fit = model.fit(Window("portfolio", days[end - 1] + pd.Timedelta(days=1), features.iloc[:end], listed, 1.0))
    except InputError as error:
        return {}, str(error)
    ahead = model.forecast(fit, features, days)
    one = ahead[1].to_numpy(np.float64)
    recent = slice(max(end - ENOUGH, 1), end)
    ratio = float((returns[recent] ** 2 / one[recent.start - 1 : end - 1]).mean())
    if not PLAUSIBLE[0] <= ratio <= PLAUSIBLE[1]:
        return {}, f"mean r^2 / h of the fit is {ratio:.2f}"
    return {horizon: ahead[horizon].to_numpy(np.float64) for horizon in horizons}, ""


def book_variances(
    panel: Panel,
    fit: CorrelationFit,
    weights: np.ndarray,
    variances: Mapping[int, np.ndarray],
    residuals: np.ndarray,
    origins: np.ndarray,
    end: int,
) -> tuple[dict[int, BookVariance], str]:
    """Return the variance of a book at the origins of one month.

    Parameters
    ----------
    panel : Panel
        Sessions of the members of the book.
    fit : CorrelationFit
        Of the month, over these members.
    weights : ndarray, shape (origins, n)
        Weights that are known at each origin.
    variances : mapping of int to ndarray, shape (sessions, n)
        Members' mean daily variance by horizon and origin.
    residuals : ndarray, shape (sessions, n)
        e; those of the month's sessions are used as they become known.
    origins : ndarray of int
        Sessions at whose close is forecast, the first one the last before the cut-off.
    end : int
        Sessions before the cut-off.

    Returns
    -------
    found : dict of int to BookVariance
    message : str
        What was done about a fit that is not believed; empty otherwise.
    """
    correlations = month_horizon_correlations(fit, residuals, origins, end, tuple(variances))
    own, message = _own_by_weights(panel, weights, origins, end, tuple(variances))
    found = {}
    for horizon, members in variances.items():
        assets, shares = assets_variance(weights, members[origins], correlations[horizon])
        found[horizon] = BookVariance(np.sqrt(assets * own[horizon]), assets, own[horizon], shares)
    return found, message


def month_horizon_correlations(
    fit: CorrelationFit, residuals: np.ndarray, origins: np.ndarray, end: int, horizons: Sequence[int]
) -> dict[int, np.ndarray]:
    """Return R over each horizon at the origins of one month, shape (origins, n, n), filtered day by day.

    Parameters
    ----------
    fit : CorrelationFit
        Of the month.
    residuals : ndarray, shape (sessions, n)
        e; those of the month's sessions are used as they become known.
    origins : ndarray of int
        Sessions at whose close is forecast, none before the last one before the cut-off.
    end : int
        Sessions before the cut-off.
    horizons : sequence of int
    """
    news = residuals[end : origins[-1] + 1]
    states = month_states(fit, news)[origins - (end - 1)]
    complete = bool(np.isfinite(news).all())
    return {horizon: horizon_correlations(fit, states, horizon, complete) for horizon in horizons}


def _own_by_weights(
    panel: Panel, weights: np.ndarray, origins: np.ndarray, end: int, horizons: Sequence[int]
) -> tuple[dict[int, np.ndarray], str]:
    """Return `own_variances` at each origin, of the returns that its own weights would have had."""
    found = {horizon: np.full(len(origins), np.nan) for horizon in horizons}
    messages = []
    for distinct in np.unique(weights, axis=0):
        mine = np.flatnonzero((weights == distinct).all(axis=1))
        returns = book_returns(panel.moves, distinct)
        ahead, message = own_variances(returns, end, origins[mine].tolist(), horizons)
        messages.append(message)
        for horizon in horizons:
            found[horizon][mine] = ahead[horizon]
    return found, "; ".join(dict.fromkeys(filter(None, messages)))
