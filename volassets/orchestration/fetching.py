"""When bars are fetched again, and fetching them once per process."""

from __future__ import annotations

from datetime import date

import pandas as pd

from volassets.clock import utc_now
from volassets.market.calendar import SessionCalendar
from volassets.market.revisions import update_bars
from volassets.market.sources import PriceSource

LOCAL_SOURCES = ("bundled", "csv")


class FetchedOnce:
    """A source that remembers its answers, so that planning a run and doing it see the same bars."""

    def __init__(self, source: PriceSource) -> None:
        self._source = source
        self._answers: dict[tuple[str, date | None, date | None], pd.DataFrame] = {}

    @property
    def name(self) -> str:
        """Name of the source behind."""
        return self._source.name

    def known(self, ticker: str) -> bool | None:
        """As of the source behind."""
        return self._source.known(ticker)

    def fetch(self, ticker: str, start: date | None = None, end: date | None = None) -> pd.DataFrame:
        """Return the source's answer, the same one for the same question."""
        key = (ticker, start, end)
        if key not in self._answers:
            self._answers[key] = self._source.fetch(ticker, start=start, end=end)
        return self._answers[key]


def needs_fetch(
    source: PriceSource, ticker: str, stored: pd.DataFrame, calendar: SessionCalendar, today: date | None = None
) -> str:
    """Return why the bars of `ticker` have to be fetched, or an empty text.

    A local source is read and compared; a download is asked only when a session has closed since
    the last stored bar.

    Parameters
    ----------
    source : PriceSource
    ticker : str
    stored : DataFrame
        Stored bars, index date; empty where there are none.
    calendar : SessionCalendar
    today : date, optional
        UTC date of now; the day's own session counts as open.
    """
    if stored.empty:
        return "no bars stored yet"
    if source.name in LOCAL_SOURCES:
        update = update_bars(ticker, stored, source.fetch(ticker), utc_now())
        same = update.changed.empty and update.bars.index.equals(stored.index)
        return "" if same else f"the {source.name} bars differ from the stored ones"
    yesterday = pd.Timestamp(today or utc_now().date()) - pd.Timedelta(days=1)
    closed = calendar.sessions(stored.index[-1], yesterday)
    if len(closed) and closed[-1] > stored.index[-1]:
        return f"the stored bars end on {stored.index[-1]:%Y-%m-%d}, {closed[-1]:%Y-%m-%d} has closed since"
    return ""
