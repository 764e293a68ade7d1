"""A column of the feature table: one declaration that feeds the code, the database, the docs and the UI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from volassets.features.base_series import BaseSeries

CLOSE = "bars up to and including the close of t"
CALENDAR = "known at the close of t from the exchange calendar"

ANNUAL = "annualised volatility, decimal; S = 252 sessions a year, 365 for 24/7, 260 for currencies"
DAILY = "daily variance, decimal"
RETURN = "decimal return"
RATIO = "ratio"


@dataclass(frozen=True)
class Feature:
    """A column of the feature table.

    Attributes
    ----------
    name : str
        Column name.
    formula : str
        How the value of row t is computed, in plain text.
    unit : str
        ``price`` and ``shares`` mark the levels that a later split rescales as a whole.
    window : int
        Rows that the value depends on, ending at t; 0 for all rows up to t.
    compute : callable
        Maps the base series of a ticker to the column, index date.
    warm_up : int, optional
        Rows at the start of the table that are empty; from then on the value is finite. `window` - 1 where not given.
    source : str
        Where the definition comes from.
    group : str
        Heading in the docs.
    timing : str
        What is known at t; every column obeys `volassets.timing`.
    """

    name: str
    formula: str
    unit: str
    window: int
    compute: Callable[[BaseSeries], pd.Series]
    warm_up: int = -1
    source: str = "own"
    group: str = ""
    timing: str = CLOSE

    def __post_init__(self) -> None:
        if self.warm_up < 0:
            object.__setattr__(self, "warm_up", self.window - 1)

    @property
    def rows(self) -> str:
        """The window in words."""
        if self.window == 0:
            return "all rows up to t"
        return "1 row" if self.window == 1 else f"{self.window} rows"

    @property
    def comment(self) -> str:
        """The declaration in one line, for the database and the UI."""
        return (
            f"{self.formula}. Unit: {self.unit}. Window: {self.rows}; empty for the first {self.warm_up}. "
            f"Timing: {self.timing}. Source: {self.source}."
        )
