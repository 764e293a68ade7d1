"""Intraday bars to daily bars with realized variance: 5-minute returns, subsampled, the overnight return added.

Sources: Andersen, Bollerslev, Diebold and Labys (2003) for realized variance, Zhang, Mykland and Ait-Sahalia (2005) for
the average over shifted grids, Barndorff-Nielsen and Shephard (2004) for bipower variation, Hansen and Lunde (2005) for
the overnight return.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.market.calendar import SessionCalendar, schedule

GRID_MINUTES = 5
LONGEST_MINUTES = 30
# Share of a session's grid that has to have a bar; days below it are left out.
COMPLETE = 0.8
_STAMPS = ("timestamp", "datetime", "date_time", "time", "date")
_PRICES = ("open", "high", "low", "close")

_SESSION_BARS = """
CREATE TEMP TABLE session_bars AS
SELECT s.session, s.opens, s.closes, b.*
FROM bars b JOIN sessions s ON b.stamp >= s.opens AND b.stamp < s.closes
"""
_DAILY = """
WITH grid AS (
    SELECT session, opens, unnest(generate_series(1, (epoch(closes - opens) / 60 / $minutes)::INTEGER)) AS slot
    FROM (SELECT DISTINCT session, opens, closes FROM session_bars)
), ticks AS (
    -- The price of a slot without a trade is the last one before.
    SELECT g.session, g.slot, ln(b.close) AS price
    FROM grid g ASOF LEFT JOIN session_bars b
        ON g.session = b.session AND b.stamp < g.opens + g.slot * to_minutes($minutes)
), opening AS (
    SELECT session, 0 AS slot, ln(arg_min(open, stamp)) AS price FROM session_bars GROUP BY session
), prices AS (
    SELECT session, slot, coalesce(price, first_value(price IGNORE NULLS) OVER (PARTITION BY session ORDER BY slot
        ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)) AS price
    FROM (SELECT * FROM ticks UNION ALL SELECT * FROM opening)
), returns AS (
    SELECT session, slot, price - lag(price, $step) OVER (PARTITION BY session ORDER BY slot) AS value FROM prices
), pairs AS (
    SELECT session, value, lag(value, $step) OVER (PARTITION BY session ORDER BY slot) AS before FROM returns
), measures AS (
    -- Shifted grids miss up to a step at both ends: scaled to the session's whole length.
    SELECT session,
        sum(value * value) / $step * ((count(*) - 1)::DOUBLE / count(value)) AS realized,
        pi() / 2 * sum(abs(value) * abs(before)) / $step * ((count(*) - 1)::DOUBLE / count(before)) AS bipower
    FROM pairs GROUP BY session
), daily AS (
    SELECT session, arg_min(open, stamp) AS open, max(high) AS high, min(low) AS low, arg_max(close, stamp) AS close,
        sum(volume) AS volume, count(*) AS bars,
        count(DISTINCT time_bucket(to_minutes($bucket), stamp, opens)) AS filled,
        epoch(any_value(closes - opens)) / 60 / $bucket AS buckets
    FROM session_bars GROUP BY session
)
SELECT session AS date, open, high, low, close, volume, realized, bipower, bars, filled / buckets AS share
FROM daily JOIN measures USING (session) ORDER BY session
"""


@dataclass(frozen=True)
class IntradayDays:
    """Daily bars made of intraday ones.

    Attributes
    ----------
    bars : DataFrame
        Index date; open, high, low, close, volume, realized_variance (daily, decimal, with the squared overnight
        return; NaN on the first day, which has none), bipower_variation (of the session alone, decimal) and n_bars.
    notes : tuple of str
        How the file was read, and what was left out, a line each.
    """

    bars: pd.DataFrame
    notes: tuple[str, ...]


def daily_bars(file: Path, calendar: SessionCalendar) -> IntradayDays:
    """Return the daily bars of a CSV or Parquet file with one bar of 1 to 30 minutes a row.

    Parameters
    ----------
    file : Path
        Columns timestamp (or date and time), open, high, low, close and, where there is one, volume. Times without a
        zone are the exchange's. Whether a stamp is a bar's start or end follows from the session's opening and close.
    calendar : SessionCalendar
        Sessions with their opening and close; bars outside are left out, and so are days with a bar in less than 80 %
        of their 5-minute steps.

    Raises
    ------
    InputError
        Missing columns, prices that are not positive, repeated stamps, another spacing, no complete day.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        minutes = _load(connection, file, calendar)
        notes = [f"{file.name}: bars of {minutes} minutes in {calendar.zone}"]
        notes += _stamped_by_end(connection, minutes)
        connection.execute(_SESSION_BARS)
        step, bucket = max(GRID_MINUTES // minutes, 1), max(GRID_MINUTES, minutes)
        found = connection.execute(_DAILY, {"minutes": minutes, "step": step, "bucket": bucket}).df()
        inside = connection.execute("SELECT (SELECT count(*) FROM bars) - count(*) FROM session_bars").fetchone()
    if inside and inside[0]:
        notes.append(f"{inside[0]} bars outside the sessions of {calendar.name} left out")
    return _complete_days(found, file, notes)


def _complete_days(found: pd.DataFrame, file: Path, notes: list[str]) -> IntradayDays:
    partial = found["share"] < COMPLETE
    if partial.any():
        days = [f"{day:%Y-%m-%d} ({share:.0%})" for day, share in found.loc[partial, ["date", "share"]].to_numpy()[:5]]
        more = f" and {partial.sum() - len(days)} more" if partial.sum() > len(days) else ""
        notes.append(f"{partial.sum()} incomplete days left out: {', '.join(days)}{more}")
    kept = found[~partial]
    if len(kept) < 2:
        raise InputError(
            f"{file.name} has {len(kept)} complete days of {len(found)}: at least two are needed, with a bar in "
            f"{COMPLETE:.0%} of their 5-minute steps. Check the time zone of the stamps, or name the ticker's calendar "
            "in the setting calendars."
        )
    index = pd.DatetimeIndex(kept["date"], name="date").as_unit("ns")
    bars = kept[[*_PRICES, "volume"]].set_index(index).astype("float64")
    overnight = np.log(bars["open"] / bars["close"].shift())
    return IntradayDays(
        bars.assign(
            realized_variance=kept["realized"].to_numpy() + overnight**2,
            bipower_variation=kept["bipower"].to_numpy(),
            n_bars=kept["bars"].to_numpy(),
        ),
        tuple(notes),
    )


def _load(connection: duckdb.DuckDBPyConnection, file: Path, calendar: SessionCalendar) -> int:
    """Create the tables ``bars`` and ``sessions``, times in UTC; return the minutes of a bar."""
    reader = "read_parquet" if file.suffix.lower() == ".parquet" else "read_csv"
    try:
        connection.execute(f"CREATE TEMP VIEW file AS SELECT * FROM {reader}({_quoted(str(file))})")
        columns = {name: kind for name, kind, *_ in connection.execute("DESCRIBE file").fetchall()}
        connection.execute(f"CREATE TEMP TABLE bars AS {_bars_query(columns, file, calendar.zone)}")
    except duckdb.Error as error:
        raise InputError(f"{file} cannot be read: {str(error).splitlines()[0]} Correct the file.") from None
    _refuse_bad_rows(connection, file)
    first, last = connection.execute("SELECT min(stamp)::DATE, max(stamp)::DATE FROM bars").fetchone() or (None, None)
    sessions = schedule(calendar, first, last)
    connection.register("given_sessions", sessions)
    connection.execute("CREATE TEMP TABLE sessions AS SELECT * FROM given_sessions")
    return _minutes(connection, file)


def _bars_query(columns: dict[str, str], file: Path, zone: str) -> str:
    """Return the SELECT that gives stamp in UTC, prices and volume, from whatever the columns are called."""
    plain = {re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_"): name for name in columns}
    missing = [name for name in _PRICES if name not in plain]
    named = next((name for name in _STAMPS if name in plain), None)
    if missing or named is None:
        lacking = " and ".join(missing or ["timestamp"])
        raise InputError(
            f"{file.name} has no column {lacking}; it has {', '.join(columns)}. It needs timestamp, open, high, low, "
            "close and, where there is one, volume."
        )
    stamp = f'"{plain[named]}"'
    if {"date", "time"} <= set(plain) and named == "time":
        stamp = f'"{plain["date"]}"::DATE + "{plain["time"]}"::TIME'
    elif columns[plain[named]] == "TIMESTAMP WITH TIME ZONE":
        zone = ""
    utc = f"timezone('UTC', timezone('{zone}', ({stamp})::TIMESTAMP))" if zone else f"timezone('UTC', {stamp})"
    prices = ", ".join(f'"{plain[name]}"::DOUBLE AS {name}' for name in _PRICES)
    volume = f'coalesce("{plain["volume"]}"::DOUBLE, 0)' if "volume" in plain else "0.0"
    return f"SELECT {utc} AS stamp, {prices}, {volume} AS volume FROM file ORDER BY stamp"


def _refuse_bad_rows(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    wrong = " OR ".join(f"{name} IS NULL OR NOT isfinite({name}) OR {name} <= 0" for name in _PRICES)
    rules = {
        f"SELECT stamp FROM bars WHERE stamp IS NULL OR {wrong} ORDER BY 1": "has a price or stamp that is missing, "
        "zero, negative or infinite",
        "SELECT stamp FROM bars WHERE high < greatest(open, close, low) OR low > least(open, close) ORDER BY 1": "has "
        "its open or close outside low to high",
        "SELECT stamp FROM bars GROUP BY 1 HAVING count(*) > 1 ORDER BY 1": "appears more than once",
    }
    for query, fault in rules.items():
        row = connection.execute(f"{query} LIMIT 1").fetchone()
        if row:
            raise InputError(f"{file.name}: the bar of {row[0]} UTC {fault}. Correct or remove it.")


def _minutes(connection: duckdb.DuckDBPyConnection, file: Path) -> int:
    """Return the minutes from one bar to the next, which has to be a whole number from 1 to 30."""
    row = connection.execute(
        "SELECT mode(step) FROM (SELECT epoch(lead(stamp) OVER (ORDER BY stamp) - stamp) / 60 AS step FROM bars)"
    ).fetchone()
    minutes = row[0] if row else None
    if minutes is None or minutes != int(minutes) or not 1 <= minutes <= LONGEST_MINUTES:
        found = "one bar" if minutes is None else f"bars {minutes:g} minutes apart"
        raise InputError(f"{file.name} has {found}: give bars of 1 to {LONGEST_MINUTES} minutes, one a row.")
    return int(minutes)


def _stamped_by_end(connection: duckdb.DuckDBPyConnection, minutes: int) -> list[str]:
    """Move bars stamped by their end back to their start: more sessions have a stamp at their close than at opening."""
    row = connection.execute(
        "SELECT count(*) FILTER (b.stamp = s.opens), count(*) FILTER (b.stamp = s.closes) "
        "FROM bars b JOIN sessions s ON b.stamp IN (s.opens, s.closes)"
    ).fetchone()
    at_open, at_close = row or (0, 0)
    if at_close <= at_open:
        return []
    connection.execute("UPDATE bars SET stamp = stamp - to_minutes($minutes)", {"minutes": minutes})
    return ["stamps are the ends of the bars"]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
