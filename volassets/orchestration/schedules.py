"""When the graph runs by itself: prices first, an hour later what is computed from them.

- ``refresh_prices``: bars and features, an hour before each of the others.
- ``monthly_refit``: everything of the new month.
- ``daily_update``: the forecasts of the running month from the saved fits.

There is one of each per group of tickers whose exchanges share a time zone.

Both of the latter append what they forecast from the newest bars to the record of what was issued: the first session of
a month is forecast by the refit.

Every tick asks for what is missing in the tables up to its own time, so that a missed tick is caught up by the next.
One run covers a block of steps over all tickers; the setting ``tickers_per_run`` splits it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import pandas as pd

from volassets.market.price_source import LOCAL_SOURCES
from volassets.orchestration.jobs import Jobs, block_name, block_request
from volassets.orchestration.partitions import only_bundled
from volassets.orchestration.schedule_groups import ScheduleGroup, hour_before, schedule_groups
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.missed_months import missing_months, months_to_update, stored_months
from volassets.pipeline.planner import named
from volassets.pipeline.step import Step
from volassets.pipeline.steps import blocks, following
from volassets.pipeline.stored_hashes import StoredHashes
from volassets.settings import Settings
from volassets.timing import refit_month
from volassets.warehouse.store import Warehouse, open_warehouse

PRIORITY_TAG = "dagster/priority"
# A tick must not wait for long: Dagster evaluates it with a deadline.
TICK_PATIENCE_SECONDS = 10.0
# Bars of a file or a closed ticker that end longer ago than this before a month will not grow to reach it.
LOCAL_DAYS = 10


def build_schedules(settings: Settings, steps: Sequence[Step], jobs: Jobs) -> list[dg.ScheduleDefinition]:
    """Return the schedules of `settings`, on unless the bars of every ticker come with the package."""
    listed = blocks(steps)
    prices = next(block for block in listed if block[0].compute is None)
    groups = schedule_groups(settings)
    schedules = [_price_schedule(settings, group, jobs[block_name(prices)]) for group in groups]
    later = {step.name for step in following(steps)}
    monthly = [block for block in listed if block[0].scope in (Scope.TICKER_MONTH, Scope.MONTH)]
    for number, block in enumerate(block for block in monthly if block[0].name not in later):
        # The first block has the plain names; one over all tickers, and what follows it, comes after.
        suffix = f"_{block_name(block)}" if number else ""
        whole = [replace(groups[0], tickers=settings.tickers)] if block[0].scope is Scope.MONTH else groups
        for group in whole:
            schedules += _schedules_of(settings, block, group, suffix, jobs[block_name(block)])
    return schedules


def _common(settings: Settings, group: ScheduleGroup, job: Any) -> dict[str, Any]:
    status = dg.DefaultScheduleStatus.STOPPED if only_bundled(settings) else dg.DefaultScheduleStatus.RUNNING
    return {"execution_timezone": group.zone, "default_status": status, "job": job}


def _price_schedule(settings: Settings, group: ScheduleGroup, job: Any) -> dg.ScheduleDefinition:
    name, block = f"refresh_prices{group.suffix}", job.name

    @dg.schedule(
        name=name,
        cron_schedule=[hour_before(group.refit), hour_before(group.update)],
        description=f"Fetches bars of {_named(group)} and makes their features, an hour before a refit or an update.",
        **_common(settings, group, job),
    )
    def refresh_prices(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        stamp = f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
        traded = [ticker for ticker in group.tickers if ticker not in settings.closed]
        for number, tickers in enumerate(_per_run(settings, traded)):
            places = [Partition(ticker) for ticker in tickers]
            yield block_request(settings, block, (), places, f"{name}:{stamp}:{number}", name, {PRIORITY_TAG: "10"})

    return refresh_prices


def _schedules_of(
    settings: Settings, block: Sequence[Step], group: ScheduleGroup, suffix: str, job: Any
) -> list[dg.ScheduleDefinition]:
    common, names = _common(settings, group, job), {step.name for step in block}
    what = "" if not suffix else f" ({', '.join(sorted(names))})"
    refit, update = f"monthly_refit{suffix}{group.suffix}", f"daily_update{suffix}{group.suffix}"

    @dg.schedule(
        name=refit,
        cron_schedule=group.refit,
        description=f"Fits and forecasts the new month of {_named(group)}{what}, and every month missing up to it.",
        **common,
    )
    def monthly_refit(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        yield from _requests(context, settings, block, group, refit, update=False)

    @dg.schedule(
        name=update,
        cron_schedule=group.update,
        description=f"Forecasts the running month of {_named(group)}{what} from its saved fits, and computes every "
        "month missing up to now. Fits are made again only where the source has revised old bars this month.",
        **common,
    )
    def daily_update(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        yield from _requests(context, settings, block, group, update, update=True)

    return [monthly_refit, daily_update]


def _named(group: ScheduleGroup) -> str:
    return named(group.tickers) or "no ticker"


def _requests(
    context: dg.ScheduleEvaluationContext,
    settings: Settings,
    block: Sequence[Step],
    group: ScheduleGroup,
    schedule: str,
    update: bool,
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    name = block_name(block)
    stamp = f"{schedule}:{context.scheduled_execution_time:%Y-%m-%dT%H:%M}:{name}"
    now = refit_month(context.scheduled_execution_time.date())
    whole, later = _due(settings, block, group.tickers, now, update)
    forecasts = [step.name for step in block if step.stage in ("forecasts", "risk")]
    asked = 0
    for kind, due, steps in (("months", whole, []), ("forecasts", later if forecasts else {}, forecasts)):
        for number, tickers in enumerate(_per_run(settings, list(due))):
            cells = [Partition(ticker, month) for ticker in tickers for month in due[ticker]]
            if block[0].scope is Scope.MONTH:
                cells = [Partition("", month) for month in sorted({cell.month for cell in cells if cell.month})]
            yield block_request(settings, name, steps, cells, f"{stamp}:{kind}:{number}", schedule, issue=True)
            asked += 1
    if not asked:
        yield dg.SkipReason(f"every month up to {now:%Y-%m} is there, or the bars do not reach it")


def _due(
    settings: Settings, steps: Sequence[Step], tickers: Sequence[str], now: pd.Timestamp, update: bool
) -> tuple[dict[str, list[pd.Timestamp]], dict[str, list[pd.Timestamp]]]:
    """Return the months to compute in full, and those whose forecasts alone may lack sessions, by ticker."""
    warehouse = open_warehouse(settings, patience=TICK_PATIENCE_SECONDS)
    stored = stored_months(StoredHashes(warehouse), steps, settings)
    last_bars, revised = _bars(warehouse, now)
    whole: dict[str, list[pd.Timestamp]] = {}
    forecasts: dict[str, list[pd.Timestamp]] = {}
    for ticker in tickers:
        missing = missing_months(stored[ticker], now)
        if settings.source_of(ticker).source in LOCAL_SOURCES or ticker in settings.closed:
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


def _per_run(settings: Settings, tickers: Sequence[str]) -> list[list[str]]:
    """Return the tickers in the portions that runs are made of."""
    size = settings.tickers_per_run or max(len(tickers), 1)
    return [list(tickers[start : start + size]) for start in range(0, len(tickers), size)]


def _bars(warehouse: Warehouse, month: pd.Timestamp) -> tuple[dict[str, pd.Timestamp], set[str]]:
    """Return the last stored bar per ticker, and the tickers whose old bars were revised since `month` began."""
    bars = warehouse.query("SELECT ticker, max(date) AS last FROM raw_prices GROUP BY ticker")
    revised = warehouse.query(
        "SELECT DISTINCT ticker FROM price_revisions WHERE seen_at >= $month", {"month": month.to_pydatetime()}
    )
    return dict(zip(bars["ticker"], pd.to_datetime(bars["last"]), strict=True)), set(revised["ticker"])
