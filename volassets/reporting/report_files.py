"""The reports' files: one page per ticker and one for the panel, each replaced whole."""

from __future__ import annotations

from pathlib import Path

from volassets.errors import InputError
from volassets.object_io import write_whole
from volassets.reporting.page_data import Store, StoreAtRest
from volassets.settings import Settings

PANEL_FILE = "panel.html"
HEAD = "<head>\n"
STAMP = '<meta name="comparison" content="{}">\n'


def report_path(settings: Settings, ticker: str | None) -> Path:
    """Return where the report of `ticker`, or the panel's, lies: in ``reports/`` below the home."""
    return settings.home / "reports" / (PANEL_FILE if ticker is None else f"{ticker}.html")


def comparison_hash(store: Store, ticker: str | None) -> str:
    """Return the hash of the stored comparison of `ticker`, or of the panel for None; empty where there is none."""
    chosen = {} if ticker is None else {"ticker": ticker}
    rows = store.read("panel_leaderboard" if ticker is None else "leaderboard", ["data_hash"], **chosen)
    return "" if rows.empty else str(rows["data_hash"].iloc[0])


def is_current(settings: Settings, ticker: str | None, compared: str) -> bool:
    """Return whether the report is there and shows the comparison with the hash `compared`."""
    try:
        return STAMP.format(compared) in report_path(settings, ticker).read_text("utf-8")
    except OSError:
        return False


def write_report(store: StoreAtRest, settings: Settings, ticker: str | None, target: Path | None = None) -> Path:
    """Write the report of `ticker`, or the panel's for None, to `target` or `report_path`, and return its file.

    Raises
    ------
    InputError
        If the file cannot be written; an older one is as it was.
    """
    from volassets.reporting.panel_page import panel_page
    from volassets.reporting.ticker_page import ticker_page

    path = target or report_path(settings, ticker)
    with store.reading() as rows:
        if ticker is not None:
            page = ticker_page(rows, settings, ticker)
        else:
            # Links are relative, so that the directory can be moved or served; elsewhere they would lead nowhere.
            here = path.parent.glob("*.html")
            page = panel_page(rows, settings, {file.stem: file.name for file in here if file.name != PANEL_FILE})
        page = page.replace(HEAD, HEAD + STAMP.format(comparison_hash(rows, ticker)), 1)
    return _written(path, page)


def portfolio_report_path(settings: Settings, name: str) -> Path:
    """Return where the page of a portfolio lies; no ticker's page has such a name."""
    return settings.home / "reports" / f"portfolio_{name}.html"


def write_portfolio_report(store: StoreAtRest, settings: Settings, name: str, target: Path | None = None) -> Path:
    """Write the page of a portfolio to `target` or `portfolio_report_path`, and return its file.

    Raises
    ------
    InputError
        If the file cannot be written; an older one is as it was.
    """
    from volassets.reporting.portfolio_page import portfolio_page

    with store.reading() as rows:
        page = portfolio_page(rows, settings, name)
    return _written(target or portfolio_report_path(settings, name), page)


def _written(path: Path, page: str) -> Path:
    try:
        write_whole(path, page.encode())
    except OSError as error:
        raise InputError(
            f"the report {path} cannot be written: {error.strerror}. Make the directory writable, or choose "
            "another file with `volassets report --out`."
        ) from None
    return path
