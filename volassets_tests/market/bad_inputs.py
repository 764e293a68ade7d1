"""The table of files that must be refused: each is one good file with one fault, and the message it must meet.

Every entry is wrong input: `InputError`, exit code 2, nothing written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from volassets.market.calendar import named_calendar
from volassets_tests.conftest import simulate_bars

ROWS = 400


@dataclass(frozen=True)
class BadFile:
    """A file's bytes and a pattern of the message."""

    name: str
    content: bytes
    message: str


def good_frame() -> pd.DataFrame:
    """Return `ROWS` bars of New York's sessions from 2015, dates as text in the first column."""
    sessions = named_calendar("XNYS").sessions("2015-01-02", "2020-01-01")[:ROWS]
    frame = simulate_bars(ROWS, seed=3).set_axis(sessions).drop(columns="adj_close")
    return frame.rename_axis("date").reset_index().assign(date=lambda rows: rows["date"].dt.strftime("%Y-%m-%d"))


def as_csv(frame: pd.DataFrame, **options: Any) -> bytes:
    """Return the frame as a file's bytes."""
    return frame.to_csv(index=False, **options).encode()


def bad_files() -> list[BadFile]:
    """Return the table."""
    return [*_layouts(), *_numbers(), *_dates(), *_prices()]


def _changed(change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> bytes:
    frame = good_frame()
    result = change(frame)
    return as_csv(frame if result is None else result)


def _cell(column: str, value: object, row: int = 100) -> bytes:
    frame = good_frame().astype(object)
    frame.loc[row, column] = value
    return as_csv(frame)


def _redated(layout: str) -> bytes:
    return _changed(lambda f: f.assign(date=pd.to_datetime(f["date"]).dt.strftime(layout)))


def _layouts() -> list[BadFile]:
    good = as_csv(good_frame())
    lines = good.split(b"\n")
    return [
        BadFile("empty file", b"", "is empty"),
        BadFile("blank lines only", b"\n \n\n", "is empty"),
        BadFile("header only", lines[0] + b"\n", "no row"),
        BadFile("one row", b"\n".join(lines[:2]), "only one bar"),
        BadFile("no header", b"\n".join(lines[1:]), "no column date and close"),
        BadFile("no date column", _changed(lambda f: f.drop(columns="date")), "no column date"),
        BadFile("no close column", _changed(lambda f: f.drop(columns="close")), "no column close"),
        BadFile("no high column", _changed(lambda f: f.drop(columns="high")), "no column high: the range proxy"),
        BadFile("close only", _changed(lambda f: f[["date", "close"]]), 'squared_return" to work from closes alone'),
        BadFile("column twice", _changed(lambda f: f.assign(Close=f["close"])), "column 'close' twice"),
        BadFile(
            "short row", b"\n".join([*lines[:50], lines[50].rsplit(b",", 2)[0], *lines[51:]]), "line 51 has 4 cells"
        ),
        BadFile("long row", b"\n".join([*lines[:50], lines[50] + b",7", *lines[51:]]), "line 51 has 7 cells"),
        BadFile("open quote", b"\n".join([*lines[:50], b'"' + lines[50], *lines[51:]]), "is not CSV"),
        BadFile("zero bytes", good[:500] + b"\0\0" + good[500:], "zero bytes"),
        BadFile("not UTF-8", good.replace(b"volume", b"volum\xe9"), "not text in UTF-8"),
        BadFile("web page", b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "no column date and close"),
    ]


def _numbers() -> list[BadFile]:
    decimal_commas = as_csv(good_frame().round(4), decimal=",").replace(b'"', b"")
    whole = good_frame().astype({"volume": int})
    for name in ("open", "high", "low", "close"):
        whole[name] = [f"{1000 * value:,.0f}" for value in whole[name]]
    return [
        BadFile("text in a number", _cell("open", "abc"), "line 102: open = 'abc' is not a number"),
        BadFile("currency sign", _cell("close", "$101.5"), "is not a number"),
        BadFile("infinite number", _cell("high", "inf"), "high = 'inf' is not a number"),
        BadFile("overflowing number", _cell("high", "1e999"), "missing or infinite"),
        BadFile("missing price", _cell("low", ""), "line 102: low is missing"),
        BadFile("NaN price", _cell("low", "NaN"), "line 102: low is missing"),
        BadFile("digits of another script", _cell("close", "١٠١"), "is not a number"),
        BadFile("decimal commas between commas", decimal_commas, "cells"),
        BadFile("whole numbers, semicolons and commas", as_csv(whole, sep=";"), "may separate thousands or decimals, "),
    ]


def _dates() -> list[BadFile]:
    swap = list(range(ROWS))
    swap[100], swap[101] = swap[101], swap[100]
    few = good_frame().head(8).assign(date=[f"0{i + 1}/02/2015" for i in range(8)])
    zones = [f"2015-01-02 00:00:00{'-05:00' if i % 2 else '+01:00'}" for i in range(ROWS)]
    return [
        BadFile(
            "date twice", _changed(lambda f: f.assign(date=f["date"].where(f.index != 100, f["date"][99]))), "repeats"
        ),
        BadFile("two rows swapped", _changed(lambda f: f.iloc[swap]), "is earlier than"),
        BadFile("missing date", _cell("date", ""), "line 102: the date is missing"),
        BadFile("no such day", _cell("date", "2015-02-30"), "no day of the calendar"),
        BadFile("other layout in the middle", _cell("date", "28/05/2015"), "another way than the ones above"),
        BadFile("two-digit years", _redated("%d/%m/%y"), "year of two digits"),
        BadFile("two-digit years, month by name", _redated("%d-%b-%y"), "year of two digits"),
        BadFile(
            "seconds since 1970",
            _changed(lambda f: f.assign(date=range(1420156800, 1420156800 + 86400 * ROWS, 86400))),
            "is not a date",
        ),
        BadFile(
            "spreadsheet day numbers", _changed(lambda f: f.assign(date=range(42005, 42005 + ROWS))), "is not a date"
        ),
        BadFile("day and month open", as_csv(few), "day or the month first"),
        BadFile("both orders", _mixed_orders(), "puts the day first"),
        BadFile("times of day", _redated("%Y-%m-%dT20:00:00Z"), "time of day"),
        BadFile("mixed time zones", _changed(lambda f: f.assign(date=_with_zone(f["date"], zones))), "mix time zones"),
        BadFile("far future", _changed(lambda f: f.assign(date=f["date"].str.replace("2016", "2196"))), "after today"),
        BadFile("year 9999", _cell("date", "9999-12-31", ROWS - 1), "between 1800 and 2200"),
    ]


def _mixed_orders() -> bytes:
    frame = good_frame()
    days = pd.to_datetime(frame["date"])
    return as_csv(
        frame.assign(date=days.dt.strftime("%d/%m/%Y").where(days < "2015-06-01", days.dt.strftime("%m/%d/%Y")))
    )


def _with_zone(dates: pd.Series, zones: list[str]) -> list[str]:
    return [f"{day}{zone[10:]}" for day, zone in zip(dates, zones, strict=True)]


def _prices() -> list[BadFile]:
    def swap_high_and_low(frame: pd.DataFrame) -> None:
        frame.loc[100, ["high", "low"]] = frame.loc[100, ["low", "high"]].to_numpy()

    def put_sentinels(frame: pd.DataFrame) -> None:
        frame.loc[100, ["open", "high", "low", "close"]] = -1.0

    return [
        BadFile("zero price", _cell("low", 0), "zero or below on 2015-05-28"),
        BadFile("negative price", _cell("open", -20.5), "zero or below"),
        BadFile("sentinel -1 in all prices", _changed(put_sentinels), "zero or below on 2015-05-28"),
        BadFile("negative volume", _cell("volume", -1), "negative volume"),
        BadFile("high below low", _changed(swap_high_and_low), "high is below the low"),
        BadFile("close above high", _cell("close", 1e6), "outside low to high"),
        BadFile("open below low", _cell("open", 1e-3), "outside low to high"),
        BadFile("constant price", _changed(lambda f: f.assign(open=5, high=6, low=4, close=5)), "on all 400 days"),
        BadFile(
            "ranges missing",
            _changed(lambda f: f.assign(open=f.close, high=f.close, low=f.close)),
            "high equals low on",
        ),
        BadFile(
            "prices of zero while closed",
            _changed(lambda f: f.assign(open=np.where(f.index % 7 == 0, 0.0, f.open))),
            "and 55 more",
        ),
    ]
