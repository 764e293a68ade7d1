"""Tests and losses of value at risk and expected shortfall.

All take the lower tail: returns, limits and shortfalls are negative for losses; for the upper tail change their signs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DYNAMIC_QUANTILE_LAGS = 4
BOOTSTRAP_REPLICATIONS = 1000
BOOTSTRAP_SEED = 20040102
FEWEST_VIOLATIONS = 5
# Basel Committee 1996: violations of the 1 % value at risk in 250 sessions from which on a model is yellow, and red.
TRAFFIC_LIGHT_SESSIONS, YELLOW, RED = 250, 5, 10


@dataclass(frozen=True)
class CoverageTest:
    """Statistic and its p-value; NaN where there is nothing to test."""

    statistic: float
    p_value: float


UNTESTED = CoverageTest(float("nan"), float("nan"))


def kupiec(violations: int, n: int, level: float) -> CoverageTest:
    """Test that violations happen with probability `level` (Kupiec 1995, one degree of freedom)."""
    if n == 0:
        return UNTESTED
    free, fixed = (_log_likelihood(n - violations, violations, p) for p in (violations / n, level))
    return _likelihood_ratio(free - fixed, 1)


def christoffersen(hits: np.ndarray) -> CoverageTest:
    """Test that a violation does not make the next session's likelier (Christoffersen 1998, independence).

    `hits` holds the violations by session in order; 0 and 1 without a violation that has a session after it.
    """
    hits = np.asarray(hits, bool)
    if len(hits) < 2:
        return UNTESTED
    before, after = hits[:-1], hits[1:]
    calm_calm, calm_hit = int((~before & ~after).sum()), int((~before & after).sum())
    hit_calm, hit_hit = int((before & ~after).sum()), int((before & after).sum())
    if hit_calm + hit_hit == 0 or calm_calm + calm_hit == 0:
        return CoverageTest(0.0, 1.0)
    free = _log_likelihood(calm_calm, calm_hit, calm_hit / (calm_calm + calm_hit))
    free += _log_likelihood(hit_calm, hit_hit, hit_hit / (hit_calm + hit_hit))
    n_hits = calm_hit + hit_hit
    same = _log_likelihood(calm_calm + hit_calm, n_hits, n_hits / len(after))
    return _likelihood_ratio(free - same, 1)


def conditional_coverage(violations: CoverageTest, independence: CoverageTest) -> CoverageTest:
    """Join Kupiec's and Christoffersen's test (Christoffersen 1998, two degrees of freedom)."""
    return _likelihood_ratio((violations.statistic + independence.statistic) / 2, 2)


def dynamic_quantile(
    hits: np.ndarray, limits: np.ndarray, level: float, lags: int = DYNAMIC_QUANTILE_LAGS
) -> CoverageTest:
    """Test that nothing known before explains a violation (Engle and Manganelli 2004).

    Regresses the violations less `level` on a constant, `lags` earlier violations and the value at risk; chi-squared
    with one degree of freedom per regressor that is not a combination of the others.

    Parameters
    ----------
    hits, limits : ndarray, shape (n,)
        Violations and values at risk by session, in order.
    """
    from scipy.stats import chi2

    excess = np.asarray(hits, np.float64) - level
    n = len(excess) - lags
    if n <= lags + 2:
        return UNTESTED
    earlier = [excess[lags - k : len(excess) - k] for k in range(1, lags + 1)]
    # The scale of a regressor changes nothing, and rounding less.
    scaled = np.asarray(limits, np.float64)[lags:] / np.abs(limits).mean() if np.any(limits) else np.zeros(n)
    design = np.column_stack([np.ones(n), *earlier, scaled])
    coefficients, _, rank, _ = np.linalg.lstsq(design, excess[lags:], rcond=None)
    explained = design @ coefficients
    statistic = float(explained @ explained) / (level * (1.0 - level))
    return CoverageTest(statistic, float(chi2.sf(statistic, rank)))


def shortfall_test(
    returns: np.ndarray,
    limits: np.ndarray,
    shortfalls: np.ndarray,
    replications: int = BOOTSTRAP_REPLICATIONS,
    seed: int = BOOTSTRAP_SEED,
) -> CoverageTest:
    """Test that losses beyond the value at risk are not larger than the expected shortfall on average.

    McNeil and Frey (2000): the mean of (return - shortfall) / |shortfall| over the violations against zero, one-sided,
    by the bootstrap of Efron and Tibshirani (1993). The statistic is the t ratio: negative where losses are larger
    than forecast. NaN with fewer than `FEWEST_VIOLATIONS` violations.
    """
    hit = returns < limits
    excess = (returns[hit] - shortfalls[hit]) / np.abs(shortfalls[hit])
    n = len(excess)
    if n < FEWEST_VIOLATIONS or not np.isfinite(excess).all() or np.ptp(excess) == 0.0:
        return UNTESTED
    statistic = _t_ratio(excess)
    draws = np.random.default_rng(seed).integers(0, n, (replications, n))
    with np.errstate(divide="ignore", invalid="ignore"):
        simulated = _t_ratio((excess - excess.mean())[draws])
    below = int((simulated <= statistic).sum())
    return CoverageTest(float(statistic), (below + 1) / (replications + 1))


def _t_ratio(values: np.ndarray) -> np.ndarray:
    deviation = values.std(axis=-1, ddof=1)
    return np.asarray(values.mean(axis=-1) / (deviation / np.sqrt(values.shape[-1])))


def quantile_loss(returns: np.ndarray, limits: np.ndarray, level: float) -> np.ndarray:
    """Return (1[r <= v] - level)(v - r): the loss that the quantile minimises (Koenker and Bassett 1978)."""
    return ((returns <= limits) - level) * (limits - returns)


def fz_loss(returns: np.ndarray, limits: np.ndarray, shortfalls: np.ndarray, level: float) -> np.ndarray:
    """Return FZ0, the loss that quantile and expected shortfall minimise together (Patton, Ziegel and Chen 2019).

    -1[r <= v] (v - r) / (level e) + v / e + ln(-e) - 1; NaN where the shortfall e is not negative.
    """
    shortfalls = np.where(shortfalls < 0, shortfalls, np.nan)
    beyond = (returns <= limits) * (limits - returns) / (level * shortfalls)
    return -beyond + limits / shortfalls + np.log(-shortfalls) - 1.0


def traffic_light(hits: np.ndarray) -> str:
    """Return green, yellow or red for violations at 1 % in the last 250 sessions; empty with fewer sessions."""
    if len(hits) < TRAFFIC_LIGHT_SESSIONS:
        return ""
    violations = int(np.asarray(hits, bool)[-TRAFFIC_LIGHT_SESSIONS:].sum())
    return "red" if violations >= RED else "yellow" if violations >= YELLOW else "green"


def _log_likelihood(failures: int, successes: int, probability: float) -> float:
    """Return the Bernoulli log-likelihood, with 0 ln 0 = 0."""
    total = failures * np.log1p(-probability) if failures else 0.0
    return float(total + (successes * np.log(probability) if successes else 0.0))


def _likelihood_ratio(gain: float, degrees: int) -> CoverageTest:
    from scipy.stats import chi2

    statistic = 2.0 * max(gain, 0.0) if gain == gain else float("nan")
    return CoverageTest(statistic, float(chi2.sf(statistic, degrees)))
