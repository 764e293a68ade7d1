"""The source that a home's settings ask for. A new source is one file beside this one and one branch here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volassets.errors import InputError
from volassets.market.price_source import PriceSource, SourceError

if TYPE_CHECKING:
    from volassets.settings import Settings

__all__ = ["PriceSource", "SourceError", "make_source"]


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
