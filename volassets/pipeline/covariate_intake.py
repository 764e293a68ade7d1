"""Covariates in: fetched beside the bars of the tickers that use them, and never in the way of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from volassets.errors import VolassetsError
from volassets.features.covariates import OLDEST, Covariate, is_early, known_places, lead
from volassets.market.bar_errors import check_bars, require_valid
from volassets.market.bars import BAR_COLUMNS
from volassets.market.calendar import covariate_calendar
from volassets.market.findings import Finding
from volassets.market.price_source import LOCAL_SOURCES, PriceSource, make_source
from volassets.market.revisions import update_bars
from volassets.pipeline.bar_changes import bar_changes
from volassets.pipeline.context import Context
from volassets.pipeline.locks import wait_for_run, write_lock
from volassets.warehouse.store import Replacement

ROLE, CHECK = "covariate", "covariate"


def take_covariates(context: Context, tickers: Sequence[str], *, always: bool = False) -> None:
    """Fetch, check and store the covariates of `tickers` that this run has not looked at; note what is wrong with them.

    One that cannot be had keeps its stored values: it stops nobody, and the findings of its tickers say so. Nothing is
    fetched of a name that is a ticker of the home itself, whose bars are taken as such.

    Parameters
    ----------
    context : Context
    tickers : sequence of str
    always : bool
        Whether to ask a download also where no session has closed since the last value.
    """
    settings = context.settings
    names = dict.fromkeys(name for ticker in tickers for name in settings.covariates_of(ticker))
    for name in names:
        if name not in context.listed and name not in context.covariate_problems:
            context.covariate_problems[name] = _taken(context, name, always)
    if names:
        _note(context, [ticker for ticker in tickers if settings.covariates_of(ticker)])


def _taken(context: Context, name: str, always: bool) -> str:
    """Refresh one covariate; return why it could not be, empty where it could."""
    lock = write_lock(context.settings.home, name)
    if not lock.take():
        wait_for_run(lock, name, context.log)
        context.forget([name])
    try:
        _refresh(context, name, always)
    except VolassetsError as error:
        return str(error)
    finally:
        lock.release()
    return ""


def _refresh(context: Context, name: str, always: bool) -> None:
    source, calendar = _source(context, name), covariate_calendar(name, context.settings.calendars)
    stored = context.bars(name)
    if not (
        always
        or stored.empty
        or source.name in LOCAL_SOURCES
        or len(calendar.closed_after(stored.index[-1], context.now.date()))
    ):
        return
    # Closes are enough of a covariate, as of a ticker with this proxy.
    fetched = source.fetch(context.settings.symbol_of(name))[list(BAR_COLUMNS)]
    bars, findings = check_bars(name, fetched, calendar, now=context.now, proxy="squared_return")
    require_valid(name, findings)
    seen = context.now.replace(tzinfo=None, microsecond=0)
    update = update_bars(name, stored, bars, seen)
    if update.changed.empty and update.bars.index.equals(stored.index):
        return
    names: dict[str, Any] = {"ticker": name, "source": source.name, "fetched_at": seen, "role": ROLE}
    context.warehouse.write(*bar_changes(update, stored, names))
    context.set_covariate(name, update.bars)


def _source(context: Context, name: str) -> PriceSource:
    if context.given_source is not None:
        return context.given_source
    return make_source(context.settings.for_ticker(name).model_copy(update={"proxy": "squared_return"}))


def _note(context: Context, tickers: Sequence[str]) -> None:
    """Put what is wrong with the covariates of `tickers` into their findings, in place of what was."""
    stored = context.warehouse.read("data_quality", ticker=list(tickers))
    cells, frames = [], []
    for ticker in tickers:
        own = stored[stored["ticker"] == ticker]
        others, before = own[own["check_name"] != CHECK], own.loc[own["check_name"] == CHECK, "message"]
        found = [finding.message for finding in covariate_findings(context, ticker)]
        if sorted(before) != sorted(found):
            rows = [(ticker, CHECK, "warning", message, 0) for message in found]
            frames += [others, pd.DataFrame(rows, columns=list(stored.columns))]
            cells.append(ticker)
    if cells:
        context.warehouse.write(Replacement("data_quality", pd.concat(frames), pd.DataFrame({"ticker": cells})))


def covariate_findings(context: Context, ticker: str) -> list[Finding]:
    """Return what is wrong with the stored covariates of a ticker, a warning each."""
    if context.bars(ticker).empty:
        return []
    texts = (text for covariate in context.covariates(ticker) for text in _texts(context, ticker, covariate))
    return [Finding(CHECK, "warning", f"{ticker}: {text}") for text in texts]


def _texts(context: Context, ticker: str, covariate: Covariate) -> Iterator[str]:
    name, bars = covariate.name, context.bars(ticker)
    problem = context.covariate_problems.get(name, "")
    why = f" {problem}" if problem else ""
    if covariate.bars.empty:
        yield f"the covariate {name} has no values, its columns are 0.{why}"
        return
    last = covariate.bars.index[-1]
    if problem:
        yield f"the covariate {name} could not be refreshed and is used to {last:%Y-%m-%d}.{why}"
    index, calendar = pd.DatetimeIndex(bars.index), context.calendar(ticker)
    places = known_places(covariate, index, calendar.closing_times(index))
    if places[-1] < 0:
        days = OLDEST.days
        yield f"the covariate {name} ends on {last:%Y-%m-%d}, over {days} days before the last bar: its columns are 0."
    following, same = lead(covariate, bars, calendar)
    if is_early(following, same):
        yield (
            f"the changes of the covariate {name} agree more with the return of the next session ({following:+.2f}) "
            f"than with that of their own ({same:+.2f}): its dates are probably a day early, and it knows what it "
            "cannot. Correct the dates, or its exchange in the setting calendars."
        )
