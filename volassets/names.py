"""What a ticker, a portfolio and a covariate may be called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from volassets.errors import InputError

Covariates = tuple[str, ...] | dict[str, tuple[str, ...]]
"""Names of series for every ticker, or by ticker."""
PREFIX = "cov_"
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


def covariate_stem(name: str) -> str:
    """Return what the columns of covariate `name` begin with: ``cov_vix`` for ^VIX."""
    return PREFIX + re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def covariate_names(given: Covariates) -> tuple[str, ...]:
    """Return the names of all covariates, in order."""
    groups = given.values() if isinstance(given, dict) else [given]
    return tuple(dict.fromkeys(name for group in groups for name in group))


def check_covariates(given: Covariates) -> Covariates:
    """Return `given` if every name is that of a ticker and of columns of its own; InputError or ValueError if not."""
    for group in given.values() if isinstance(given, dict) else [given]:
        repeated = [name for name in group if group.count(name) > 1]
        if repeated:
            raise ValueError(f"{repeated[0]!r} is named twice")
    stems: dict[str, str] = {}
    for name in covariate_names(given):
        own = covariate_stem(check_ticker_name(name))
        if own in stems or own == PREFIX:
            raise ValueError(f"{stems.get(own, '')!r} and {name!r} would have the same columns: rename one of them")
        stems[own] = name
    for ticker in given if isinstance(given, dict) else ():
        check_ticker_name(ticker)
    return given
