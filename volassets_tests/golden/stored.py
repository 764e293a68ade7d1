"""What a home holds, as text: read with duckdb alone, so that no rewrite of the package can bend what is compared.

A value is written so that it comes back with the same bits: ``repr`` of a float, ISO text of a date, ``\\N`` for NULL.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

NULL = "\\N"
# When a row was made and how long that took is of one run only; `schema_version` is about the declaration.
OF_ONE_RUN = ("seconds", "fetched_at", "seen_at", "computed_on")
NO_RESULT = ("schema_version",)
# A finding that counts the sessions up to the day of the run changes by itself.
LASTING = {"data_quality": "check_name <> 'old_bars'"}
# One thread for every library: how many cores a machine has must not decide in which order numbers are added.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class Shape:
    """A table as it was when it was pinned.

    Attributes
    ----------
    key : tuple of str
        Columns that the rows are ordered by.
    types : dict
        SQL type of every column compared.
    """

    key: tuple[str, ...]
    types: dict[str, str]


def command(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``volassets`` with these arguments on `home`, with nothing of the caller's settings."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("VOLASSETS_", "DAGSTER_"))}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "volassets", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env={**kept, **ONE_THREAD, "VOLASSETS_HOME": str(home), **environment},
    )


def shapes(database: Path, without: Sequence[str] = OF_ONE_RUN) -> dict[str, Shape]:
    """Return every table of a database, its key as declared and its columns but those of one run."""
    with duckdb.connect(str(database), read_only=True) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE table_name IN (SELECT table_name FROM duckdb_tables()) ORDER BY table_name, column_index"
        ).fetchall()
        keys: dict[str, list[str]] = dict(
            connection.execute(
                "SELECT table_name, constraint_column_names FROM duckdb_constraints() "
                "WHERE constraint_type = 'PRIMARY KEY'"
            ).fetchall()
        )
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in columns:
        if table not in NO_RESULT and column not in without:
            found.setdefault(table, {})[column] = kind
    return {table: Shape(tuple(name for name in keys[table] if name in types), types) for table, types in found.items()}


def read_rows(database: Path, table: str, shape: Shape, where: str = "true") -> Rows:
    """Return the rows of a table as text, in the order of its key."""
    names = ", ".join(f'"{name}"' for name in shape.types)
    order = ", ".join(f'"{name}"' for name in shape.key)
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.execute(f'SELECT {names} FROM "{table}" WHERE {where} ORDER BY {order}').fetchall()
    return [tuple(as_text(value) for value in row) for row in rows]


def as_text(value: Any) -> str:
    """Return a value so that equal texts mean equal bits."""
    if value is None:
        return NULL
    return repr(value) if isinstance(value, float) else str(value)


def digest(rows: Rows) -> str:
    """Return the SHA-256 of the rows' text."""
    return hashlib.sha256(_csv(rows)).hexdigest()


def write_rows(path: Path, columns: Sequence[str], rows: Rows) -> None:
    """Write a header and rows as a compressed CSV file, the same bytes for the same rows."""
    path.write_bytes(gzip.compress(_csv([tuple(columns), *rows]), mtime=0))


def load_rows(path: Path) -> tuple[tuple[str, ...], Rows]:
    """Return the header and the rows of a file that `write_rows` has written."""
    lines = csv.reader(io.StringIO(gzip.decompress(path.read_bytes()).decode(), newline=""))
    header, *rows = (tuple(line) for line in lines)
    return header, rows


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()


def contents(database: Path, pinned: Mapping[str, Shape]) -> dict[str, Rows]:
    """Return the rows of these tables, of the columns that they had then."""
    return {table: read_rows(database, table, shape, LASTING.get(table, "true")) for table, shape in pinned.items()}
