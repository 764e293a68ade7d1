"""What is stored of every ticker, and what is missing or stale; nothing is written or fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd

from volassets.pipeline.cells import Cell, Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.freshness import Age, ages
from volassets.pipeline.planner import CHANGED, PlannedCell, plan
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
    refused : str
        Why the source's last answer was not taken; empty where it was.
    months : list of Timestamp
        Stored refit months, in order.
    cells : list of PlannedCell
        Missing and stale cells of the stored months and those between them, features and comparison included.
    ages : list of Age
        How old the newest bar and the newest forecast are; empty where bars do not grow by themselves.
    """

    ticker: str
    bars_to: pd.Timestamp | None
    refused: str
    months: list[pd.Timestamp]
    cells: list[PlannedCell]
    ages: list[Age] = field(default_factory=list)


def read_status(context: Context, steps: Sequence[Step]) -> Iterator[tuple[State, list[TickerStatus]]]:
    """Yield the state of the listed tickers in portions, each with the state that it was read from.

    The context's `now` decides which sessions have closed.
    """
    listed = context.settings.tickers
    for start in range(0, len(listed), AT_ONCE):
        tickers = listed[start : start + AT_ONCE]
        state = State(context, tickers)
        context.load_bars(tickers)
        quality = context.warehouse.read("data_quality", ticker=list(tickers), severity="error")
        refused = quality.groupby("ticker")["message"].agg(" ".join).to_dict()
        by_ticker: dict[str, list[Age]] = {ticker: [] for ticker in tickers}
        for age in ages(context, tickers):
            by_ticker[age.ticker].append(age)
        yield (
            state,
            [_ticker_status(state, steps, ticker, refused.get(ticker, ""), by_ticker[ticker]) for ticker in tickers],
        )
        context.forget(tickers)


def _ticker_status(state: State, steps: Sequence[Step], ticker: str, refused: str, found: list[Age]) -> TickerStatus:
    known = state.context.ticker(ticker)
    grid = [(step, model) for step in steps if step.scope is Scope.TICKER_MONTH for model in step.variants]
    stored = (state.months(step.table, ticker, model.name if model else "") for step, model in grid)
    months = sorted({month for listed in stored for month in listed})
    if known.bars.empty:
        return TickerStatus(ticker, None, refused, months, [])
    cells: list[PlannedCell] = []
    if months:
        whole = {ticker: months_between(months[0], months[-1])}
        cells = plan(state, [step for step in steps if step.scope is not Scope.ONCE and not step.names], whole)
        if not state.current_forecasts(ticker):
            # A run makes the forecasts first; until then there is nothing to plan a comparison from.
            place = Partition(ticker)
            compared = (step for step in steps if step.scope is Scope.TICKER and step.has_page)
            cells += [PlannedCell(Cell(s.name, place), CHANGED) for s in compared if state.stored(s, place)]
    return TickerStatus(ticker, known.index[-1], refused, months, cells, found)
