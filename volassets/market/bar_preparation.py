"""What is set right before bars are checked: days that are no session of their own, rounding, missing volume.

Each step keeps every bit of a history without its fault, and reports what it changed as a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from volassets.market.bars import REALIZED
from volassets.market.findings import Found, History

# A range that misses the open or close by more is a wrong price, not rounding.
WIDENED = 0.01
# Calendars of markets that open on Sunday evening for Monday.
EVENING_OPENINGS = ("24/5", "CMES", "IEPA", "us_futures")


def prepare(history: History) -> Iterator[tuple[str, History, Found]]:
    """Yield the history after each step, with the step's name and findings; dates are sorted and unique."""
    for name, step in STEPS.items():
        bars, found = step(history)
        history = History(history.ticker, bars, history.calendar, history.now, history.proxy)
        yield name, history, found


def _drop_unfinished(history: History) -> tuple[pd.DataFrame, Found]:
    """Leave out the bar of the running session, which changes until the close; a later one is an error elsewhere."""
    last = history.dates[-1]
    open_still = (history.dates == last) & (not history.calendar.closed(last, history.now))
    if last > history.local_today or not open_still.any() or len(history.bars) == 1:
        return history.bars, []
    message = (
        f"the session of {{dates}} has not closed at {history.now:%Y-%m-%d %H:%M} UTC; its bar is left out until then."
    )
    return history.bars[~open_still], history.found(open_still, message)


def _drop_filled_holidays(history: History) -> tuple[pd.DataFrame, Found]:
    bars, dates = history.bars, history.dates
    repeated = (bars["close"] == bars["close"].shift()) & (bars["high"] == bars["low"]) & ~(bars["volume"] > 0)
    filled = repeated.to_numpy() & ~dates.isin(history.calendar.days) & history.recorded(dates)
    message = (
        f"{filled.sum()} days without a session of {history.calendar.name} repeat the previous close without volume: "
        "{dates}. They are left out."
    )
    return bars[~filled], history.found(filled, message)


def _merge_evenings(history: History) -> tuple[pd.DataFrame, Found]:
    """Merge a Sunday's bar into that of the session which it opens."""
    bars, dates = history.bars, history.dates
    sunday = dates.day_of_week == 6
    if history.calendar.name not in EVENING_OPENINGS or not sunday.any():
        return bars, []
    session = pd.Series(dates.where(~sunday, dates + pd.Timedelta(days=1)), index=bars.index, name="date")
    rules = {"open": "first", "high": "max", "low": "min", "close": "last", "adj_close": "last", "volume": "sum"}
    merged = bars.groupby(session.to_numpy()).agg(rules | ({REALIZED: "sum"} if REALIZED in bars else {}))
    # A Sunday whose Monday is not there yet would be a session of an hour.
    alone = sunday & ~session.isin(dates).to_numpy()
    merged = merged[~merged.index.isin(session[alone])].rename_axis("date")
    message = f"{sunday.sum()} bars of Sundays are merged into the sessions that they open: {{dates}}."
    return merged, history.found(sunday, message)


def _fill_volume(history: History) -> tuple[pd.DataFrame, Found]:
    missing = history.bars["volume"].isna()
    message = (
        f"{missing.sum()} volumes are missing and taken as 0: {{dates}}. Features of the volume ignore these days."
    )
    return history.bars.fillna({"volume": 0.0}), history.found(missing, message)


def _widen_ranges(history: History) -> tuple[pd.DataFrame, Found]:
    bars = history.bars
    body = bars[["open", "close"]]
    high, low = np.maximum(bars["high"], body.max(axis=1)), np.minimum(bars["low"], body.min(axis=1))
    off = np.maximum(high / bars["high"], bars["low"] / low) - 1
    # Vendors round high, low, open and close apart; a logarithm does not notice the least of it.
    narrow = (off > ROUNDING) & (off < WIDENED)
    widened = bars.assign(high=bars["high"].where(~narrow, high), low=bars["low"].where(~narrow, low))
    message = (
        f"the open or close lies outside low to high by less than {WIDENED:.0%} on {{dates}}; the range is widened to "
        "hold both."
    )
    return widened, history.found(narrow, message)


ROUNDING = 1e-6
STEPS: dict[str, Callable[[History], tuple[pd.DataFrame, Found]]] = {
    "unfinished_session": _drop_unfinished,
    "no_volume": _fill_volume,
    "filled_holidays": _drop_filled_holidays,
    "off_calendar": _merge_evenings,
    "widened_ranges": _widen_ranges,
}
