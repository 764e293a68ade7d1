"""Value at risk and expected shortfall of one month from a model's variance forecasts.

Methods:

- ``evt_conformal``: generalised Pareto tail of the standardised out-of-sample residuals, estimated at the month's
  cut-off (McNeil and Frey 2000), its level steered by the misses so far (adaptive conformal inference, Gibbs and
  Candes 2021);
- ``historical``: quantile of all residuals known at the origin, filtered historical simulation (Barone-Adesi,
  Giannopoulos and Vosper 1999);
- ``student_t``: Student t with variance 1, with the degrees of freedom of the month's own fit where it has them, else
  those that fit the residuals best.

An outcome of horizon h is used h sessions after its origin and not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from volassets.errors import InputError
from volassets.evaluation.tail_risk import (
    FEWEST_RESIDUALS,
    TAIL_SHARE,
    EmpiricalTail,
    StudentTail,
    Tail,
    fit_pareto,
    fit_student,
    standardised,
)

Method = Literal["evt_conformal", "historical", "student_t"]
Side = Literal["lower", "upper"]
METHODS: tuple[Method, ...] = ("evt_conformal", "historical", "student_t")
SIDES: tuple[Side, ...] = ("lower", "upper")
STEP = 0.001
# Out-of-sample residuals from which on nothing else is used, and misses steer the level.
START = 250
HIGHEST_LEVEL = 0.25
# The steered level stays inside the tail, and above a tenth of what is asked for.
INSIDE_TAIL, LOWEST_SHARE = 0.9, 0.1
TOO_FEW, IN_SAMPLE, NO_SHORTFALL = ", too few residuals", ", in-sample", ", no expected shortfall"


@dataclass(frozen=True)
class Rules:
    """What is forecast: levels as shares, tails, and by which method.

    Raises
    ------
    InputError
        If a level is not above 0 and at most .25.
    """

    levels: tuple[float, ...] = (0.01, 0.025, 0.05)
    tails: tuple[Side, ...] = ("lower",)
    method: Method = "evt_conformal"

    def __post_init__(self) -> None:
        for level in self.levels:
            if not 0.0 < level <= HIGHEST_LEVEL:
                raise InputError(
                    f"risk level {level!r} is not possible: give a share above 0 and at most {HIGHEST_LEVEL}, such "
                    "as 0.01."
                )


@dataclass(frozen=True)
class Steering:
    """The steered level at a month's end, and the quantiles whose outcomes are not known yet.

    Attributes
    ----------
    level : float
    pending : dict of int to float
        Row of the origin to the standardised loss that its value at risk stands for.
    """

    level: float
    pending: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MonthForecasts:
    """A model's forecasts of one horizon up to a month's end.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Row of each origin in the feature table, increasing; months without forecasts leave a hole.
    variance : ndarray, shape (n,)
        Mean daily variance forecast.
    first : int
        Position of the month's first origin: positions before it belong to earlier months.
    outcome : ndarray
        Log return over the h rows after every row of the feature table (`horizon_returns`); what is not known at an
        origin may be NaN or anything else.
    horizon : int
    in_sample : ndarray
        Residuals of the month's fit on origins before all of these, newest last.
    degrees : float
        Degrees of freedom of the month's fit; NaN where it has none.
    """

    rows: np.ndarray
    variance: np.ndarray
    first: int
    outcome: np.ndarray
    horizon: int
    in_sample: np.ndarray = field(default_factory=lambda: np.empty(0))
    degrees: float = float("nan")

    @property
    def residuals(self) -> np.ndarray:
        """Standardised residuals of the origins, NaN where there is none."""
        return standardised(self.outcome[self.rows], self.variance, self.horizon)

    def known(self, position: int) -> int:
        """Return how many of the origins have an outcome at the close of the origin at `position`."""
        return int(np.searchsorted(self.rows, self.rows[position] - self.horizon, side="right"))


@dataclass(frozen=True)
class MonthRisk:
    """One level and tail of one month: arrays by origin, as returns, and the steering at its end."""

    level: float
    tail: Side
    value_at_risk: np.ndarray
    expected_shortfall: np.ndarray
    method: str
    steering: Steering


def missing_residuals(forecasts: MonthForecasts) -> int:
    """Return how many in-sample residuals the month needs beside those known at its cut-off."""
    return max(START - forecasts.known(forecasts.first), 0)


def month_risk(
    forecasts: MonthForecasts, rules: Rules, before: Mapping[tuple[Side, float], Steering]
) -> list[MonthRisk]:
    """Return the value at risk and expected shortfall of a month's origins.

    Parameters
    ----------
    forecasts : MonthForecasts
    rules : Rules
    before : mapping of (tail, level) to Steering
        At the end of the month before with forecasts; an absent one starts at the nominal level.

    Returns
    -------
    list of MonthRisk
        By tail and level. NaN with fewer than 100 residuals, and an expected shortfall of NaN where it does not exist.
    """
    residuals = forecasts.residuals
    found = []
    for side in rules.tails:
        sign = 1.0 if side == "upper" else -1.0
        losses, in_sample = sign * residuals, sign * forecasts.in_sample
        tails: dict[float, list[Tail | None]] = {}
        for level in rules.levels:
            share = _tail_share(level)
            if share not in tails:
                tails[share] = _tails(forecasts, losses, in_sample, rules.method, share)
            steering = before.get((side, level), Steering(level))
            found.append(_of_level(forecasts, losses, tails[share], rules.method, side, level, steering))
    return found


def _tails(
    forecasts: MonthForecasts, losses: np.ndarray, in_sample: np.ndarray, method: Method, share: float
) -> list[Tail | None]:
    """Return the tail of each origin of the month: one for all of them, but for `historical`."""
    origins = range(forecasts.first, len(forecasts.rows))
    if _own_degrees(forecasts, method):
        return [StudentTail(forecasts.degrees)] * len(origins)

    def known(position: int) -> np.ndarray:
        count = forecasts.known(position)
        lacking = min(max(START - count, 0), len(in_sample))
        past = np.concatenate([in_sample[len(in_sample) - lacking :], losses[:count]])
        return past[np.isfinite(past)]

    if method == "historical":
        listed = [np.sort(known(position)) for position in origins]
        return [EmpiricalTail(past) if len(past) >= FEWEST_RESIDUALS else None for past in listed]
    past = known(forecasts.first)
    if len(past) < FEWEST_RESIDUALS:
        return [None] * len(origins)
    return [fit_student(past) if method == "student_t" else fit_pareto(past, share)] * len(origins)


def _of_level(
    forecasts: MonthForecasts,
    losses: np.ndarray,
    tails: list[Tail | None],
    method: Method,
    side: Side,
    level: float,
    steering: Steering,
) -> MonthRisk:
    tail = tails[0]
    if method == "evt_conformal" and tail is not None and not missing_residuals(forecasts):
        listed, steering = _steered(forecasts, losses, tail, level, steering)
    else:
        listed, steering = [np.nan if own is None else own.quantile(level) for own in tails], Steering(level)
    quantiles = np.array(listed)
    beyond = np.array([_beyond(own, level, quantile) for own, quantile in zip(tails, listed, strict=True)])
    deviation = np.sqrt(forecasts.horizon * np.maximum(forecasts.variance[forecasts.first :], 0.0))
    deviation = deviation if side == "upper" else -deviation
    remark = ""
    if np.isnan(quantiles).any():
        remark = TOO_FEW
    elif np.isnan(beyond).any():
        remark = NO_SHORTFALL
    elif len(forecasts.in_sample) and missing_residuals(forecasts) and not _own_degrees(forecasts, method):
        remark = IN_SAMPLE
    return MonthRisk(level, side, deviation * quantiles, deviation * beyond, f"{method}{remark}", steering)


def _steered(
    forecasts: MonthForecasts, losses: np.ndarray, tail: Tail, level: float, steering: Steering
) -> tuple[list[float], Steering]:
    """Return the quantile of each origin of the month at a level moved by STEP (level - miss) per outcome known."""
    current, pending, horizon = steering.level, dict(steering.pending), forecasts.horizon
    lowest, highest = LOWEST_SHARE * level, INSIDE_TAIL * _tail_share(level)
    of_row = _losses_by_row(forecasts, losses, pending)
    quantiles = []
    for row in forecasts.rows[forecasts.first :].tolist():
        while pending and (origin := next(iter(pending))) + horizon <= row:
            quantile, loss = pending.pop(origin), of_row[origin]
            if loss == loss:
                current += STEP * (level - (loss > quantile))
        pending[row] = tail.quantile(min(max(current, lowest), highest))
        quantiles.append(pending[row])
    return quantiles, Steering(current, pending)


def _beyond(tail: Tail | None, level: float, quantile: float) -> float:
    """Return the mean loss beyond a quantile that the tail gave."""
    if tail is None:
        return float("nan")
    return tail.shortfall(level) if isinstance(tail, StudentTail) else tail.beyond(quantile)


def _losses_by_row(forecasts: MonthForecasts, losses: np.ndarray, pending: Mapping[int, float]) -> dict[int, float]:
    """Return the loss of every origin from the oldest pending one on."""
    start = int(np.searchsorted(forecasts.rows, next(iter(pending)))) if pending else forecasts.first
    return dict(zip(forecasts.rows[start:].tolist(), losses[start:].tolist(), strict=True))


def _tail_share(level: float) -> float:
    return max(TAIL_SHARE, 2.0 * level)


def _own_degrees(forecasts: MonthForecasts, method: Method) -> bool:
    return method == "student_t" and forecasts.horizon == 1 and forecasts.degrees == forecasts.degrees
