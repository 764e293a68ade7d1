"""Tails of standardised residuals: their quantiles and what lies beyond.

A residual is z = R / sqrt(h f), R the log return over sessions t+1 .. t+h and f the mean daily variance forecast for
them. Tails are of losses: -z for the lower tail, z for the upper.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from volassets.errors import InputError

TAIL_SHARE = 0.10
SHAPES = (-0.3, 0.5)
FEWEST_RESIDUALS = 100
DEGREES = (2.1, 200.0)


def horizon_returns(returns: np.ndarray, horizon: int) -> np.ndarray:
    """Return the log return over rows t+1 .. t+h per row t, NaN where it is not complete."""
    total = np.nancumsum(np.asarray(returns, np.float64))
    ahead = np.full(len(total), np.nan)
    if len(total) > horizon:
        ahead[:-horizon] = total[horizon:] - total[:-horizon]
    return ahead


def standardised(outcome: np.ndarray, variance: np.ndarray, horizon: int) -> np.ndarray:
    """Return R / sqrt(h f); NaN where a forecast is not positive."""
    variance = np.asarray(variance, np.float64)
    usable = variance > 0
    deviation = np.sqrt(horizon * np.where(usable, variance, 1.0))
    return np.where(usable, outcome / deviation, np.nan)


@dataclass(frozen=True)
class ParetoTail:
    """P(loss > threshold + y) = share (1 + shape y / scale)^(-1 / shape), a generalised Pareto tail.

    A `scale` of 0 is the tail of losses that do not vary beyond the threshold.
    """

    threshold: float
    shape: float
    scale: float
    share: float

    def quantile(self, probability: float) -> float:
        """Return the loss that is exceeded with `probability`, at most `share`."""
        odds = self.share / probability
        if self.shape == 0.0:
            return self.threshold + self.scale * float(np.log(odds))
        return self.threshold + self.scale * (odds**self.shape - 1.0) / self.shape

    def shortfall(self, probability: float) -> float:
        """Return the mean loss beyond the quantile; NaN where the shape is 1 or more: that mean does not exist."""
        return self.beyond(self.quantile(probability))

    def beyond(self, quantile: float) -> float:
        """Return the mean loss beyond a loss that is over the threshold, as `shortfall` does."""
        if self.shape >= 1.0:
            return float("nan")
        return (quantile + self.scale - self.shape * self.threshold) / (1.0 - self.shape)


def fit_pareto(losses: np.ndarray, share: float = TAIL_SHARE, shapes: tuple[float, float] = SHAPES) -> ParetoTail:
    """Fit a generalised Pareto tail over the ``1 - share`` quantile (McNeil and Frey 2000).

    By probability-weighted moments (Hosking and Wallis 1987): in closed form, and in small samples better than maximum
    likelihood while the shape is below .5. The shape is held in `shapes`, and the scale then gives the mean excess.

    Raises
    ------
    InputError
        If there are fewer than `FEWEST_RESIDUALS` losses, or one is not finite.
    """
    losses = np.asarray(losses, np.float64)
    if len(losses) < FEWEST_RESIDUALS or not np.isfinite(losses).all():
        raise InputError(
            f"a tail needs {FEWEST_RESIDUALS} finite residuals, and there are {int(np.isfinite(losses).sum())}: "
            "forecast more sessions first."
        )
    threshold = float(np.quantile(losses, 1.0 - share))
    excess = np.sort(losses[losses > threshold]) - threshold
    n = len(excess)
    if n < 2 or excess[-1] == 0.0:
        return ParetoTail(threshold, 0.0, 0.0, max(n, 1) / len(losses))
    mean = float(excess.mean())
    weighted = float((excess * (n - np.arange(1, n + 1))).sum() / (n * (n - 1)))
    shape = 2.0 - mean / (mean - 2.0 * weighted) if mean > 2.0 * weighted else shapes[1]
    shape = min(max(shape, shapes[0]), shapes[1])
    return ParetoTail(threshold, shape, mean * (1.0 - shape), n / len(losses))


@dataclass(frozen=True)
class StudentTail:
    """Losses of a Student t with variance 1."""

    degrees: float

    def quantile(self, probability: float) -> float:
        """Return the loss that is exceeded with `probability`."""
        return _student(self.degrees, probability)[0]

    def shortfall(self, probability: float) -> float:
        """Return the mean loss beyond the quantile."""
        return _student(self.degrees, probability)[1]


@lru_cache(maxsize=4096)
def _student(degrees: float, probability: float) -> tuple[float, float]:
    from scipy.stats import t as student

    scale = np.sqrt((degrees - 2.0) / degrees)
    quantile = float(student.isf(probability, degrees))
    density = float(student.pdf(quantile, degrees))
    beyond = density / probability * (degrees + quantile**2) / (degrees - 1.0)
    return float(scale * quantile), float(scale * beyond)


def fit_student(residuals: np.ndarray) -> StudentTail:
    """Return the Student t with variance 1 of the greatest likelihood, its degrees of freedom in `DEGREES`."""
    from scipy.optimize import minimize_scalar
    from scipy.special import gammaln

    squared = np.asarray(residuals, np.float64) ** 2

    def loss(log_excess: float) -> float:
        nu = 2.0 + np.exp(log_excess)
        constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu - 2)
        return float((nu + 1) / 2 * np.log1p(squared / (nu - 2)).mean() - constant)

    bounds = tuple(float(np.log(nu - 2.0)) for nu in DEGREES)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return StudentTail(float(2.0 + np.exp(found.x)))


@dataclass(frozen=True)
class EmpiricalTail:
    """The losses themselves, in increasing order."""

    losses: np.ndarray

    def quantile(self, probability: float) -> float:
        """Return the loss that is exceeded with `probability`, interpolated between order statistics."""
        place = (1.0 - probability) * (len(self.losses) - 1)
        below = int(place)
        above = min(below + 1, len(self.losses) - 1)
        return float(self.losses[below] + (place - below) * (self.losses[above] - self.losses[below]))

    def shortfall(self, probability: float) -> float:
        """Return the mean of the losses at or beyond the quantile."""
        return self.beyond(self.quantile(probability))

    def beyond(self, quantile: float) -> float:
        """Return the mean of the losses at or beyond `quantile`."""
        return float(self.losses[np.searchsorted(self.losses, quantile) :].mean())


Tail = ParetoTail | StudentTail | EmpiricalTail
