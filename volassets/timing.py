"""The timing convention, stated once.

- A row dated ``t`` of any feature uses bars up to and including the close of ``t``.
- A forecast has an ``origin_date`` t (the last close it may see), a ``target_date`` (the next
  session after t, from the exchange calendar) and a ``horizon`` h in sessions: it is about
  sessions t+1 .. t+h.
- A model fitted for refit month m sees only bars dated before the first day of m (the cut-off),
  and only labels fully realised before it: the label of origin t needs bar t+h, so the last h
  rows of a training window have no label yet.
- A refit month owns the forecasts whose *target date* lies in it. Its first origin is therefore
  the last session before the month, and its last origin the session before the month's last one;
  the session after the month's last close belongs to the next month.
- A model over several tickers takes each ticker's inputs and labels from that ticker's bars alone, all
  dated before the one cut-off, and forecasts a ticker from its own bars: exchanges that close at
  different hours cannot leak into each other.
- A covariate's value in row t is that of its last session that has closed, by the regular hours of its
  exchange, not after the close of t by those of the ticker's.
- Scalers, selections, proxy ratios, bias corrections and conformal residuals obey the same rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Protocol

import numpy as np
import pandas as pd

from volassets.errors import InputError


class NextSession(Protocol):
    """Anything that knows the session after a date (``volassets.market.calendar``)."""

    def next_session(self, day: pd.Timestamp) -> pd.Timestamp:
        """Return the first session strictly after `day`."""
        ...

    @property
    def sessions_per_year(self) -> int:
        """Sessions a year, that volatilities are annualised with."""
        ...


def refit_month(value: str | date | pd.Timestamp) -> pd.Timestamp:
    """Return the first day of the month of `value`; InputError if a text is neither YYYY-MM nor YYYY-MM-DD."""
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value if len(value) > 7 else f"{value}-01")
        except ValueError:
            raise InputError(f"{value!r} is not a month: write it as YYYY-MM, for example 2016-01.") from None
    return pd.Timestamp(value.year, value.month, 1)


def months_between(first: pd.Timestamp, last: pd.Timestamp) -> list[pd.Timestamp]:
    """Return every refit month from `first` to `last`, both included, in order."""
    return list(pd.date_range(first, last, freq="MS"))


def training_length(index: pd.DatetimeIndex, month: pd.Timestamp) -> int:
    """Return how many rows of `index` are dated before the cut-off of `month`: the training window's."""
    return int(index.searchsorted(month, side="left"))


def origins_of_month(index: pd.DatetimeIndex, month: pd.Timestamp, calendar: NextSession) -> pd.DatetimeIndex:
    """Return the origins in `index` whose next calendar session lies in `month`.

    `index` holds the dates of the bars, strictly increasing. The calendar knows the target date in advance, so
    the last origin does not need the bar after it.
    """
    end = month + pd.offsets.MonthBegin(1)
    first = max(training_length(index, month) - 1, 0)
    candidates = index[first : training_length(index, end)]
    return candidates[[month <= calendar.next_session(day) < end for day in candidates]]


def last_known(closed: pd.DatetimeIndex, at: pd.DatetimeIndex) -> np.ndarray:
    """Return, for each moment of `at`, the position of the last of the moments `closed` not after it; -1 for none.

    Both are UTC and increasing: the closes of another exchange's sessions, and those of the ticker's own.
    """
    return closed.searchsorted(at, side="right") - 1


def first_possible_month(index: pd.DatetimeIndex, minimum_rows: int) -> pd.Timestamp | None:
    """Return the first month with at least `minimum_rows` bars before it, or None if there is none."""
    if len(index) < minimum_rows:
        return None
    return refit_month(index[minimum_rows - 1]) + pd.offsets.MonthBegin(1)


def last_possible_month(index: pd.DatetimeIndex, calendar: NextSession) -> pd.Timestamp:
    """Return the month of the first session after the last bar: the newest that can be forecast."""
    return refit_month(calendar.next_session(index[-1]))


def contiguous(months: Iterable[pd.Timestamp]) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """Return the maximal runs of consecutive months as (first, last) pairs, in order."""
    runs: list[tuple[pd.Timestamp, pd.Timestamp]] = []
    for month in sorted(set(months)):
        if runs and runs[-1][1] + pd.offsets.MonthBegin(1) == month:
            runs[-1] = (runs[-1][0], month)
        else:
            runs.append((month, month))
    return runs
