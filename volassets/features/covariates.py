"""Other series as inputs of a ticker: a row holds the last value that was known at its close.

A covariate is a series of closes above zero, of any exchange. Its value of session s is known in row t if s closes, by
the regular hours of its own exchange, not after t closes by those of the ticker's (`volassets.timing.last_known`).
What is not known, or older than `OLDEST`, is 0, which is neutral in every column.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from volassets.features.feature import Feature
from volassets.features.variance import log
from volassets.market.calendar import SessionCalendar, named_calendar
from volassets.names import PREFIX, covariate_stem
from volassets.timing import last_known

# Longer than any exchange's holidays.
OLDEST = pd.Timedelta(days=10)
WEEK = 5
# Returns can hardly be foretold: a series that does it this well is dated too early.
LEAD, LEAD_ROWS = 0.3, 250


@dataclass(frozen=True)
class Covariate:
    """A series with the name of its exchange's calendar; `bars` as of `volassets.market.bars`, may be empty."""

    name: str
    bars: pd.DataFrame
    calendar: str

    @property
    def closes(self) -> pd.DatetimeIndex:
        """When each bar's session has closed, UTC."""
        return named_calendar(self.calendar).closing_times(pd.DatetimeIndex(self.bars.index))


def columns_of(names: Iterable[str]) -> tuple[Feature, ...]:
    """Return the declarations of the columns of covariates, in order; their values come from `covariate_columns`."""
    return tuple(feature for name in names for feature in _declared(name))


def _declared(name: str) -> Iterable[Feature]:
    formulas = {
        "level": (f"ln x - mean of ln x over all values known, x the last close of {name}", 0),
        "change": (f"ln(x_s / x_(s-1)), s the last session of {name} that is known", 2),
        "change_5": (f"ln(x_s / x_(s-5)), s the last session of {name} that is known", WEEK + 1),
    }
    timing = f"last close of {name} at or before the close of t; 0 where none is known or it is over 10 days old"
    for suffix, (formula, window) in formulas.items():
        yield Feature(
            f"{covariate_stem(name)}_{suffix}",
            formula,
            "log ratio",
            window,
            _none,
            warm_up=0,
            group="Covariates",
            timing=timing,
        )


def _none(_series: object) -> pd.Series:
    raise TypeError("the columns of a covariate are not made from the ticker's bars")


def names_in(columns: Iterable[str]) -> tuple[str, ...]:
    """Return which of a table's columns are those of covariates, in order."""
    return tuple(name for name in columns if str(name).startswith(PREFIX))


def values_of(features: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Return the columns `names` of a feature table, shape (rows, names); 0 where the ticker has no such covariate."""
    absent = np.zeros(len(features))
    listed = [features[name].to_numpy(np.float64) if name in features else absent for name in names]
    return np.stack(listed, axis=1) if listed else np.empty((len(features), 0))


def covariate_columns(
    covariates: Iterable[Covariate], index: pd.DatetimeIndex, calendar: SessionCalendar
) -> dict[str, np.ndarray]:
    """Return the columns of covariates on a ticker's sessions.

    Parameters
    ----------
    covariates : iterable of Covariate
    index : DatetimeIndex
        Sessions of the ticker.
    calendar : SessionCalendar
        The ticker's.

    Returns
    -------
    dict of str to ndarray
        By column of `columns_of`, shape (len(index),): finite, 0 where nothing is known. Row t uses values of sessions
        that have closed by the close of t.
    """
    at, found = calendar.closing_times(index), {}
    for covariate in covariates:
        places = known_places(covariate, index, at)
        known = np.maximum(places, 0)
        series = log(covariate.bars["adj_close"])
        series_of = {
            "level": series - series.expanding().mean(),
            "change": series.diff(),
            "change_5": series.diff(WEEK),
        }
        for suffix, values in series_of.items():
            taken = values.to_numpy()[known] if len(values) else np.full(len(index), np.nan)
            usable = (places >= 0) & np.isfinite(taken)
            found[f"{covariate_stem(covariate.name)}_{suffix}"] = np.where(usable, taken, 0.0)
    return found


def known_places(covariate: Covariate, index: pd.DatetimeIndex, at: pd.DatetimeIndex) -> np.ndarray:
    """Return the position of the covariate's value in each of the rows `index`, which close `at`; -1 for none."""
    places = last_known(covariate.closes, at)
    if not len(covariate.bars):
        return places
    age = index - covariate.bars.index[np.maximum(places, 0)]
    return np.where(age > OLDEST, -1, places)


def lead(covariate: Covariate, bars: pd.DataFrame, calendar: SessionCalendar) -> tuple[float, float]:
    """Return the correlations of the covariate's change in row t with the ticker's return of t+1, and of t.

    Over the rows where the change is known and not 0; NaN below 250 of them.
    """
    index = pd.DatetimeIndex(bars.index)
    change = pd.Series(
        covariate_columns([covariate], index, calendar)[f"{covariate_stem(covariate.name)}_change"], index
    )
    returns = np.log(bars["adj_close"]).diff()
    rows = pd.DataFrame({"change": change.where(change != 0), "next": returns.shift(-1), "same": returns}).dropna()
    if len(rows) < LEAD_ROWS:
        return float("nan"), float("nan")
    found = rows.corr()["change"]
    return float(found["next"]), float(found["same"])


def is_early(following: float, same: float) -> bool:
    """Return whether correlations from `lead` say that the covariate is dated before its time."""
    return abs(following) > max(LEAD, abs(same))
