"""`volassets prune` and `volassets compare`: what a home need not keep, and what another home would do better."""

from __future__ import annotations

from pathlib import Path

import click

from volassets.commands.handling import handled


@click.command()
@click.option("--yes", "confirmed", is_flag=True, help="Remove it; without, only say what would be removed.")
@handled
def prune(confirmed: bool) -> None:
    """Say what of the home nothing uses and how many bytes it takes; remove it with --yes.

    Rows of tickers, models and portfolios that are not listed, checkpoints that no fit uses, old
    backups. Bars of listed tickers, imported positions and the record of what was issued stay.

    \b
    Examples:
      volassets prune
      volassets prune --yes
    """
    from volassets.commands.prune import prune_command

    prune_command(confirmed)


@click.command()
@click.argument("first", type=click.Path(path_type=Path), metavar="HOME_A")
@click.argument("second", type=click.Path(path_type=Path), metavar="HOME_B")
@click.option("--format", "style", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@handled
def compare(first: Path, second: Path, style: str) -> None:
    """Set the forecasts of two homes side by side: which settings differ, and what that does to the scores.

    By ticker, model and horizon, on the days that both have, with Diebold and Mariano's test on
    QLIKE (negative: HOME_B is better). Nothing is written.

    \b
    Examples:
      volassets compare data elsewhere
      volassets compare data elsewhere --format csv
    """
    from volassets.commands.compare import compare_command

    compare_command(first, second, style)
