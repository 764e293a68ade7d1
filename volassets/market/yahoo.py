"""Daily bars from Yahoo Finance through yfinance.

yfinance by itself hides faults behind empty frames, never retries a rate limit, caches broken answers and shares a
database between processes. Here every fault is raised and named, and an incomplete answer is refused.
Closes are Yahoo's: `close` adjusted for splits only, `adj_close` for dividends too.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd

from volassets.clock import utc_now
from volassets.errors import InputError, SourceError, VolassetsError
from volassets.market.bars import as_bars
from volassets.market.calendar import calendar_for

COLUMNS = ("Open", "High", "Low", "Close", "Adj Close", "Volume")
# Yahoo's last bar moves until the close has been confirmed.
SETTLING = pd.Timedelta(minutes=30)
# A vendor may be a few sessions late or lack a few prices; more is a cut answer.
LATE_SESSIONS = 5
EMPTY_SHARE = 0.01

_log = logging.getLogger(__name__)
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")


class _Passing(SourceError):
    """A fault that another attempt may not meet."""


class YahooSource:
    """Source `yfinance`; see `volassets.market.price_source.PriceSource`.

    Parameters
    ----------
    first_date, calendars
        The settings `start_date` and `calendars`.
    attempts : int
        Requests per fetch before giving up.
    first_wait, longest_wait, timeout : float
        Seconds: between attempts, doubled each time with random jitter, and for one request.
    now : callable
        Gives the time, aware; it decides which session is finished.
    """

    name = "yfinance"

    def __init__(
        self,
        first_date: date = date(1999, 1, 1),
        calendars: Mapping[str, str] | None = None,
        *,
        attempts: int = 6,
        first_wait: float = 2.0,
        longest_wait: float = 60.0,
        timeout: float = 20.0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.first_date = first_date
        self.calendars = calendars or {}
        self.attempts = attempts
        self.first_wait = first_wait
        self.longest_wait = longest_wait
        self.timeout = timeout
        self.now = now

    def known(self, ticker: str) -> None:
        """Return None: only a fetch can answer."""

    def fetch(self, ticker: str) -> pd.DataFrame:
        """Return Yahoo's bars of finished sessions since the first date.

        Raises
        ------
        InputError
            Unknown or delisted symbol, or no trading since the first date.
        SourceError
            Rate limit, network, or an answer that is empty, cut, malformed or laid out in a new way.
        """
        from volassets.names import check_ticker_name

        if _ISIN.fullmatch(check_ticker_name(ticker)):
            raise InputError(f"{ticker} is an ISIN: give Yahoo's symbol, as its pages show it.")
        answer, meta = self._ask_repeatedly(ticker)
        bars = _finished(_as_daily(ticker, answer), meta, self.now())
        bars = self._complete(ticker, bars)
        if bars.empty:
            raise self._no_prices(ticker, "")
        self._refuse_cut(ticker, bars, meta)
        return as_bars(bars.rename(columns=lambda name: name.lower().replace(" ", "_")))

    def _ask_repeatedly(self, ticker: str) -> tuple[pd.DataFrame, Mapping[str, Any]]:
        """Repeat the request until it succeeds, or fails for good."""
        from tenacity import (
            Retrying,
            before_sleep_log,
            retry_if_exception_type,
            stop_after_attempt,
            wait_exponential,
            wait_random,
        )

        retrying = Retrying(
            stop=stop_after_attempt(self.attempts),
            wait=wait_exponential(multiplier=self.first_wait, max=self.longest_wait) + wait_random(0, self.first_wait),
            retry=retry_if_exception_type(_Passing),
            before_sleep=before_sleep_log(_log, logging.WARNING),
            reraise=True,
        )
        try:
            return retrying(self._ask, ticker)
        except _Passing as error:
            raise SourceError(f"{error} Tried {self.attempts} times; try again later.") from error

    def _ask(self, ticker: str) -> tuple[pd.DataFrame, Mapping[str, Any]]:
        """Send one request; every argument is explicit, because yfinance's defaults have changed before."""
        import yfinance
        from yfinance.data import YfData

        # A path below the null device cannot be made, which switches the databases shared by all processes off.
        yfinance.set_tz_cache_location(os.path.join(os.devnull, "none"))
        # Broken answers are remembered too, and would be served to the next attempt.
        YfData.cache_get.cache_clear()
        hidden = yfinance.config.debug.hide_exceptions
        yfinance.config.debug.hide_exceptions = False
        try:
            symbol = yfinance.Ticker(ticker)
            answer = symbol.history(
                start=self.first_date.isoformat(),
                end=None,
                interval="1d",
                prepost=False,
                actions=True,
                auto_adjust=False,
                back_adjust=False,
                repair=False,
                keepna=True,
                rounding=False,
                timeout=self.timeout,
            )
            return answer, symbol.get_history_metadata()
        except Exception as error:
            raise self._translated(error, ticker) from error
        finally:
            yfinance.config.debug.hide_exceptions = hidden

    def _translated(self, error: Exception, ticker: str) -> Exception:
        """Return the error for the user that `error` of yfinance stands for; an unexpected one as it is."""
        from yfinance import exceptions

        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, exceptions.YFTzMissingError) or status == 404:
            return InputError(
                f"Yahoo does not know the symbol {ticker!r}: it is mistyped or delisted. Look it up on Yahoo Finance; "
                "other exchanges have suffixes (SAP.DE), indices a ^ (^GSPC), currencies =X (EURUSD=X)."
            )
        if isinstance(error, exceptions.YFPricesMissingError):
            return self._no_prices(ticker, error.yahoo_reason or "")
        if isinstance(error, exceptions.YFRateLimitError) or status == 429:
            return _Passing(f"Yahoo refuses {ticker}: too many requests (429).")
        if isinstance(error, exceptions.YFDataException):
            return _Passing(f"Yahoo cannot answer for {ticker}: {error}.")
        if "JSONDecodeError" in {kind.__name__ for kind in type(error).__mro__}:
            return _Passing(f"Yahoo's answer for {ticker} is malformed (no JSON).")
        if isinstance(error, OSError):
            return _Passing(f"Yahoo cannot be reached for {ticker}: {error}.")
        if isinstance(error, (KeyError, IndexError, TypeError, AttributeError, ValueError)):
            return _new_layout(ticker, f"{type(error).__name__} {error}")
        return error

    def _no_prices(self, ticker: str, reason: str) -> VolassetsError:
        """Return the error for a known symbol without a price."""
        span = f"from {self.first_date} to today"
        calendar = calendar_for(ticker, self.calendars)
        sessions = calendar.sessions(self.first_date, self.now().date() - timedelta(days=1))
        if len(sessions) == 0:
            return InputError(
                f"{calendar.name} has no session for {ticker} {span}: holidays only. Set an earlier start_date."
            )
        if "delisted" in reason:
            return InputError(f"Yahoo has no prices of {ticker} {span}: {reason}. Check the symbol.")
        if "doesn't exist" in reason:
            return InputError(f"{ticker} was not traded {span}, by Yahoo's answer: {reason}. Set another start_date.")
        return SourceError(
            f"Yahoo answered for {ticker} without a single price {span}, although {calendar.name} had {len(sessions)} "
            f"sessions{': ' + reason if reason else ''}. Try again later, or set another start_date."
        )

    def _complete(self, ticker: str, bars: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with all prices; refuse half-filled rows, or many empty ones on sessions."""
        missing = bars[list(COLUMNS[:-1])].isna()
        half = missing.any(axis=1) & ~missing.all(axis=1)
        empty = bars.index[missing.all(axis=1)]
        on_sessions = empty[empty.isin(calendar_for(ticker, self.calendars).days)]
        if half.any() or len(on_sessions) > max(2, EMPTY_SHARE * len(bars)):
            day = bars.index[half][0] if half.any() else on_sessions[0]
            raise SourceError(
                f"Yahoo's answer for {ticker} is partial: {int(half.sum()) + len(on_sessions)} rows lack prices, the "
                f"first on {day:%Y-%m-%d}. Nothing was taken from it; try again later."
            )
        return bars[~missing.all(axis=1)]

    def _refuse_cut(self, ticker: str, bars: pd.DataFrame, meta: Mapping[str, Any]) -> None:
        """Refuse an answer that begins well after, or ends well before, the span in Yahoo's own metadata."""
        calendar = calendar_for(ticker, self.calendars)
        begun, traded = _day(meta, "firstTradeDate"), _day(meta, "regularMarketTime")
        if begun is not None:
            late = len(calendar.sessions(max(pd.Timestamp(self.first_date), begun), bars.index[0])) - 1
            if late > LATE_SESSIONS:
                raise _cut(ticker, f"begins on {bars.index[0]:%Y-%m-%d}, {late} sessions late")
        if traded is not None:
            early = len(calendar.sessions(bars.index[-1], traded)) - 1
            if early > LATE_SESSIONS:
                raise _cut(ticker, f"ends on {bars.index[-1]:%Y-%m-%d}, {early} sessions early")
        dividends = bars["Dividends"].iloc[1:] if "Dividends" in bars else pd.Series(dtype="float64")
        if dividends.gt(0).any() and bars["Adj Close"].equals(bars["Close"]):
            raise _cut(ticker, "has dividends but no adjusted closes")


def _as_daily(ticker: str, answer: pd.DataFrame) -> pd.DataFrame:
    """Return the answer dated by local session; refuse unknown columns."""
    absent = [name for name in COLUMNS if name not in answer.columns]
    if answer.empty and absent:
        return pd.DataFrame(columns=list(COLUMNS), index=pd.DatetimeIndex([], name="date"))
    if absent or answer.columns.nlevels > 1 or not isinstance(answer.index, pd.DatetimeIndex):
        raise _new_layout(ticker, f"no {', '.join(absent) or 'plain index'}; got {', '.join(map(str, answer.columns))}")
    return answer.set_axis(answer.index.tz_localize(None).normalize().rename("date"))


def _finished(bars: pd.DataFrame, meta: Mapping[str, Any], now: datetime) -> pd.DataFrame:
    """Return the bars without that of a session that runs at `now`: it would change until the close."""
    if bars.empty:
        return bars
    local = pd.Timestamp(now).tz_convert(meta.get("exchangeTimezoneName") or "UTC")
    today = local.tz_localize(None).normalize()
    period = (meta.get("currentTradingPeriod") or {}).get("regular") or {}
    close = period.get("end")
    over = isinstance(close, pd.Timestamp) and close.date() == local.date() and local >= close + SETTLING
    return bars if over else bars[bars.index < today]


def _day(meta: Mapping[str, Any], key: str) -> pd.Timestamp | None:
    value = meta.get(key)
    return value.tz_localize(None).normalize() if isinstance(value, pd.Timestamp) else None


def _cut(ticker: str, how: str) -> SourceError:
    return SourceError(f"Yahoo's answer for {ticker} is partial: it {how}. Nothing was taken from it; try again later.")


def _new_layout(ticker: str, what: str) -> SourceError:
    return SourceError(
        f"Yahoo's answer for {ticker} has an unknown column layout ({what}). Update yfinance, or use --source csv."
    )
