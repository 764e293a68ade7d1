"""Which months a scheduled tick asks for: of several missed ticks Dagster evaluates one, so each asks for all."""

from __future__ import annotations

import pandas as pd

from volassets.orchestration.recorded import Recorded
from volassets.timing import months_between

# A month that was begun and not finished is asked for again this long; older ones are a person's decision.
RECENT_MONTHS = 12
ONE_MONTH = pd.offsets.MonthBegin(1)


def missing_months(recorded: Recorded, now: pd.Timestamp) -> list[pd.Timestamp]:
    """Return the months of a ticker to compute in full, in order.

    These are all months after the newest one that was begun, up to `now`, however many ticks were
    missed, and the recent months of which some asset is missing. Months before anything was begun
    are history that nobody has asked for; a new ticker starts with the running month.

    Parameters
    ----------
    recorded : mapping
        Every asset of the grid, also those without a month.
    now : Timestamp
        The running month.
    """
    begun = {month for months in recorded.values() for month in months if month <= now}
    if not begun:
        return [now]
    complete = set.intersection(*recorded.values())
    late = months_between(max(begun) + ONE_MONTH, now) if max(begun) < now else []
    oldest = now - pd.DateOffset(months=RECENT_MONTHS - 1)
    holes = [month for month in begun if month not in complete and month >= oldest]
    return sorted({*late, *holes})


def months_to_update(recorded: Recorded, now: pd.Timestamp) -> list[pd.Timestamp]:
    """Return the months of a ticker that are there and may lack their last sessions, in order.

    These are the running and the previous month, and the newest month before an outage.
    """
    complete = {month for month in set.intersection(*recorded.values()) if month <= now}
    if not complete:
        return []
    first = min(now - ONE_MONTH, max(complete))
    return sorted(month for month in complete if month >= first)
