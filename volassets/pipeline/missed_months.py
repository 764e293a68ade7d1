"""Which months a scheduled tick asks for: of several missed ticks Dagster evaluates one, so each asks for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from volassets.pipeline.cells import Scope
from volassets.pipeline.step import Step
from volassets.pipeline.stored_hashes import StoredHashes
from volassets.settings import Settings
from volassets.timing import months_between

StoredMonths = Mapping[str, set[pd.Timestamp]]
"""Every step of a ticker and month, to the months that are stored with all of the home's models."""

# A month that was started and not finished is asked for again this long; older ones are a person's decision.
RECENT_MONTHS = 12
ONE_MONTH = pd.offsets.MonthBegin(1)


def missing_months(stored: StoredMonths, now: pd.Timestamp) -> list[pd.Timestamp]:
    """Return the months of a ticker to compute in full, in order.

    These are all months after the newest one that was started, up to the running month `now`, however many ticks were
    missed, and the recent months of which some asset is missing. Months before anything was started are history that
    nobody has asked for; a new ticker starts with the running month.
    """
    started = {month for months in stored.values() for month in months if month <= now}
    if not started:
        return [now]
    complete = set.intersection(*stored.values())
    late = months_between(max(started) + ONE_MONTH, now) if max(started) < now else []
    oldest = now - pd.DateOffset(months=RECENT_MONTHS - 1)
    return sorted({*late, *(month for month in started - complete if month >= oldest)})


def months_to_update(stored: StoredMonths, now: pd.Timestamp) -> list[pd.Timestamp]:
    """Return the months of a ticker that are there and may lack their last sessions, in order.

    These are the running and the previous month, and the newest month before an outage.
    """
    complete = {month for month in set.intersection(*stored.values()) if month <= now}
    first = min(now - ONE_MONTH, max(complete, default=now))
    return sorted(month for month in complete if month >= first)


def stored_months(
    stored_hashes: StoredHashes, steps: Sequence[Step], settings: Settings
) -> dict[str, dict[str, set[pd.Timestamp]]]:
    """Return ticker -> step -> months that are stored with all of the home's models, whether current or not.

    A month that the settings do not ask a step for counts as stored where any other step has it.
    """
    grid = [step for step in steps if step.scope is Scope.TICKER_MONTH]
    found: dict[str, dict[str, set[pd.Timestamp]]] = {}
    for ticker in settings.tickers:
        by_step = found[ticker] = {
            step.name: set.intersection(
                *(
                    set(stored_hashes.months(step.table, ticker, name))
                    for name in [model.name for model in step.models if model.name in settings.models] or [""]
                )
            )
            for step in grid
        }
        started = set().union(*by_step.values())
        for step in grid:
            by_step[step.name] |= {month for month in started if not step.asked_for(settings, month)}
    return found
