"""Which cells are missing or stale, and why: the one answer for runs, `volassets status`, schedules and the UI."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from volassets.models.protocol import Model, field_values
from volassets.pipeline.cells import Cell, Partition, Scope
from volassets.pipeline.state import State
from volassets.pipeline.step import Step

MISSING = "missing"
FORCED = "forced"
CHANGED = "bars, settings or what it is computed from changed"
NEW_BARS = "new bars or a refreshed fit"
EARLIER_MONTH = "an earlier month, from which it goes on, is missing or stale"
SHOWN_TICKERS = 3


class PlannedCell(NamedTuple):
    """One cell that a run has to compute, and the reason."""

    cell: Cell
    reason: str


def partitions_of(step: Step, months: Mapping[str, Sequence[pd.Timestamp]]) -> list[Partition]:
    """Return the partitions of a step that belong to a request for `months`, refit months by ticker."""
    if step.scope is Scope.TICKER:
        return [Partition(ticker) for ticker in months]
    if step.scope is Scope.TICKER_MONTH:
        return [Partition(ticker, month) for ticker, listed in months.items() for month in listed]
    if step.scope is Scope.MONTH:
        return [Partition("", month) for month in sorted({month for listed in months.values() for month in listed})]
    if step.scope is Scope.PORTFOLIO:
        return [Partition(name) for name in step.names]
    if step.scope is Scope.PORTFOLIO_MONTH:
        listed = sorted({month for own in months.values() for month in own})
        return [Partition(name, month) for name in step.names for month in listed]
    return [Partition()] if step.scope is Scope.ONCE else []


def plan(
    state: State, steps: Iterable[Step], months: Mapping[str, Sequence[pd.Timestamp]], force: bool = False
) -> list[PlannedCell]:
    """Return the missing and stale cells of a request in pipeline order.

    The tables and today's bars decide, whatever an orchestrator has recorded.

    Parameters
    ----------
    state : State
    steps : iterable of Step
        Steps that are computed; the one that takes bars in is judged by its source.
    months : mapping of str to sequence of Timestamp
        Refit months by ticker.
    force : bool
        Whether cells that are right are computed again too.
    """
    listed: list[PlannedCell] = []
    with state.context.warehouse.reading():
        for step in steps:
            if step.compute is not None:
                places = partitions_of(step, months)
                planned = [cell for place in places for cell in _plan_partition(state, step, place, force)]
                listed += _with_later_months(state, step, places, planned) if step.chained else planned
    return listed


def _with_later_months(
    state: State, step: Step, places: Iterable[Partition], planned: Sequence[PlannedCell]
) -> list[PlannedCell]:
    """Return planned cells of a chained step with the later months of their model, whose hashes they change."""
    reasons = dict(planned)
    listed, begun = [], set()
    for place in sorted(places):
        for model in step.variants:
            cell = Cell(step.name, place, model.name if model else "")
            if cell in reasons:
                begun.add((place.ticker, cell.model))
            elif (place.ticker, cell.model) not in begun or not state.stored(step, place, cell.model):
                continue
            listed.append(PlannedCell(cell, reasons.get(cell, EARLIER_MONTH)))
    return listed


def later_months(state: State, step: Step, places: Iterable[Partition]) -> dict[str, list[pd.Timestamp]]:
    """Return by ticker the stored months that a chained step has to compute again after `places` were computed.

    Every later month goes on from them; empty for other steps.
    """
    first: dict[str, pd.Timestamp] = {}
    for place in places if step.chained else ():
        first[place.ticker] = min(place.refit_month, first.get(place.ticker, place.refit_month))
    found: dict[str, list[pd.Timestamp]] = {}
    for ticker, month in first.items():
        names = {model: model.name if model else "" for model in step.variants}
        later = {
            when
            for model, name in names.items()
            for when in state.months(step.table, ticker, name)
            if when > month and not state.is_current(step, Partition(ticker, when), model)
        }
        if later:
            found[ticker] = sorted(later)
    return found


def _plan_partition(state: State, step: Step, partition: Partition, force: bool) -> Iterator[PlannedCell]:
    for model in step.variants:
        if (model is not None and model.name not in state.context.models) or step.gap(state, partition, model):
            continue
        expected, name = step.fingerprint(state, partition, model), model.name if model else ""
        stored = state.stored(step, partition, name)
        if expected and (force or stored != expected):
            reason = MISSING if not stored else FORCED if force else _change(state, step, partition, model)
            yield PlannedCell(Cell(step.name, partition, name), reason)


def _change(state: State, step: Step, partition: Partition, model: Model | None) -> str:
    """Return what changed: the model itself where a fit says so, else what it is computed from."""
    if scale := state.other_sessions(partition.ticker):
        return scale
    if model is None or "parameters" not in state.context.warehouse.table(step.table).column_names:
        return step.stale_reason or (NEW_BARS if step.stage == "forecasts" else CHANGED)
    version, spec = state.stored_hashes.spec(step.table, partition, model.name)
    if version != model.code_version:
        return f"code version of {model.name} {version} -> {model.code_version}"
    before, now = json.loads(spec), field_values(model)
    changed = [f"{key} {before.get(key)} -> {now[key]}" for key in now if before.get(key) != now[key]]
    return f"settings changed: [{model.name}] {', '.join(changed)}" if changed else CHANGED


def summary(cells: Iterable[PlannedCell]) -> list[str]:
    """Return one line per step and reason: how many cells, of which tickers, over which months."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell, reason in cells:
        groups.setdefault((cell.step, reason), []).append(cell)
    lines = []
    for (step, reason), listed in groups.items():
        texts = named(cell.partition.ticker for cell in listed), span(cell.partition.month for cell in listed)
        where = ", ".join(filter(None, texts))
        count = f"{len(listed)} {'cell' if len(listed) == 1 else 'cells'}"
        lines.append(f"{step}: {count}{f' of {where}' if where else ''}: {reason}")
    return lines


def named(tickers: Iterable[str], shown: int = SHOWN_TICKERS) -> str:
    """Return the first of some tickers as text, and how many more there are."""
    names = [name for name in dict.fromkeys(tickers) if name]
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def span(months: Iterable[pd.Timestamp | None]) -> str:
    """Return months as text: the first and the last one."""
    listed = sorted({month for month in months if month is not None})
    return " .. ".join(f"{month:%Y-%m}" for month in dict.fromkeys([*listed[:1], *listed[-1:]]))
