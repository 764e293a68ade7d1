"""`volassets sql` and `volassets export`."""

from __future__ import annotations

import click

from volassets.commands.handling import handled


@click.command()
@handled
def sql() -> None:
    """Ask the results in SQL at a prompt, on a copy of this moment; runs go on writing.

    Statements end with a semicolon. .tables lists tables and views, .describe TABLE its columns,
    .refresh takes a new copy, .quit ends. Statements can be piped in, too.

    \b
    Example:
      volassets sql
    """
    from volassets.commands.sql_prompt import sql_command

    sql_command()


@click.command()
@click.option("--to", "directory", required=True, type=click.Path(file_okay=False), help="Directory to write to.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["parquet", "csv", "xlsx"]),
    default="parquet",
    show_default=True,
    help="One file per table and view, or one workbook of what people read.",
)
@handled
def export(directory: str, kind: str) -> None:
    """Write the results as Parquet or CSV files, or as a workbook.

    The workbook has the leaderboard, the newest forecasts, their risk and the portfolios.

    \b
    Examples:
      volassets export --to results
      volassets export --to results --format xlsx
    """
    from volassets.commands.export import export_command

    for path in export_command(directory, kind):
        click.echo(path)
