"""The one place that repairs `exchange_calendars` for newer pandas.

Since pandas 3.1 an offset adds by `_add_datetime`, where the library's own offsets still define `_apply`, and lists
its dates by a mask that knows nothing of the library's special weeks. So Orthodox Easter fails (Athens, Belgrade,
Bucharest, Cyprus), Tel Aviv fails at its change of week, and the Saturdays of Seoul, Mumbai and Moscow are lost without
an error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas.tseries.offsets import BaseOffset

_DAYS = np.arange("1950-01-01", "2061-01-01", dtype="datetime64[D]")


def repair() -> None:
    """Give the library's offsets the methods that this pandas calls; nothing happens where they have them."""
    from exchange_calendars.pandas_extensions.offsets import CompositeCustomBusinessDay, OrthodoxEaster

    if hasattr(BaseOffset, "_add_datetime") and "_add_datetime" not in vars(OrthodoxEaster):
        OrthodoxEaster._add_datetime = OrthodoxEaster._apply
        CompositeCustomBusinessDay._add_datetime = _next_session
        CompositeCustomBusinessDay._supports_daily_offset_mask = False


def _next_session(offset: Any, day: pd.Timestamp) -> pd.Timestamp:
    sessions = vars(offset).get("_sessions")
    if sessions is None:
        sessions = offset._sessions = _sessions(offset)
    following = sessions[np.searchsorted(sessions, np.datetime64(day, "D"), side="right")]
    return pd.Timestamp(following).as_unit(day.unit)


def _sessions(offset: Any) -> np.ndarray:
    """Return every session of an offset whose working week differs in some spans."""
    working = np.is_busday(_DAYS, busdaycal=offset._as_custom_business_day().calendar)
    for start, end, week in offset._business_days:
        first = 0 if start is None else np.searchsorted(_DAYS, np.datetime64(start, "D"))
        last = len(_DAYS) if end is None else np.searchsorted(_DAYS, np.datetime64(end, "D"), side="right")
        working[first:last] = np.is_busday(_DAYS[first:last], busdaycal=week.calendar)
    return _DAYS[working]
