"""Warnings about bars that can be worked with: holes, halts, stale prices, suspected splits.

All bars here have passed the errors of `volassets.market.bar_errors`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.market.bars import COARSE_SHARE, factor_step
from volassets.market.calendar import DEFAULT, SEVEN_DAYS, has_known_notation
from volassets.market.findings import Check, Found, History, dates_text
from volassets.market.freshness import FAIL_AFTER
from volassets.market.suspect_ranges import TIMES, suspect_ranges

SPLIT_MOVE = np.log(1.5)
NEWS_VOLUME = 4
HALT_SESSIONS = 20
# Bars off the calendar that are special sessions, as on a Saturday or for a festival.
SPECIAL_SHARE = 0.01
USUAL_WINDOW = 66
# Calendar days that the longest default horizon reaches.
FORECAST_DAYS = 31
STALE_OPEN_SHARE = 0.05
STALE_OPEN_MOVE = 1e-6
FLAT_SESSIONS = 20
NO_VOLUME_SESSIONS = 252
RATIO_BOUNDS = (0.9, 1.1)


def _missing_sessions(history: History) -> Found:
    index, calendar = history.dates, history.calendar
    expected = calendar.sessions(max(index[0], calendar.recorded[0]), min(index[-1], calendar.recorded[1]))
    absent = expected.difference(index)
    if len(absent) == 0:
        return []
    gap = np.append(0, np.cumsum(np.diff(expected.get_indexer(absent)) > 1))
    rows = pd.DataFrame({"date": absent, "sessions_in_gap": pd.Series(gap).groupby(gap).transform("size")})
    message = (
        f"{len(absent)} of {len(expected)} sessions of {calendar.name} have no bar: {dates_text(rows)}. Fill them in, "
        f"or name another calendar in the setting calendars."
    )
    return [(message, rows)]


def _halts(history: History) -> Found:
    skipped = np.append(0, np.diff(history.calendar.days.searchsorted(history.dates)) - 1)
    return history.found(
        (skipped >= HALT_SESSIONS) & (history.dates >= history.calendar.recorded[0]),
        f"no bar for {int(skipped.max())} sessions before {{dates}}: a trading halt or a hole in the data. Returns "
        "across it span the whole gap; consider starting after it.",
        sessions_before=skipped,
    )


def _off_calendar(history: History) -> Found:
    """Find a calendar that does not fit; single special sessions, as on a Saturday, are sessions where a bar is."""
    index, calendar = history.dates, history.calendar
    mask = ~index.isin(calendar.days) & history.recorded(index)
    if mask.mean() <= SPECIAL_SHARE:
        return []
    weekend = pd.date_range(index[0], index[-1])
    weekend = weekend[weekend.day_of_week >= 5]
    better = SEVEN_DAYS if weekend.isin(index).mean() > 0.5 else "another calendar"
    return history.found(
        mask,
        f"{mask.sum()} bars lie on days without a session of {calendar.name}: {{dates}}. Target dates whose bar is "
        f'not stored yet may be wrong: set calendars = {{"{history.ticker}" = "{better}"}} if it trades then.',
    )


def _calendar_ends(history: History) -> Found:
    """Find sessions outside the calendar's record: bars there, or the month that is forecast next."""
    calendar, last = history.calendar, history.dates[-1]
    outside = ~history.recorded(history.dates)
    ahead = last + pd.Timedelta(days=FORECAST_DAYS) > calendar.recorded[1]
    if not outside.any() and not ahead:
        return []
    message = (
        f"the holidays of {calendar.name} are recorded from {calendar.recorded[0]:%Y-%m-%d} to "
        f"{calendar.recorded[1]:%Y-%m-%d}; outside, {outside.sum()} bars so far, a weekday is assumed to be a session "
        "until its bar is stored. Update the package exchange_calendars for a longer record."
    )
    return [(message, history.rows(outside))]


def _guessed_calendar(history: History) -> Found:
    if has_known_notation(history.ticker) or history.calendar.name != DEFAULT:
        return []
    suffix = history.ticker.rpartition(".")[2]
    message = (
        f"the suffix .{suffix} belongs to no exchange whose calendar is known, so {DEFAULT} is assumed. Set "
        f'calendars = {{"{history.ticker}" = "CODE"}} in volassets.toml, CODE as in exchange_calendars.'
    )
    return [(message, pd.DataFrame())]


def _stale_opens(history: History) -> Found:
    bars = history.bars
    stale = (bars["open"] / bars["close"].shift() * factor_step(bars) - 1).abs() < STALE_OPEN_MOVE
    share = stale.iloc[1:].mean()
    return history.found(
        stale & (history.ranges and share > STALE_OPEN_SHARE),
        f"the open repeats the previous close on {share:.0%} of the days, so the overnight part of the proxy is too "
        "small there; usual for indices before about 2010. The ratio c_m corrects the level.",
    )


def _zero_ranges(history: History) -> Found:
    flat = (history.bars["high"] <= history.bars["low"]) & history.ranges
    return history.found(flat, "high equals low on {dates}; logarithms of the range are floored there.")


def _splits(history: History) -> Found:
    adjusted = np.log(history.bars["adj_close"]).diff()
    # News that halve a price are traded many times as much; a split multiplies the volume by its ratio.
    volume = history.bars["volume"]
    news = volume > NEWS_VOLUME * volume.rolling(22, min_periods=10).median().shift() * np.exp(adjusted.abs())
    mask = (adjusted.abs() > SPLIT_MOVE) & ~news
    moves = ", ".join(f"{np.expm1(move):+.0%}" for move in adjusted[mask].iloc[:3])
    return history.found(
        mask,
        f"the adjusted close moves by {moves} on {{dates}}: a split that the prices are not adjusted for, or a wrong "
        "price. Adjust the earlier rows if it is one.",
        log_return=adjusted,
    )


def _suspect_ranges(history: History) -> Found:
    bars = history.bars
    suspect = np.zeros(len(bars), dtype=bool)
    suspect[suspect_ranges(bars).before(len(bars))] = history.ranges
    spans = (bars["high"] / bars["low"] - 1)[suspect].iloc[:3]
    values = ", ".join(f"{span:.0%}" for span in spans)
    return history.found(
        suspect,
        f"the range is {values} on {{dates}}, or the gap, more than {TIMES:.0f} times its neighbours', while the close "
        "hardly moves: an open, high or low is probably wrong. These days are left out of the ratio c_m and of the "
        "scores. Correct them at the source.",
    )


def _suspect_adjustment(history: History) -> Found:
    bars = history.bars
    step = np.log(factor_step(bars))
    close = np.log(bars["close"] / bars["close"].shift())
    total = close + step
    usual = total.abs().rolling(USUAL_WINDOW, min_periods=10).median() * 1.4826
    # The part of the step that the close did not follow: half where a dividend counts twice, all where it is wrong.
    share = total / step.where(step != 0)
    mask = (share > 0.4) & (share < 1.1) & (total.abs() > 5 * usual.shift())
    moves = ", ".join(
        f"{np.expm1(a):+.1%} against {np.expm1(b):+.1%}" for a, b in zip(step[mask][:3], close[mask], strict=False)
    )
    return history.found(
        mask,
        f"the adjustment factor and the close move by {moves} on {{dates}}: a dividend or split counted twice, in "
        "another unit, or wrong. The total return of that day is a jump that never was; correct adj_close.",
        factor_move=step,
        close_move=close,
    )


def _tick_size(history: History) -> Found:
    close = history.bars["close"]
    steps = close.diff().abs()
    still = steps == 0
    share = float(still.iloc[1:].mean())
    if share <= COARSE_SHARE or not (steps > 0).any():
        return []
    tick = float(steps[steps > 0].quantile(0.05))
    message = (
        f"{still.sum()} of {len(close) - 1} returns are zero ({share:.0%}), and a step of the price is {tick:g}, "
        f"{tick / close.median():.1%} of it: forecasts of such prices are coarse, and a GARCH that degenerates on them "
        "is replaced (`SELECT model, message FROM fits WHERE NOT converged`). Prefer log_har, or leave the ticker out."
    )
    return history.found(still, message)


def _ratio(history: History) -> Found:
    # Spelled out here, because market data comes before features.
    bars = history.bars
    overnight = np.log(bars["open"] / bars["close"].shift() * factor_step(bars))
    gk = 0.5 * np.log(bars["high"] / bars["low"]) ** 2 - (2 * np.log(2) - 1) * np.log(bars["close"] / bars["open"]) ** 2
    clean = ~np.isin(np.arange(len(bars)), [0, *suspect_ranges(bars).before(len(bars))])
    share = float((gk + overnight**2)[clean].sum() / (np.log(bars["adj_close"]).diff() ** 2)[clean].sum())
    low, high = RATIO_BOUNDS
    if not history.ranges or low <= share <= high:
        return []
    message = (
        f"the range proxy averages {share:.2f} of the squared return, outside {low} to {high}: opens, highs or lows "
        "are poor. Forecasts are scaled by the ratio c_m, but look at the squared-return scores too."
    )
    return [(message, pd.DataFrame())]


def _runs(same: np.ndarray) -> np.ndarray:
    """Return for each entry the length of the run of True that it lies in, 0 where False."""
    block = np.cumsum(np.append(True, same[1:] != same[:-1]))
    return np.where(same, pd.Series(same).groupby(block).transform("size").to_numpy(), 0)


def _stale_closes(history: History) -> Found:
    length = _runs((history.bars["close"].diff() == 0).to_numpy())
    return history.found(
        length >= FLAT_SESSIONS,
        f"the close does not move for {int(length.max())} days around {{dates}}: no trading, or a repeated price.",
        shown=1,
    )


def _no_volume(history: History) -> Found:
    length = _runs((history.bars["volume"] == 0).to_numpy())
    mask = length >= NO_VOLUME_SESSIONS
    if mask.all():
        return [("there is no volume at all; features of the volume are zero.", pd.DataFrame())]
    message = f"no volume for {int(length.max())} days from {{dates}}; features of the volume are zero there."
    return history.found(mask, message, shown=1)


def _old(history: History) -> Found:
    last = history.dates[-1]
    missed = len(history.calendar.sessions(last, history.local_today - pd.Timedelta(days=1))) - 1
    return history.found(
        (history.dates == last) & (missed > FAIL_AFTER),
        f"the last bar is of {last:%Y-%m-%d}, {missed} sessions ago. Refresh the source if it should be up to date.",
    )


WARNINGS: dict[str, Check] = {
    "missing_sessions": _missing_sessions,
    "trading_halt": _halts,
    "off_calendar": _off_calendar,
    "calendar_ends": _calendar_ends,
    "guessed_calendar": _guessed_calendar,
    "stale_opens": _stale_opens,
    "zero_ranges": _zero_ranges,
    "suspected_split": _splits,
    "suspect_range": _suspect_ranges,
    "suspect_adjustment": _suspect_adjustment,
    "tick_size": _tick_size,
    "proxy_ratio": _ratio,
    "stale_closes": _stale_closes,
    "no_volume": _no_volume,
    "old_bars": _old,
}
