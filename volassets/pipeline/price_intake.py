"""Bars in: when they are fetched, how an answer is checked, what of it is written.

The one step whose input comes from outside the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pandas as pd

from volassets.errors import InputError, VolassetsError
from volassets.file_lock import FileLock
from volassets.market.bar_errors import check_bars, require_valid
from volassets.market.bars import REALIZED
from volassets.market.findings import Finding
from volassets.market.price_source import LOCAL_SOURCES
from volassets.market.revisions import Update, update_bars
from volassets.market.suspect_ranges import suspect_days
from volassets.pipeline.bar_changes import bar_changes
from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.covariate_intake import take_covariates
from volassets.pipeline.locks import wait_for_run, write_lock
from volassets.pipeline.partition_result import CommitPace, PartitionResult, by_table
from volassets.pipeline.progress import Progress, report
from volassets.pipeline.step import Step
from volassets.warehouse.store import Replacement, Upsert


class BarsRefused(InputError):
    """The source's bars break a blocking rule, as `findings` say; the stored ones stay."""

    def __init__(self, message: str, findings: list[Finding]) -> None:
        super().__init__(message)
        self.findings = findings


class Answer(NamedTuple):
    """A source's bars of one ticker, compared with the `stored` ones: both in one `update`, and warnings."""

    stored: pd.DataFrame
    update: Update
    findings: list[Finding]


class _Waiting(NamedTuple):
    """A ticker whose changes wait for a commit, under its lock."""

    item: PartitionResult
    answer: Answer | None
    changes: list[Replacement | Upsert]
    lock: FileLock


def reason_to_fetch(context: Context, ticker: str) -> str:
    """Return why the bars of `ticker` have to be fetched, or an empty text.

    A local source is read and compared; a download is asked for only when a session has closed since the last
    stored bar. The day's own session counts as open. A closed ticker is asked for only where nothing is stored of it.
    """
    stored = context.bars(ticker)
    if stored.empty:
        return "no bars stored yet"
    if is_closed(context, ticker):
        return ""
    if ticker in context.covariates_only:
        return "the stored bars are those of a covariate"
    if context.source(ticker).name in LOCAL_SOURCES:
        bars, findings = _checked(context, ticker)
        update = update_bars(ticker, stored, bars, _second(context))
        if update.changed.empty and update.bars.index.equals(stored.index):
            return ""
        context.fetched[ticker] = bars, findings
        return f"the {context.source(ticker).name} bars differ from the stored ones"
    closed = closed_sessions(context, ticker, stored.index[-1])
    if len(closed):
        return f"the stored bars end on {stored.index[-1]:%Y-%m-%d}, {closed[-1]:%Y-%m-%d} has closed since"
    return ""


def is_closed(context: Context, ticker: str) -> bool:
    """Return whether `ticker` is traded no more and what there is of it is stored."""
    return ticker in context.settings.closed and not context.bars(ticker).empty


def closed_sessions(context: Context, ticker: str, last: pd.Timestamp) -> pd.DatetimeIndex:
    """Return the sessions after `last` that have closed; the day's own counts as open."""
    return context.calendar(ticker).closed_after(last, context.now.date())


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
    known = context.fetched.pop(ticker, None)
    bars, findings = known or _checked(context, ticker)
    try:
        require_valid(ticker, findings)
    except InputError as error:
        raise BarsRefused(str(error), findings) from None
    stored = context.bars(ticker)
    return Answer(stored, update_bars(ticker, stored, bars, _second(context)), findings)


def _asked(context: Context, ticker: str) -> pd.DataFrame:
    """Return the source's bars of `ticker`; a download that has bars stored and is not known now gets the remedy."""
    source = context.source(ticker)
    try:
        return source.fetch(context.settings.symbol_of(ticker))
    except InputError as error:
        if source.name in LOCAL_SOURCES or context.bars(ticker).empty:
            raise
        raise InputError(
            f"{error} The stored bars of {ticker} stand. If it has another symbol now: `volassets tickers rename "
            f"'{ticker}' SYMBOL`; if it is traded no more: `volassets tickers close '{ticker}'`."
        ) from None


def _checked(context: Context, ticker: str) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the source's bars, ready to be stored where no finding is an error, and the findings."""
    fetched = _asked(context, ticker)
    if fetched.attrs.get("reading"):
        context.log(f"{ticker}: {fetched.attrs['reading']}")
    settings, calendar = context.settings, context.calendar(ticker)
    if REALIZED in fetched and settings.realized_unit == "annualised_volatility":
        fetched[REALIZED] = fetched[REALIZED] ** 2 / calendar.sessions_per_year
    return check_bars(ticker, fetched, calendar, now=context.now, proxy=settings.proxy)


def take_bars(context: Context, step: Step, partitions: Sequence[Partition]) -> Iterator[PartitionResult]:
    """Fetch, check and store bars; a ticker that is refused keeps its stored ones, and says why they are old."""
    waiting: list[_Waiting] = []
    pace = CommitPace()
    for number, partition in enumerate(partitions, 1):
        item, lock = PartitionResult(step, partition), write_lock(context.settings.home, partition.ticker)
        if not lock.take():
            # Nothing may be held while waiting for another run.
            yield from _committed(context, waiting)
            waiting = []
            wait_for_run(lock, partition.ticker, context.log)
            context.forget([partition.ticker])
            context.answers.pop(partition.ticker, None)
        waiting.append(_Waiting(item, *_fetched(context, item), lock))
        pace.add(sum(len(change.frame) for change in waiting[-1].changes))
        if pace.is_due:
            with pace.committing():
                done = _committed(context, waiting)
            waiting = []
            yield from done
        error = item.failures.get("", "")
        report(Progress(step.name, partition.ticker, None, number, len(partitions), error))
    yield from _committed(context, waiting)
    take_covariates(context, [partition.ticker for partition in partitions], always=context.fetch_only is None)


def _fetched(context: Context, item: PartitionResult) -> tuple[Answer | None, list[Replacement | Upsert]]:
    ticker, only = item.partition.ticker, context.fetch_only
    if (only is not None and ticker not in only) or is_closed(context, ticker):
        item.unchanged = [""]
        return None, []
    try:
        answer = context.answers.pop(ticker, None) or fetch(context, ticker)
    except VolassetsError as error:
        item.failures[""] = str(error)
        context.refusals[ticker] = error
        return None, [refusal(context, ticker, error)]
    context.refusals.pop(ticker, None)
    return answer, changes_of(context, ticker, answer)


def _committed(context: Context, waiting: Sequence[_Waiting]) -> list[PartitionResult]:
    changes = [change for entry in waiting for change in entry.changes]
    if changes:
        context.warehouse.write(*by_table(changes))
    for item, answer, _, lock in waiting:
        if answer is not None:
            item.rows = len(answer.update.changed)
            item.computed, item.unchanged = ([""], []) if item.rows else ([], [""])
            context.set_bars(item.partition.ticker, answer.update.bars)
            context.findings[item.partition.ticker] = answer.findings
        lock.release()
    return [entry.item for entry in waiting]


def changes_of(context: Context, ticker: str, answer: Answer) -> list[Replacement | Upsert]:
    """Return what to write: the changed bars only, unless some were withdrawn; then the ticker's rows as a whole."""
    update, cell = answer.update, pd.DataFrame({"ticker": [ticker]})
    names: dict[str, Any] = {"ticker": ticker, "source": context.source(ticker).name, "fetched_at": _second(context)}
    whole = ticker in context.covariates_only
    return [
        *bar_changes(update, answer.stored, names, whole=whole),
        Replacement("suspect_days", suspect_days(update.bars).assign(ticker=ticker), cell),
        Replacement("data_quality", _finding_rows(ticker, answer.findings), cell),
    ]


def refusal(context: Context, ticker: str, error: VolassetsError) -> Replacement:
    """Return what puts the reason of a refusal beside the warnings about the bars that stay."""
    findings = [finding for finding in getattr(error, "findings", []) if finding.severity == "error"]
    findings = findings or [Finding("source", "error", str(error))]
    kept = context.warehouse.read("data_quality", ticker=ticker, severity="warning")
    rows = pd.concat([kept, _finding_rows(ticker, findings)], ignore_index=True)
    return Replacement("data_quality", rows, pd.DataFrame({"ticker": [ticker]}))


def _finding_rows(ticker: str, findings: Sequence[Finding]) -> pd.DataFrame:
    rows = [(ticker, f.check, f.severity, f.message, len(f.rows)) for f in findings]
    return pd.DataFrame(rows, columns=["ticker", "check_name", "severity", "message", "n_rows"])


def _second(context: Context) -> datetime:
    """Return the moment of the run as the store keeps it: UTC without a zone, whole seconds."""
    return context.now.replace(tzinfo=None, microsecond=0)
