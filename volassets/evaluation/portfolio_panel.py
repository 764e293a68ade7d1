"""The sessions of a book: closes and forecasts of members whose exchanges differ, side by side by date.

A date is a session of the book where at least half of the members that have begun by then have a close. A member's
move is its simple return since its last close up to the session before, 0 where it has none since: the book's gain is
made of all closes. Its residual takes one-session returns alone: with a close at both sessions and none between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

# A forecast of an earlier close stands for a member that was not traded, so many days.
FORECAST_DAYS = np.timedelta64(7, "D")
EWMA = 0.94
EWMA_START = 250
# Out-of-sample residuals from which on nothing else is used.
ENOUGH = 250


@dataclass(frozen=True)
class Panel:
    """Members by session.

    Attributes
    ----------
    members : tuple of str
        Sorted.
    dates : ndarray of datetime64[ns], shape (sessions,)
    moves : ndarray, shape (sessions, n)
        Simple returns of the adjusted close since the session before; NaN before a member has begun.
    one_session : ndarray of bool, shape (sessions, n)
        Whether a move is the member's own return over exactly one session.
    """

    members: tuple[str, ...]
    dates: np.ndarray
    moves: np.ndarray
    one_session: np.ndarray

    def before(self, day: pd.Timestamp) -> int:
        """Return how many sessions are dated before `day`."""
        return int(np.searchsorted(self.dates, np.datetime64(day, "ns")))


def panel_of(closes: Mapping[str, pd.Series]) -> Panel:
    """Return the sessions of some members from their adjusted closes, index date in order."""
    members = tuple(sorted(closes))
    own = {name: pd.DatetimeIndex(closes[name].index).as_unit("ns").to_numpy() for name in members}
    every = np.unique(np.concatenate([own[name] for name in members]))
    traded = np.column_stack([np.isin(every, own[name]) for name in members])
    begun = np.column_stack([every >= own[name][0] if len(own[name]) else every < every for name in members])
    dates = every[2 * traded.sum(axis=1) >= begun.sum(axis=1)]
    moves, one = np.full((len(dates), len(members)), np.nan), np.zeros((len(dates), len(members)), bool)
    for column, name in enumerate(members):
        last = np.searchsorted(own[name], dates, side="right") - 1
        there = last >= 0
        prices = np.where(there, closes[name].to_numpy(np.float64)[np.maximum(last, 0)], np.nan)
        exact = there & (own[name][np.maximum(last, 0)] == dates) if len(own[name]) else there
        moves[1:, column] = prices[1:] / prices[:-1] - 1.0
        one[1:, column] = exact[1:] & exact[:-1] & (np.diff(last) == 1)
    return Panel(members, dates, moves, one)


def variances_of(panel: Panel, forecasts: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the forecast variance of each member by session as origin, and whether it is of that very close.

    Parameters
    ----------
    panel : Panel
    forecasts : DataFrame
        Columns ticker, origin_date, variance, of one horizon and one model per ticker.

    Returns
    -------
    variance : ndarray, shape (sessions, n)
        The newest of at most `FORECAST_DAYS`; NaN without one.
    exact : ndarray of bool, shape (sessions, n)
    """
    shape = (len(panel.dates), len(panel.members))
    found, exact = np.full(shape, np.nan), np.zeros(shape, bool)
    by_ticker = dict(iter(forecasts.groupby("ticker", sort=False)))
    for column, name in enumerate(panel.members):
        if name not in by_ticker:
            continue
        rows = by_ticker[name].sort_values("origin_date", kind="stable")
        origins = pd.DatetimeIndex(rows["origin_date"]).as_unit("ns").to_numpy()
        last = np.searchsorted(origins, panel.dates, side="right") - 1
        place = np.maximum(last, 0)
        recent = (last >= 0) & (panel.dates - origins[place] <= FORECAST_DAYS)
        found[:, column] = np.where(recent, rows["variance"].to_numpy(np.float64)[place], np.nan)
        exact[:, column] = (last >= 0) & (origins[place] == panel.dates)
    return found, exact


def residuals_of(panel: Panel, variance: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return e by session: one-session returns over the square root of the forecast of the session before."""
    found = np.full(panel.moves.shape, np.nan)
    usable = panel.one_session[1:] & exact[:-1] & (variance[:-1] > 0)
    scaled = panel.moves[1:] / np.sqrt(np.where(usable, variance[:-1], 1.0))
    found[1:] = np.where(usable, scaled, np.nan)
    return found


def filled_residuals(panel: Panel, residuals: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the residuals of the first `end` sessions, filled up while a member has fewer than 250, and how many.

    What fills up is standardised with an exponentially weighted variance of the days before (`EWMA`), from sessions
    before the member's first forecast alone.
    """
    found, filled = residuals[:end].copy(), np.zeros(len(panel.members), np.int64)
    for column in range(len(panel.members)):
        own = np.flatnonzero(np.isfinite(found[:, column]))
        lacking = ENOUGH - len(own)
        first = int(own[0]) if len(own) else end
        if lacking <= 0:
            continue
        places = np.flatnonzero(panel.one_session[:first, column])
        moves = panel.moves[places, column]
        early = moves / np.sqrt(ewma_variances(moves)[:-1])
        places, early = places[EWMA_START // 5 :], early[EWMA_START // 5 :]
        usable = np.isfinite(early)
        places, early = places[usable][-lacking:], early[usable][-lacking:]
        found[places, column] = early
        filled[column] = len(places)
    return found, filled


def ewma_variances(returns: np.ndarray, weight: float = EWMA, start: int = EWMA_START) -> np.ndarray:
    """Return the exponentially weighted variance before each of `returns` and after the last, shape (n + 1,).

    RiskMetrics (1996); the mean square of the first `start` returns stands before the first.
    """
    from scipy.signal import lfilter

    squares = np.asarray(returns, np.float64) ** 2
    if not len(squares):
        return np.full(1, np.nan)
    first = float(squares[:start].mean())
    after, _ = lfilter([1.0 - weight], [1.0, -weight], squares, zi=[weight * first])
    return np.concatenate([[first], after])


def sessions_a_year(of_members: Sequence[int]) -> int:
    """Return the sessions of a book in a year: the most that at least half of its members have."""
    ordered = sorted(of_members, reverse=True)
    return ordered[(len(ordered) + 1) // 2 - 1]
