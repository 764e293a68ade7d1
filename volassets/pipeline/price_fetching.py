"""Bars in: when they are fetched, how an answer is checked, and what of it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from volassets.errors import InputError, VolassetsError
from volassets.market.bar_errors import check_bars, require_valid
from volassets.market.findings import Finding
from volassets.market.revisions import Update, update_bars
from volassets.pipeline.context import Context
from volassets.warehouse.store import Replacement, Upsert

LOCAL_SOURCES = ("bundled", "csv")


class BarsRefused(InputError):
    """The source's bars break a blocking rule; the stored ones stay.

    Attributes
    ----------
    findings : list of Finding
    """

    def __init__(self, message: str, findings: list[Finding]) -> None:
        super().__init__(message)
        self.findings = findings


@dataclass(frozen=True)
class Answer:
    """A source's bars of one ticker, checked and compared with the stored ones.

    Attributes
    ----------
    stored : DataFrame
        The bars that were stored before.
    update : Update
        Stored and fetched bars in one, and what changed.
    findings : list of Finding
        Warnings.
    """

    stored: pd.DataFrame
    update: Update
    findings: list[Finding]


def fetch(context: Context, ticker: str) -> Answer:
    """Ask the source for the bars of `ticker`, check them and compare them with the stored ones; nothing is written.

    Raises
    ------
    BarsRefused
        If they break a blocking rule.
    VolassetsError
        If the source does not answer, or does not know the ticker.
    """
    # A local file that changed has been read already, to see that it did.
    fetched = context.fetched.pop(ticker, None)
    if fetched is None:
        fetched = context.source.fetch(ticker)
    calendar, settings = context.calendar(ticker), context.settings
    findings = check_bars(ticker, fetched, calendar, today=context.now.date(), proxy=settings.proxy)
    try:
        require_valid(ticker, findings)
    except InputError as error:
        raise BarsRefused(str(error), findings) from None
    stored = context.bars(ticker)
    return Answer(stored, update_bars(ticker, stored, fetched, seen_at(context)), findings)


def seen_at(context: Context) -> Any:
    """Return the moment of the run as the store keeps it: UTC without a zone, whole seconds."""
    return context.now.replace(tzinfo=None, microsecond=0)


def reason_to_fetch(context: Context, ticker: str) -> str:
    """Return why the bars of `ticker` have to be fetched, or an empty text.

    A local source is read and compared; a download is asked for only when a session has closed since the last
    stored bar. The day's own session counts as open.
    """
    stored = context.bars(ticker)
    if stored.empty:
        return "no bars stored yet"
    if context.source.name in LOCAL_SOURCES:
        fetched = context.source.fetch(ticker)
        update = update_bars(ticker, stored, fetched, seen_at(context))
        if update.changed.empty and update.bars.index.equals(stored.index):
            return ""
        context.fetched[ticker] = fetched
        return f"the {context.source.name} bars differ from the stored ones"
    yesterday = pd.Timestamp(context.now.date()) - pd.Timedelta(days=1)
    closed = context.calendar(ticker).sessions(stored.index[-1], yesterday)
    if len(closed) and closed[-1] > stored.index[-1]:
        return f"the stored bars end on {stored.index[-1]:%Y-%m-%d}, {closed[-1]:%Y-%m-%d} has closed since"
    return ""


def changes_of(context: Context, ticker: str, answer: Answer) -> list[Replacement | Upsert]:
    """Return what to write: the changed bars only, unless some were withdrawn; then the ticker's rows as a whole."""
    update, stored = answer.update, answer.stored
    cell = pd.DataFrame({"ticker": [ticker]})
    names: dict[str, Any] = {"ticker": ticker, "source": context.source.name, "fetched_at": seen_at(context)}
    changes: list[Replacement | Upsert] = []
    if len(update.revisions):
        changes.append(Upsert("price_revisions", update.revisions))
    if len(stored.index.difference(update.bars.index)):
        changes.append(Replacement("raw_prices", update.bars.reset_index().assign(**names), cell))
    elif len(update.changed):
        rows = update.bars.loc[update.changed].reset_index().assign(**names)
        changes.append(Upsert("raw_prices", rows, ignore=("fetched_at", "source")))
    changes.append(Replacement("data_quality", finding_rows(ticker, answer.findings), cell))
    return changes


def refusal(context: Context, ticker: str, error: VolassetsError) -> Replacement:
    """Return what puts the reason of a refusal beside the warnings about the bars that stay."""
    findings = [f for f in getattr(error, "findings", []) if f.severity == "error"]
    findings = findings or [Finding("source", "error", str(error))]
    kept = context.warehouse.read("data_quality", ticker=ticker, severity="warning")
    rows = pd.concat([kept, finding_rows(ticker, findings)], ignore_index=True)
    return Replacement("data_quality", rows, pd.DataFrame({"ticker": [ticker]}))


def finding_rows(ticker: str, findings: Sequence[Finding]) -> pd.DataFrame:
    """Return findings as rows of ``data_quality``."""
    rows = [(ticker, f.check, f.severity, f.message, len(f.rows)) for f in findings]
    return pd.DataFrame(rows, columns=["ticker", "check_name", "severity", "message", "n_rows"])
