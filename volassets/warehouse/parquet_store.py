"""The back end for several machines: one Parquet file per table and cell, under the same DuckDB views.

A cell is replaced by one rename (a shared directory) or one request (an object store), so cells are
atomic one by one and no lock is needed: writers of different cells never meet, and of two writers of
one cell the last wins whole. A call that writes several tables writes them in the order given.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from volassets.warehouse.cell_files import CellFiles
from volassets.warehouse.declarations import Table, View, comments, create_view, literal, quoted
from volassets.warehouse.duckdb_store import DuckDBWarehouse, hide_progress_bar, put_in_place
from volassets.warehouse.interface import CheckedChange, Warehouse
from volassets.warehouse.schema import SCHEMA_VERSION, SCHEMA_VERSION_TABLE
from volassets.warehouse.transfer import copy_rows
from volassets.warehouse.write_checks import StoreError, checked_rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from volassets.settings import Settings


class ParquetWarehouse(Warehouse):
    """``warehouse = "parquet:URL"``, a directory or what fsspec knows."""

    def __init__(self, settings: Settings, url: str) -> None:
        super().__init__(settings, f"parquet:{url}")
        self.files = CellFiles(url)
        self._settings = settings

    def backup(self, file: Path) -> None:
        """Write everything into one DuckDB file; a forecast in it has its fit, even if runs go on."""
        file = Path(file)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}-") as folder:
            copy = DuckDBWarehouse(self._settings, path=Path(folder, "backup.duckdb"))
            # A writer puts fits before their forecasts, so forecasts are read before fits.
            copy_rows(self, copy, reversed(list(self.schema.tables)))
            if not copy.path.exists():
                raise StoreError(f"{self.place} has no rows yet: there is nothing to back up.")
            put_in_place(copy.path, file)

    def restore(self, file: Path) -> None:
        """Write every cell of `file` and remove the others; each cell is replaced by itself."""
        source = DuckDBWarehouse(self._settings, path=Path(file))
        source.require_ours(Path(file))
        with tempfile.TemporaryDirectory() as folder:
            # A copy, because opening the backup may migrate it.
            copy = DuckDBWarehouse(self._settings, path=Path(folder, "backup.duckdb"))
            put_in_place(Path(file), copy.path)
            before = {path for table in self.schema.tables.values() for path in self.files.listed(table)}
            logs = [table for table in self.schema.tables.values() if table.append_only]
            copy_rows(copy, self, [name for name, table in self.schema.tables.items() if not table.append_only])
            kept = {path for table in self.schema.tables.values() for path in self._paths(copy, table)}
            for table in logs:
                rows = checked_rows(table, copy.read(table.name))
                kept |= {self._put_log(table, cell, part) for cell, part in by_cell(table, rows)}
        for path in sorted(before - kept):
            self.files.remove(path)

    def _paths(self, source: Warehouse, table: Table) -> list[str]:
        """Return the paths that the rows of `source` in `table` have here, a log's excepted."""
        if table.append_only:
            return []
        if not table.cell:
            return [self.files.path(table, ())]
        names = ", ".join(map(quoted, table.cell))
        cells = source.query(f"SELECT DISTINCT {names} FROM {quoted(table.name)}")
        return [self.files.path(table, cell) for cell in cells.itertuples(index=False, name=None)]

    def _write(self, checked: Sequence[CheckedChange]) -> int:
        changed = 0
        for change in checked:
            if change.cells is not None:
                for cell, rows in by_cell(change.table, change.rows, change.cells):
                    self.files.put(self.files.path(change.table, cell), rows, change.table)
            else:
                changed += self._upsert(change)
        return changed

    def _remove(self, cells: Mapping[Table, pd.DataFrame]) -> None:
        for path in self._files_of(cells):
            try:
                self.files.remove(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(f"{path} cannot be removed: {error}. Correct the cause and run this again.") from None

    def bytes_of(self, rows: Mapping[str, pd.DataFrame]) -> dict[str, int]:
        """Return how many bytes the files of cells have."""
        return {
            name: sum(self.files.fs.size(path) or 0 for path in self._files_of({self.table(name): frame}))
            for name, frame in rows.items()
        }

    def compact(self) -> int:
        """Do nothing: a cell that is removed is a file less."""
        return 0

    def _files_of(self, cells: Mapping[Table, pd.DataFrame]) -> list[str]:
        return [
            self.files.path(table, cell)
            for table, frame in cells.items()
            for cell in frame[list(table.cell)].itertuples(index=False, name=None)
        ]

    def _upsert(self, change: CheckedChange) -> int:
        table, changed = change.table, 0
        key, compared = list(table.key), list(table.compared)
        for cell, rows in by_cell(table, change.rows):
            stored = checked_rows(table, self.read(table.name, **dict(zip(table.cell, cell, strict=True))))
            same = rows.merge(stored[compared].drop_duplicates(), on=compared, how="left", indicator=True)
            fresh = rows[(same["_merge"] == "left_only").to_numpy()]
            if fresh.empty:
                continue
            if table.append_only:
                self._put_log(table, cell, fresh)
                continue
            both = pd.concat([stored, fresh]).drop_duplicates(key, keep="last").sort_values(key, ignore_index=True)
            self.files.put(self.files.path(table, cell), both, table)
            changed += len(fresh)
        return changed

    def _put_log(self, table: Table, cell: tuple[Any, ...], rows: pd.DataFrame) -> str:
        """Write rows of a log into a file of their own, named by their keys, and return its path."""
        name = hashlib.sha256(rows[list(table.key)].to_csv(index=False).encode()).hexdigest()[:16]
        path = self.files.path(table, cell, name)
        self.files.put(path, rows, table)
        return path

    def _select(self, sql: str, parameters: Any, equals: Mapping[str, Any] | None = None) -> pd.DataFrame:
        import duckdb
        from tenacity import retry_if_exception_type

        # A file may be replaced between the listing and the reading of it, which an object store answers with an error.
        attempts = self.files.attempts.copy(retry=retry_if_exception_type((duckdb.IOException, OSError)))
        return attempts(self._select_once, sql, parameters, equals)

    def _select_once(self, sql: str, parameters: Any, equals: Mapping[str, Any] | None) -> pd.DataFrame:
        import duckdb

        connecting = duckdb.connect(":memory:", config={"python_enable_replacements": False})
        with self.files.readable() as readable, connecting as connection:
            hide_progress_bar(connection)
            relations = self._asked(connection, sql)
            # A writer puts fits before their forecasts, so forecasts are read first: none is seen without its fit.
            for table in reversed([relation for relation in relations if isinstance(relation, Table)]):
                self._stand_in(connection, table, readable(self.files.listed(table, equals)))
            for view in [relation for relation in relations if isinstance(relation, View)]:
                connection.execute(create_view(view))
            if len(relations) == len(self.schema.relations):
                connection.execute(";".join(line for relation in relations for line in comments(relation, "VIEW")))
            return connection.execute(sql, parameters).df()

    def _asked(self, connection: DuckDBPyConnection, sql: str) -> list[Table | View]:
        """Return what `sql` reads, tables before the views over them; everything where it asks what there is."""
        import duckdb

        relations = self.schema.relations
        try:
            # DuckDB does not name the tables of a statement with parameters; their values do not matter here.
            names = connection.get_table_names(re.sub(r"\?|\$\w+", "NULL", sql))
        except duckdb.Error:
            names = set()
        if not names or not names <= set(relations) or "duckdb_" in sql or "information_schema" in sql:
            return list(relations.values())
        pending, needed = list(names), set()
        while pending:
            name = pending.pop()
            needed.add(name)
            pending += [need for need in getattr(relations[name], "needs", ()) if need not in needed]
        return [relation for name, relation in relations.items() if name in needed]

    def _stand_in(self, connection: DuckDBPyConnection, table: Table, paths: Sequence[str]) -> None:
        """Make `table` a view over files, typed even where there is none."""
        import duckdb

        empty = ", ".join(f"CAST(NULL AS {c.type}) AS {quoted(c.name)}" for c in table.columns)
        body = f"SELECT {empty} WHERE false"
        if table.name == SCHEMA_VERSION_TABLE.name:
            body = f"SELECT {SCHEMA_VERSION} AS version, {literal(self.schema.fingerprint)} AS fingerprint"
        if paths:
            listed = ", ".join(literal(path) for path in paths)
            typed = ", ".join(f"CAST({quoted(c.name)} AS {c.type}) AS {quoted(c.name)}" for c in table.columns)
            # By name, because a file of an earlier release lacks the columns that came later.
            stored = f"SELECT * FROM read_parquet([{listed}], union_by_name=true)"
            body = f"SELECT {typed} FROM ({body} UNION ALL BY NAME {stored})"
        try:
            connection.execute(f"CREATE VIEW {quoted(table.name)} AS {body}")
        except duckdb.InvalidInputException as error:
            raise StoreError(
                f"{self.place} has a damaged file of {table.name}: {error}. Remove the file and run again, or restore "
                "a backup."
            ) from None


def by_cell(
    table: Table, rows: pd.DataFrame, cells: pd.DataFrame | None = None
) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Yield each cell's values with its rows, in the order of `cells`; those of the rows by default."""
    if not table.cell:
        yield (), rows
        return
    names = list(table.cell)
    found = dict(iter(rows.groupby(names, sort=False)))
    cells = rows[names].drop_duplicates() if cells is None else cells
    for key in cells.itertuples(index=False, name=None):
        yield key, found.get(key, rows.iloc[:0]).reset_index(drop=True)
