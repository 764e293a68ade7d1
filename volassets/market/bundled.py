"""Two index histories that come with the `arch` package: no network, always the same bytes.

S&P 500 (``^GSPC``) and NASDAQ composite (``^IXIC``), 1999-01-04 to 2018-12-31.
"""

from __future__ import annotations

from importlib import import_module

import pandas as pd

from volassets.errors import InputError
from volassets.market.bars import as_bars

_DATASETS = {"^GSPC": "arch.data.sp500", "^IXIC": "arch.data.nasdaq"}


class BundledSource:
    """Source `bundled`; see `volassets.market.price_source.PriceSource`."""

    name = "bundled"

    def fetch(self, ticker: str) -> pd.DataFrame:
        """Return the bundled bars of `ticker`.

        Raises
        ------
        InputError
            If the ticker is not bundled.
        """
        if ticker not in _DATASETS:
            raise InputError(
                f"ticker {ticker!r} is not bundled: only {' and '.join(_DATASETS)} are. "
                "Use --source csv with your own file, or --source yfinance."
            )
        raw = import_module(_DATASETS[ticker]).load()
        return as_bars(raw.rename(columns=lambda name: name.lower().replace(" ", "_")))

    def known(self, ticker: str) -> bool:
        """Return whether `ticker` is one of the two."""
        return ticker in _DATASETS
