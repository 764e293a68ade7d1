"""`volassets audit`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from volassets.errors import InputError
from volassets.names import check_ticker_name
from volassets.settings import load_settings


def audit_command(tickers: Sequence[str], portfolios: Sequence[str] = ()) -> int:
    """Audit the stored bars of every ticker and portfolio asked for, all by default; return 1 if a rule does not hold.

    A portfolio of the default that has no forecasts yet is named and left out.
    """
    from volassets.pipeline.context import Context
    from volassets.pipeline.pool_audit import audit_stored
    from volassets.pipeline.portfolio_audit import audit_stored_portfolio

    settings = load_settings()
    context = Context(settings, log=click.echo)
    everything = not tickers and not portfolios
    chosen = [check_ticker_name(ticker) for ticker in tickers] or (list(settings.tickers) if everything else [])
    missing = [ticker for ticker in chosen if context.bars(ticker).empty]
    if missing:
        raise InputError(
            f"no bars of {missing[0]} are stored: `volassets run --ticker '{missing[0]}'` first, or leave it out."
        )
    for name in portfolios:
        if name not in settings.portfolios:
            listed = ", ".join(settings.portfolios) or "none"
            raise InputError(f"there is no portfolio {name!r}: the home has {listed}; `volassets portfolios add` it.")
    passed = True
    for ticker in chosen:
        click.echo(f"{ticker}: models {', '.join(settings.chosen_models)}")
        result = audit_stored(context, ticker)
        click.echo(result.text())
        passed &= result.passed
    for name in settings.portfolios if everything else portfolios:
        try:
            result = audit_stored_portfolio(context, name)
        except InputError as error:
            if not everything:
                raise
            click.echo(f"not audited: {error}")
            continue
        click.echo(f"portfolio {name}\n{result.text()}")
        passed &= result.passed
    return 0 if passed else 1
