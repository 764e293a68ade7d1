"""`volassets tickers list | add | remove`."""

from __future__ import annotations

import click

from volassets.commands.handling import Group, handled


@click.group(cls=Group)
def tickers() -> None:
    """Show or change the list of tickers in volassets.toml.

    \b
    Examples:
      volassets tickers list
      volassets tickers add AAPL MSFT
      volassets tickers remove MSFT
    """


@tickers.command("list")
@handled
def list_tickers() -> None:
    """Print the tickers, one a line.

    \b
    Example:
      volassets tickers list
    """
    from volassets.settings import load_settings

    for ticker in load_settings().tickers:
        click.echo(ticker)


@tickers.command("add")
@click.argument("names", nargs=-1, required=True)
@click.option("--source", type=click.Choice(["bundled", "csv", "yfinance"]), help="Where their bars come from.")
@click.option("--csv-dir", type=click.Path(), help="Directory with TICKER.csv files; the source is csv then.")
@handled
def add_tickers(names: tuple[str, ...], source: str | None, csv_dir: str | None) -> None:
    """Add tickers to the end of the list, and remember where their bars come from.

    \b
    Examples:
      volassets tickers add AAPL MSFT
      volassets tickers add ACME --csv-dir prices
    """
    from volassets.commands.tickers import add_command

    for line in add_command(names, source, csv_dir):
        click.echo(line)
    _mention_reload()


@tickers.command("remove")
@click.argument("name")
@handled
def remove_ticker(name: str) -> None:
    """Take a ticker out of the list; its rows stay in the database.

    \b
    Example:
      volassets tickers remove MSFT
    """
    from volassets.settings_file import remove

    remove(name)
    click.echo(f"removed {name} from the list; its results stay in the database")
    _mention_reload()


def _mention_reload() -> None:
    from volassets.settings import load_settings

    if (load_settings().home / "dagster").exists():
        click.echo("A running `volassets ui` shows the change within a minute.", err=True)
