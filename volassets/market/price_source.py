"""What a source of bars is: the protocol, its error, and the window that a caller may ask for."""

from __future__ import annotations

from datetime import date
from typing import Protocol

import pandas as pd

from volassets.errors import InputError, VolassetsError


class SourceError(VolassetsError):
    """A source cannot answer now (network, rate limit, broken answer); the input may be right."""


class PriceSource(Protocol):
    """Gives the daily bars of a ticker."""

    @property
    def name(self) -> str:
        """Name of the source as in the setting `source` and in `raw_prices.source`."""
        ...

    def fetch(self, ticker: str, start: date | None = None, end: date | None = None) -> pd.DataFrame:
        """Return the bars of `ticker` dated from `start` to `end`, both included; None means all there are.

        Raises
        ------
        InputError
            The ticker, the window or a file is wrong.
        SourceError
            The source is out of reach or its answer is not usable.
        """
        ...

    def known(self, ticker: str) -> bool | None:
        """Return whether `ticker` exists, or None where only a fetch could tell."""
        ...


def window(bars: pd.DataFrame, ticker: str, start: date | None, end: date | None) -> pd.DataFrame:
    """Return the rows of `bars` dated from `start` to `end`, both included.

    Raises
    ------
    InputError
        If the window is reversed or holds no bar.
    """
    check_window(start, end)
    rows = bars.loc[slice(None if start is None else pd.Timestamp(start), None if end is None else pd.Timestamp(end))]
    if rows.empty:
        raise InputError(
            f"{ticker} has no bar from {start or 'its beginning'} to {end or 'its end'}: its bars run from "
            f"{bars.index[0]:%Y-%m-%d} to {bars.index[-1]:%Y-%m-%d}. Ask for dates inside."
        )
    return rows


def check_window(start: date | None, end: date | None) -> None:
    """Refuse a window whose start lies after its end.

    Raises
    ------
    InputError
        With both dates.
    """
    if start is not None and end is not None and start > end:
        raise InputError(f"the window {start} to {end} ends before it starts: swap the two dates.")
