"""The command line: `volassets run | tickers | query | report | audit | status | ...`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from volassets import __version__
from volassets.errors import InputError, VolassetsError

DONE, SOME_FAILED, WRONG_INPUT = 0, 1, 2


class Group(click.Group):
    """Shows commands in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they were declared."""
        return list(self.commands)


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


def handled(function: Callable[..., int | None]) -> Callable[..., None]:
    """Turn errors into one message and the exit code; a traceback with --debug only."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        debug = bool(click.get_current_context().find_root().obj)
        try:
            code = function(*args, **kwargs) or DONE
        except KeyboardInterrupt:
            click.echo("interrupted: what was committed is kept; the same command goes on from there.", err=True)
            code = 130
        except VolassetsError as error:
            if debug:
                raise
            click.echo(f"error: {error}", err=True)
            code = WRONG_INPUT if isinstance(error, InputError) else SOME_FAILED
        except BrokenPipeError:
            # The reader went away, as `head` does; nothing is wrong.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = DONE
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if debug:
                raise
            click.echo(
                f"unexpected error: {type(error).__name__}: {error}. What was committed is kept; "
                "`volassets --debug` with the same command shows where it happened.",
                err=True,
            )
            code = SOME_FAILED
        sys.exit(code)

    return wrapper


@cli.command()
@click.option("--ticker", "-t", "tickers", multiple=True, help="Ticker to run; repeat for several. Default: the list.")
@click.option("--from", "first", metavar="YYYY-MM", help="First refit month. Default: the first possible.")
@click.option("--to", "last", metavar="YYYY-MM", help="Last refit month. Default: the last possible.")
@click.option("--source", type=click.Choice(["bundled", "csv", "yfinance"]), help="Where bars come from.")
@click.option("--csv-dir", type=click.Path(), help="Directory with TICKER.csv files, for --source csv.")
@click.option("--models", help="Models to fit, separated by commas. Default: the settings' list.")
@click.option("--jobs", type=int, help="Worker processes. Default: every core.")
@click.option("--force", is_flag=True, help="Compute everything again, also what is up to date.")
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
    return run_command(tickers, first, last, given, chosen, force)


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

    print_frame(_warehouse().query(sql), style)


@cli.group(cls=Group)
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
@click.option("--out", type=click.Path(dir_okay=False), help="File to write. Default: reports/ below the home.")
@handled
def report(ticker: str | None, out: str | None) -> None:
    """Write self-contained HTML reports from what is stored.

    \b
    Examples:
      volassets report
      volassets report --ticker ^GSPC --out gspc.html
    """
    from volassets.commands.report import report_command

    for path in report_command(ticker, out):
        click.echo(path)


@cli.command()
@click.option(
    "--ticker", "-t", "tickers", multiple=True, help="Ticker to audit; repeat for several. Default: the list."
)
@handled
def audit(tickers: tuple[str, ...]) -> int:
    """Replace the future by noise and by constants, and show that nothing before it changes.

    \b
    Examples:
      volassets audit
      volassets audit --ticker ^GSPC
    """
    from volassets.commands.audit import audit_command

    return audit_command(tickers)


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


@cli.group(cls=Group)
def warehouse() -> None:
    """Move the results between back ends.

    \b
    Example:
      volassets warehouse convert duckdb parquet:s3://bucket/volassets
    """


@warehouse.command()
@click.argument("source")
@click.argument("destination")
@handled
def convert(source: str, destination: str) -> None:
    """Copy every row and checkpoint of SOURCE into the empty DESTINATION.

    Both are duckdb (this home's file), parquet:URL, or the path of another home's volassets.duckdb.

    \b
    Examples:
      volassets warehouse convert duckdb parquet:/shared/volassets
      volassets warehouse convert parquet:s3://bucket/volassets /elsewhere/volassets.duckdb
    """
    from volassets.commands.warehouse import convert_command

    convert_command(source, destination)


@cli.command()
@click.argument("file", type=click.Path(dir_okay=False), required=False)
@handled
def backup(file: str | None) -> None:
    """Write a consistent copy of the database, also while a run writes.

    Without FILE it goes to backups/ below the home, where the setting backups_kept says how many stay.

    \b
    Examples:
      volassets backup
      volassets backup volassets-2026-11.duckdb
    """
    from volassets.clock import utc_now
    from volassets.settings import load_settings
    from volassets.warehouse.backups import back_up

    if file is None:
        click.echo(f"wrote {back_up(_warehouse(), load_settings(), utc_now())}")
        return
    _warehouse().backup(Path(file))
    click.echo(f"wrote {file}")


@cli.command()
@click.argument("file", type=click.Path(dir_okay=False, exists=True))
@handled
def restore(file: str) -> None:
    """Put a backup in the place of the database; anything that is not one of ours is refused.

    \b
    Example:
      volassets restore volassets-2026-11.duckdb
    """
    _warehouse().restore(Path(file))
    click.echo(f"restored {file}")


def _mention_reload() -> None:
    from volassets.settings import load_settings

    if (load_settings().home / "dagster").exists():
        click.echo("A running `volassets ui` shows the change after Deployment, Reload definitions.", err=True)


def _warehouse() -> Any:
    # Imported here, as all that is heavy: `--help` and completion must not wait for it.
    from volassets.settings import load_settings
    from volassets.warehouse.store import open_warehouse

    return open_warehouse(load_settings())


def main() -> None:
    """Entry point."""
    cli(prog_name="volassets")


if __name__ == "__main__":
    main()
