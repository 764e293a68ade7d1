"""What is refused before anything is written: a wrong frame never reaches a transaction."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from volassets.errors import VolassetsError
from volassets.warehouse.declarations import Column, Table

_DATES = ("date", "datetime", "datetime64")
_NUMBERS = ("floating", "integer", "mixed-integer-float", "decimal")
# Not object: DuckDB guesses the type of an object column from a sample, which may hold None only.
_STRING = pd.StringDtype("python")
_KEPT = "Nothing was written; the old rows are as they were."


class StoreError(VolassetsError):
    """The store refused or could not do what was asked; the old rows are as they were."""


def checked_rows(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` with exactly the columns of `table`, typed and ordered by its key.

    A nullable column that is missing is filled with NULL; NaN counts as NULL.

    Raises
    ------
    StoreError
        Unknown, missing or repeated column, wrong type, NULL where it is not allowed, infinity, or
        two rows with one key.
    """
    repeated = frame.columns[frame.columns.duplicated()].unique()
    if len(repeated):
        raise StoreError(f"{table.name}: the frame has column {repeated[0]!r} twice. {_KEPT}")
    unknown = [name for name in frame.columns if name not in table.column_names]
    if unknown:
        raise StoreError(
            f"{table.name}: the frame has column {unknown[0]!r}, which the table does not declare. Declare it in "
            f"volassets.warehouse, or drop it. {_KEPT}"
        )
    missing = [c.name for c in table.columns if not c.nullable and c.name not in frame.columns]
    if missing and len(frame):
        raise StoreError(f"{table.name}: the frame lacks column {missing[0]!r} (an index does not count). {_KEPT}")
    frame = frame.reset_index(drop=True)
    absent = pd.Series([None] * len(frame), dtype=object)
    rows = pd.DataFrame({c.name: _typed(table, c, frame.get(c.name, absent), frame) for c in table.columns})
    return _keyed(table, rows)


def checked_cells(table: Table, rows: pd.DataFrame, cells: pd.DataFrame | None) -> pd.DataFrame:
    """Return the cells to replace, typed, one row each, after checking that `rows` (checked) fill exactly them.

    Raises
    ------
    StoreError
        Cells missing, repeated or malformed, a row outside them, or a cell without rows.
    """
    if not table.cell:
        if rows.empty and not table.may_be_empty:
            raise StoreError(f"{table.name}: the frame is empty. {_KEPT}")
        return pd.DataFrame(index=[0])
    if cells is None or cells.empty:
        raise StoreError(f"{table.name}: no cell is named; give its {', '.join(table.cell)}. {_KEPT}")
    if set(cells.columns) != set(table.cell):
        raise StoreError(
            f"{table.name}: cells have the columns {', '.join(map(str, cells.columns))}; they are named by "
            f"{', '.join(table.cell)}. {_KEPT}"
        )
    cells = cells.reset_index(drop=True)
    asked = pd.DataFrame({name: _typed(table, table.column(name), cells[name], cells) for name in table.cell})
    if asked.duplicated().any():
        raise StoreError(f"{table.name}: the cell {_first(asked, asked.duplicated())} is named twice. {_KEPT}")
    wanted = list(asked.itertuples(index=False, name=None))
    filled = list(dict.fromkeys(zip(*(rows[name] for name in table.cell), strict=True)))
    if stray := set(filled).difference(wanted):
        raise StoreError(
            f"{table.name}: there are rows of {_named(table.cell, min(stray))}, which is not among the cells "
            f"to replace. {_KEPT}"
        )
    if (empty := set(wanted).difference(filled)) and not table.may_be_empty:
        raise StoreError(
            f"{table.name}: there is no row for {_named(table.cell, min(empty))}; an empty cell is not written. {_KEPT}"
        )
    return asked


def _keyed(table: Table, rows: pd.DataFrame) -> pd.DataFrame:
    key = list(table.key)
    double = rows.duplicated(key)
    if double.any():
        raise StoreError(f"{table.name}: two rows have the key {_first(rows[key], double)}. {_KEPT}")
    return rows.sort_values(key, kind="stable", ignore_index=True)


def _first(rows: pd.DataFrame, mask: pd.Series) -> str:
    return _named(rows.columns, next(rows[mask].itertuples(index=False, name=None)))


def _named(names: Iterable[str], values: Iterable[Any]) -> str:
    """Return a key in words."""
    return ", ".join(
        f"{name} {value.date() if isinstance(value, pd.Timestamp) else value}"
        for name, value in zip(names, values, strict=True)
    )


def _typed(table: Table, column: Column, values: pd.Series, frame: pd.DataFrame) -> pd.Series:
    """Return a column of `frame`, which has the index 0 .. n-1, in its type."""
    try:
        typed = _converted(column, values)
    except (TypeError, ValueError, OverflowError) as error:
        got, why = _offending(table, column, values, frame) or (str(values.dtype), str(error))
        reason = f": {why}" if why else ""
        raise StoreError(f"{table.name}.{column.name} takes {column.type}, and got {got}{reason}. {_KEPT}") from None
    if not column.nullable and (empty := typed.isna()).any():
        raise StoreError(
            f"{table.name}.{column.name} may not be empty, and is NaN or NULL in {int(empty.sum())} of {len(typed)} "
            f"rows, first{_row(table, frame, int(empty.argmax()))}. {_KEPT}"
        )
    return typed


def _converted(column: Column, values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    return _CONVERT[column.type](values, pd.api.types.infer_dtype(values, skipna=True))


def _offending(table: Table, column: Column, values: pd.Series, frame: pd.DataFrame) -> tuple[str, str] | None:
    """Return the first value that is wrong by itself, with its row, and why; None where only the mixture is wrong."""
    for position, value in enumerate(values.tolist()):
        try:
            _converted(column, values.iloc[[position]].reset_index(drop=True))
        except (TypeError, ValueError, OverflowError) as error:
            shown = str(value) if isinstance(value, date | float) else reprlib.repr(value)
            return shown + _row(table, frame, position), str(error)
    return None


def _row(table: Table, frame: pd.DataFrame, position: int) -> str:
    """Return where a row is, by its key."""
    names = [name for name in table.key if name in frame.columns]
    return f" in row {position + 1} ({_named(names, frame[names].iloc[position].tolist())})"


def _require(condition: bool, why: str = "") -> None:
    if not condition:
        raise TypeError(why)


def _text(values: pd.Series, inferred: str) -> pd.Series:
    _require(inferred in ("string", "empty"))
    return values.astype(_STRING)


def _date(values: pd.Series, inferred: str) -> pd.Series:
    moments = _moment(values, inferred)
    _require(bool((moments.dropna() == moments.dropna().dt.normalize()).all()), "a date has no time of day")
    return moments


def _moment(values: pd.Series, inferred: str) -> pd.Series:
    _require(inferred in (*_DATES, "empty"))
    moments = pd.to_datetime(values)
    if moments.dt.tz is not None:
        moments = moments.dt.tz_convert("UTC").dt.tz_localize(None)
    return moments.astype("datetime64[us]")


def _double(values: pd.Series, inferred: str) -> pd.Series:
    _require(inferred in (*_NUMBERS, "empty"))
    numbers = values.astype(object).where(values.notna(), np.nan).astype(np.float64)
    _require(not np.isinf(numbers.to_numpy()).any(), "infinity is never stored")
    return numbers


def _integer(values: pd.Series, inferred: str) -> pd.Series:
    _require(inferred in (*_NUMBERS, "empty"))
    numbers = _double(values, inferred)
    known = numbers.dropna()
    _require(bool((known == np.round(known)).all() and (known.abs() < 2**31).all()), "not a whole number")
    return numbers.astype("Int64").astype("Int32")


def _boolean(values: pd.Series, inferred: str) -> pd.Series:
    _require(inferred in ("boolean", "empty"))
    return values.astype("boolean")


def _json(values: pd.Series, inferred: str) -> pd.Series:
    return pd.Series([_json_text(value) for value in values], dtype=_STRING)


def _json_text(value: Any) -> str | None:
    if isinstance(value, str):
        json.loads(value, parse_constant=_refuse_constant)
        return value
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, allow_nan=False)
    _require(value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)))
    return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_CONVERT = {
    "VARCHAR": _text,
    "DATE": _date,
    "TIMESTAMP": _moment,
    "DOUBLE": _double,
    "INTEGER": _integer,
    "BOOLEAN": _boolean,
    "JSON": _json,
}
