"""Dates written as text, read by one rule for a whole column.

A single cell such as 03/04/2020 has two readings, so the column decides: it must be in one layout, and numbers
above 12 must tell day and month apart. What stays open is refused, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

import pandas as pd

from volassets.errors import InputError

_TIME = r"(?:[T ](?P<clock>\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?)?"
_LAYOUTS = {
    name: re.compile(pattern, re.ASCII)
    for name, pattern in {
        "year first": rf"(?P<year>\d{{4}})([-/.])(?P<month>\d\d?)\2(?P<day>\d\d?){_TIME}",
        "eight digits": r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
        "year last": rf"(?P<first>\d\d?)([-/.])(?P<second>\d\d?)\2(?P<year>\d{{4}}){_TIME}",
        "month by name, day first": r"(?P<day>\d\d?)[-/. ]?(?P<name>[A-Za-z]{3,9})\.?[-/., ]+(?P<year>\d{4})",
        "month by name, month first": r"(?P<name>[A-Za-z]{3,9})\.?[- ](?P<day>\d\d?)(?:, ?| )(?P<year>\d{4})",
    }.items()
}
_SHORT_YEAR = re.compile(r"\d\d?[-/.]\d\d?[-/.]\d\d|\d\d?[- ]?[A-Za-z]{3,9}[- ]?\d\d", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_REMEDY = "Write dates as YYYY-MM-DD."


def parse_dates(cells: Sequence[str], lines: Sequence[int], where: str) -> pd.DatetimeIndex:
    """Return the dates of a column of stripped texts; `lines` and `where` name their place in messages.

    Raises
    ------
    InputError
        Unknown or mixed layouts, two-digit years, times within the day, mixed time zones, dates that do not
        exist, or day and month in an unknown order.
    """
    layout = next((pattern for pattern in _LAYOUTS.values() if cells and pattern.fullmatch(cells[0])), None)
    matches = [layout.fullmatch(cell) if layout else None for cell in cells]
    for cell, line, match in zip(cells, lines, matches, strict=True):
        if match is None:
            raise InputError(f"{where}, line {line}: {_why_no_date(cell)} {_REMEDY}")
    fields = [match.groupdict() for match in matches if match is not None]
    _refuse_times(cells, fields, lines, where)
    if "first" in fields[0]:
        _settle_day_and_month(fields, cells, lines, where)
    days = []
    for cell, line, field in zip(cells, lines, fields, strict=True):
        try:
            month = int(field["month"]) if "month" in field else 1 + _MONTHS.index(field["name"][:3].lower())
            days.append(date(int(field["year"]), month, int(field["day"])))
        except ValueError:
            raise InputError(f"{where}, line {line}: {cell!r} is no day of the calendar. {_REMEDY}") from None
        if not 1800 <= days[-1].year <= 2200:
            raise InputError(f"{where}, line {line}: the year of {cell!r} is not between 1800 and 2200. {_REMEDY}")
    return pd.DatetimeIndex(pd.to_datetime(days), name="date").as_unit("ns")


def _why_no_date(cell: str) -> str:
    if not cell:
        return "the date is missing."
    if _SHORT_YEAR.fullmatch(cell):
        return f"the date {cell!r} has a year of two digits, whose century is unknown."
    if any(pattern.fullmatch(cell) for pattern in _LAYOUTS.values()):
        return f"the date {cell!r} is written in another way than the ones above it."
    return f"{cell[:40]!r} is not a date that can be read."


def _refuse_times(cells: Sequence[str], fields: Sequence[dict[str, str]], lines: Sequence[int], where: str) -> None:
    """Accept midnight only, and one time zone with its daylight saving: anything else may be another day."""
    offsets = []
    for cell, line, field in zip(cells, lines, fields, strict=True):
        if (field.get("clock") or "0").strip("0:."):
            if len({text[:10] for text in cells}) <= len(cells) / 2:
                raise InputError(f"{where}, line {line}: several bars a day are intraday. Give one row per day.")
            raise InputError(
                f"{where}, line {line}: {cell!r} has a time of day, and its session may be another date. {_REMEDY}"
            )
        zone = field.get("zone")
        offsets.append(None if zone is None else _minutes(zone))
    known = [offset for offset in offsets if offset is not None]
    if known and (len(known) < len(offsets) or max(known) - min(known) > 60):
        raise InputError(
            f"{where}: the dates mix time zones, so their days cannot be compared. Write session dates without a zone, "
            "YYYY-MM-DD."
        )


def _minutes(zone: str) -> int:
    if zone in ("Z", "UTC"):
        return 0
    digits = zone[1:].replace(":", "")
    return (60 * int(digits[:2]) + int(digits[2:])) * (-1 if zone[0] == "-" else 1)


def _settle_day_and_month(
    fields: Sequence[dict[str, str]], cells: Sequence[str], lines: Sequence[int], where: str
) -> None:
    """Fill in day and month, decided by the numbers above 12 anywhere in the column."""
    day_first = [i for i, field in enumerate(fields) if int(field["first"]) > 12]
    month_first = [i for i, field in enumerate(fields) if int(field["second"]) > 12]
    if day_first and month_first:
        raise InputError(
            f"{where}: line {lines[day_first[0]]} ({cells[day_first[0]]!r}) puts the day first, line "
            f"{lines[month_first[0]]} ({cells[month_first[0]]!r}) the month. {_REMEDY}"
        )
    if not day_first and not month_first:
        year, first, second = (int(fields[0][name]) for name in ("year", "first", "second"))
        raise InputError(
            f"{where}: {cells[0]!r} can be read with the day or the month first, as {year}-{second:02}-{first:02} or "
            f"{year}-{first:02}-{second:02}, and no other row decides. {_REMEDY}"
        )
    for field in fields:
        field["day"], field["month"] = (
            (field["first"], field["second"]) if day_first else (field["second"], field["first"])
        )
