"""Space in a DuckDB file: what rows take of it, and the file written again without what was deleted.

DuckDB keeps the blocks of deleted rows for later ones, so that the file itself never gets smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from volassets.warehouse.declarations import Table, literal, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FRESH = "compacted"
# Bytes of a value before compression, to share the file's bytes among tables; text is mostly names and hashes.
WIDTHS = {"VARCHAR": 16, "JSON": 200, "BOOLEAN": 1, "INTEGER": 4, "DATE": 4}
OTHER_WIDTH = 8


def row_bytes(connection: DuckDBPyConnection, tables: Sequence[Table]) -> dict[str, float]:
    """Return about how many bytes of the file a row of each table takes; 0 where no row is stored.

    The used blocks, shared by the widths of the columns: DuckDB compresses by column, and says no bytes of a row.
    """
    counts = {table.name: _value(connection, f"SELECT count(*) FROM {quoted(table.name)}") for table in tables}
    widths = {table.name: sum(WIDTHS.get(column.type, OTHER_WIDTH) for column in table.columns) for table in tables}
    used = _value(connection, "SELECT used_blocks * block_size FROM pragma_database_size()")
    whole = sum(counts[name] * widths[name] for name in counts)
    return {name: widths[name] * used / whole if counts[name] else 0.0 for name in counts}


def copy_tables(connection: DuckDBPyConnection, draft: Path, names: Sequence[str]) -> None:
    """Copy the rows of the open database into `draft`, a database with the same empty tables."""
    connection.execute(f"ATTACH {literal(str(draft))} AS {FRESH}")
    for name in names:
        # The version of the schema is there already.
        connection.execute(f"DELETE FROM {FRESH}.{quoted(name)}")
        connection.execute(f"INSERT INTO {FRESH}.{quoted(name)} BY NAME SELECT * FROM {quoted(name)}")
    connection.execute(f"DETACH {FRESH}")


def _value(connection: DuckDBPyConnection, sql: str) -> int:
    found = connection.execute(sql).fetchone()
    return int(found[0]) if found else 0
