"""The command line: `volassets run | tickers | query | report | audit | status | ...`."""

from __future__ import annotations

from pathlib import Path

import click

from volassets import __version__
from volassets.commands.data_group import export, sql
from volassets.commands.handling import DONE, Group, handled
from volassets.commands.portfolio_group import portfolios
from volassets.commands.store_group import backup, open_store, restore, warehouse
from volassets.commands.ticker_group import tickers
from volassets.commands.upkeep_group import compare, prune


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(__version__)
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Walk-forward volatility forecasting: every number in one DuckDB file.

    Everything lives below $VOLASSETS_HOME (default ./data): volassets.toml holds the settings,
    volassets.duckdb the results.

    \b
    Examples:
      volassets run --from 2016-01 --to 2018-12
      volassets query "select model, qlike from leaderboard where ticker='^GSPC' and horizon=1 order by qlike"
      volassets status
    """
    context.obj = debug


@cli.command()
@click.option("--ticker", "-t", "tickers", multiple=True, help="Ticker to run; repeat for several. Default: the list.")
@click.option("--from", "first", metavar="YYYY-MM", help="First refit month. Default: the first possible.")
@click.option("--to", "last", metavar="YYYY-MM", help="Last refit month. Default: the last possible.")
@click.option("--source", type=click.Choice(["bundled", "csv", "yfinance"]), help="Where bars come from.")
@click.option("--csv-dir", type=click.Path(), help="Directory with TICKER.csv files, for --source csv.")
@click.option("--models", help="Models to fit, separated by commas. Default: the settings' list.")
@click.option("--jobs", type=int, help="Worker processes. Default: every core.")
@click.option("--force", is_flag=True, help="Compute everything again, also what is up to date.")
@click.option(
    "--refit-pool",
    is_flag=True,
    help="Fit pooled models again where the pool has other tickers now, and combine with today's members.",
)
@handled
def run(
    tickers: tuple[str, ...],
    first: str | None,
    last: str | None,
    source: str | None,
    csv_dir: str | None,
    models: str | None,
    jobs: int | None,
    force: bool,
    refit_pool: bool,
) -> int:
    """Fit and forecast what is missing or stale, and compare the models.

    Months are committed as they finish. Interrupted or killed, the same command goes on with what
    is missing; with nothing missing it does nothing and says so.

    \b
    Examples:
      volassets run --from 2016-01 --to 2018-12
      volassets run --ticker AAPL --source yfinance
      volassets run --source csv --csv-dir prices --ticker ACME --models gjr,log_har,lstm
    """
    from volassets.commands.run import run_command

    folder = csv_dir and str(Path(csv_dir).expanduser().resolve())
    overrides = {"source": source, "csv_dir": folder, "jobs": jobs}
    given = {key: value for key, value in overrides.items() if value is not None}
    chosen = None if models is None else [name.strip() for name in models.split(",")]
    return run_command(tickers, first, last, given, chosen, force, refit_pool)


@cli.command()
@click.argument("sql")
@click.option("--format", "style", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@handled
def query(sql: str, style: str) -> None:
    """Run one reading SQL statement on the results; also while a run writes.

    \b
    Examples:
      volassets query "select model, qlike from leaderboard where ticker='^GSPC' and horizon=1 order by qlike"
      volassets query "select * from latest_forecasts" --format csv
      volassets query "show tables"
    """
    from volassets.reporting.console import print_frame

    print_frame(open_store().query(sql), style)


cli.add_command(tickers)
cli.add_command(portfolios)


@cli.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--ticker", "-t", required=True, help="Ticker of the bars; its calendar says when sessions begin.")
@click.option("--to", "directory", required=True, type=click.Path(), help="Directory for TICKER.csv.")
@handled
def intraday(file: str, ticker: str, directory: str) -> None:
    """Make daily bars with realized variance from bars of 1 to 30 minutes.

    FILE is CSV or Parquet with timestamp, open, high, low, close and, where there is one, volume.

    \b
    Example:
      volassets intraday spy_1min.csv --ticker SPY --to prices
    """
    from volassets.commands.intraday import intraday_command

    for line in intraday_command(file, ticker, directory):
        click.echo(line)


@cli.command()
@click.option("--report", "for_issue", is_flag=True, help="Versions, settings and findings for an issue; no secrets.")
@handled
def status(for_issue: bool) -> int:
    """Show what is stored, what is missing or stale, and whether Dagster's record agrees.

    \b
    Examples:
      volassets status
      volassets status --report
    """
    if for_issue:
        from volassets.commands.issue_report import issue_report

        click.echo(issue_report())
        return DONE
    from volassets.commands.status import status_command

    return status_command()


@cli.command()
@click.option("--ticker", "-t", help="Report of one ticker. Default: every ticker and the panel.")
@click.option("--portfolio", help="Report of one portfolio.")
@click.option("--out", type=click.Path(dir_okay=False), help="File to write. Default: reports/ below the home.")
@handled
def report(ticker: str | None, portfolio: str | None, out: str | None) -> None:
    """Write self-contained HTML reports from what is stored.

    \b
    Examples:
      volassets report
      volassets report --ticker ^GSPC --out gspc.html
    """
    from volassets.commands.report import report_command

    for path in report_command(ticker, out, portfolio):
        click.echo(path)


@cli.command()
@click.option(
    "--ticker", "-t", "tickers", multiple=True, help="Ticker to audit; repeat for several. Default: everything."
)
@click.option("--portfolio", "portfolios", multiple=True, help="Portfolio to audit; repeat for several.")
@handled
def audit(tickers: tuple[str, ...], portfolios: tuple[str, ...]) -> int:
    """Replace the future by noise and by constants, and show that nothing before it changes.

    \b
    Examples:
      volassets audit
      volassets audit --ticker ^GSPC
      volassets audit --portfolio core
    """
    from volassets.commands.audit import audit_command

    return audit_command(tickers, portfolios)


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port on 127.0.0.1.")
@click.option("--refresh-instance", is_flag=True, help="Take over this version's dagster.yaml; the old one is kept.")
@handled
def ui(port: int, refresh_instance: bool) -> None:
    """Start Dagster's web interface, its daemon and the schedules for this home.

    \b
    Example:
      volassets ui --port 3001
    """
    from volassets.commands.ui import ui_command

    ui_command(port, refresh_instance)


cli.add_command(sql)
cli.add_command(export)
cli.add_command(warehouse)
cli.add_command(backup)
cli.add_command(restore)
cli.add_command(prune)
cli.add_command(compare)


def main() -> None:
    """Entry point."""
    cli(prog_name="volassets")


if __name__ == "__main__":
    main()
