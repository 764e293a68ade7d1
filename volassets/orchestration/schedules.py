"""When the graph runs by itself: prices first, an hour later what is computed from them.

- ``refresh_prices``: bars and features of every ticker, an hour before each of the others.
- ``monthly_refit``: per ticker one run over everything of the new month.
- ``daily_update``: per ticker the forecasts of the running month from the saved fits.

Every tick asks for what is missing up to its own time, so that a missed tick is caught up by the next.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from volassets.errors import VolassetsError
from volassets.orchestration.catch_up import missing_months, months_to_update
from volassets.orchestration.fetching import LOCAL_SOURCES
from volassets.orchestration.graph import RANGE_END_TAG, RANGE_START_TAG
from volassets.orchestration.inputs import Run
from volassets.orchestration.jobs import REFIT_MONTHS, REFRESH_PRICES, grid_names
from volassets.orchestration.recorded import recorded_months
from volassets.partitions import grid_key
from volassets.settings import Settings
from volassets.timing import contiguous, refit_month
from volassets.warehouse.store import open_warehouse

TICKER_TAG = "volassets/ticker"
SCHEDULE_TAG = "volassets/schedule"
PRIORITY_TAG = "dagster/priority"
# A tick must not wait for long: Dagster evaluates it with a deadline.
TICK_PATIENCE_SECONDS = 10.0
# Bars of a file that end longer ago than this before a month will not grow to reach it.
LOCAL_DAYS = 10


def build_schedules(
    settings: Settings, assets: Sequence[dg.AssetsDefinition], jobs: Mapping[str, Any]
) -> list[dg.ScheduleDefinition]:
    """Return the schedules of `settings`, on unless the bars come with the package."""
    grid = grid_names(assets)
    common: dict[str, Any] = {
        "execution_timezone": settings.timezone,
        "default_status": dg.DefaultScheduleStatus.STOPPED
        if settings.source == "bundled"
        else dg.DefaultScheduleStatus.RUNNING,
    }
    before = [hour_before(settings.refit_schedule), hour_before(settings.update_schedule)]

    @dg.schedule(name="refresh_prices", cron_schedule=before, job=jobs[REFRESH_PRICES], **common)
    def refresh_prices(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        """Bars and features of every ticker, an hour before a refit or an update."""
        stamp = f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
        return [
            dg.RunRequest(
                run_key=f"refresh_prices:{stamp}:{ticker}",
                partition_key=ticker,
                tags={TICKER_TAG: ticker, SCHEDULE_TAG: "refresh_prices", PRIORITY_TAG: "10"},
            )
            for ticker in settings.tickers
        ]

    @dg.schedule(name="monthly_refit", cron_schedule=settings.refit_schedule, job=jobs[REFIT_MONTHS], **common)
    def monthly_refit(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        """Everything of the new month, and of every month that is missing up to it."""
        yield from _requests(context, settings, grid, update=False)

    @dg.schedule(name="daily_update", cron_schedule=settings.update_schedule, job=jobs[REFIT_MONTHS], **common)
    def daily_update(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        """The running month's forecasts from its saved fits, and every month that is missing up to now.

        Fits are asked for only where they are missing, or where the source has revised old bars
        this month; those that are still right are not computed again.
        """
        yield from _requests(context, settings, grid, update=True)

    return [refresh_prices, monthly_refit, daily_update]


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
    context: dg.ScheduleEvaluationContext, settings: Settings, grid: list[str], update: bool
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    name = "daily_update" if update else "monthly_refit"
    at = context.scheduled_execution_time
    now = refit_month(at.date())
    recorded = recorded_months(context.instance, grid, settings.tickers)
    last_bars, revised = _stored(settings, now)
    asked = 0
    for ticker in settings.tickers:
        missing = missing_months(recorded[ticker], now)
        if settings.source in LOCAL_SOURCES:
            limit = last_bars.get(ticker, pd.Timestamp.min) + pd.Timedelta(days=LOCAL_DAYS)
            missing = [month for month in missing if month <= limit]
        updated = months_to_update(recorded[ticker], now) if update else []
        whole = sorted({*missing, *updated}) if ticker in revised else missing
        forecasts = [] if ticker in revised else sorted(set(updated) - set(missing))
        for months, selection in ((whole, grid), (forecasts, [n for n in grid if n.endswith("_forecasts")])):
            for first, last in contiguous(months):
                asked += 1
                yield _request(f"{name}:{at:%Y-%m-%dT%H:%M}", ticker, first, last, selection, name)
    if not asked:
        yield dg.SkipReason(f"every month up to {now:%Y-%m} is there, or the bars do not reach it")


def _request(
    key: str, ticker: str, first: pd.Timestamp, last: pd.Timestamp, selection: Sequence[str], schedule: str
) -> dg.RunRequest:
    tags = {TICKER_TAG: ticker, SCHEDULE_TAG: schedule}
    partition = None
    if first == last:
        partition = dg.MultiPartitionKey({"refit_month": f"{first:%Y-%m-%d}", "ticker": ticker})
    else:
        tags |= {RANGE_START_TAG: grid_key(ticker, first), RANGE_END_TAG: grid_key(ticker, last)}
    return dg.RunRequest(
        run_key=f"{key}:{ticker}:{first:%Y-%m}:{last:%Y-%m}",
        partition_key=partition,
        tags=tags,
        asset_selection=[dg.AssetKey(name) for name in selection],
    )


def _stored(settings: Settings, month: pd.Timestamp) -> tuple[dict[str, pd.Timestamp], set[str]]:
    """Return the last stored bar per ticker, and the tickers whose old bars were revised since `month` began.

    A store that does not answer in time costs a look at fits that are still right, not the tick.
    """
    warehouse = open_warehouse(settings, patience=TICK_PATIENCE_SECONDS)
    try:
        bars = warehouse.query("SELECT ticker, max(date) AS last FROM raw_prices GROUP BY ticker")
        revised = warehouse.query(
            "SELECT DISTINCT ticker FROM price_revisions WHERE seen_at >= $month", {"month": month.to_pydatetime()}
        )
    except VolassetsError as error:
        Run(settings).log(str(error))
        return {}, set(settings.tickers)
    return dict(zip(bars["ticker"], pd.to_datetime(bars["last"]), strict=True)), set(revised["ticker"])
