"""Histories that come with packages: no network, always the same bytes.

Two indices of `arch`, S&P 500 (``^GSPC``) and NASDAQ composite (``^IXIC``), 1999-01-04 to 2018-12-31; and five stocks
of `bokeh-sampledata`, in the public domain, with prices as quoted and an adjusted close, until 2013-03-01. Closes of
the volatility index ``^VIX``, 2014-01-03 to 2019-01-03, for the setting `covariates`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from volassets.errors import InputError
from volassets.market.bars import as_bars

_INDICES = {"^GSPC": "sp500", "^IXIC": "nasdaq"}
_CLOSES = {"^VIX": "vix"}
_STOCKS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
# Month of the first session after the last bundled bar: the newest that can be forecast.
LAST_MONTH = "2019-01"


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
        if not self.known(ticker):
            raise InputError(
                f"ticker {ticker!r} is not bundled: only {', '.join((*_INDICES, *_STOCKS, *_CLOSES))} are. "
                "Use --source csv with your own file, or --source yfinance."
            )
        if ticker in _STOCKS:
            raw = pd.DataFrame(getattr(import_module("bokeh_sampledata.stocks"), ticker)).set_index("date")
            return as_bars(raw)
        if ticker in _CLOSES:
            closes = _of_arch(_CLOSES[ticker]).dropna().iloc[:, 0]
            return as_bars(pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), closes)))
        raw = _of_arch(_INDICES[ticker])
        return as_bars(raw.rename(columns=lambda name: name.lower().replace(" ", "_")))

    def known(self, ticker: str) -> bool:
        """Return whether `ticker` is bundled."""
        return ticker in _INDICES or ticker in _STOCKS or ticker in _CLOSES


def _of_arch(name: str) -> pd.DataFrame:
    """Return one of arch's histories from its file: to import arch takes longer than all else before a run starts."""
    package = find_spec("arch")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / "data" / name / f"{name}.csv.gz"
    return pd.read_csv(file, index_col=0, parse_dates=True, na_values=".")
