"""How old the newest bar and the newest forecast of a ticker are, in sessions of its calendar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from volassets.market.findings import Finding
from volassets.market.freshness import severity
from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.price_intake import LOCAL_SOURCES, closed_sessions, is_closed
from volassets.pipeline.state import State
from volassets.pipeline.step import Check

BAR, FORECAST = "bar", "forecast"
NEWEST = "SELECT ticker, max(origin_date) AS last FROM forecasts WHERE list_contains($tickers, ticker) GROUP BY ticker"


@dataclass(frozen=True)
class Age:
    """How old the newest `what`, a bar or a forecast, of a ticker is.

    Attributes
    ----------
    newest : Timestamp
        Day of the bar, or of the close that the forecast was made at.
    sessions : int
        Sessions that have closed since.
    """

    ticker: str
    what: str
    newest: pd.Timestamp
    sessions: int

    @property
    def text(self) -> str:
        """One sentence without the remedy."""
        made = "of" if self.what == BAR else "made at the close of"
        plural = "" if self.sessions == 1 else "s"
        return f"the newest {self.what} is {made} {self.newest:%Y-%m-%d}, {self.sessions} session{plural} old"

    @property
    def line(self) -> str:
        """The ticker, the age and, where it is too old, the remedy."""
        remedy = f": `volassets run --ticker '{self.ticker}'`" if severity(self.sessions) else ""
        return f"{self.ticker}: {self.text}{remedy}"


def ages(context: Context, tickers: Sequence[str]) -> list[Age]:
    """Return the age of the newest bar and of the newest forecast of every ticker that has one and that goes on.

    The context's `now` decides which sessions have closed; the day's own is open. Bars of files do not grow by
    themselves, nor do those of closed tickers: these are left out.
    """
    context.load_bars(tickers)
    newest = context.warehouse.query(NEWEST, {"tickers": list(tickers)}).set_index("ticker")["last"]
    found = []
    for ticker in tickers:
        local = context.settings.source_of(ticker).source in LOCAL_SOURCES
        if local or context.bars(ticker).empty or is_closed(context, ticker):
            continue
        days = context.ticker(ticker).index
        behind = len(closed_sessions(context, ticker))
        found.append(Age(ticker, BAR, days[-1], behind))
        if ticker in newest.index:
            last = pd.Timestamp(newest[ticker])
            found.append(Age(ticker, FORECAST, last, behind + int((days > last).sum())))
    return found


def _current(what: str, state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Sequence[Finding]]:
    """Return the age of the newest `what` as a finding; none where bars do not grow by themselves.

    A ticker without bars, or without the forecast that is asked about, is left out.
    """
    known = ages(state.context, [partition.ticker for partition in partitions])
    growing = {age.ticker for age in known}
    found: dict[Partition, list[Finding]] = {
        partition: []
        for partition in partitions
        if partition.ticker not in growing and not state.context.bars(partition.ticker).empty
    }
    for age in known:
        if age.what == what:
            found[Partition(age.ticker)] = [Finding(f"{what}s_current", severity(age.sessions) or "note", age.line)]
    return found


def current_check(what: str) -> Check:
    """Return the check of the age of the newest `what`, which the daemon and a click ask, but no run."""
    return Check(
        f"{what}s_current",
        f"How many sessions of the ticker's calendar the newest {what} is old. Asked by the daemon, not by runs.",
        partial(_current, what),
        of_now=True,
    )
