"""`volassets status`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import click
import pandas as pd

from volassets.reporting.console import print_frame
from volassets.settings import Settings, load_settings

SHOWN_LINES = 20


def status_command() -> int:
    """Print what is stored, what is missing or stale and why, and what to do about it; nothing is written."""
    from volassets.orchestration.fetching import LOCAL_SOURCES
    from volassets.orchestration.status import read_status

    settings = load_settings()
    click.echo(f"home      {settings.home}")
    click.echo(f"settings  source {settings.source}, models {', '.join(settings.chosen_models)}")
    status = read_status(settings, _instance(settings), local=settings.source in LOCAL_SOURCES)
    print_frame(pd.DataFrame([_row(ticker) for ticker in status.tickers]))
    _print(_refusals(status))
    _print(_reasons(status))
    _print(_record(status))
    if any(ticker.cells for ticker in status.tickers):
        click.echo("`volassets run` computes what is missing or stale and nothing else.")
    return 0


def _instance(settings: Settings) -> Any:
    """Return Dagster's instance if there is one; looking must not create it."""
    from volassets.orchestration.instance import open_instance

    if not os.environ.get("DAGSTER_HOME") and not (settings.home / "dagster" / "dagster.yaml").exists():
        return None
    return open_instance(settings.home)


def _row(ticker: Any) -> dict[str, Any]:
    from volassets.orchestration.plan import MISSING

    missing = sum(cell.reason == MISSING for cell in ticker.cells)
    stale = len(ticker.cells) - missing
    if ticker.bars_to is None:
        state = "no bars yet"
    elif ticker.behind:
        state = f"stale: {ticker.behind} {'session has' if ticker.behind == 1 else 'sessions have'} closed since"
    elif not ticker.months:
        state = "no month yet"
    else:
        state = "up to date" if not ticker.cells else "to refresh"
    return {
        "ticker": ticker.ticker,
        "bars to": "" if ticker.bars_to is None else f"{ticker.bars_to:%Y-%m-%d}",
        "from": "" if ticker.first is None else f"{ticker.first:%Y-%m}",
        "to": "" if ticker.last is None else f"{ticker.last:%Y-%m}",
        "months": ticker.months,
        "missing": missing,
        "stale": stale,
        "state": state,
    }


def _refusals(status: Any) -> list[str]:
    return [
        f"{t.ticker}: the last prices were not taken, the stored ones stand: {t.refused}"
        for t in status.tickers
        if t.refused
    ]


def _reasons(status: Any) -> list[str]:
    """Return one line per asset and reason, over all tickers."""
    groups: dict[tuple[str, str], list[Any]] = {}
    for ticker in status.tickers:
        for cell in ticker.cells:
            groups.setdefault((cell.asset, cell.reason), []).append(cell)
    return [
        f"{asset}: {len(cells)} {'cell' if len(cells) == 1 else 'cells'} of {_named(c.ticker for c in cells)}, "
        f"{_span(c.month for c in cells)}: {reason}"
        for (asset, reason), cells in groups.items()
    ]


def _record(status: Any) -> list[str]:
    from volassets.orchestration.status import cells_of

    if not status.differences:
        lines = ["Dagster's record and the tables agree."]
    else:
        lines = [
            f"{d.asset} of {d.ticker}, {len(d.months)} months ({_span(d.months)}): "
            + ("recorded in Dagster, not in the tables" if d.recorded else "in the tables, not recorded in Dagster")
            for d in status.differences
        ]
    lines = lines[:SHOWN_LINES] + ([f"and {len(lines) - SHOWN_LINES} more"] if len(lines) > SHOWN_LINES else [])
    cells = list(cells_of(status.differences).items())
    lines += [
        f"to mend it: volassets run --ticker '{ticker}' --from {months[0]:%Y-%m} --to {months[-1]:%Y-%m}"
        for ticker, months in cells[:SHOWN_LINES]
    ]
    if status.killed:
        count = len(status.killed)
        lines.append(
            f"{count} {'run was' if count == 1 else 'runs were'} killed and Dagster still shows "
            f"{'it' if count == 1 else 'them'} as running: the next `volassets run` or the daemon closes that."
        )
    return lines


def _named(tickers: Iterable[str]) -> str:
    names = list(dict.fromkeys(tickers))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _span(months: Iterable[pd.Timestamp]) -> str:
    listed = sorted(set(months))
    return f"{listed[0]:%Y-%m}" if len(listed) == 1 else f"{listed[0]:%Y-%m} .. {listed[-1]:%Y-%m}"


def _print(lines: list[str]) -> None:
    for line in lines[: SHOWN_LINES * 2]:
        click.echo(line)
    if len(lines) > SHOWN_LINES * 2:
        click.echo(f"and {len(lines) - SHOWN_LINES * 2} more")
