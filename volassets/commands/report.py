"""`volassets report`."""

from __future__ import annotations

from pathlib import Path

from volassets.errors import InputError
from volassets.names import check_ticker_name
from volassets.settings import load_settings


def report_command(ticker: str | None, out: str | None, portfolio: str | None = None) -> list[Path]:
    """Write the report of `ticker` (or of all, and the panel) and return the files.

    Parameters
    ----------
    ticker : str, optional
        One ticker; every ticker with a comparison, and the panel, where not given.
    portfolio : str, optional
        One portfolio in place of a ticker.
    out : str, optional
        File for the one report asked for: the ticker's, or the panel's where no ticker is named.

    Raises
    ------
    InputError
        If the ticker has no bars stored, or nothing is stored at all.
    """
    from volassets.reporting.report_files import write_portfolio_report, write_report
    from volassets.warehouse.store import open_warehouse

    settings = load_settings()
    store = open_warehouse(settings)
    stored = store.query("SELECT DISTINCT ticker FROM raw_prices WHERE role IS NULL ORDER BY ticker")["ticker"].tolist()
    if ticker is not None and check_ticker_name(ticker) not in stored:
        known = ", ".join(stored) or "none yet"
        raise InputError(
            f"nothing is stored for {ticker!r} (stored: {known}): `volassets run --ticker {ticker}` first."
        )
    if not stored:
        raise InputError(f"nothing is stored in {settings.home}: `volassets run` first.")
    target = None if out is None else Path(out).expanduser()
    if target is not None and target.is_dir():
        raise InputError(f"{out} is a directory: give the name of a file, for example {target / 'report.html'}.")
    if portfolio is not None:
        if portfolio not in settings.portfolios:
            known = ", ".join(settings.portfolios) or "none"
            raise InputError(f"there is no portfolio {portfolio!r}: the settings hold {known}.")
        return [write_portfolio_report(store, settings, portfolio, target)]
    if ticker is None and target is None:
        listed = [name for name in settings.tickers if name in stored]
        tickers = [*listed, *(name for name in stored if name not in listed)]
        pages = [write_report(store, settings, name) for name in tickers]
        pages += [write_portfolio_report(store, settings, name) for name in settings.portfolios]
        # Last, because it leads to those that are there.
        return [*pages, write_report(store, settings, None)]
    return [write_report(store, settings, ticker, target)]
