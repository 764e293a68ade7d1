"""`volassets run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from volassets.clock import utc_now
from volassets.commands.early_leaderboard import EarlyLeaderboard
from volassets.errors import InputError, VolassetsError
from volassets.names import check_ticker_name
from volassets.object_io import remove_drafts
from volassets.reporting.console import RunProgress, print_frame
from volassets.settings import Settings, load_settings, validated
from volassets.timing import refit_month

LEADERBOARD = """
    SELECT ticker, model, n, qlike, qlike_vs_gjr, dm_p, rmse, mae, r2, coverage_90
    FROM leaderboard WHERE horizon = 1 AND list_contains($tickers, ticker) ORDER BY ticker, qlike
"""
# More would hide what the run says at its end.
SHOWN_ROWS = 200
VERDICTS = """
    SELECT text FROM verdicts
    WHERE topic = 'leaderboard' AND list_contains($tickers, ticker) ORDER BY ticker, horizon
"""
WARNINGS = """
    SELECT ticker, check_name FROM data_quality
    WHERE severity = 'warning' AND list_contains($tickers, ticker) ORDER BY ALL
"""
HEADLINES = "SELECT * FROM headline_models WHERE list_contains($tickers, ticker) ORDER BY ticker"


def run_command(
    tickers: Sequence[str],
    first: str | None,
    last: str | None,
    overrides: Mapping[str, Any],
    models: Sequence[str] | None,
    force: bool,
    refit_pool: bool = False,
) -> int:
    """Run the graph, print the leaderboard, write the reports; return the exit code."""
    # Imported here, as in every command: `--help` and completion must not wait for Dagster.
    from volassets.orchestration.runner import Request, Runner
    from volassets.orchestration.sensors import local_folders

    if not tickers and overrides.get("csv_dir") and overrides.get("source", "csv") == "csv":
        known = load_settings(overrides=overrides)
        names = {known.symbol_of(ticker): ticker for ticker in known.tickers}
        # The file of a renamed ticker has its new symbol; the history keeps the old one.
        tickers = [names.get(file, file) for file in files_as_tickers(overrides["csv_dir"])]
    settings = _with_tickers(load_settings(overrides=overrides), tickers, overrides)
    if models is not None:
        # Judged as the settings would be; what the home keeps and compares stays the home's.
        values = {**settings.model_dump(mode="json"), "models": list(models)}
        fitted = validated(values, settings.model_sections, settings.home)
    chosen = (settings if models is None else fitted).chosen_models.values()
    for model in chosen:
        model.check_machine()
    request = Request(
        tickers=list(dict.fromkeys(tickers)) or list(settings.tickers),
        first=None if first is None else refit_month(first),
        last=None if last is None else refit_month(last),
        force=force,
        models=models,
        jobs=settings.jobs,
        refit_pool=refit_pool,
    )
    with RunProgress() as progress:
        runner = Runner(settings, None, progress.say)
        months = runner.prepare(request)
        _keep_home(settings, list(months))
        result = runner.run(months, request, EarlyLeaderboard(settings, months, chosen, progress))
    if result.refreshed:
        for folder in local_folders(settings):
            remove_drafts(folder, utc_now())
    return _conclude(settings, request, result, list(months))


def files_as_tickers(directory: str) -> list[str]:
    """Return the ticker of every file of prices in `directory`, and print what is taken and left out."""
    from volassets.market.csv_files import CsvSource

    taken, left = CsvSource(directory).listed()
    if not taken:
        raise InputError(f"{directory} has no file TICKER.csv or TICKER.parquet: put your prices there.")
    click.echo(f"{len(taken)} files of {directory} are taken: {_shortened(taken)}")
    if left:
        click.echo(f"{len(left)} are no TICKER.csv or TICKER.parquet, and left out: {_shortened(left)}")
    return taken


def _shortened(names: Sequence[str], shown: int = 10) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def _with_tickers(settings: Settings, tickers: Sequence[str], overrides: Mapping[str, Any]) -> Settings:
    from volassets.settings_file import refuse_renamed

    for ticker in tickers:
        check_ticker_name(ticker)
    refuse_renamed(settings, tickers)
    unlisted = [ticker for ticker in dict.fromkeys(tickers) if ticker not in settings.tickers]
    if not unlisted:
        return settings
    return load_settings(overrides={**overrides, "tickers": [*settings.tickers, *unlisted]})


def _keep_home(settings: Settings, tickers: Sequence[str]) -> None:
    """Write the home, the sources and new tickers, now that they are known to be good."""
    from volassets.settings_file import add, ensure_home, remember

    ensure_home(settings)
    remember({ticker: settings.source_of(ticker) for ticker in tickers})
    listed = load_settings().tickers
    if any(ticker not in listed for ticker in tickers):
        add(tickers)


def _conclude(settings: Settings, request: Any, result: Any, tickers: Sequence[str]) -> int:
    from volassets.evaluation.verdict import headline_text
    from volassets.market.findings import summary
    from volassets.warehouse.store import open_warehouse

    if not result.refreshed:
        click.echo("nothing to do: every cell asked for is up to date")
    store = open_warehouse(settings)
    board = store.query(LEADERBOARD, {"tickers": request.tickers})
    print_frame(board.head(SHOWN_ROWS), title="h = 1")
    if len(board) > SHOWN_ROWS:
        click.echo(f'and {len(board) - SHOWN_ROWS} more: `volassets query "select * from leaderboard"` shows all')
    for text in store.query(VERDICTS, {"tickers": request.tickers})["text"].head(SHOWN_ROWS):
        click.echo(text)
    chosen = store.query(HEADLINES, {"tickers": request.tickers}).head(SHOWN_ROWS)
    for _, row in chosen.iterrows():
        click.echo(f"headline  {row['ticker']}: {headline_text(row)}")
    _report(settings, store, bool(result.refreshed), tickers)
    for line in summary(store.query(WARNINGS, {"tickers": request.tickers})):
        click.echo(line)
    click.echo(f"database  {settings.database}")
    for line in _failure_lines(result.failures):
        click.echo(line, err=True)
    _tell(settings, result, tickers)
    return 1 if result.failures else 0


def _tell(settings: Settings, result: Any, tickers: Sequence[str]) -> None:
    """Send one message about what went wrong to what `notify` names; a run that did nothing sends none."""
    from volassets.notifications import notify, run_message
    from volassets.pipeline.context import Context
    from volassets.pipeline.run_events import CHECK, FAILED, STALE, VIOLATION, stale_prices, violations

    if not (settings.notify or settings.webhook) or not (result.refreshed or result.failures):
        return
    try:
        with Context(settings) as context:
            found = {
                FAILED: [line.removeprefix("failed: ") for line in _failure_lines(result.failures)[:-1]],
                CHECK: result.failed_checks,
                VIOLATION: violations(context, tickers),
                STALE: stale_prices(context, tickers),
            }
        problem = notify(settings, run_message("run", found)) if any(found.values()) else ""
    except VolassetsError as error:
        problem = f"nobody was notified: {error}"
    if problem:
        click.echo(problem, err=True)


def _report(settings: Settings, store: Any, refreshed: bool, tickers: Sequence[str]) -> None:
    """Write the pages that do not show the stored comparison, also those that an earlier run could not write."""
    from volassets.pipeline.report_pages import wants_pages
    from volassets.reporting.report_files import (
        comparison_hash,
        is_current,
        report_path,
        write_portfolio_report,
        write_report,
    )

    if not wants_pages(settings, len(tickers)):
        if refreshed:
            click.echo("reports   `volassets report` writes them; a run of many tickers does not (setting `reports`)")
        return
    if refreshed:
        for name in settings.portfolios:
            click.echo(f"report    {write_portfolio_report(store, settings, name)}")
    for ticker in (*tickers, None):
        compared = comparison_hash(store, ticker)
        # The panel's page shows the portfolios too, which its comparison does not know of.
        grown = refreshed and ticker is None and settings.portfolios
        current = compared and not grown and is_current(settings, ticker, compared)
        if refreshed or (compared and not current):
            path = report_path(settings, ticker) if current else write_report(store, settings, ticker)
            click.echo(f"report    {path}")


def _failure_lines(failures: Mapping[tuple[str, str], str]) -> list[str]:
    """Return every failed partition by name, those of one ticker and text in one line."""
    if not failures:
        return []
    groups: dict[tuple[str, str], list[str]] = {}
    for (ticker, where), text in failures.items():
        groups.setdefault((ticker, text), []).append(where)
    lines = [f"failed: {ticker} {', '.join(sorted(places))}: {text}" for (ticker, text), places in groups.items()]
    return [*lines, f"{len(failures)} partitions failed, the rest is kept; run again to retry them."]
