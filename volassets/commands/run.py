"""`volassets run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from volassets.errors import InputError
from volassets.reporting.console import RunProgress, print_frame
from volassets.settings import Settings, check_ticker_name, load_settings
from volassets.timing import refit_month

LEADERBOARD = """
    SELECT ticker, model, n, qlike, qlike_vs_gjr, dm_p, rmse, mae, r2, coverage_90
    FROM leaderboard WHERE horizon = 1 AND list_contains($tickers, ticker) ORDER BY ticker, qlike
"""
VERDICTS = """
    SELECT text FROM verdicts
    WHERE topic = 'leaderboard' AND list_contains($tickers, ticker) ORDER BY ticker, horizon
"""


def run_command(
    tickers: Sequence[str], first: str | None, last: str | None, overrides: Mapping[str, Any], force: bool
) -> int:
    """Run the graph, print the leaderboard, write the reports; return the exit code."""
    # Imported here, as in every command: `--help` and completion must not wait for Dagster.
    from volassets.market.sources import make_source
    from volassets.models.processor import require_machine
    from volassets.orchestration.running import GraphRunner, Request

    settings = _with_tickers(load_settings(overrides=overrides), tickers, overrides)
    require_machine(settings.chosen_models.values())
    request = Request(
        tickers=list(dict.fromkeys(tickers)) or list(settings.tickers),
        first=None if first is None else refit_month(first),
        last=None if last is None else refit_month(last),
        force=force,
    )
    source = make_source(settings)
    _require_known(source, request.tickers)
    with RunProgress() as progress:
        runner = GraphRunner(settings, source, progress.say)
        _keep_home(settings, list(runner.prepare(request)))
        result = runner.run(request, progress)
    return _conclude(settings, request, result)


def _with_tickers(settings: Settings, tickers: Sequence[str], overrides: Mapping[str, Any]) -> Settings:
    for ticker in tickers:
        check_ticker_name(ticker)
    unlisted = [ticker for ticker in dict.fromkeys(tickers) if ticker not in settings.tickers]
    if not unlisted:
        return settings
    return load_settings(overrides={**overrides, "tickers": [*settings.tickers, *unlisted]})


def _require_known(source: Any, tickers: Sequence[str]) -> None:
    """Refuse a ticker that the source is sure not to have; `fetch` says the rest."""
    for ticker in tickers:
        if source.known(ticker) is False:
            source.fetch(ticker)
            raise InputError(f"the source {source.name} has no ticker {ticker!r}.")


def _keep_home(settings: Settings, tickers: Sequence[str]) -> None:
    """Write the home and put new tickers into the list, now that they are known to be good."""
    from volassets.settings_file import add, ensure_home

    ensure_home(settings)
    listed = load_settings().tickers
    if any(ticker not in listed for ticker in tickers):
        add(tickers)


def _conclude(settings: Settings, request: Any, result: Any) -> int:
    from volassets.reporting.files import report_path, write_report
    from volassets.warehouse.store import open_warehouse

    if not result.refreshed:
        click.echo("nothing to do: every cell asked for is up to date")
    store = open_warehouse(settings)
    print_frame(store.query(LEADERBOARD, {"tickers": request.tickers}), title="h = 1")
    for text in store.query(VERDICTS, {"tickers": request.tickers})["text"]:
        click.echo(text)
    if result.refreshed:
        for ticker in (*request.tickers, None):
            # A comparison has written its own.
            reported = ticker in result.compared
            path = report_path(settings, ticker) if reported else write_report(store, settings, ticker)
            click.echo(f"report    {path}")
    click.echo(f"database  {settings.database}")
    for line in _failure_lines(result.failures):
        click.echo(line, err=True)
    return 1 if result.failures else 0


def _failure_lines(failures: Mapping[tuple[str, str], str]) -> list[str]:
    """Return every failed partition by name, those of one ticker and text in one line."""
    if not failures:
        return []
    groups: dict[tuple[str, str], list[str]] = {}
    for (ticker, where), text in failures.items():
        groups.setdefault((ticker, text), []).append(where)
    lines = [f"failed: {ticker} {', '.join(sorted(places))}: {text}" for (ticker, text), places in groups.items()]
    return [*lines, f"{len(failures)} partitions failed, the rest is kept; run again to retry them."]
