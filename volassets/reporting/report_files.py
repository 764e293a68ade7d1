"""The reports' files: one page per ticker and one for the panel, each replaced whole."""

from __future__ import annotations

from pathlib import Path

from volassets.errors import InputError
from volassets.object_io import write_whole
from volassets.reporting.page_data import Store
from volassets.settings import Settings

PANEL_FILE = "panel.html"


def report_path(settings: Settings, ticker: str | None) -> Path:
    """Return where the report of `ticker`, or the panel's, lies: in ``reports/`` below the home."""
    return settings.home / "reports" / (PANEL_FILE if ticker is None else f"{ticker}.html")


def write_report(store: Store, settings: Settings, ticker: str | None, target: Path | None = None) -> Path:
    """Write the report of `ticker`, or the panel's for None, to `target` or `report_path`, and return its file.

    Raises
    ------
    InputError
        If the file cannot be written; an older one is as it was.
    """
    from volassets.reporting.panel_page import panel_page
    from volassets.reporting.ticker_page import ticker_page

    path = target or report_path(settings, ticker)
    if ticker is not None:
        page = ticker_page(store, settings, ticker)
    else:
        # Links are relative, so that the directory can be moved or served; elsewhere they would lead nowhere.
        here = path.parent.glob("*.html")
        page = panel_page(store, settings, {file.stem: file.name for file in here if file.name != PANEL_FILE})
    try:
        write_whole(path, page.encode())
    except OSError as error:
        raise InputError(
            f"the report {path} cannot be written: {error.strerror}. Make the directory writable, or choose "
            "another file with `volassets report --out`."
        ) from None
    return path
