"""What a column of the feature table is: one declaration that feeds the code, the database, the docs and the UI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from volassets.features.base_series import Ingredients

CLOSE = "bars up to and including the close of t"
CALENDAR = "known at the close of t from the exchange calendar"


@dataclass(frozen=True, kw_only=True)
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
    warm_up : int
        Rows at the start of the table that are empty; from then on the value is finite.
    source : str
        Where the definition comes from.
    group : str
        Heading in the docs.
    timing : str
        What is known at t; every column obeys `volassets.timing`.
    compute : callable
        Maps the ingredients of a ticker to the column, index date.
    """

    name: str
    formula: str
    unit: str
    window: int
    warm_up: int
    source: str
    group: str
    compute: Callable[[Ingredients], pd.Series]
    timing: str = CLOSE

    @property
    def rows(self) -> str:
        """The window in words."""
        if self.window == 0:
            return "all rows up to t"
        return "1 row" if self.window == 1 else f"{self.window} rows"

    @property
    def comment(self) -> str:
        """The whole declaration in one line, for the database and the UI."""
        return (
            f"{self.formula}. Unit: {self.unit}. Window: {self.rows}; empty for the first {self.warm_up}. "
            f"Timing: {self.timing}. Source: {self.source}."
        )
