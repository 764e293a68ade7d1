"""Cells and partitions: what a step computes and replaces at once, and the texts that name it.

A step's rows belong to cells. A cell is one model of one partition (or the partition as a whole where a step has no
models); a partition is what an orchestrator shows as one thing to materialize: a ticker, a month, or both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

import pandas as pd

from volassets.errors import InputError
from volassets.timing import contiguous, months_between, refit_month


class Scope(Enum):
    """What one partition of a step is about."""

    TICKER = "ticker"
    TICKER_MONTH = "ticker_month"
    MONTH = "month"
    PORTFOLIO = "portfolio"
    PORTFOLIO_MONTH = "portfolio_month"
    ONCE = "once"


OF_PORTFOLIOS = (Scope.PORTFOLIO, Scope.PORTFOLIO_MONTH)
WITH_MONTH = (Scope.TICKER_MONTH, Scope.PORTFOLIO_MONTH)


class Partition(NamedTuple):
    """A partition of a step: a ticker and a refit month, each where the scope has one.

    Of the scopes of books, `ticker` is the name of the portfolio.
    """

    ticker: str = ""
    month: pd.Timestamp | None = None

    @property
    def key(self) -> str:
        """Text of the partition: ``2016-01-01|^GSPC``, ``2016-01-01``, ``^GSPC``, or empty."""
        month = "" if self.month is None else f"{self.month:%Y-%m-%d}"
        return f"{month}|{self.ticker}" if month and self.ticker else month or self.ticker

    @property
    def label(self) -> str:
        """The partition in a message: ``^GSPC 2016-01``."""
        return " ".join(part for part in (self.ticker, "" if self.month is None else f"{self.month:%Y-%m}") if part)

    @property
    def refit_month(self) -> pd.Timestamp:
        """The month, of a scope that has one."""
        assert self.month is not None
        return self.month


class Cell(NamedTuple):
    """One model of one partition of one step: what is computed, hashed and replaced at once."""

    step: str
    partition: Partition
    model: str = ""


def parse_partition(scope: Scope, key: str) -> Partition:
    """Return the partition that a key names; the only reader of partition keys.

    Raises
    ------
    InputError
        If the key has not the form of its scope.
    """
    if scope is Scope.ONCE:
        return Partition()
    month, separator, ticker = key.partition("|")
    if scope in (Scope.TICKER, Scope.PORTFOLIO) and key and not separator:
        return Partition(key)
    if scope is Scope.MONTH and not separator:
        return Partition("", refit_month(month))
    if scope in WITH_MONTH and separator and ticker:
        return Partition(ticker, refit_month(month))
    names = {Scope.PORTFOLIO: "PORTFOLIO", Scope.PORTFOLIO_MONTH: "YYYY-MM-DD|PORTFOLIO"}
    form = {Scope.TICKER_MONTH: "YYYY-MM-DD|TICKER", Scope.MONTH: "YYYY-MM-DD", **names}.get(scope, "TICKER")
    raise InputError(f"partition key {key!r} is not of the form {form}: correct it.")


def bounding_range(partitions: Sequence[Partition], tickers: Iterable[str]) -> tuple[Partition, Partition]:
    """Return the corners of the smallest rectangle of months and tickers, in their listed order, of `partitions`."""
    listed = {ticker: place for place, ticker in enumerate(tickers)}
    names = sorted({partition.ticker for partition in partitions}, key=lambda name: listed.get(name, -1))
    months = sorted({partition.month for partition in partitions if partition.month is not None})
    first, last = (months[0], months[-1]) if months else (None, None)
    return Partition(names[0], first), Partition(names[-1], last)


def spans(partitions: Iterable[Partition]) -> dict[str, list[str]]:
    """Return partitions as text for run options: ticker to month spans, ``2016-01..2018-12`` or ``2016-01``."""
    months: dict[str, list[pd.Timestamp]] = {}
    for partition in partitions:
        months.setdefault(partition.ticker, []).extend([] if partition.month is None else [partition.month])
    return {
        ticker: [f"{a:%Y-%m}" if a == b else f"{a:%Y-%m}..{b:%Y-%m}" for a, b in contiguous(listed)]
        for ticker, listed in months.items()
    }


def partitions_of_spans(given: Mapping[str, Sequence[str]]) -> list[Partition]:
    """Return the partitions that `spans` wrote down.

    Raises
    ------
    InputError
        If a text is no month or span of months.
    """
    found = []
    for ticker, texts in given.items():
        if not texts:
            found.append(Partition(ticker))
        for text in texts:
            first, _, last = text.partition("..")
            months = months_between(refit_month(first), refit_month(last or first))
            if not months:
                raise InputError(f"{text!r} is not a span of months: write its first month first, as 2016-01..2018-12.")
            found += [Partition(ticker, month) for month in months]
    return found
