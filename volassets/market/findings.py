"""What a check of bars gets and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from volassets.market.calendar import SessionCalendar


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a ticker's bars.

    Attributes
    ----------
    check : str
        Name of the check, stable, usable as a key.
    severity : {"error", "warning"}
        Errors stop the ticker.
    message : str
        Value, rule and remedy.
    rows : DataFrame
        The offending rows with the column ``date`` first; empty where the finding is about the whole.
    """

    check: str
    severity: Literal["error", "warning"]
    message: str
    rows: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)


@dataclass(frozen=True)
class Context:
    """What every check gets."""

    ticker: str
    bars: pd.DataFrame
    calendar: SessionCalendar
    today: pd.Timestamp
    ranges: bool

    @property
    def dates(self) -> pd.DatetimeIndex:
        """The bars' dates."""
        return pd.DatetimeIndex(self.bars.index)

    def rows(self, mask: np.ndarray | pd.Series, **extra: np.ndarray | pd.Series) -> pd.DataFrame:
        """Return the bars where `mask` holds, dates as a column, with the `extra` columns."""
        kept = self.bars.assign(**extra)[np.asarray(mask, dtype=bool)]
        return kept.rename_axis(index="date").reset_index()


Found: TypeAlias = Iterator[tuple[str, pd.DataFrame]]
Check: TypeAlias = Callable[[Context], Found]


def dates_text(rows: pd.DataFrame, limit: int = 3) -> str:
    """Return the first dates of `rows` as text."""
    shown = ", ".join(f"{day:%Y-%m-%d}" for day in rows["date"].iloc[:limit])
    return shown + (f" and {len(rows) - limit} more" if len(rows) > limit else "")
