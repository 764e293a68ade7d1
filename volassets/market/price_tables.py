"""Text tables of prices, read by one rule per file: header, columns, decimal mark, dates, order of rows.

Vendors write daily prices in many ways; a file whose cells allow one reading only is read that way, and the reading is
given in one line. A file that allows two is refused with both.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.market.bars import REALIZED, as_bars
from volassets.market.dates import parse_dates

SEPARATORS = (",", ";", "\t", "|")
RANGE = ("open", "high", "low")
PRICES = (*RANGE, "close", "adj_close")
NUMBERS = (*PRICES, "volume", REALIZED)
MAY_BE_EMPTY = ("volume", REALIZED)
# Lines above the header: disclaimers, Excel's `sep=;`.
HEADER_WITHIN = 20
_ALIASES = {
    "date": ("datetime", "timestamp", "time", "index_level_0"),
    "close": ("close_last", "price", "last"),
    "adj_close": ("adjclose", "adjusted_close"),
    "volume": ("vol",),
}
_MISSING = {"", "-", "--", "na", "n/a", "nan", "none", "null", "#n/a"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CURRENCY = re.compile(r"^[$€£¥₹]|[$€£¥₹]$")
_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9}
_IN_UNITS = re.compile(r"(?P<number>[\d.,]+)(?P<unit>[KMB])", re.ASCII)
# Readings of a comma and a point: as decimal mark, and as separator of groups of three digits.
_GROUPED = {
    ",": re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?([eE][+-]?\d+)?", re.ASCII),
    ".": re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?", re.ASCII),
}
_BARE = re.compile(r"[0-9.-]*")
_GAPS = re.compile(r"(?<=\d)['’\u00a0\u202f ](?=\d{3}(?!\d))")


@dataclass
class Table:
    """A file's cells as text: columns by name, the line of each row, and how the file was read."""

    where: str
    columns: dict[str, list[str]]
    lines: list[int]
    notes: list[str] = field(default_factory=list)


def read_bars(text: str, where: str, close_only: bool = False) -> pd.DataFrame:
    """Return the bars in a text table, volume NaN where a cell is empty; `attrs["reading"]` says how it was read.

    Parameters
    ----------
    text : str
        Contents of the file.
    where : str
        Its name, for messages.
    close_only : bool
        Accept a table without open, high and low, and set those to the close.

    Raises
    ------
    InputError
        Wrong columns, numbers, dates or order, with the line, or two possible readings.
    """
    table = _read_table(text, where)
    _check_columns(table, close_only)
    _refuse_times(table)
    dates = parse_dates(table.columns["date"], table.lines, where)
    numbers = _numbers(table)
    if not set(RANGE) <= set(numbers):
        numbers.update(dict.fromkeys(RANGE, numbers["close"]))
    bars = as_bars(pd.DataFrame(numbers, index=dates))
    if len(dates) > 1 and (np.diff(dates.asi8) < 0).all():
        table.notes.insert(0, "newest first, reversed")
        bars = bars.iloc[::-1]
    else:
        _check_order(dates, table)
    bars.attrs["reading"] = "; ".join(table.notes)
    return bars


def read_realized_variance(text: str, where: str) -> pd.Series:
    """Return the column ``realized_variance`` of a text table with a column ``date``, by date.

    Raises
    ------
    InputError
        Wrong columns, numbers, dates or order, with the line.
    """
    table = _read_table(text, where, wanted=REALIZED)
    missing = [name for name in ("date", REALIZED) if name not in table.columns]
    if missing:
        raise InputError(f"{where} has no column {' and '.join(missing)}: it needs date and {REALIZED}.")
    dates = parse_dates(table.columns["date"], table.lines, where)
    _check_order(dates, table)
    table.columns = {REALIZED: table.columns[REALIZED]}
    values = _numbers(table).get(REALIZED, np.full(len(dates), np.nan))
    return pd.Series(values, index=dates, name=REALIZED)


def _read_table(text: str, where: str, wanted: str = "close") -> Table:
    if not text.strip():
        raise InputError(f"{where} is empty: it needs a line of column names and one line per day.")
    lines = text.splitlines()
    first, separator, notes = _find_header(lines, wanted)
    reader = csv.reader(
        io.StringIO("\n" * first + "\n".join(lines[first:]), newline=""),
        delimiter=separator,
        skipinitialspace=True,
        strict=True,
    )
    rows, numbers = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                numbers.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"{where}, line {reader.line_num} is not CSV: {error}. Repair the quotes.") from None
    header, skipped = _yfinance_header(rows)
    if skipped:
        notes.append(f"{skipped} header lines of yfinance")
    names = _column_names(header, where, notes)
    rows, numbers = rows[max(skipped, 1) :], numbers[max(skipped, 1) :]
    if not rows:
        raise InputError(f"{where} has column names but no row: it needs one line per day.")
    for row, line in zip(rows, numbers, strict=True):
        if len(row) < len(names) or any(row[len(names) :]):
            raise InputError(
                f"{where}, line {line} has {len(row)} cells, but the header names {len(names)} columns. "
                "Give every row all its cells; numbers with decimal commas need semicolons between them."
            )
    cells = {name: [row[i] for row in rows] for i, name in enumerate(names) if name}
    table = Table(where, cells, numbers, notes)
    _plain_numbers(table, separator)
    return table


def _find_header(lines: Sequence[str], wanted: str) -> tuple[int, str, list[str]]:
    """Return the position of the first line that names a date and `wanted`, its separator, and the notes on it."""
    filled = [(position, line) for position, line in enumerate(lines) if line.strip()]
    for position, line in filled[:HEADER_WITHIN]:
        for separator in sorted(SEPARATORS, key=line.count, reverse=True):
            names = {_plain(cell) for cell in line.split(separator)}
            if {"date", wanted} <= _canonical(names) or (names & {"close"} and names & {"price", ""}):
                above = position - filled[0][0]
                return position, separator, [f"{above} line{'s' * (above > 1)} above the header left out"] * (above > 0)
    position, line = filled[0]
    return position, max(SEPARATORS, key=line.count), []


def _plain(cell: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", cell.strip().lower()).strip("_")
    # Alpha Vantage numbers its columns: `4. close`.
    return re.sub(r"^\d+_(?=[a-z])", "", name)


def _canonical(names: Iterable[str]) -> set[str]:
    aliases = {alias: name for name, others in _ALIASES.items() for alias in others}
    return {aliases.get(name, name) for name in names}


def _yfinance_header(rows: list[list[str]]) -> tuple[list[str], int]:
    """Return the header, and how many lines it takes in a file of `yfinance.download(...).to_csv()`."""
    for skipped in (2, 3):
        last = [cell.lower() for cell in rows[skipped - 1]] if len(rows) >= skipped else []
        if last[:1] in (["date"], ["datetime"]) and not any(last[1:]) and len(rows[0]) > 1:
            return ["date", *rows[0][1:]], skipped
    return rows[0], 0


def _column_names(cells: Sequence[str], where: str, notes: list[str]) -> list[str]:
    """Return the canonical column names; a nameless first column is the date where no other is."""
    names = [_plain(cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    for name, aliases in _ALIASES.items():
        for alias in aliases:
            if name not in names and alias in names:
                position = names.index(alias)
                names[position] = name
                if name == "close":
                    notes.append(f"{cells[position]} is the close")
    volumes = [i for i, name in enumerate(names) if name.startswith("volume_")]
    if "volume" not in names and volumes:
        names[volumes[0]] = "volume"
        others = " and ".join(cells[i] for i in volumes[1:])
        notes.append(f"{cells[volumes[0]]} is the volume" + (f", not {others}" if others else ""))
    if names and not names[0] and "date" not in names:
        names[0] = "date"
    for name in ("date", *NUMBERS):
        if names.count(name) > 1:
            raise InputError(f"{where} names the column {name!r} twice. Remove one.")
    return names


def _check_columns(table: Table, close_only: bool) -> None:
    missing = [name for name in ("date", "close") if name not in table.columns]
    if missing:
        raise InputError(
            f"{table.where} has no column {' and '.join(missing)}; it has {', '.join(table.columns)}. "
            "The header must name date, open, high, low, close and, where there are any, adj_close and volume."
        )
    absent = [name for name in RANGE if name not in table.columns]
    if absent and not close_only:
        raise InputError(
            f"{table.where} has no column {', '.join(absent)}: the range proxy gk_overnight needs the open, "
            'high and low of every day. Add them, or set proxy = "squared_return" to work from closes alone.'
        )


def _refuse_times(table: Table) -> None:
    """Refuse a column of times beside the dates that holds another time than midnight."""
    for cell, line in zip(table.columns.get("time", []), table.lines, strict=False):
        if cell.strip("0:. "):
            raise InputError(
                f"{table.where}, line {line}: the time {cell!r} is not midnight, so the bars are intraday. Daily bars "
                "are needed: one row per day."
            )


def _plain_numbers(table: Table, separator: str) -> None:
    """Rewrite the number cells with a decimal point and nothing else, where they allow one reading only."""
    names = [name for name in NUMBERS if name in table.columns]
    # Most files have nothing to rewrite; to look at every cell takes a third of the time of reading them.
    if _BARE.fullmatch("".join(cell for name in names for cell in table.columns[name])):
        return
    for name in names:
        cells = [_GAPS.sub("", cell) for cell in table.columns[name]]
        signed = [cell for cell in cells if cell.lower() not in _MISSING]
        if signed and all(_CURRENCY.search(cell) for cell in signed):
            cells = [_CURRENCY.sub("", cell).strip() for cell in cells]
        table.columns[name] = cells
    if "volume" in names and any(_IN_UNITS.fullmatch(cell) for cell in table.columns["volume"]):
        table.notes.append(
            f"volume in {', '.join(sorted({c[-1] for c in table.columns['volume'] if c[-1:] in _UNITS}))}"
        )
    numbers = [cell.rstrip("KMB") if name == "volume" else cell for name in names for cell in table.columns[name]]
    mark = _decimal_mark(numbers, separator, table.where)
    if any("," in cell for cell in numbers):
        table.notes.append("the comma separates " + ("thousands" if mark == "." else "decimals"))
    for name in names:
        cells = [cell.replace("." if mark == "," else ",", "").replace(",", ".") for cell in table.columns[name]]
        table.columns[name] = [_without_unit(cell) for cell in cells] if name == "volume" else cells


def _without_unit(cell: str) -> str:
    match = _IN_UNITS.fullmatch(cell)
    return repr(round(float(match["number"]) * _UNITS[match["unit"]], 6)) if match else cell


def _decimal_mark(numbers: Sequence[str], separator: str, where: str) -> str:
    """Return the decimal mark of a file: the point, unless commas can only be decimals.

    Raises
    ------
    InputError
        If a comma may be either, or both are used in both ways.
    """
    commas = [cell for cell in numbers if "," in cell]
    if not commas:
        return "."
    points = [cell for cell in numbers if "." in cell]
    thousands = all(_GROUPED[","].fullmatch(cell) for cell in commas)
    decimals = all(cell.count(",") == 1 for cell in commas) and all(_GROUPED["."].fullmatch(cell) for cell in points)
    if thousands and not decimals:
        return "."
    if decimals and not thousands and separator != ",":
        return ","
    cell = commas[0]
    both = f"{cell.replace(',', '')} or {cell.replace('.', '').replace(',', '.')}"
    raise InputError(
        f"{where}: the comma in {cell!r} may separate thousands or decimals, {both}. Write numbers with a decimal "
        "point and without separators of thousands."
    )


def _numbers(table: Table) -> dict[str, np.ndarray]:
    """Return the number columns as float64; an empty volume is NaN, an optional column without any entry left out."""
    numbers = {}
    for name in NUMBERS:
        cells = table.columns.get(name)
        if cells is None or (name in ("adj_close", *MAY_BE_EMPTY) and all(cell.lower() in _MISSING for cell in cells)):
            continue
        empty = [cell.lower() in _MISSING for cell in cells]
        for cell, line, missing in zip(cells, table.lines, empty, strict=True):
            if _NUMBER.fullmatch(cell) or (missing and name in MAY_BE_EMPTY):
                continue
            problem = "is missing" if missing else f"= {cell[:40]!r} is not a number"
            raise InputError(
                f"{table.where}, line {line}: {name} {problem}. "
                "Correct the cell, or remove the row if there was no trading that day."
            )
        numbers[name] = np.array(
            ["nan" if missing else cell for cell, missing in zip(cells, empty, strict=True)], float
        )
    return numbers


def _check_order(dates: pd.DatetimeIndex, table: Table) -> None:
    steps = np.diff(dates.asi8)
    for kind, wrong in (("repeats", steps == 0), ("is earlier than", steps < 0)):
        if wrong.any():
            i = int(np.argmax(wrong)) + 1
            raise InputError(
                f"{table.where}, line {table.lines[i]}: the date {dates[i]:%Y-%m-%d} {kind} the one before it. "
                "Give one row per day, in order."
            )
