"""Your own prices: a directory with one CSV file per ticker, ``TICKER.csv``.

Columns date, open, high, low, close and, where there are any, adj_close and volume; any case and column order,
commas, semicolons, tabs or bars between them. Rows run from the oldest to the newest. Anything that has two readings
is refused.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.market.bars import as_bars
from volassets.market.dates import parse_dates

MAX_BYTES = 100_000_000
_SEPARATORS = (",", ";", "\t", "|")
_ALIASES = {
    "datetime": "date",
    "timestamp": "date",
    "time": "date",
    "adjclose": "adj_close",
    "adjusted_close": "adj_close",
    "vol": "volume",
}
_RANGE = ("open", "high", "low")
_OPTIONAL = ("adj_close", "volume")
_MISSING = {"", "-", "--", "na", "n/a", "nan", "none", "null", "#n/a"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_THREE_DIGITS = re.compile(r"\d{1,3},\d{3}", re.ASCII)


@dataclass(frozen=True)
class _Table:
    """A file's cells as text: columns by name, and the line in the file of each row."""

    columns: dict[str, list[str]]
    lines: list[int]
    where: str


class CsvSource:
    """Source `csv`; see `volassets.market.price_source.PriceSource`.

    With `close_only` files need no open, high and low: these are set to the close, right only for proxies of closes.

    Raises
    ------
    InputError
        If the directory does not exist.
    """

    name = "csv"

    def __init__(self, directory: str | Path, close_only: bool = False) -> None:
        self.directory = Path(directory).expanduser()
        self.close_only = close_only
        if not self.directory.is_dir():
            raise InputError(
                f"csv_dir {str(directory)!r} is not a directory: give the one that holds your TICKER.csv files."
            )

    def fetch(self, ticker: str) -> pd.DataFrame:
        """Return the bars in the file of `ticker`.

        Raises
        ------
        InputError
            Hostile name, no file, unreadable file, wrong columns, numbers or dates; file and line are named.
        """
        return self._bars(_read(self._path(ticker)))

    def known(self, ticker: str) -> bool:
        """Return whether a file of that name is there."""
        try:
            self._path(ticker)
        except InputError:
            return False
        return True

    def _path(self, ticker: str) -> Path:
        from volassets.settings import check_ticker_name

        wanted = f"{check_ticker_name(ticker)}.csv"
        try:
            names = sorted(entry.name for entry in self.directory.iterdir())
        except OSError as error:
            raise InputError(f"{self.directory} cannot be listed: {error.strerror}. Check its permissions.") from None
        # By comparison with the listing, so that no part of a name ever leads to another directory.
        found = [name for name in names if name == wanted] or [
            name for name in names if name.casefold() == wanted.casefold()
        ]
        if len(found) != 1:
            problem = f"has {' and '.join(found)}, which differ in case only" if found else f"has no file {wanted}"
            raise InputError(f"ticker {ticker}: {self.directory} {problem}. Put exactly one file {wanted} there.")
        return self.directory / found[0]

    def _bars(self, table: _Table) -> pd.DataFrame:
        self._check_columns(table)
        dates = parse_dates(table.columns["date"], table.lines, table.where)
        _check_order(dates, table)
        numbers = _numbers(table)
        if not set(_RANGE) <= set(numbers):
            numbers.update(dict.fromkeys(_RANGE, numbers["close"]))
        return as_bars(pd.DataFrame(numbers, index=dates))

    def _check_columns(self, table: _Table) -> None:
        missing = [name for name in ("date", "close") if name not in table.columns]
        if missing:
            raise InputError(
                f"{table.where} has no column {' and '.join(missing)}; it has {', '.join(table.columns)}. "
                "The first line must name date, open, high, low, close and, where there are any, adj_close and volume."
            )
        absent = [name for name in _RANGE if name not in table.columns]
        if absent and not self.close_only:
            raise InputError(
                f"{table.where} has no column {', '.join(absent)}: the range proxy gk_overnight needs the open, "
                'high and low of every day. Add them, or set proxy = "squared_return" to work from closes alone.'
            )


def _read(path: Path) -> _Table:
    text = _text(path)
    header_line = next((line for line in text.splitlines() if line.strip()), "")
    if not header_line:
        raise InputError(f"{path.name} is empty: it needs a line of column names and one line per day.")
    separator = max(_SEPARATORS, key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num} is not CSV: {error}. Repair the quotes.") from None
    header = _header(rows[0], path.name)
    if len(rows) == 1:
        raise InputError(f"{path.name} has column names but no row: it needs one line per day.")
    for row, line in zip(rows[1:], lines[1:], strict=True):
        if len(row) < len(header) or any(row[len(header) :]):
            raise InputError(
                f"{path.name}, line {line} has {len(row)} cells, but the first line names {len(header)} columns. "
                "Give every row all its cells; numbers with decimal commas need semicolons between them."
            )
    cells = {name: [row[i] for row in rows[1:]] for i, name in enumerate(header) if name}
    return _Table(_decimal_points(cells, separator, path.name), lines[1:], path.name)


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise InputError(f"{path} is not a regular file. Put a CSV file there.")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES:,} bytes: daily bars never are. Give daily bars.")
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Check the file and its permissions.") from None
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path.name} is not text in UTF-8. Save it as CSV UTF-8.") from None
    if "\0" in text:
        raise InputError(f"{path.name} holds zero bytes and is no text file. Save it as CSV UTF-8.")
    return text


def _header(cells: Sequence[str], where: str) -> list[str]:
    """Return the canonical column names; a nameless first column is the date where no other is."""
    names = [re.sub(r"[^a-z0-9]+", "_", cell.lower()).strip("_") for cell in cells]
    while names and not names[-1]:
        names.pop()
    names = [_ALIASES.get(name, name) for name in names]
    if names and not names[0] and "date" not in names:
        names[0] = "date"
    repeated = [name for name in ("date", "close", *_RANGE, *_OPTIONAL) if names.count(name) > 1]
    if repeated:
        raise InputError(f"{where} names the column {repeated[0]!r} twice. Remove one.")
    return names


def _decimal_points(cells: dict[str, list[str]], separator: str, where: str) -> dict[str, list[str]]:
    """Return the cells with decimal points, where the file has decimal commas throughout."""
    number_columns = [name for name in (*_RANGE, "close", *_OPTIONAL) if name in cells]
    numbers = [cell for name in number_columns for cell in cells[name]]
    with_comma = [cell for cell in numbers if "," in cell]
    if not with_comma:
        return cells
    doubtful = (
        separator == ","
        or any("." in cell for cell in numbers)
        or any(cell.count(",") > 1 for cell in with_comma)
        or all(_THREE_DIGITS.fullmatch(cell) for cell in with_comma)
    )
    if doubtful:
        raise InputError(
            f"{where}: the comma in {with_comma[0]!r} may separate thousands or decimals. Write numbers "
            "with a decimal point and without separators of thousands."
        )
    return cells | {name: [cell.replace(",", ".") for cell in cells[name]] for name in number_columns}


def _numbers(table: _Table) -> dict[str, np.ndarray]:
    """Return the number columns as float64; an optional column without any entry is left out."""
    numbers = {}
    for name in (*_RANGE, "close", *_OPTIONAL):
        cells = table.columns.get(name)
        if cells is None or (name in _OPTIONAL and all(cell.lower() in _MISSING for cell in cells)):
            continue
        for cell, line in zip(cells, table.lines, strict=True):
            if _NUMBER.fullmatch(cell):
                continue
            empty = cell.lower() in _MISSING
            raise InputError(
                f"{table.where}, line {line}: {name} {'is missing' if empty else f'= {cell[:40]!r} is not a number'}. "
                "Correct the cell, or remove the row if there was no trading that day."
            )
        numbers[name] = np.array(cells, dtype="float64")
    return numbers


def _check_order(dates: pd.DatetimeIndex, table: _Table) -> None:
    steps = np.diff(dates.to_numpy()).astype("int64")
    for kind, wrong in (("repeats", steps == 0), ("is earlier than", steps < 0)):
        if wrong.any():
            i = int(np.argmax(wrong)) + 1
            raise InputError(
                f"{table.where}, line {table.lines[i]}: the date {dates[i]:%Y-%m-%d} {kind} the one before it. "
                "Give one row per day, the oldest first."
            )
