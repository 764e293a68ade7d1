"""When the graph runs by itself: prices first, an hour later what is computed from them.

- ``refresh_prices``: bars and features of every ticker, an hour before each of the others.
- ``monthly_refit``: everything of the new month.
- ``daily_update``: the forecasts of the running month from the saved fits.

Every tick asks for what is missing in the tables up to its own time, so that a missed tick is caught up by the next.
One run covers a block of steps over all tickers; the setting ``tickers_per_run`` splits it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from volassets.orchestration.jobs import Jobs, block_name, block_request
from volassets.pipeline.cell_hashes import CellHashes
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.missed_months import missing_months, months_to_update, stored_months
from volassets.pipeline.price_intake import LOCAL_SOURCES
from volassets.pipeline.step import Step
from volassets.pipeline.steps import blocks
from volassets.settings import Settings
from volassets.timing import refit_month
from volassets.warehouse.store import Warehouse, open_warehouse

PRIORITY_TAG = "dagster/priority"
# A tick must not wait for long: Dagster evaluates it with a deadline.
TICK_PATIENCE_SECONDS = 10.0
# Bars of a file that end longer ago than this before a month will not grow to reach it.
LOCAL_DAYS = 10


def build_schedules(settings: Settings, steps: Sequence[Step], jobs: Jobs) -> list[dg.ScheduleDefinition]:
    """Return the schedules of `settings`, on unless the bars come with the package."""
    listed = blocks(steps)
    prices = next(block for block in listed if block[0].compute is None)
    months = [block for block in listed if block[0].scope in (Scope.TICKER_MONTH, Scope.MONTH)]
    common: dict[str, Any] = {
        "execution_timezone": settings.timezone,
        "default_status": dg.DefaultScheduleStatus.STOPPED
        if all(settings.source_of(ticker).source == "bundled" for ticker in settings.tickers)
        else dg.DefaultScheduleStatus.RUNNING,
    }
    before = [hour_before(settings.refit_schedule), hour_before(settings.update_schedule)]

    @dg.schedule(name="refresh_prices", cron_schedule=before, job=jobs[block_name(prices)], **common)
    def refresh_prices(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        """Bars and features of every ticker, an hour before a refit or an update."""
        stamp = f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
        for number, tickers in enumerate(_groups(settings, settings.tickers)):
            places = [Partition(ticker) for ticker in tickers]
            key = f"refresh_prices:{stamp}:{number}"
            yield block_request(settings, block_name(prices), (), places, key, "refresh_prices", {PRIORITY_TAG: "10"})

    schedules = [refresh_prices]
    for number, block in enumerate(months):
        # The first block has the plain names; one over all tickers, and what follows it, comes after.
        suffix = f"_{block_name(block)}" if number else ""
        schedules += _schedules_of(settings, block, suffix, {**common, "job": jobs[block_name(block)]})
    return schedules


def _schedules_of(
    settings: Settings, block: Sequence[Step], suffix: str, common: dict[str, Any]
) -> list[dg.ScheduleDefinition]:
    @dg.schedule(name=f"monthly_refit{suffix}", cron_schedule=settings.refit_schedule, **common)
    def monthly_refit(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        """Everything of the new month, and of every month that is missing up to it."""
        yield from _requests(context, settings, block, update=False)

    @dg.schedule(name=f"daily_update{suffix}", cron_schedule=settings.update_schedule, **common)
    def daily_update(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        """The running month's forecasts from its saved fits, and every month that is missing up to now.

        Fits are asked for only where they are missing, or where the source has revised old bars
        this month; those that are still right are not computed again.
        """
        yield from _requests(context, settings, block, update=True)

    return [monthly_refit, daily_update]


def hour_before(cron: str) -> str:
    """Return the cron line one hour earlier, or the same where its hours are not plain numbers after midnight.

    At the same time prices still go first: their runs have priority in the queue.
    """
    minute, hour, *days = cron.split()
    hours = hour.split(",")
    if not all(part.isdigit() and int(part) >= 1 for part in hours):
        return cron
    return " ".join([minute, ",".join(str(int(part) - 1) for part in hours), *days])


def _requests(
    context: dg.ScheduleEvaluationContext, settings: Settings, block: Sequence[Step], update: bool
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    schedule, name = "daily_update" if update else "monthly_refit", block_name(block)
    stamp = f"{schedule}:{context.scheduled_execution_time:%Y-%m-%dT%H:%M}:{name}"
    now = refit_month(context.scheduled_execution_time.date())
    whole, later = _due(settings, block, now, update)
    forecasts = [step.name for step in block if step.stage == "forecasts"]
    asked = 0
    for kind, due, steps in (("months", whole, []), ("forecasts", later if forecasts else {}, forecasts)):
        for number, tickers in enumerate(_groups(settings, list(due))):
            cells = [Partition(ticker, month) for ticker in tickers for month in due[ticker]]
            if block[0].scope is Scope.MONTH:
                cells = [Partition("", month) for month in sorted({cell.month for cell in cells if cell.month})]
            yield block_request(settings, name, steps, cells, f"{stamp}:{kind}:{number}", schedule)
            asked += 1
    if not asked:
        yield dg.SkipReason(f"every month up to {now:%Y-%m} is there, or the bars do not reach it")


def _due(
    settings: Settings, steps: Sequence[Step], now: pd.Timestamp, update: bool
) -> tuple[dict[str, list[pd.Timestamp]], dict[str, list[pd.Timestamp]]]:
    """Return the months to compute in full, and those whose forecasts alone may lack sessions, by ticker."""
    warehouse = open_warehouse(settings, patience=TICK_PATIENCE_SECONDS)
    stored = stored_months(CellHashes(warehouse), steps, settings)
    last_bars, revised = _bars(warehouse, now)
    whole: dict[str, list[pd.Timestamp]] = {}
    forecasts: dict[str, list[pd.Timestamp]] = {}
    for ticker in settings.tickers:
        missing = missing_months(stored[ticker], now)
        if settings.source_of(ticker).source in LOCAL_SOURCES:
            limit = last_bars.get(ticker, pd.Timestamp.min) + pd.Timedelta(days=LOCAL_DAYS)
            missing = [month for month in missing if month <= limit]
        updated = months_to_update(stored[ticker], now) if update else []
        if ticker in revised:
            missing, updated = sorted({*missing, *updated}), []
        if missing:
            whole[ticker] = missing
        if later := sorted(set(updated) - set(missing)):
            forecasts[ticker] = later
    return whole, forecasts


def _groups(settings: Settings, tickers: Sequence[str]) -> list[list[str]]:
    """Return the tickers in the groups that runs are made of."""
    size = settings.tickers_per_run or max(len(tickers), 1)
    return [list(tickers[start : start + size]) for start in range(0, len(tickers), size)]


def _bars(warehouse: Warehouse, month: pd.Timestamp) -> tuple[dict[str, pd.Timestamp], set[str]]:
    """Return the last stored bar per ticker, and the tickers whose old bars were revised since `month` began."""
    bars = warehouse.query("SELECT ticker, max(date) AS last FROM raw_prices GROUP BY ticker")
    revised = warehouse.query(
        "SELECT DISTINCT ticker FROM price_revisions WHERE seen_at >= $month", {"month": month.to_pydatetime()}
    )
    return dict(zip(bars["ticker"], pd.to_datetime(bars["last"]), strict=True)), set(revised["ticker"])
