"""The HTML pages of a run: which ones are written, in the workers, from stored rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from volassets.errors import VolassetsError
from volassets.pipeline.context import Context
from volassets.pipeline.partition_result import PartitionResult
from volassets.pipeline.workers import run_jobs
from volassets.reporting.report_files import write_report
from volassets.settings import Settings
from volassets.warehouse.store import open_warehouse

# With more tickers nobody opens all pages, and drawing them takes longer than forecasting.
PAGES_AT_ONCE = 12


def wants_pages(settings: Settings, tickers: int) -> bool:
    """Return whether a run over so many tickers writes their pages."""
    return settings.reports == "always" or (settings.reports == "auto" and tickers <= PAGES_AT_ONCE)


def write_pages(
    context: Context, items: Sequence[PartitionResult]
) -> Iterator[tuple[PartitionResult, Path | VolassetsError]]:
    """Write the page of every partition in `items`; yield its file, or why it could not be written."""
    by_ticker = {item.partition.ticker: item for item in items}
    jobs = iter([(context.settings, ticker) for ticker in by_ticker])
    for (_, ticker), found in run_jobs(jobs, _write, context.workers):
        yield by_ticker[ticker], found


def _write(job: tuple[Settings, str]) -> Path | VolassetsError:
    settings, ticker = job
    try:
        return write_report(open_warehouse(settings), settings, ticker or None)
    except VolassetsError as error:
        return error
