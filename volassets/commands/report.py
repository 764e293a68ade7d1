"""`volassets report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from volassets.errors import InputError
from volassets.settings import Settings, check_ticker_name, load_settings

PANEL_FILE = "panel.html"


def report_command(ticker: str | None, out: str | None) -> list[Path]:
    """Write the report of `ticker` (or of all, and the panel) and return the files.

    Parameters
    ----------
    ticker : str, optional
        One ticker; every ticker with a comparison, and the panel, where not given.
    out : str, optional
        File for the one report asked for: the ticker's, or the panel's where no ticker is named.

    Raises
    ------
    InputError
        If the ticker has no bars stored, or nothing is stored at all.
    """
    from volassets.warehouse.store import open_warehouse

    settings = load_settings()
    store = open_warehouse(settings)
    stored = store.query("SELECT DISTINCT ticker FROM raw_prices ORDER BY ticker")["ticker"].tolist()
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
    if ticker is None and target is None:
        listed = [name for name in settings.tickers if name in stored]
        return write_reports(settings, [*listed, *(name for name in stored if name not in listed)])
    return [_write_one(settings, ticker, target)]


def write_reports(settings: Settings, tickers: Sequence[str]) -> list[Path]:
    """Write one report per ticker and the panel's into ``reports/`` below the home; return the files."""
    return [*(_write_one(settings, ticker, None) for ticker in tickers), _write_one(settings, None, None)]


def report_path(settings: Settings, ticker: str | None) -> Path:
    """Return where the report of `ticker`, or the panel's, lies."""
    return settings.home / "reports" / (PANEL_FILE if ticker is None else f"{ticker}.html")


def _write_one(settings: Settings, ticker: str | None, target: Path | None) -> Path:
    from volassets.reporting.panel_page import panel_page
    from volassets.reporting.ticker_page import ticker_page
    from volassets.warehouse.store import open_warehouse

    store = open_warehouse(settings)
    path = target or report_path(settings, ticker)
    if ticker is not None:
        page = ticker_page(store, settings, ticker)
    else:
        # Links are relative, so that the directory can be moved or served; elsewhere they would lead nowhere.
        here = path.parent.glob("*.html")
        page = panel_page(store, settings, {file.stem: file.name for file in here if file.name != PANEL_FILE})
    _replace(path, page)
    return path


def _replace(path: Path, page: str) -> None:
    """Write all of a page or nothing: a reader never sees half of one."""
    import os

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(page, "utf-8")
        partial.replace(path)
    except OSError as error:
        raise InputError(f"the report {path} cannot be written: {error.strerror}. Choose another with --out.") from None
