"""`volassets status`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import click
import pandas as pd

from volassets.market.freshness import severity
from volassets.pipeline.freshness import BAR, FORECAST
from volassets.pipeline.planner import MISSING, span, summary
from volassets.reporting.console import print_frame
from volassets.settings import Settings, load_settings

SHOWN_LINES = 20
FAILED = "FAILED"


def status_command() -> int:
    """Print what is stored, what is missing or stale and why, and what to do about it; nothing is written.

    Returns 1 where a newest bar or forecast is so old that it counts as a failure (`volassets.market.freshness`).
    """
    from volassets.orchestration.materializations import differences, recorded_versions
    from volassets.orchestration.orphaned_runs import orphaned_runs
    from volassets.pipeline.context import Context
    from volassets.pipeline.home_status import read_status
    from volassets.pipeline.pool_membership import differing_pools
    from volassets.pipeline.steps import steps

    settings = load_settings()
    click.echo(f"home      {settings.home}")
    click.echo(f"settings  source {settings.source}, models {', '.join(settings.chosen_models)}")
    _print([f"source of {ticker}: {', '.join(known)}" for ticker, known in _own_sources(settings).items()], SHOWN_LINES)
    listed, instance = steps(settings), _instance(settings)
    recorded = {} if instance is None else recorded_versions(instance, listed)
    tickers: list[Any] = []
    differing: list[Any] = []
    for state, portion in read_status(Context(settings), listed):
        tickers += portion
        if instance is not None:
            differing += differences(state, listed, recorded, [ticker.ticker for ticker in portion])
    print_frame(pd.DataFrame([_row(ticker, settings.closed) for ticker in tickers]))
    refused = [ticker for ticker in tickers if ticker.refused and ticker.ticker not in settings.closed]
    _print([f"{t.ticker}: the last prices were not taken, the stored ones stand: {t.refused}" for t in refused])
    _print(old := _old(tickers))
    _print(summary(cell for ticker in tickers for cell in ticker.cells))
    _print(summary(books := _portfolio_cells(settings, listed, {t.ticker: t.months for t in tickers})))
    _print(differing_pools(Context(settings)))
    _print(_record(differing))
    _print(_orphaned([] if instance is None else orphaned_runs(instance, settings.home)))
    _print(_instance_file(settings))
    if books or any(ticker.cells for ticker in tickers):
        click.echo("`volassets run` computes what is missing or stale and nothing else.")
    return int(any(line.startswith(FAILED) for line in old))


def _portfolio_cells(settings: Settings, steps: Sequence[Any], months: dict[str, Any]) -> list[Any]:
    """Return the missing and stale cells of portfolios over the stored months."""
    from volassets.pipeline.context import Context
    from volassets.pipeline.planner import plan
    from volassets.pipeline.state import State

    own = [step for step in steps if step.names]
    return plan(State(Context(settings)), own, months) if own else []


def _old(tickers: Sequence[Any]) -> list[str]:
    """Return which newest bars and forecasts are too old, in sessions of the ticker's calendar."""
    words = {"warning": "warning", "error": FAILED}
    found = [(severity(age.sessions), age) for ticker in tickers for age in ticker.ages]
    return [f"{words[worst]}: {age.line}" for worst, age in found if worst]


def _own_sources(settings: Settings) -> dict[str, list[str]]:
    """Return the source of every ticker that has one of its own, with its directory."""
    known = {ticker: settings.source_of(ticker) for ticker in settings.tickers if ticker in settings.sources}
    return {
        ticker: list(filter(None, (source.source, source.csv_dir, source.symbol and f"as {source.symbol}")))
        for ticker, source in known.items()
    }


def _instance(settings: Settings) -> Any:
    """Return Dagster's instance if there is one; looking must not create it."""
    from volassets.orchestration.instance import open_instance

    if not os.environ.get("DAGSTER_HOME") and not (settings.home / "dagster" / "history").exists():
        return None
    return open_instance(settings.home)


def _instance_file(settings: Settings) -> list[str]:
    from volassets.orchestration.instance import instance_differences

    own = str(settings.home / "dagster")
    differing = instance_differences(settings.home) if os.environ.get("DAGSTER_HOME", own) == own else []
    if not differing:
        return []
    return [
        f"{len(differing)} settings of Dagster differ from this version's dagster.yaml: `volassets ui` says which, "
        "`volassets ui --refresh-instance` takes them over."
    ]


def _row(ticker: Any, closed: Sequence[str] = ()) -> dict[str, Any]:
    missing, months = sum(cell.reason == MISSING for cell in ticker.cells), ticker.months
    ages = {age.what: age.sessions for age in ticker.ages}
    if ticker.bars_to is None:
        state = "no bars yet"
    elif ticker.ticker in closed:
        state = "closed" if not ticker.cells else "closed, to refresh"
    elif behind := ages.get(BAR):
        state = f"stale: {behind} {'session has' if behind == 1 else 'sessions have'} closed since"
    elif not months:
        state = "no month yet"
    else:
        state = "up to date" if not ticker.cells else "to refresh"
    return {
        "ticker": ticker.ticker,
        "bars to": "" if ticker.bars_to is None else f"{ticker.bars_to:%Y-%m-%d}",
        "bar age": str(ages.get(BAR, "")),
        "forecast age": str(ages.get(FORECAST, "")),
        "from": f"{months[0]:%Y-%m}" if months else "",
        "to": f"{months[-1]:%Y-%m}" if months else "",
        "months": len(months),
        "missing": missing,
        "stale": len(ticker.cells) - missing,
        "state": state,
    }


def _record(differing: Sequence[Any]) -> list[str]:
    if not differing:
        return ["Dagster's record and the tables agree."]
    lines = [
        f"{d.step} of {d.ticker}, {len(d.months)} months ({span(d.months)}): "
        + ("recorded in Dagster, not in the tables" if d.recorded else "in the tables, not recorded in Dagster")
        for d in differing
    ]
    by_ticker: dict[str, list[pd.Timestamp]] = {}
    for difference in differing:
        by_ticker.setdefault(difference.ticker, []).extend(difference.months)
    return _cut(lines, SHOWN_LINES) + [
        f"to repair it: volassets run --ticker '{ticker}' --from {min(months):%Y-%m} --to {max(months):%Y-%m}"
        for ticker, months in list(by_ticker.items())[:SHOWN_LINES]
    ]


def _orphaned(runs: Sequence[str]) -> list[str]:
    if not runs:
        return []
    were, them = ("run was", "it") if len(runs) == 1 else ("runs were", "them")
    return [
        f"{len(runs)} {were} killed and Dagster still shows {them} as running: the next `volassets run` or the daemon "
        "closes that."
    ]


def _print(lines: list[str], shown: int = 2 * SHOWN_LINES) -> None:
    for line in _cut(lines, shown):
        click.echo(line)


def _cut(lines: list[str], shown: int) -> list[str]:
    return lines[:shown] + ([f"and {len(lines) - shown} more"] if len(lines) > shown else [])
