"""`volassets audit`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from volassets.errors import InputError
from volassets.names import check_ticker_name
from volassets.settings import load_settings


def audit_command(tickers: Sequence[str]) -> int:
    """Audit the stored bars of every ticker asked for; return 1 if a rule does not hold."""
    from volassets.pipeline.context import Context
    from volassets.pipeline.pool_audit import audit_stored

    settings = load_settings()
    context = Context(settings, log=click.echo)
    chosen = [check_ticker_name(ticker) for ticker in tickers] or list(settings.tickers)
    missing = [ticker for ticker in chosen if context.bars(ticker).empty]
    if missing:
        raise InputError(
            f"no bars of {missing[0]} are stored: `volassets run --ticker '{missing[0]}'` first, or leave it out."
        )
    passed = True
    for ticker in chosen:
        click.echo(f"{ticker}: models {', '.join(settings.chosen_models)}")
        result = audit_stored(context, ticker)
        click.echo(result.text())
        passed &= result.passed
    return 0 if passed else 1
