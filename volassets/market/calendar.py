"""Sessions per ticker, so that the target date after a Friday before a holiday is right.

The calendars are those of `exchange_calendars`. A ticker's calendar is guessed from its suffix or kind
(``SAP.DE``, ``BTC-USD``, ``EURUSD=X``) and can be overridden by the setting `calendars`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.market.yahoo_symbols import INDICES, SUFFIXES

FIRST_DAY = pd.Timestamp("1990-01-01")
# Fixed, because a calendar that ended some years from now would depend on the day it was built.
LAST_DAY = pd.Timestamp("2049-12-31")
SEVEN_DAYS = "24/7"
DEFAULT = "XNYS"
TRADING_DAYS = 252
SESSIONS_PER_YEAR = {SEVEN_DAYS: 365, "24/5": 260}

_FIAT = "USD|EUR|GBP|JPY|CHF|AUD|CAD|NZD|SEK|NOK|DKK|CNY|CNH|HKD|SGD|KRW|INR|BRL|MXN|ZAR|TRY|PLN|CZK|HUF|ILS|THB"
_COINS = "BTC|XBT|ETH|SOL|XRP|ADA|DOGE|LTC|BCH|BNB|DOT|AVAX|LINK|TRX|XLM|XMR|ETC|USDT|USDC"
# A coin's name alone is a stock's: BCH is a bank.
_CRYPTO = re.compile(rf"[A-Z0-9]{{2,15}}-({_FIAT}|USDT|USDC|BTC|ETH)|({_COINS})({_FIAT}|USDT|USDC)")
_CURRENCIES = re.compile(rf"({_FIAT})[-.]?({_FIAT})|.*=X")
_CBOE = re.compile(r"\^(VIX[0-9A-Z]*|VVIX|VXN|VXD|RVX|OVX|GVZ|EVZ|SKEW)")
# American classes of shares, written with a point elsewhere than at Yahoo: BRK.B.
_SHARE_CLASS = re.compile(r"[A-Z]|W[ST]|PR[A-Z]")


@dataclass(frozen=True, eq=False)
class SessionCalendar:
    """The sessions of one exchange, strictly increasing dates at midnight without time zone.

    Attributes
    ----------
    name : str
        As in `exchange_calendars`.
    days : DatetimeIndex
        Every session from `FIRST_DAY` to `LAST_DAY`.
    recorded : tuple of Timestamp
        First and last day for which the exchange's holidays are known. Outside, every day of the exchange's working
        week counts as a session.
    working_week : str
        Seven digits from Monday, 1 where the exchange works.
    zone : str
        Time zone of the exchange.
    close : Timedelta
        When a session closes, from midnight of its date in that zone.
    """

    name: str
    days: pd.DatetimeIndex
    recorded: tuple[pd.Timestamp, pd.Timestamp]
    working_week: str
    zone: str
    close: pd.Timedelta

    def __post_init__(self) -> None:
        # Lists, because a binary search in one is far faster than in an index, and forecasts ask day by day.
        stamps = list(self.days)
        object.__setattr__(self, "_stamps", stamps)
        object.__setattr__(self, "_ordinals", [stamp.toordinal() for stamp in stamps])

    @property
    def sessions_per_year(self) -> int:
        """Sessions a year, that volatilities are annualised with: the same for every exchange."""
        return SESSIONS_PER_YEAR.get(self.name, TRADING_DAYS)

    def next_session(self, ts: pd.Timestamp) -> pd.Timestamp:
        """Return the first session strictly after the date of `ts`, which need not be a session itself."""
        position = bisect_right(self._ordinals, ts.toordinal())  # type: ignore[attr-defined]
        if 0 < position < len(self.days):
            return self._stamps[position]  # type: ignore[attr-defined]
        return self._working_day_after(ts)

    def next_sessions(self, index: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """Return `next_session` of every date in `index`, shape and order kept."""
        positions = self.days.searchsorted(index, side="right")
        inside = (positions > 0) & (positions < len(self.days))
        found = self.days[np.where(inside, positions, 0)]
        if inside.all():
            return found.rename(index.name)
        stamps = [
            stamp if ok else self._working_day_after(day) for stamp, ok, day in zip(found, inside, index, strict=True)
        ]
        return pd.DatetimeIndex(stamps, name=index.name).as_unit("ns")

    def sessions(self, start: pd.Timestamp | date | str, end: pd.Timestamp | date | str) -> pd.DatetimeIndex:
        """Return the sessions from `start` to `end`, both included, within the calendar's coverage."""
        first = self.days.searchsorted(pd.Timestamp(start), side="left")
        return self.days[first : self.days.searchsorted(pd.Timestamp(end), side="right")]

    def closing_times(self, index: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """Return when the sessions of `index` close by regular hours, UTC; an early close counts as a regular one."""
        local = index.as_unit("ns") + self.close
        return local.tz_localize(
            self.zone, ambiguous=np.zeros(len(local), bool), nonexistent="shift_forward"
        ).tz_convert("UTC")

    def closed(self, day: pd.Timestamp, now: pd.Timestamp) -> bool:
        """Return whether the session of `day` has closed at `now`, which is aware."""
        return bool(self.closing_times(pd.DatetimeIndex([day]))[0] <= now)

    def closed_after(self, last: pd.Timestamp, today: date) -> pd.DatetimeIndex:
        """Return the sessions after `last` that have closed; that of `today` counts as open."""
        found = self.sessions(last, pd.Timestamp(today) - pd.Timedelta(days=1))
        return found[found > last]

    def _working_day_after(self, ts: pd.Timestamp) -> pd.Timestamp:
        day = np.busday_offset(np.datetime64(ts, "D") + 1, 0, roll="forward", weekmask=self.working_week)
        return pd.Timestamp(day).as_unit("ns")


def calendar_for(ticker: str, overrides: Mapping[str, str] | None = None) -> SessionCalendar:
    """Return the calendar of `ticker`, by the setting `calendars` (`overrides`) or by Yahoo's notation.

    Raises
    ------
    InputError
        If an override names no calendar.
    """
    name = (overrides or {}).get(ticker)
    if name is None:
        return named_calendar(guess_calendar(ticker))
    from exchange_calendars import get_calendar_names

    if name not in get_calendar_names():
        raise InputError(
            f"calendars.{ticker} = {name!r} names no exchange calendar: give an ISO market code such as XNYS or XETR, "
            f"or {SEVEN_DAYS} for a market without holidays."
        )
    return named_calendar(name)


def covariate_calendar(name: str, overrides: Mapping[str, str] | None = None) -> SessionCalendar:
    """Return the calendar of a covariate: `calendar_for`, but Chicago's for the volatility indices of Cboe.

    These are last computed at 16:15 in New York, when its stocks have been closed for a quarter of an hour. InputError
    as there.
    """
    cboe = name not in (overrides or {}) and _CBOE.fullmatch(name.upper())
    return named_calendar("XCBF") if cboe else calendar_for(name, overrides)


def sessions_per_year(ticker: str, overrides: Mapping[str, str] | None = None) -> int:
    """Return the sessions a year of the calendar of `ticker`, without building it."""
    return SESSIONS_PER_YEAR.get((overrides or {}).get(ticker) or guess_calendar(ticker), TRADING_DAYS)


def guess_calendar(ticker: str) -> str:
    """Return the name of the calendar that the notation of `ticker` suggests; New York's where it suggests none."""
    return _guess(ticker.upper()) or DEFAULT


def has_known_notation(ticker: str) -> bool:
    """Return whether `guess_calendar` follows from the notation, not from having no better guess."""
    symbol = ticker.upper()
    stem, dot, suffix = symbol.rpartition(".")
    return bool(_guess(symbol)) or not (dot and stem) or _SHARE_CLASS.fullmatch(suffix) is not None


def _guess(symbol: str) -> str | None:
    stem, dot, suffix = symbol.rpartition(".")
    if dot and stem.strip("^") and suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if symbol.startswith("^"):
        return next((name for pattern, name in INDICES.items() if re.fullmatch(pattern, symbol[1:])), DEFAULT)
    if _CURRENCIES.fullmatch(symbol):
        return "24/5"
    if _CRYPTO.fullmatch(symbol):
        return SEVEN_DAYS
    return "CMES" if symbol.endswith("=F") else None


@lru_cache(maxsize=64)
def named_calendar(name: str) -> SessionCalendar:
    """Return the calendar called `name` in `exchange_calendars`, built once per process."""
    exchange = _exchange(name)
    week = exchange.weekmask
    every_day = pd.date_range(FIRST_DAY, LAST_DAY, unit="ns")
    working = every_day[np.is_busday(every_day.to_numpy().astype("datetime64[D]"), weekmask=week)]
    known = pd.DatetimeIndex(exchange.sessions).as_unit("ns")
    recorded = (max(exchange.bound_min() or FIRST_DAY, FIRST_DAY), min(exchange.bound_max() or LAST_DAY, LAST_DAY))
    outside = working[(working < recorded[0]) | (working > recorded[1])]
    days = pd.DatetimeIndex(known.append(outside).sort_values(), name="date")
    last = exchange.close_times[-1][1]
    close = pd.Timedelta(days=exchange.close_offset, hours=last.hour, minutes=last.minute)
    return SessionCalendar(name, days, recorded, week, str(exchange.tz), close)


def schedule(calendar: SessionCalendar, first: date, last: date) -> pd.DataFrame:
    """Return the sessions from the day before `first` to the day after `last` with their opening and close in UTC.

    Columns session, opens and closes, without time zone; early closes are as the exchange recorded them.
    """
    margin = pd.Timedelta(days=1)
    listed = _exchange(calendar.name).schedule.loc[pd.Timestamp(first) - margin : pd.Timestamp(last) + margin]
    utc = {name: listed[column].dt.tz_localize(None) for name, column in (("opens", "open"), ("closes", "close"))}
    return pd.DataFrame(utc).rename_axis("session").reset_index()


def _exchange(name: str) -> Any:
    """Return the exchange's calendar over as much of 1990..2049 as it records."""
    from exchange_calendars import get_calendar

    from volassets.market.exchange_calendars_repair import repair

    repair()
    try:
        return get_calendar(name, start=FIRST_DAY, end=LAST_DAY)
    except ValueError:
        bounded = get_calendar(name)
        first, end = bounded.bound_min() or FIRST_DAY, bounded.bound_max() or LAST_DAY
        return get_calendar(name, start=max(first, FIRST_DAY), end=min(end, LAST_DAY))
