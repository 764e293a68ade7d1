"""`volassets prune`."""

from __future__ import annotations

import click
import pandas as pd

from volassets.pipeline.context import Context
from volassets.pipeline.prune import prunable, prune
from volassets.reporting.console import print_frame
from volassets.settings import load_settings

UNITS = ("bytes", "KB", "MB", "GB", "TB")


def prune_command(confirmed: bool) -> None:
    """Print what of the home nothing uses; remove it where `confirmed`."""
    settings = load_settings()
    with Context(settings) as context:
        found = prunable(context)
        if not found.summary:
            click.echo("nothing to remove: every row, checkpoint, report and backup is in use")
            return
        print_frame(pd.DataFrame([vars(each) for each in found.summary]).rename(columns={"count": "number"}))
        total = sum(each.bytes for each in found.summary)
        about = "about " if settings.warehouse == "duckdb" and found.cells else ""
        if not confirmed:
            click.echo(f"nothing was removed; `volassets prune --yes` removes these {about}{amount(total)}")
            return
        prune(context, found)
        rows = sum(int(each["n"].sum()) for each in found.cells.values())
        click.echo(f"removed {rows:,} rows and {found.files} files")
        smaller = context.warehouse.compact() if found.cells else 0
        if smaller:
            click.echo(f"{settings.database} is {amount(smaller)} smaller")


def amount(count: float) -> str:
    """Return a number of bytes with three digits and a unit of powers of ten."""
    size, unit = float(count), 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if unit == 0 or size >= 99.5 else f"{size:.3g} {UNITS[unit]}"
