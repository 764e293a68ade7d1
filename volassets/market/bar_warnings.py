"""Warnings about bars that can be worked with: holes, halts, stale prices, suspected splits.

All bars here have passed the errors of `volassets.market.bar_errors`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.market.bars import total_return_factor
from volassets.market.calendar import SEVEN_DAYS
from volassets.market.findings import Check, Context, Found, dates_text

SPLIT_MOVE = np.log(1.5)
HALT_SESSIONS = 20
STALE_OPEN_SHARE = 0.05
STALE_OPEN_MOVE = 1e-6
FLAT_SESSIONS = 20
NO_VOLUME_SESSIONS = 252
OLD_SESSIONS = 5
RATIO_BOUNDS = (0.9, 1.1)


def _missing_sessions(context: Context) -> Found:
    index, calendar = context.dates, context.calendar
    if calendar.recorded is None:
        yield (
            f"the holidays of calendar {calendar.name} are not known, so sessions are taken to be weekdays.",
            pd.DataFrame(),
        )
        return
    expected = calendar.sessions(max(index[0], calendar.recorded[0]), min(index[-1], calendar.recorded[1]))
    absent = expected.difference(index)
    if len(absent) == 0:
        return
    gap = np.append(0, np.cumsum(np.diff(expected.get_indexer(absent)) > 1))
    rows = pd.DataFrame({"date": absent, "sessions_in_gap": pd.Series(gap).groupby(gap).transform("size")})
    yield (
        f"{len(absent)} of {len(expected)} sessions of {calendar.name} have no bar: {dates_text(rows)}. Fill them in, "
        "or name "
        f"another calendar in the setting calendars.",
        rows,
    )


def _halts(context: Context) -> Found:
    index, calendar = context.dates, context.calendar
    if calendar.recorded is None:
        return
    position = calendar.days.searchsorted(index)
    skipped = np.append(0, np.diff(position) - 1)
    mask = (skipped >= HALT_SESSIONS) & (index >= calendar.recorded[0])
    if mask.any():
        rows = context.rows(mask, sessions_before=skipped)
        yield (
            f"no bar for {int(skipped.max())} sessions before {dates_text(rows)}: a trading halt or a hole in the "
            "data. Returns "
            "across it span the whole gap; consider starting after it.",
            rows,
        )


def _off_calendar(context: Context) -> Found:
    calendar = context.calendar
    mask = ~context.dates.isin(calendar.days)
    if calendar.recorded is None:
        return
    mask &= (context.dates >= calendar.recorded[0]) & (context.dates <= calendar.recorded[1])
    if mask.any():
        rows = context.rows(mask)
        weekend = rows["date"].dt.day_of_week.ge(5).mean() > 0.5
        better = SEVEN_DAYS if weekend else "another calendar"
        yield (
            f"{len(rows)} bars lie on days without a session of {calendar.name}: {dates_text(rows)}. Target dates "
            "would be wrong: "
            f'set calendars = {{"{context.ticker}" = "{better}"}} if it trades then.',
            rows,
        )


def _factor_step(bars: pd.DataFrame) -> pd.Series:
    """Return what the day's dividend or split multiplies the open by, to compare it with the previous close."""
    factor = total_return_factor(bars)
    return factor / factor.shift()


def _stale_opens(context: Context) -> Found:
    bars = context.bars
    move = bars["open"] / bars["close"].shift() * _factor_step(bars) - 1
    stale = move.abs() < STALE_OPEN_MOVE
    if context.ranges and stale.iloc[1:].mean() > STALE_OPEN_SHARE:
        yield (
            f"the open repeats the previous close on {stale.iloc[1:].mean():.0%} of the days, so the overnight part "
            "of the "
            "proxy is too small there; usual for indices before about 2010. The ratio c_m corrects the level.",
            context.rows(stale),
        )


def _zero_ranges(context: Context) -> Found:
    flat = context.bars["high"] <= context.bars["low"]
    if context.ranges and flat.any():
        rows = context.rows(flat)
        yield f"high equals low on {dates_text(rows)}; logarithms of the range are floored there.", rows


def _splits(context: Context) -> Found:
    adjusted = np.log(context.bars["adj_close"]).diff()
    mask = adjusted.abs() > SPLIT_MOVE
    if mask.any():
        rows = context.rows(mask, log_return=adjusted)
        moves = ", ".join(f"{np.expm1(move):+.0%}" for move in rows["log_return"].iloc[:3])
        yield (
            f"the adjusted close moves by {moves} on {dates_text(rows)}: a split that the prices are not adjusted "
            "for, or a wrong "
            "price. Adjust the earlier rows if it is one.",
            rows,
        )


def _ratio(context: Context) -> Found:
    if not context.ranges:
        return
    # Spelled out here, because market data comes before features.
    bars = context.bars
    overnight = np.log(bars["open"] / bars["close"].shift() * _factor_step(bars))
    gk = 0.5 * np.log(bars["high"] / bars["low"]) ** 2 - (2 * np.log(2) - 1) * np.log(bars["close"] / bars["open"]) ** 2
    share = float((gk + overnight**2).iloc[1:].sum() / (np.log(bars["adj_close"]).diff() ** 2).sum())
    low, high = RATIO_BOUNDS
    if not low <= share <= high:
        yield (
            f"the range proxy averages {share:.2f} of the squared return, outside {low} to {high}: opens, highs or "
            "lows are "
            "poor. Forecasts are scaled by the ratio c_m, but look at the squared-return scores too.",
            pd.DataFrame(),
        )


def _runs(same: np.ndarray) -> np.ndarray:
    """Return for each entry the length of the run of True that it lies in, 0 where False."""
    block = np.cumsum(np.append(True, same[1:] != same[:-1]))
    return np.where(same, pd.Series(same).groupby(block).transform("size").to_numpy(), 0)


def _stale_closes(context: Context) -> Found:
    length = _runs((context.bars["close"].diff() == 0).to_numpy())
    mask = length >= FLAT_SESSIONS
    if mask.any():
        rows = context.rows(mask)
        yield (
            f"the close does not move for {int(length.max())} days around {dates_text(rows, 1)}: no trading, or a "
            "repeated price.",
            rows,
        )


def _no_volume(context: Context) -> Found:
    length = _runs((context.bars["volume"] == 0).to_numpy())
    mask = length >= NO_VOLUME_SESSIONS
    if mask.all():
        yield "there is no volume at all; features of the volume are zero.", pd.DataFrame()
    elif mask.any():
        rows = context.rows(mask)
        yield (
            f"no volume for {int(length.max())} days from {dates_text(rows, 1)}; features of the volume are zero "
            "there.",
            rows,
        )


def _old(context: Context) -> Found:
    last = context.dates[-1]
    missed = len(context.calendar.sessions(last, context.today - pd.Timedelta(days=1))) - 1
    if missed > OLD_SESSIONS:
        yield (
            f"the last bar is of {last:%Y-%m-%d}, {missed} sessions ago. Refresh the source if it should be up to "
            "date.",
            context.rows(context.dates == last),
        )


WARNINGS: dict[str, Check] = {
    "missing_sessions": _missing_sessions,
    "trading_halt": _halts,
    "off_calendar": _off_calendar,
    "stale_opens": _stale_opens,
    "zero_ranges": _zero_ranges,
    "suspected_split": _splits,
    "proxy_ratio": _ratio,
    "stale_closes": _stale_closes,
    "no_volume": _no_volume,
    "old_bars": _old,
}
