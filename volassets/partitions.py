"""Partition keys: ticker x refit month, and what a set of them covers.

Plain text keys, so that the command line can speak of partitions without loading an orchestrator.
A grid key reads ``2016-01-01|^GSPC``; the dimensions are named ``refit_month`` and ``ticker``.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from volassets.errors import InputError
from volassets.timing import refit_month

Cells = dict[str, list[pd.Timestamp]]
"""Months in order per ticker: the exact cells of a run, whatever shape it was asked in."""


def grid_key(ticker: str, month: pd.Timestamp) -> str:
    """Return the grid partition key of one cell."""
    return f"{month:%Y-%m-%d}|{ticker}"


def cells_of_keys(keys: Iterable[str]) -> Cells:
    """Return the cells that grid keys name, months sorted, tickers in order of appearance.

    Raises
    ------
    InputError
        If a key is not of the form ``YYYY-MM-DD|TICKER``.
    """
    cells: dict[str, set[pd.Timestamp]] = {}
    for key in keys:
        month, separator, ticker = str(key).partition("|")
        if not separator:
            raise InputError(f"partition key {key!r} is not of the form YYYY-MM-DD|TICKER.")
        cells.setdefault(ticker, set()).add(refit_month(month))
    return {ticker: sorted(months) for ticker, months in cells.items()}


def cells_frame(cells: Cells, **constants: str) -> pd.DataFrame:
    """Return the cells as rows (ticker, refit_month, and the constants as columns), the store's way to name them."""
    rows = [(ticker, month) for ticker, months in cells.items() for month in months]
    return pd.DataFrame(rows, columns=["ticker", "refit_month"]).assign(**constants)
