"""What is stored of every ticker, and what is missing or stale; nothing is written or fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from volassets.pipeline.cells import Cell, Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.planner import CHANGED, PlannedCell, plan
from volassets.pipeline.price_fetching import LOCAL_SOURCES
from volassets.pipeline.state import State
from volassets.pipeline.step import Step
from volassets.timing import months_between

# Tickers are read many at once, so that 400 of them take seconds, and not all, to spare memory.
AT_ONCE = 100


@dataclass(frozen=True)
class TickerStatus:
    """One ticker's state.

    Attributes
    ----------
    bars_to : Timestamp or None
        Last stored bar.
    behind : int
        Sessions that have closed since; its newest forecasts are stale by as many.
    refused : str
        Why the source's last answer was not taken; empty where it was.
    months : list of Timestamp
        Stored refit months, in order.
    cells : list of PlannedCell
        Missing and stale cells from the first to the last stored month, features and comparison included.
    """

    ticker: str
    bars_to: pd.Timestamp | None
    behind: int
    refused: str
    months: list[pd.Timestamp]
    cells: list[PlannedCell]


def read_status(context: Context, steps: Sequence[Step]) -> Iterator[tuple[State, list[TickerStatus]]]:
    """Yield the state of the listed tickers in portions, each with the state that it was read from.

    Parameters
    ----------
    context : Context
        Its `now` decides which sessions have closed; the day's own counts as open. Bars of files do not grow by
        themselves and are never behind.
    steps : sequence of Step
    """
    listed = context.settings.tickers
    for start in range(0, len(listed), AT_ONCE):
        tickers = list(listed[start : start + AT_ONCE])
        state = State(context, tickers)
        context.load_bars(tickers)
        quality = context.warehouse.read("data_quality", ticker=tickers, severity="error")
        refused = quality.groupby("ticker")["message"].agg(" ".join).to_dict()
        yield state, [_ticker_status(state, steps, ticker, refused.get(ticker, "")) for ticker in tickers]
        context.forget(tickers)


def _ticker_status(state: State, steps: Sequence[Step], ticker: str, refused: str) -> TickerStatus:
    known, grid = state.context.ticker(ticker), [step for step in steps if step.scope is Scope.TICKER_MONTH]
    months = sorted(
        {
            month
            for step in grid
            for model in step.variants
            for month in state.months(step.table, ticker, model.name if model else "")
        }
    )
    if known.bars.empty:
        return TickerStatus(ticker, None, 0, refused, months, [])
    cells: list[PlannedCell] = []
    if months:
        whole = {ticker: months_between(months[0], months[-1])}
        cells = plan(state, [step for step in steps if step.scope is not Scope.ONCE], whole)
        if not state.current_forecasts(ticker):
            # A run makes the forecasts first; until then there is nothing to plan a comparison from.
            cells += [
                PlannedCell(Cell(step.name, Partition(ticker)), CHANGED) for step in _compared(state, steps, ticker)
            ]
    return TickerStatus(ticker, known.index[-1], _sessions_since(state, ticker), refused, months, cells)


def _compared(state: State, steps: Sequence[Step], ticker: str) -> list[Step]:
    return [
        step for step in steps if step.scope is Scope.TICKER and step.has_page and state.stored(step, Partition(ticker))
    ]


def _sessions_since(state: State, ticker: str) -> int:
    if state.context.settings.source in LOCAL_SOURCES:
        return 0
    known = state.context.ticker(ticker)
    yesterday = pd.Timestamp(state.context.now.date()) - pd.Timedelta(days=1)
    return int((known.calendar.sessions(known.index[-1], yesterday) > known.index[-1]).sum())
