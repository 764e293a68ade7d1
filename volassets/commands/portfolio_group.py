"""`volassets portfolios list | add | remove`."""

from __future__ import annotations

import click

from volassets.commands.handling import Group, handled


@click.group(cls=Group)
def portfolios() -> None:
    """Show or change the portfolios in volassets.toml.

    \b
    Examples:
      volassets portfolios list
      volassets portfolios add core ^GSPC=0.6 ^IXIC=0.4
      volassets portfolios add fund --csv positions.csv
      volassets portfolios remove core
    """


@portfolios.command("list")
@handled
def list_portfolios() -> None:
    """Print the portfolios with their weights, one a line.

    \b
    Example:
      volassets portfolios list
    """
    from volassets.commands.portfolios import listed

    for line in listed():
        click.echo(line)


@portfolios.command("add")
@click.argument("name")
@click.argument("weights", nargs=-1, metavar="[TICKER=WEIGHT]...")
@click.option("--csv", "file", type=click.Path(), help="File with columns date, ticker, weight: weights that change.")
@handled
def add_portfolio(name: str, weights: tuple[str, ...], file: str | None) -> None:
    """Write a portfolio: shares of its value by ticker, negative for short; they need not sum to 1.

    Weights of the command line hold for all of the past. Those of a file hold from the close of their
    date on; a file replaces what was imported for the portfolio before.

    \b
    Examples:
      volassets portfolios add core ^GSPC=0.6 ^IXIC=0.4
      volassets portfolios add hedged AAPL=1 ^GSPC=-0.5
      volassets portfolios add fund --csv positions.csv
    """
    from volassets.commands.portfolios import add_command

    for line in add_command(name, weights, file):
        click.echo(line)


@portfolios.command("remove")
@click.argument("name")
@handled
def remove_portfolio(name: str) -> None:
    """Take a portfolio out of the settings; its rows stay in the database.

    \b
    Example:
      volassets portfolios remove core
    """
    from volassets.settings_file import remove_portfolio as remove

    remove(name)
    click.echo(f"removed portfolio {name}; its results stay in the database")
