"""`volassets tickers list | add | remove | rename | close`."""

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
      volassets tickers rename FB META
      volassets tickers close TWTR
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


@tickers.command("rename")
@click.argument("name")
@click.argument("symbol")
@handled
def rename_ticker(name: str, symbol: str) -> None:
    """Ask the source of NAME for SYMBOL from now on; history and results stay under NAME.

    \b
    Example:
      volassets tickers rename FB META
    """
    from volassets.settings_file import rename

    rename(name, symbol)
    click.echo(f"{name} is asked for as {symbol} from now on; its history and results stay under {name}")
    _mention_reload()


@tickers.command("close")
@click.argument("names", nargs=-1, required=True)
@click.option("--reopen", is_flag=True, help="They are traded again: ask for bars as before.")
@handled
def close_tickers(names: tuple[str, ...], reopen: bool) -> None:
    """Ask for no more bars of tickers that are traded no more; their history and results stay.

    \b
    Examples:
      volassets tickers close TWTR
      volassets tickers close TWTR --reopen
    """
    from volassets.settings_file import close

    changed = ", ".join(close(names, not reopen))
    done = "bars are asked for again" if reopen else "no more bars are asked for; history and results stay"
    click.echo(f"{changed}: {done}" if changed else "nothing to change")
    _mention_reload()


def _mention_reload() -> None:
    from volassets.settings import load_settings

    if (load_settings().home / "dagster").exists():
        click.echo("A running `volassets ui` shows the change within a minute.", err=True)
