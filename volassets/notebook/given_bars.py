"""Bars and settings as a notebook has them, made into those of the pipeline."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from volassets.clock import utc_now
from volassets.errors import InputError
from volassets.market.bar_errors import check_bars, require_valid
from volassets.market.bars import as_bars
from volassets.market.calendar import calendar_for, covariate_calendar
from volassets.names import check_covariates, covariate_names
from volassets.settings import Settings, validated

Bars = pd.DataFrame | Mapping[str, pd.DataFrame]
"""Bars of one ticker, or of several by name."""
GivenSettings = Settings | Mapping[str, Any] | None
UNNAMED = "BARS"
"""Name of the ticker where none is given: it seeds the networks."""
NEEDED = ("open", "high", "low", "close")
# Of no use to somebody who studies the past.
UNSAID = ("old_bars",)


class BarsWarning(UserWarning):
    """Something about the bars looks odd; they are used all the same."""


def by_ticker(bars: Bars, ticker: str = "") -> dict[str, pd.DataFrame]:
    """Return frames by name of the ticker; one frame is that of `ticker`.

    Raises
    ------
    InputError
        If there is no frame, or `ticker` is given beside several.
    """
    if isinstance(bars, pd.DataFrame):
        return {ticker or UNNAMED: bars}
    if not bars:
        raise InputError("bars is an empty dict: give at least one ticker with its frame.")
    if ticker:
        raise InputError(f"ticker = {ticker!r} names one frame, and bars is a dict of them: leave ticker out.")
    return dict(bars)


def make_settings(
    tickers: Sequence[str],
    given: GivenSettings,
    home: Path,
    *,
    calendar: str | None = None,
    **overrides: Any,
) -> Settings:
    """Return the settings of a run in memory on `tickers`.

    Parameters
    ----------
    tickers : sequence of str
    given : Settings, mapping or None
        Settings of a home, or keys of volassets.toml that differ from the defaults, a model's section as a dict.
    home : Path
        Directory for checkpoints.
    calendar : str, optional
        Exchange calendar of every ticker; by default each is guessed from its name.
    **overrides
        Keys that win over those of `given`.

    Raises
    ------
    InputError
        With the key that is unknown or impossible.
    """
    if isinstance(given, Settings):
        values, sections = given.model_dump(mode="json"), dict(given.model_sections)
    else:
        values = {key: value for key, value in (given or {}).items() if not _is_section(key, value)}
        sections = {key: value for key, value in (given or {}).items() if _is_section(key, value)}
    values |= {key: value for key, value in overrides.items() if value is not None}
    if calendar is not None:
        values["calendars"] = dict.fromkeys(tickers, calendar)
    # A home's own tickers and warehouse are none of this run's.
    return validated({**values, "tickers": list(tickers), "warehouse": "duckdb"}, sections, home)


def _is_section(key: str, value: Any) -> bool:
    return isinstance(value, Mapping) and key not in Settings.model_fields


def checked(bars: Mapping[str, pd.DataFrame], settings: Settings, *, say: bool = True) -> dict[str, pd.DataFrame]:
    """Return the bars that the pipeline would store of each frame; what looks odd is a `BarsWarning` where `say`.

    Raises
    ------
    InputError
        If a frame breaks a rule that would keep a run from storing it, with the rule and the dates.
    """
    found = {}
    for ticker, frame in bars.items():
        calendar = calendar_for(ticker, settings.calendars)
        own, findings = check_bars(ticker, _named(ticker, frame), calendar, now=utc_now(), proxy=settings.proxy)
        try:
            require_valid(ticker, findings)
        except InputError as error:
            raise InputError(str(error).split(" Nothing was stored")[0]) from None
        for finding in findings:
            if say and finding.check not in UNSAID:
                warnings.warn(finding.message, BarsWarning, stacklevel=5)
        found[ticker] = own
    return found


def with_covariates(
    settings: Settings, given: Mapping[str, pd.DataFrame], frames: Mapping[str, pd.DataFrame]
) -> tuple[Settings, dict[str, pd.DataFrame]]:
    """Return the settings that name the covariates given, and their bars as the pipeline would store them.

    Raises
    ------
    InputError
        If the settings name one that is neither given nor among the tickers' `frames`, or its values break a rule.
    """
    named = covariate_names(settings.covariates)
    if given and not named:
        settings = settings.model_copy(update={"covariates": check_covariates(tuple(given))})
    lacking = [name for name in named if name not in given and name not in frames]
    if lacking:
        raise InputError(
            f"the settings name the covariate {lacking[0]}, and its values are not given: give "
            f"covariates={{{lacking[0]!r}: frame}}, or leave it out of the setting covariates."
        )
    others = {}
    for name, frame in given.items():
        closes = _named(name, frame, needed=("close",))
        bars, findings = check_bars(
            name, closes, covariate_calendar(name, settings.calendars), now=utc_now(), proxy="squared_return"
        )
        require_valid(name, findings)
        others[name] = bars
    return settings, others


def _named(ticker: str, frame: pd.DataFrame, needed: Sequence[str] = NEEDED) -> pd.DataFrame:
    """Return `frame` with our column names and dates without time zone; a price that is not needed may be the close."""
    if not isinstance(frame, pd.DataFrame) or not isinstance(frame.index, pd.DatetimeIndex):
        raise InputError(f"the bars of {ticker} are no DataFrame with a DatetimeIndex: set the dates as its index.")
    plain = _one_level(ticker, frame)
    plain.columns = pd.Index([str(name).strip().lower().replace(" ", "_") for name in plain.columns])
    lacking = [name for name in needed if name not in plain]
    if lacking:
        raise InputError(
            f"the bars of {ticker} lack the column {', '.join(lacking)} and have {', '.join(plain.columns)}: they need "
            f"{', '.join(needed)}, in any case, and may have adj_close, volume and realized_variance."
        )
    if not plain.columns.is_unique:
        raise InputError(f"the bars of {ticker} have a column twice: {', '.join(plain.columns)}. Keep one of each.")
    plain = plain.assign(**{name: plain["close"] for name in NEEDED if name not in plain})
    # A daily bar's time is midnight at its exchange.
    plain.index = pd.DatetimeIndex(plain.index).tz_localize(None)
    try:
        return as_bars(plain)
    except (TypeError, ValueError) as error:
        raise InputError(f"the bars of {ticker} hold something else than numbers: {error}. Correct them.") from None


def _one_level(ticker: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame of `ticker` in a frame with two levels of columns, as yfinance.download gives it."""
    columns = frame.columns
    if columns.nlevels == 1:
        return frame.copy()
    for level in range(columns.nlevels):
        names = columns.get_level_values(level)
        if ticker in names:
            return pd.DataFrame(frame.xs(ticker, axis=1, level=level))
        if names.nunique() == 1:
            return frame.droplevel(level, axis=1)
    several = sorted(set(map(str, columns.get_level_values(columns.nlevels - 1))))
    raise InputError(
        f"the bars have the columns of several tickers ({', '.join(several[:5])}): name one by ticker=, or "
        "give a dict of one frame each."
    )
