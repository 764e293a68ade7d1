"""Sources of daily bars: what every one offers, and the one that a home's settings ask for.

A new source is one file beside this one and one branch in `make_source`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pandas as pd

from volassets.errors import InputError

if TYPE_CHECKING:
    from volassets.settings import Settings

# These are read and compared at every run; a download is asked for when a session has closed.
LOCAL_SOURCES = ("bundled", "csv")


class PriceSource(Protocol):
    """Gives the daily bars of a ticker."""

    @property
    def name(self) -> str:
        """Name of the source as in the setting `source` and in `raw_prices.source`."""
        ...

    def fetch(self, ticker: str) -> pd.DataFrame:
        """Return all bars of `ticker`, as of `volassets.market.bars`.

        Raises
        ------
        InputError
            The ticker or its file is wrong.
        SourceError
            The source is out of reach or its answer is not usable.
        """
        ...

    def known(self, ticker: str) -> bool | None:
        """Return whether `ticker` exists, or None where only a fetch can answer."""
        ...


def make_source(settings: Settings) -> PriceSource:
    """Return the source that `settings` asks for; nothing is read or downloaded yet.

    Raises
    ------
    InputError
        If the source lacks what it needs, or its name is unknown.
    """
    if settings.source == "bundled":
        from volassets.market.bundled import BundledSource

        return BundledSource()
    if settings.source == "csv":
        from volassets.market.csv_files import CsvSource

        if not settings.csv_dir:
            raise InputError(
                "source = csv needs a directory with one TICKER.csv per ticker: give --csv-dir DIR, "
                "or csv_dir in volassets.toml."
            )
        return CsvSource(settings.csv_dir, close_only=settings.proxy == "squared_return")
    if settings.source == "yfinance":
        from volassets.market.yahoo import YahooSource

        return YahooSource(first_date=settings.start_date, calendars=settings.calendars)
    raise InputError(f"source {settings.source!r} does not exist: choose bundled, csv or yfinance.")
