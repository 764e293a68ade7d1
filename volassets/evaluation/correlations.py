"""Dynamic conditional correlations with bounded coefficients, estimated once a month and filtered day by day.

With e_t the returns over the square root of their forecast variances, scaled to unit variance:

- Q_{t+1} = (1 - a - b) Rbar + a e_t e_t' + b Q_t, Q_1 = Rbar, and R_t = Q_t with its diagonal scaled to 1 (Engle 2002);
- Rbar is the uncentred correlation of all earlier e; a and b maximise the composite likelihood of neighbouring pairs
  (Pakel, Shephard, Sheppard and Engle 2021), then are held in bounds;
- over h sessions R_h = Rbar + (1 - p^h) / (h (1 - p)) (R_1 - Rbar), p = a + b.

A pair learns from days on which both members have a one-session return, and from no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from volassets.evaluation.shrinkage import analytical_shrinkage, as_correlation, with_floor

START = (0.02, 0.96)
BOUNDS_A, BOUNDS_B, MOST_PERSISTENT = (0.005, 0.05), (0.90, 0.985), 0.995
# Days that the likelihood sees, and days from which on a history is its own judge.
LIKELIHOOD_DAYS, SEASONED_DAYS = 2520, 250
# A history of n days counts n / (n + 60) of a correlation, the average of the seasoned ones the rest.
PRIOR_DAYS = 60
# With fewer days than this per asset, the long-run correlations are shrunk.
DAYS_PER_ASSET = 10
FEWEST_DAYS = 12
# Beyond it a pair's likelihood is about rounding; it is left out, and flagged.
NEAR_DUPLICATE = 0.99
LEAST_FREE = 1e-8
# Standard errors from which on a correlation with the other's day before or after counts.
LEAD_LAG_ERRORS = 3.0


@dataclass(frozen=True)
class CorrelationFit:
    """The correlations of one refit month.

    Attributes
    ----------
    members : tuple of str
        Names in order.
    a, b : float
        Weights of the last day and of the last Q, within bounds.
    likelihood : float
        Mean composite loss of the pairs at the maximum, before the bounds; NaN for a single member.
    scale : ndarray, shape (n,)
        Root mean square of each member's residuals.
    long_run, state : ndarray, shape (n, n)
        Rbar, and Q for the session after the last residual.
    lead_lag : ndarray, shape (n, n)
        What closing at different hours hides from one day's correlation; 0 where nothing is added.
    days : ndarray of int, shape (n,)
        Residuals of each member.
    """

    members: tuple[str, ...]
    a: float
    b: float
    likelihood: float
    scale: np.ndarray
    long_run: np.ndarray
    state: np.ndarray
    lead_lag: np.ndarray
    days: np.ndarray

    def of(self, members: Sequence[str]) -> CorrelationFit:
        """Return the fit of some members: their part of every matrix."""
        place = [self.members.index(name) for name in members]
        square = np.ix_(place, place)
        return CorrelationFit(
            tuple(members),
            self.a,
            self.b,
            self.likelihood,
            self.scale[place],
            self.long_run[square],
            self.state[square],
            self.lead_lag[square],
            self.days[place],
        )

    def near_duplicates(self, above: float = NEAR_DUPLICATE) -> list[tuple[str, str, float]]:
        """Return pairs whose correlation is above `above`: what is hedged between them is mostly rounding."""
        correlation = as_correlation(self.state)
        rows, columns = np.nonzero(np.triu(correlation > above, 1))
        return [
            (self.members[i], self.members[j], float(correlation[i, j])) for i, j in zip(rows, columns, strict=True)
        ]


def fit_correlations(
    residuals: np.ndarray, members: Sequence[str], different_closes: np.ndarray | None = None
) -> CorrelationFit:
    """Estimate the correlations from residuals before a cut-off.

    Parameters
    ----------
    residuals : ndarray, shape (days, n)
        e by session and member, NaN where a member has no one-session return.
    members : sequence of str
        Sorted: the pairs of the likelihood are neighbours.
    different_closes : ndarray of bool, shape (n, n), optional
        Pairs whose exchanges close at different hours; none by default.

    Returns
    -------
    CorrelationFit
    """
    residuals = np.asarray(residuals, np.float64)
    present = np.isfinite(residuals)
    days = present.sum(axis=0)
    squares = np.where(present, residuals, 0.0) ** 2
    scale = np.sqrt(squares.sum(axis=0) / np.maximum(days, 1))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = residuals / scale
    long_run = _long_run(scaled)
    recent = scaled[-LIKELIHOOD_DAYS:]
    found, loss = _maximise(recent, long_run)
    a, b = bounded(*found)
    state = filter_state(recent, a, b, long_run, long_run)
    if not present.all():
        # Pairs that learn on different days need not form a possible matrix.
        deviation = np.sqrt(np.diagonal(state))
        state = with_floor(as_correlation(state)) * np.outer(deviation, deviation)
    lead_lag = _lead_lag(scaled, different_closes)
    return CorrelationFit(tuple(members), a, b, loss, scale, long_run, state, lead_lag, days)


def bounded(a: float, b: float) -> tuple[float, float]:
    """Return a and b within bounds; few assets and short histories give values that no later year confirms."""
    a = min(max(a, BOUNDS_A[0]), BOUNDS_A[1])
    b = min(max(b, BOUNDS_B[0]), BOUNDS_B[1])
    return a, min(b, MOST_PERSISTENT - a)


def filter_state(scaled: np.ndarray, a: float, b: float, long_run: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Return Q after the days of `scaled`, shape (days, n), from `state`; a pair without both stays."""
    state, base = np.array(state), (1.0 - a - b) * long_run
    for row in scaled:
        known = np.isfinite(row)
        if known.all():
            state = base + a * np.outer(row, row) + b * state
        else:
            filled = np.where(known, row, 0.0)
            state = np.where(np.outer(known, known), base + a * np.outer(filled, filled) + b * state, state)
    return state


def month_states(fit: CorrelationFit, residuals: np.ndarray) -> np.ndarray:
    """Return Q at every origin of a month, shape (days + 1, n, n).

    Parameters
    ----------
    fit : CorrelationFit
    residuals : ndarray, shape (days, n)
        e of the sessions of the month as they become known; the first origin is the last session before the month.
    """
    states = [fit.state]
    for row in np.asarray(residuals, np.float64) / fit.scale:
        states.append(filter_state(row[None, :], fit.a, fit.b, fit.long_run, states[-1]))
    return np.stack(states)


def horizon_correlations(fit: CorrelationFit, states: np.ndarray, horizon: int, complete: bool = True) -> np.ndarray:
    """Return R over the next `horizon` sessions at every origin, shape (origins, n, n).

    Parameters
    ----------
    fit : CorrelationFit
    states : ndarray, shape (origins, n, n)
        `month_states`.
    horizon : int
    complete : bool
        False where a member lacked a day of the month, so that a matrix may be impossible and is repaired.
    """
    daily, p = as_correlation(states), fit.a + fit.b
    if horizon == 1:
        found = daily
    else:
        weight = (1.0 - p**horizon) / (horizon * (1.0 - p))
        found = fit.long_run + weight * (daily - fit.long_run)
        if fit.lead_lag.any():
            added = np.clip(found + (1.0 - 1.0 / horizon) * fit.lead_lag, -1.0, 1.0)
            return with_floor(as_correlation(added))
    return found if complete else with_floor(as_correlation(found))


def pair_loss(a: float, b: float, pair: np.ndarray, rho: float) -> float:
    """Return the mean Gaussian loss of two members' correlation, both scaled to unit variance.

    .5 ln(1 - rho^2) + .5 (x^2 + y^2 - 2 rho x y) / (1 - rho^2), the mean over the days of `pair`, shape (days, 2), of
    which none lacks one.
    """
    from scipy.signal import lfilter

    x, y = pair.T
    news = np.stack([x * x, y * y, x * y])
    means = np.array([1.0, 1.0, rho])
    # Q - Rbar starts at 0 and follows a (news - Rbar) + b (Q - Rbar) of the day before.
    q11, q22, q12 = means[:, None] + lfilter([0.0, a], [1.0, -b], news - means[:, None], axis=1)
    current = q12 / np.sqrt(q11 * q22)
    free = np.maximum(1.0 - current**2, LEAST_FREE)
    return float((0.5 * np.log(free) + 0.5 * (news[0] + news[1] - 2.0 * current * news[2]) / free).mean())


def _maximise(scaled: np.ndarray, long_run: np.ndarray) -> tuple[tuple[float, float], float]:
    """Return a and b of the greatest composite likelihood over the pairs (1, 2), .., (n, 1), and its mean loss."""
    from scipy.optimize import minimize

    n = scaled.shape[1]
    listed = [(i, i + 1) for i in range(n - 1)] + ([(n - 1, 0)] if n > 2 else [])
    pairs = []
    for i, j in listed:
        pair = scaled[:, [i, j]]
        pair = pair[np.isfinite(pair).all(axis=1)]
        if len(pair) and abs(long_run[i, j]) < NEAR_DUPLICATE:
            pairs.append((pair, float(long_run[i, j])))
    if not pairs:
        return START, float("nan")
    total = sum(len(pair) for pair, _ in pairs)

    def loss(point: np.ndarray) -> float:
        a, b = float(point[0]), float(point[1])
        if a < 0 or b < 0 or a + b >= 1.0:
            return float("inf")
        return sum(len(pair) * pair_loss(a, b, pair, rho) for pair, rho in pairs) / total

    # The steps of a simplex need no derivative at the edge a + b < 1, where many histories end.
    simplex = np.array([START, (START[0] + 0.01, START[1]), (START[0], START[1] - 0.02)])
    options = {"xatol": 1e-5, "fatol": 1e-9, "initial_simplex": simplex, "maxiter": 200}
    result = minimize(loss, START, method="Nelder-Mead", options=options)
    return (float(result.x[0]), float(result.x[1])), float(result.fun)


def _long_run(scaled: np.ndarray) -> np.ndarray:
    """Return Rbar: pairs on their common days, short histories drawn to the average, shrunk where days are few."""
    days, n = scaled.shape
    present = np.isfinite(scaled)
    filled, here = np.where(present, scaled, 0.0), present.astype(np.float64)
    common, products = here.T @ here, filled.T @ filled
    # Of a pair's common days, so that no correlation is beyond 1.
    own = (filled**2).T @ here
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(common > 0, products / np.sqrt(own * own.T), 0.0)
    found = np.nan_to_num(0.5 * (found + found.T))
    np.fill_diagonal(found, 1.0)
    seasoned = present.sum(axis=0) >= SEASONED_DAYS
    if not seasoned.all() and n > 1:
        found = _drawn_to_average(found, common, seasoned)
    if n > 1 and FEWEST_DAYS <= days < DAYS_PER_ASSET * n:
        found = as_correlation(analytical_shrinkage(found, days))
    return found if present.all() and seasoned.all() else with_floor(found)


def _drawn_to_average(correlation: np.ndarray, common: np.ndarray, seasoned: np.ndarray) -> np.ndarray:
    """Return correlations in which those of a short history count k = n / (n + 60), the average of the others 1 - k."""
    n = len(correlation)
    judges = seasoned if seasoned.sum() > 1 else np.ones(n, bool)
    others = np.outer(judges, judges) & ~np.eye(n, dtype=bool)
    average = float(correlation[others].mean())
    weight = common / (common + PRIOR_DAYS)
    drawn = weight * correlation + (1.0 - weight) * average
    kept = np.outer(seasoned, seasoned) | np.eye(n, dtype=bool)
    return np.where(kept, correlation, drawn)


def _lead_lag(scaled: np.ndarray, different_closes: np.ndarray | None) -> np.ndarray:
    """Return the correlations with the other's day before and after, where they are clear and closes differ."""
    n = scaled.shape[1]
    found = np.zeros((n, n))
    if different_closes is None or not different_closes.any():
        return found
    for i, j in zip(*np.nonzero(np.triu(different_closes, 1)), strict=True):
        for one, other in ((scaled[1:, i], scaled[:-1, j]), (scaled[:-1, i], scaled[1:, j])):
            both = np.isfinite(one) & np.isfinite(other)
            x, y = one[both], other[both]
            size = float(np.sqrt((x @ x) * (y @ y)))
            lagged = float(x @ y) / size if size > 0 else 0.0
            if abs(lagged) > LEAD_LAG_ERRORS / np.sqrt(max(len(x), 1)):
                found[i, j] += lagged
        found[j, i] = found[i, j]
    return found
