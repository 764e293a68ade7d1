"""Checks of bars before anything is computed from them: errors stop the ticker, warnings are shown.

Each check is a function from `History` to findings, entered in `_BASIC_ERRORS` or `_ERRORS` here or in `WARNINGS` of
`volassets.market.bar_warnings`. Between the two kinds of errors the bars are prepared
(`volassets.market.bar_preparation`). Warnings are looked for only once there is no error, because they divide and take
logarithms.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.market.bar_preparation import ROUNDING, prepare
from volassets.market.bar_warnings import WARNINGS
from volassets.market.bars import BAR_COLUMNS, PRICE_COLUMNS
from volassets.market.calendar import SessionCalendar
from volassets.market.findings import Check, Finding, Found, History
from volassets.market.realized_variance import missing_realized_variance, wrong_unit

FLAT_SHARE = 0.5
# Sessions in a row without a bar that are a hole in daily bars, and no spacing.
HOLE = 25


def check_bars(
    ticker: str, bars: pd.DataFrame, calendar: SessionCalendar, now: pd.Timestamp | datetime, proxy: str
) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the bars to work with, and everything found: the errors, or the warnings where there is none.

    `now`, aware, decides about open sessions, age and future dates; with the proxy ``squared_return`` opens and ranges
    are not checked. Bars without a fault keep their bits.
    """
    broken_shape = _shape(ticker, bars)
    if broken_shape:
        return bars, [broken_shape]
    history = History(ticker, bars, calendar, pd.Timestamp(now).tz_convert("UTC"), proxy)
    errors = _findings(history, "error", _BASIC_ERRORS)
    if errors:
        return bars, errors
    notes = []
    for name, history, found in prepare(history):  # noqa: B020
        notes += _named(history.ticker, name, "warning", found)
    errors = _findings(history, "error", _ERRORS)
    return history.bars, errors or [*notes, *_findings(history, "warning", WARNINGS)]


def _findings(history: History, severity: Literal["error", "warning"], checks: Mapping[str, Check]) -> list[Finding]:
    return [
        finding for name, check in checks.items() for finding in _named(history.ticker, name, severity, check(history))
    ]


def _named(ticker: str, name: str, severity: Literal["error", "warning"], found: Found) -> list[Finding]:
    return [Finding(name, severity, f"{ticker}: {message}", rows) for message, rows in found]


def require_valid(ticker: str, findings: list[Finding]) -> None:
    """Stop if any finding is an error.

    Raises
    ------
    InputError
        With every error's message and the first offending dates.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise InputError(
            " ".join(finding.message for finding in errors)
            + f" Nothing was stored for {ticker}; correct the source's rows, or leave them out, and run again."
        )


def _shape(ticker: str, bars: pd.DataFrame) -> Finding | None:
    missing = [name for name in BAR_COLUMNS if name not in bars]
    if missing:
        problem = f"the bars lack the column {', '.join(missing)}. They need {', '.join(BAR_COLUMNS)}."
    elif not isinstance(bars.index, pd.DatetimeIndex) or bars.index.tz is not None or bars.index.hasnans:
        problem = "the bars need an index of session dates without time zone and gaps."
    elif not bars.index.equals(bars.index.normalize()):
        problem = "the bars' dates have times of day. Daily bars are dated by their session at midnight."
    elif any(bars[name].dtype != "float64" for name in BAR_COLUMNS):
        problem = "the bars hold something else than numbers."
    elif len(bars) < 2:
        problem = f"there {'is only one bar' if len(bars) else 'is no bar'}. A volatility needs years of them."
    else:
        return None
    return Finding("shape", "error", f"{ticker}: {problem}")


def _duplicates(history: History) -> Found:
    mask = history.dates.duplicated(keep=False)
    return history.found(mask, "dates appear more than once: {dates}. Keep one row per date.")


def _unsorted(history: History) -> Found:
    mask = np.append(False, np.diff(history.dates.asi8) < 0)
    return history.found(mask, "dates run backwards at {dates}. Sort the rows by date, the oldest first.")


def _future(history: History) -> Found:
    today = history.local_today
    message = (
        f"bars are dated after today ({today:%Y-%m-%d}): {{dates}}. Check the layout of the dates, or remove them."
    )
    return history.found(history.dates > today, message)


def _not_finite(history: History) -> Found:
    mask = ~np.isfinite(history.bars[list(PRICE_COLUMNS)].to_numpy()).all(axis=1) | np.isinf(history.bars["volume"])
    return history.found(mask, "prices or volumes are missing or infinite on {dates}. Complete or remove these rows.")


def _not_positive(history: History) -> Found:
    prices = (history.bars[list(PRICE_COLUMNS)] <= 0).any(axis=1)
    volume = history.bars["volume"] < 0
    why = "on {dates}; such numbers often stand for missing ones."
    return [*history.found(prices, f"prices of zero or below {why}"), *history.found(volume, f"negative volume {why}")]


def _impossible(history: History) -> Found:
    bars = history.bars
    low, high = bars["low"] * (1 - ROUNDING), bars["high"] * (1 + ROUNDING)
    upside_down = high < low
    body = bars[["open", "close"]]
    outside = ~upside_down & ((body.max(axis=1) > high) | (body.min(axis=1) < low))
    return [
        *history.found(upside_down, f"the high is below the low on {{dates}}. {_REMEDY}"),
        *history.found(outside, f"the open or close lies outside low to high on {{dates}}. {_REMEDY}"),
    ]


_REMEDY = "Correct these rows in your file; for a download set start_date in volassets.toml to a day after them."


def _irregular(history: History) -> Found:
    """Find bars of weeks or months: less than half of the sessions have one, long holes aside."""
    skipped = np.append(0, np.diff(history.calendar.days.searchsorted(history.dates)) - 1)
    spaced = (skipped > 0) & (skipped < HOLE)
    if len(history.bars) > skipped[spaced].sum() or spaced.mean() < 0.25:
        return []
    days = int(np.median(np.diff(history.dates.asi8)) / 86_400_000_000_000)
    kind = {True: "monthly", days < 25: "weekly", days < 6: "irregular"}[True]
    message = (
        f"the bars are {days} days apart, {kind}: less than half of the sessions have one. Daily bars are needed; ask "
        "the source for them."
    )
    return history.found(spaced, message)


def _constant(history: History) -> Found:
    close = history.bars["close"]
    first = np.arange(len(close)) < 5
    message = f"the close is {close.iloc[0]:g} on all {len(close)} days, so there is no volatility."
    return history.found(first & (close.nunique() == 1), message)


def _no_ranges(history: History) -> Found:
    flat = history.bars["high"] == history.bars["low"]
    return history.found(
        flat & (history.ranges and flat.mean() > FLAT_SHARE),
        f"high equals low on {flat.mean():.0%} of the days, so a range proxy measures nothing. Use a source with real "
        'highs and lows, or set proxy = "squared_return".',
    )


# Without these faults the bars can be prepared, and then judged by the rest.
_BASIC_ERRORS: dict[str, Check] = {
    "duplicate_dates": _duplicates,
    "unsorted_dates": _unsorted,
    "future_dates": _future,
    "not_finite": _not_finite,
    "not_positive": _not_positive,
}
_ERRORS: dict[str, Check] = {
    "impossible_bars": _impossible,
    "irregular_spacing": _irregular,
    "constant_price": _constant,
    "no_ranges": _no_ranges,
    "no_realized_variance": missing_realized_variance,
    "realized_unit": wrong_unit,
}
