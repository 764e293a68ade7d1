"""Groups of tickers that are updated together, after the close of their exchanges.

The settings' times hold for New York's tickers, in the settings' time zone. Tickers of another zone have the same local
times of their own exchange, and markets that are open round the clock, as those of coins, are updated when their day
has closed at 00:00 UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from volassets.errors import InputError
from volassets.market.calendar import DEFAULT, calendar_for, guess_calendar
from volassets.settings import Settings

NEW_YORK = "America/New_York"
ROUND_THE_CLOCK = pd.Timedelta(days=1)
# In a cron line, Sunday is 0.
WORKING_DAYS = "1-5"


@dataclass(frozen=True)
class ScheduleGroup:
    """Tickers with the cron lines and the time zone of their schedules; `suffix` ends the schedules' names."""

    suffix: str
    zone: str
    tickers: tuple[str, ...]
    refit: str
    update: str


class _Market(NamedTuple):
    zone: str
    round_the_clock: bool
    days: frozenset[int]


def schedule_groups(settings: Settings) -> list[ScheduleGroup]:
    """Return the groups of the settings' tickers, New York's first; its schedules' names have no suffix."""
    markets = {ticker: _market(settings, ticker) for ticker in settings.tickers}
    plain = tuple(ticker for ticker, market in markets.items() if market.zone in (NEW_YORK, settings.timezone))
    groups = [ScheduleGroup("", settings.timezone, plain, settings.refit_schedule, settings.update_schedule)]
    for zone in sorted({markets[ticker].zone for ticker in settings.tickers if ticker not in plain}):
        tickers = tuple(ticker for ticker, market in markets.items() if market.zone == zone)
        own = [markets[ticker] for ticker in tickers]
        suffix = "_" + zone.rpartition("/")[2].lower()
        groups.append(ScheduleGroup(suffix, zone, tickers, settings.refit_schedule, _update(settings, own)))
    return [group for group in groups if group.tickers or len(groups) == 1]


def _market(settings: Settings, ticker: str) -> _Market:
    if ticker not in settings.calendars and guess_calendar(ticker) == DEFAULT:
        return _Market(NEW_YORK, False, frozenset(range(1, 6)))  # without building the calendar
    try:
        calendar = calendar_for(ticker, settings.calendars)
    except InputError:
        # The ticker's own run says what is wrong with it.
        return _Market(NEW_YORK, False, frozenset(range(1, 6)))
    late = calendar.close >= ROUND_THE_CLOCK
    days = {number + 1 for number, works in enumerate(calendar.working_week) if works == "1"}
    return _Market(calendar.zone, late, frozenset((day + late) % 7 for day in days))


def _update(settings: Settings, markets: Sequence[_Market]) -> str:
    """Return the cron line of a group's daily update, on the days of its own exchanges."""
    *time, days = settings.update_schedule.split()
    if days == WORKING_DAYS:
        listed = sorted(frozenset.union(*(market.days for market in markets)))
        days = "*" if len(listed) == 7 else ",".join(map(str, listed)) if listed != [1, 2, 3, 4, 5] else days
    if any(market.round_the_clock for market in markets):
        time[:2] = ["0", "1"]
    return " ".join([*time, days])


def hour_before(cron: str) -> str:
    """Return the cron line one hour earlier, or the same where its hours are not plain numbers after midnight.

    At the same time prices still go first: their runs have priority in the queue.
    """
    minute, hour, *days = cron.split()
    hours = hour.split(",")
    if not all(part.isdigit() and int(part) >= 1 for part in hours):
        return cron
    return " ".join([minute, ",".join(str(int(part) - 1) for part in hours), *days])
