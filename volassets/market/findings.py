"""Findings about bars, and the input and output of every check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from volassets.market.calendar import SessionCalendar


@dataclass(frozen=True)
class Finding:
    """One thing that a check found, wrong with a ticker's bars or rows in most cases.

    Attributes
    ----------
    check : str
        Name of the check, stable, usable as a key.
    severity : {"error", "warning", "note"}
        Errors stop the ticker where the check blocks; with a note the check passes.
    message : str
        Value, rule and remedy.
    rows : DataFrame
        The offending rows with the column ``date`` first; empty where the finding is about all of them.
    """

    check: str
    severity: Literal["error", "warning", "note"]
    message: str
    rows: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)


Found: TypeAlias = Iterable[tuple[str, pd.DataFrame]]


@dataclass(frozen=True)
class History:
    """The bars of one ticker under check at the moment `now`, in UTC, for the variance proxy `proxy`."""

    ticker: str
    bars: pd.DataFrame
    calendar: SessionCalendar
    now: pd.Timestamp
    proxy: str

    @property
    def ranges(self) -> bool:
        """Whether opens, highs and lows count."""
        return self.proxy != "squared_return"

    @property
    def dates(self) -> pd.DatetimeIndex:
        """The bars' dates."""
        return pd.DatetimeIndex(self.bars.index)

    @property
    def local_today(self) -> pd.Timestamp:
        """The exchange's date at `now`."""
        return self.now.tz_convert(self.calendar.zone).tz_localize(None).normalize()

    def recorded(self, dates: pd.DatetimeIndex) -> np.ndarray:
        """Return which dates lie in the span whose holidays the calendar knows."""
        first, last = self.calendar.recorded
        return np.asarray((dates >= first) & (dates <= last))

    def rows(self, mask: np.ndarray | pd.Series, **extra: np.ndarray | pd.Series) -> pd.DataFrame:
        """Return the bars where `mask` holds, dates as a column, with the `extra` columns."""
        kept = self.bars.assign(**extra)[np.asarray(mask, dtype=bool)]
        return kept.rename_axis(index="date").reset_index()

    def found(
        self, mask: np.ndarray | pd.Series, message: str, shown: int = 3, **extra: np.ndarray | pd.Series
    ) -> Found:
        """Return `message` and the rows where `mask` holds, if any; ``{dates}`` stands for the first `shown` dates."""
        if not np.asarray(mask, dtype=bool).any():
            return []
        rows = self.rows(mask, **extra)
        return [(message.replace("{dates}", dates_text(rows, shown)), rows)]


Check: TypeAlias = Callable[[History], Found]


def dates_text(rows: pd.DataFrame, limit: int = 3) -> str:
    """Return the first dates of `rows` as text."""
    shown = ", ".join(f"{day:%Y-%m-%d}" for day in rows["date"].iloc[:limit])
    return shown + (f" and {len(rows) - limit} more" if len(rows) > limit else "")


def summary(found: pd.DataFrame, most: int = 10) -> list[str]:
    """Return warnings (columns ticker, check_name) in a line per ticker, or per check of more than `most` tickers."""
    few = found["ticker"].nunique() <= most
    key, other = ("ticker", "check_name") if few else ("check_name", "ticker")
    lines = []
    for name, rows in found.groupby(key, sort=True):
        names = sorted(rows[other].unique())
        shown = ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
        lines.append(f"{len(rows)} warning{'s' * (len(rows) > 1)}{' about' * few} {name}: {shown}")
    return [*lines, '`volassets query "select ticker, message from data_quality"` shows them'] if lines else []
