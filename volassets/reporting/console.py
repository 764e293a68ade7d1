"""Tables and progress on a terminal; plain lines in a pipe."""

from __future__ import annotations

import json
import math
import sys
import time
from datetime import date
from typing import Any

import click
import numpy as np
import pandas as pd
from rich import progress
from rich.console import Console
from rich.table import Table

from volassets.reporting.cell_text import cell_text, is_missing

# A pipe gets a line when a stage starts and ends, and in between at most this often.
PLAIN_SECONDS = 5.0
# Wider than any table; rich takes of it what a table needs.
PIPE_WIDTH = 1_000_000


def print_frame(frame: pd.DataFrame, style: str = "table", title: str = "") -> None:
    """Print `frame` as a table, as CSV or as JSON records."""
    if style == "csv":
        click.echo(frame.to_csv(index=False), nl=False)
        return
    if style == "json":
        # Not pandas' to_json, which rounds to ten digits and so a daily variance to six.
        records = [{name: _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]
        click.echo(json.dumps(records, allow_nan=False))
        return
    wide = not sys.stdout.isatty()
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for name in frame.columns:
        numeric = pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name])
        table.add_column(str(name), justify="right" if numeric else "left", no_wrap=wide, overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(cell_text(value, str(name)) for name, value in zip(frame.columns, row, strict=True)))
    # In a pipe nothing is cut: whoever reads it wants the values, not the terminal's width.
    width = PIPE_WIDTH if wide else None
    Console(width=width, highlight=False, markup=False, emoji=False, no_color=wide).print(table, soft_wrap=False)
    click.echo(f"{len(frame)} {'row' if len(frame) == 1 else 'rows'}")


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it: dates as ISO text, what is no number as null."""
    if is_missing(value) or (isinstance(value, float) and math.isinf(value)):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, pd.Timestamp | date):
        return value.isoformat()
    return value if isinstance(value, bool | int | float | str) else str(value)


class RunProgress:
    """A bar per stage on a terminal, a line per stage in a pipe; called with each finished cell."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._console = Console(highlight=False, no_color=not self._live)
        self._bars = progress.Progress(
            *(progress.TextColumn(text) for text in ("{task.fields[stage]:<24}", "{task.fields[ticker]:<10}")),
            progress.TextColumn("{task.fields[month]:<8}"),
            progress.BarColumn(bar_width=24),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=self._console,
        )
        self._tasks: dict[tuple[str, str], progress.TaskID] = {}
        self._printed: dict[tuple[str, str], float] = {}
        self._begun: dict[str, tuple[int, float]] = {}
        self._start = time.monotonic()

    def __enter__(self) -> RunProgress:
        if self._live:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._bars.stop()

    def say(self, line: str) -> None:
        """Print one line above the bars."""
        if self._live:
            self._console.print(line, markup=False)
        else:
            click.echo(line)

    def __call__(self, step: Any) -> None:
        """Show one finished cell."""
        month = "" if step.month is None else f"{step.month:%Y-%m}"
        if step.error:
            self.say(f"FAILED {step.stage} {step.ticker} {month}: {step.error}")
        key = (step.stage, step.ticker)
        if self._live:
            if key not in self._tasks or self._bars.tasks[self._tasks[key]].finished:
                fields = {"stage": step.stage, "ticker": step.ticker, "month": month}
                self._tasks[key] = self._bars.add_task("", total=step.total, **fields)
            self._bars.update(self._tasks[key], completed=step.done, total=step.total, month=month)
            return
        # Of cells that come together, the last one says how far the stage is, and its pace.
        if step.more and step.done < step.total:
            return
        now = time.monotonic()
        if step.done == step.total or now - self._printed.get(key, 0.0) >= PLAIN_SECONDS:
            self._printed[key] = now
            line = f"{now - self._start:7.1f} s  {step.stage} {step.ticker} {month} {step.done}/{step.total}"
            click.echo(line + self._time_left(step.stage, step.done, step.total, now))

    def _time_left(self, stage: str, done: int, total: int, now: float) -> str:
        """Return the rest of a stage at the pace of its cells so far; nothing where no pace is seen yet."""
        first, start = self._begun.setdefault(stage, (done, now))
        if done in (first, total):
            return ""
        return f", about {(now - start) / (done - first) * (total - done):.0f} s left"
