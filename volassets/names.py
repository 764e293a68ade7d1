"""What a ticker and a portfolio may be called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from volassets.errors import InputError

TICKER_PATTERN = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.^=&-]{0,31}")


def check_ticker_name(ticker: str) -> str:
    """Return `ticker` if it can name a partition, a file and a URL; InputError if not."""
    if not TICKER_PATTERN.fullmatch(ticker):
        shown = ticker if len(ticker) <= 40 else f"{ticker[:37]}..."
        raise InputError(
            f"ticker {shown!r} is not a valid name: use a letter, a digit or ^ first, then letters, digits and . ^ = & "
            "- only, at most 32 characters. Rename the file or use the exchange's symbol."
        )
    return ticker


def check_portfolio_name(name: str, tickers: Sequence[str]) -> str:
    """Return `name` if it can name a portfolio beside `tickers`; InputError if not."""
    if not TICKER_PATTERN.fullmatch(name) or name in tickers:
        why = (
            "a ticker has it" if name in tickers else "use a letter or a digit first, then letters, digits and . = & -"
        )
        raise InputError(f"portfolio {name!r} cannot have this name: {why}. Choose another one.")
    return name
