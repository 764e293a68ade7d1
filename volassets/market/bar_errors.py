"""Checks of bars before anything is computed from them: errors stop the ticker, warnings are shown.

Each check is a function from `Context` to findings, entered in `_ERRORS` here or in `WARNINGS` of
`volassets.market.bar_warnings`.
Warnings are looked for only once there is no error, because they divide and take logarithms.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.market.bar_warnings import WARNINGS
from volassets.market.bars import BAR_COLUMNS, PRICE_COLUMNS
from volassets.market.calendar import SessionCalendar
from volassets.market.findings import Check, Context, Finding, Found, dates_text

__all__ = ["Finding", "check_bars", "require_valid"]

# Vendors round high, low, open and close apart; a logarithm does not notice this much.
ROUNDING = 1e-6
FLAT_SHARE = 0.5


def check_bars(
    ticker: str,
    bars: pd.DataFrame,
    calendar: SessionCalendar,
    today: pd.Timestamp | date,
    proxy: str = "gk_overnight",
) -> list[Finding]:
    """Return everything wrong with `bars`, errors first.

    Parameters
    ----------
    ticker : str
        Named in the messages.
    bars : DataFrame
        As of `volassets.market.bars`, possibly broken.
    calendar : SessionCalendar
        Sessions to compare the dates with.
    today : Timestamp or date
        Day to judge age and future dates by.
    proxy : str
        With ``squared_return`` the checks of opens and ranges are left out.
    """
    day = pd.Timestamp(today).normalize()
    broken_shape = _shape(ticker, bars)
    if broken_shape:
        return [broken_shape]
    context = Context(ticker, bars, calendar, day, ranges=proxy != "squared_return")
    findings = [
        Finding(name, "error", f"{ticker}: {message}", rows)
        for name, check in _ERRORS.items()
        for message, rows in check(context)
    ]
    if findings:
        return findings
    return [
        Finding(name, "warning", f"{ticker}: {message}", rows)
        for name, check in WARNINGS.items()
        for message, rows in check(context)
    ]


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


def _duplicates(context: Context) -> Found:
    mask = context.dates.duplicated(keep=False)
    if mask.any():
        rows = context.rows(mask)
        yield f"dates appear more than once: {dates_text(rows)}. Keep one row per date.", rows


def _unsorted(context: Context) -> Found:
    index = context.dates
    mask = np.append(False, np.diff(index.asi8) < 0)
    if mask.any():
        rows = context.rows(mask)
        yield f"dates run backwards at {dates_text(rows)}. Sort the rows by date, the oldest first.", rows


def _future(context: Context) -> Found:
    # East of the machine it may already be tomorrow.
    mask = context.dates > context.today + pd.Timedelta(days=1)
    if mask.any():
        rows = context.rows(mask)
        yield (
            f"bars are dated after today ({context.today:%Y-%m-%d}): {dates_text(rows)}. Check the layout of the "
            "dates.",
            rows,
        )


def _not_finite(context: Context) -> Found:
    mask = ~np.isfinite(context.bars[list(BAR_COLUMNS)].to_numpy()).all(axis=1)
    if mask.any():
        rows = context.rows(mask)
        yield f"prices or volumes are missing or infinite on {dates_text(rows)}. Complete or remove these rows.", rows


def _not_positive(context: Context) -> Found:
    mask = (context.bars[list(PRICE_COLUMNS)] <= 0).any(axis=1)
    if mask.any():
        rows = context.rows(mask)
        yield f"prices of zero or below on {dates_text(rows)}; such numbers often stand for missing ones.", rows
    negative = context.bars["volume"] < 0
    if negative.any():
        rows = context.rows(negative)
        yield f"negative volume on {dates_text(rows)}; such numbers often stand for missing ones.", rows


def _impossible(context: Context) -> Found:
    bars = context.bars
    low, high = bars["low"] * (1 - ROUNDING), bars["high"] * (1 + ROUNDING)
    upside_down = high < low
    if upside_down.any():
        rows = context.rows(upside_down)
        yield f"the high is below the low on {dates_text(rows)}.", rows
    outside = ~upside_down & (
        (bars[["open", "close"]].max(axis=1) > high) | (bars[["open", "close"]].min(axis=1) < low)
    )
    if outside.any():
        rows = context.rows(outside)
        yield f"the open or close lies outside low to high on {dates_text(rows)}.", rows


def _constant(context: Context) -> Found:
    if context.bars["close"].nunique() == 1:
        yield (
            f"the close is {context.bars['close'].iloc[0]:g} on all {len(context.bars)} days, so there is no "
            "volatility.",
            (context.rows(np.arange(len(context.bars)) < 5)),
        )


def _no_ranges(context: Context) -> Found:
    flat = context.bars["high"] == context.bars["low"]
    if context.ranges and flat.mean() > FLAT_SHARE:
        yield (
            f"high equals low on {flat.mean():.0%} of the days, so a range proxy measures nothing. Use a source with "
            "real "
            'highs and lows, or set proxy = "squared_return".',
            context.rows(flat),
        )


_ERRORS: dict[str, Check] = {
    "duplicate_dates": _duplicates,
    "unsorted_dates": _unsorted,
    "future_dates": _future,
    "not_finite": _not_finite,
    "not_positive": _not_positive,
    "impossible_bars": _impossible,
    "constant_price": _constant,
    "no_ranges": _no_ranges,
}
