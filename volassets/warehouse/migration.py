"""Bring an open database up to the declaration; refuse what is not ours or newer than us."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from volassets.warehouse.declarations import Table, View, comments, create_table, create_view, quoted
from volassets.warehouse.schema import SCHEMA_VERSION, tables
from volassets.warehouse.views import views
from volassets.warehouse.write_checks import StoreError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from volassets.settings import Settings


# 0.1.0 wrote importance together with its fit and kept no hash of it: it belongs to the fit beside it. The text is that
# of `volassets.pipeline.fingerprints.importance_hash`, version 1; a test holds the two together.
IMPORTANCE_HASHES = """
    UPDATE feature_importance AS i
    SET data_hash = substr(sha256(f.data_hash || ' importance 1'), 1, 16)
    FROM fits AS f
    WHERE i.data_hash IS NULL AND f.ticker = i.ticker AND f.refit_month = i.refit_month AND f.model = i.model
"""


# The first empty database of a schema that this process made, by fingerprint: to make one takes a quarter second.
_EMPTY: dict[str, bytes] = {}

# Before the column was there, every volatility was annualised with the sessions of an exchange.
SESSIONS = "UPDATE {table} SET sessions_per_year = 252 WHERE sessions_per_year IS NULL"


class Schema:
    """The declaration under one set of settings."""

    def __init__(self, settings: Settings) -> None:
        self.tables: dict[str, Table] = tables(settings)
        self.views: dict[str, View] = views(settings)

    @property
    def relations(self) -> dict[str, Table | View]:
        """Tables and views by name."""
        return {**self.tables, **self.views}

    @cached_property
    def fingerprint(self) -> str:
        """Hash over everything that the database is made of."""
        statements = [create_table(table) for table in self.tables.values()]
        statements += [create_view(view) for view in self.views.values()]
        statements += [line for relation in self.relations.values() for line in comments(relation)]
        return hashlib.sha256("\n".join(statements).encode()).hexdigest()[:16]

    def is_current(self, connection: DuckDBPyConnection, path: str) -> bool:
        """Return whether the database has this schema; False where it is empty or older.

        Raises
        ------
        StoreError
            If it is not a volassets database, or was written by a later release.
        """
        import duckdb

        try:
            marks = connection.execute("SELECT version::INTEGER, fingerprint::VARCHAR FROM schema_version").fetchall()
        except (duckdb.CatalogException, duckdb.BinderException, duckdb.ConversionException):
            marks = []
        if not marks:
            if not connection.execute("SELECT 1 FROM duckdb_tables() LIMIT 1").fetchall():
                return False
            raise StoreError(
                f"{path} is a DuckDB database, but not one of volassets (no schema_version): choose another home, or "
                "move the file away. It was not touched."
            )
        version, fingerprint = max(marks)
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{path} has schema version {version}, this release knows up to {SCHEMA_VERSION}: install the release "
                "that wrote it. It was not touched."
            )
        return bool(fingerprint == self.fingerprint)

    def create(self, file: Path) -> None:
        """Make a database without rows at `file`, which is not there yet."""
        import duckdb

        if self.fingerprint in _EMPTY:
            file.write_bytes(_EMPTY[self.fingerprint])
            return
        with duckdb.connect(str(file)) as connection:
            self.apply(connection)
        _EMPTY[self.fingerprint] = file.read_bytes()

    def apply(self, connection: DuckDBPyConnection) -> None:
        """Create what is missing, in one transaction; rows that are there stay."""
        connection.execute("BEGIN")
        known = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'suspect_days'").fetchall()
        for statement in self._renamed(connection):
            connection.execute(statement)
        for statement in self._missing_columns(connection):
            connection.execute(statement)
        for table in self.tables.values():
            connection.execute(create_table(table))
        for view in self.views.values():
            connection.execute(create_view(view))
        connection.execute(IMPORTANCE_HASHES)
        if not known:
            self._find_suspect_days(connection)
        for table in self.tables.values():
            if "sessions_per_year" in table.column_names:
                connection.execute(SESSIONS.format(table=quoted(table.name)))
        connection.execute(";".join(line for relation in self.relations.values() for line in comments(relation)))
        connection.execute("DELETE FROM schema_version")
        connection.execute("INSERT INTO schema_version VALUES (?, ?)", [SCHEMA_VERSION, self.fingerprint])
        connection.execute("COMMIT")

    def _find_suspect_days(self, connection: DuckDBPyConnection) -> None:
        """Fill the table from stored bars: a file of an earlier release is not taken in again."""
        from volassets.market.suspect_ranges import suspect_days

        bars = connection.execute("SELECT * FROM raw_prices ORDER BY ticker, date").df()
        for ticker, own in bars.groupby("ticker", sort=False):
            for day in suspect_days(own.set_index("date"))["date"]:
                connection.execute("INSERT INTO suspect_days VALUES (?, ?)", [ticker, day.date()])

    def _renamed(self, connection: DuckDBPyConnection) -> list[str]:
        """Return the statements that give tables of an older file their new names."""
        there = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        return [
            f"ALTER TABLE {quoted(table.was)} RENAME TO {quoted(table.name)}"
            for table in self.tables.values()
            if table.was in there and table.name not in there
        ]

    def _missing_columns(self, connection: DuckDBPyConnection) -> list[str]:
        """Return the statements that give tables of an older file their new columns."""
        there: dict[str, dict[str, tuple[str, bool]]] = {}
        sql = "SELECT c.table_name, c.column_name, c.data_type, c.is_nullable FROM duckdb_columns() c"
        for name, column_name, kind, nullable in connection.execute(
            f"{sql} SEMI JOIN duckdb_tables() USING (table_name)"
        ).fetchall():
            there.setdefault(name, {})[column_name] = (kind, nullable)
        statements = []
        for table in self.tables.values():
            found = there.get(table.name)
            if found is None:
                continue
            alter = f"ALTER TABLE {quoted(table.name)}"
            for column in table.columns:
                if column.name not in found:
                    statements.append(f"{alter} ADD COLUMN {quoted(column.name)} {column.type}")
                elif found[column.name][0] != column.type:
                    raise StoreError(
                        f"{table.name}.{column.name} is {found[column.name][0]} in the file and {column.type} in this "
                        "release: copy the file away and start a new one. It was not touched."
                    )
            # A column that is no longer declared keeps its rows; new rows leave it empty.
            statements += [
                f"{alter} ALTER COLUMN {quoted(name)} DROP NOT NULL"
                for name, (_, nullable) in found.items()
                if not nullable and name not in table.column_names
            ]
        return statements
