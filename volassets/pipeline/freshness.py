"""How old the newest bar and the newest forecast of a ticker are, in sessions of its calendar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from volassets.market.findings import Finding
from volassets.market.freshness import severity
from volassets.market.price_source import LOCAL_SOURCES
from volassets.models.registry import families
from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.price_intake import closed_sessions
from volassets.pipeline.state import State
from volassets.pipeline.step import Check
from volassets.settings import Settings

BAR, FORECAST = "bar", "forecast"


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


def unjudged(settings: Settings, ticker: str) -> str:
    """Return why the age of what is stored of `ticker` says nothing; empty where it does."""
    if ticker in settings.closed:
        return "it is traded no more"
    source = settings.source_of(ticker).source
    return f"bars of the source {source} do not grow by themselves" if source in LOCAL_SOURCES else ""


def ages(context: Context, tickers: Sequence[str]) -> list[Age]:
    """Return the age of the newest bar and of the newest forecast of every ticker that has one and that goes on.

    The context's `now` decides which sessions have closed; the day's own is open. Bars of files do not grow by
    themselves, nor do those of closed tickers: these are left out. No bars are read, only the last days.
    """
    judged = [ticker for ticker in tickers if not unjudged(context.settings, ticker)]
    if not judged:
        return []
    newest = context.warehouse.query(_newest(), {"tickers": judged}).to_dict("records")
    found = []
    for row in sorted(newest, key=lambda row: judged.index(row["ticker"])):
        ticker, last = row["ticker"], pd.Timestamp(row["last_bar"])
        behind = len(closed_sessions(context, ticker, last))
        found.append(Age(ticker, BAR, last, behind))
        if not pd.isna(row["last_origin"]):
            found.append(Age(ticker, FORECAST, pd.Timestamp(row["last_origin"]), behind + int(row["bars_after"])))
    return found


def _newest() -> str:
    # The tables themselves: the view of all forecasts joins every row with its next bar.
    parts = " UNION ALL ".join(
        f"SELECT ticker, max(origin_date) AS day FROM {family}_forecasts WHERE list_contains($tickers, ticker) "
        "GROUP BY ticker"
        for family in families()
    )
    return f"""
        SELECT b.ticker, max(b.date) AS last_bar, any_value(f.last_origin) AS last_origin,
            count(*) FILTER (WHERE b.date > f.last_origin) AS bars_after
        FROM raw_prices b LEFT JOIN (SELECT ticker, max(day) AS last_origin FROM ({parts}) GROUP BY ticker) f
            ON f.ticker = b.ticker
        WHERE list_contains($tickers, b.ticker) GROUP BY b.ticker"""


def _current(what: str, state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Sequence[Finding]]:
    """Return the age of the newest `what` as a finding, of every ticker that has one and whose bars grow."""
    known = ages(state.context, [partition.ticker for partition in partitions])
    return {
        Partition(age.ticker): [Finding(f"{what}s_current", severity(age.sessions) or "note", age.line)]
        for age in known
        if age.what == what
    }


def current_check(what: str) -> Check:
    """Return the check of the age of the newest `what`, which the daemon and a click ask, but no run."""
    return Check(
        f"{what}s_current",
        f"How many sessions of the ticker's calendar the newest {what} is old. Asked by the daemon, not by runs.",
        partial(_current, what),
        of_now=True,
    )
