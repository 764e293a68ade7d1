"""The store's interface: what may be asked of it, whatever holds the rows.

Rules, the same for every back end: a write replaces exactly the cells that it names, a wrong frame
is refused and the old rows stay, a reader never sees half a cell, connections live for one call or one `reading`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from volassets.errors import InputError
from volassets.warehouse.declarations import Table, View, quoted
from volassets.warehouse.migration import Schema
from volassets.warehouse.write_checks import StoreError, checked_cells, checked_rows

if TYPE_CHECKING:
    from volassets.settings import Settings


@dataclass(frozen=True)
class Replacement:
    """All rows of some cells of a table.

    `cells` has one row per cell, in the columns of `Table.cell`; None for a table that is one cell as a whole.
    """

    table: str
    frame: pd.DataFrame
    cells: pd.DataFrame | None = None


@dataclass(frozen=True)
class Upsert:
    """Rows of a table with `Table.stamps`, or of a log; those that are stored already stay as they are."""

    table: str
    frame: pd.DataFrame


@dataclass(frozen=True)
class CheckedChange:
    """A change that was found right: typed rows in order, and the cells that they replace; None for an upsert."""

    table: Table
    rows: pd.DataFrame
    cells: pd.DataFrame | None = None


class Warehouse(ABC):
    """A store of all tables, at `place`, with the `schema` of its home's settings."""

    def __init__(self, settings: Settings, place: str) -> None:
        self.schema = Schema(settings)
        self.place = place

    def write(self, *changes: Replacement | Upsert) -> int:
        """Replace exactly the cells given and upsert the rows given; return how many rows of `raw_prices` changed.

        In DuckDB everything of one call is one transaction. In Parquet the cells are atomic one by
        one, in the order given, so give fits before their forecasts.

        Raises
        ------
        StoreError
            A frame or its cells are wrong, or the store cannot be written; the old rows stay.
        """
        checked = [self._checked(change) for change in changes]
        return self._write(checked) if checked else 0

    def remove(self, cells: Mapping[str, pd.DataFrame]) -> None:
        """Remove all rows of some cells, by table; a frame has one row per cell, in the columns of `Table.cell`.

        In DuckDB everything of one call is one transaction. In Parquet the cells go one by one, those of the tables
        that are filled last first, so that no forecast is without its fit.

        Raises
        ------
        StoreError
            A table is a log, or one cell as a whole, or the store cannot be written; nothing is removed.
        """
        tables = {self.table(name): frame[list(self.table(name).cell)] for name, frame in cells.items()}
        kept = [table.name for table in tables if table.append_only or not table.cell]
        if kept:
            raise StoreError(f"no cell of {kept[0]} can be removed. Nothing was removed.")
        order = list(self.schema.tables)
        self._remove(dict(sorted(tables.items(), key=lambda item: -order.index(item[0].name))))

    @abstractmethod
    def bytes_of(self, rows: Mapping[str, pd.DataFrame]) -> dict[str, int]:
        """Return how many bytes cells take, by table; of DuckDB about. Frames as in `remove`, with their rows `n`."""

    @abstractmethod
    def compact(self) -> int:
        """Give back the space of what was removed; return the bytes, 0 where removing has done it already."""

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the result of a reading statement; InputError if it is wrong, or would write.

        A mapping's ``ticker`` or ``tickers`` says that the statement is about these alone: of a store with a file
        per cell the files of the others are not looked at.
        """
        _require_reading(sql)
        named = parameters if isinstance(parameters, Mapping) else {}
        about = named.get("tickers", named.get("ticker"))
        return self._answer(sql, parameters, None if about is None else {"ticker": about})

    def read(self, table: str, columns: Sequence[str] | None = None, **equals: Any) -> pd.DataFrame:
        """Return rows of a table or view in the order of its key; StoreError if it or a column does not exist.

        `equals` gives a column a value, or a list of values of which one must match.
        """
        relation = self.relation(table)
        for name in (*(columns or ()), *equals):
            if name not in relation.column_names:
                raise StoreError(f"{table} has no column {name!r}; it has {', '.join(relation.column_names)}.")
        conditions, values = [], []
        for name, value in equals.items():
            several = list(value) if isinstance(value, list | tuple | set | pd.Index) else [value]
            marks = ", ".join("?" for _ in several)
            conditions.append(f"{quoted(name)} IN ({marks})" if several else "false")
            values += [item.to_pydatetime() if isinstance(item, pd.Timestamp) else item for item in several]
        sql = f"SELECT {', '.join(map(quoted, columns or relation.column_names))} FROM {quoted(table)}"
        sql += f" WHERE {' AND '.join(conditions)}" if conditions else ""
        sql += f" ORDER BY {', '.join(map(quoted, relation.key))}" if relation.key else ""
        # A view may look across models and months, so only the ticker narrows what it is made from.
        narrowing = equals if table in self.schema.tables else {n: v for n, v in equals.items() if n == "ticker"}
        return self._answer(sql, values, narrowing)

    @contextmanager
    def reading(self) -> Iterator[Warehouse]:
        """Yield this store to read from many times in a row: of one moment and without opening again, where it can.

        Nothing may be written inside the block.
        """
        yield self

    @abstractmethod
    def backup(self, file: Path) -> None:
        """Write everything, as of one moment, into one DuckDB file; runs may go on writing."""

    @abstractmethod
    def restore(self, file: Path) -> None:
        """Put the rows of a backup in the place of what is stored; StoreError, and no change, if it is none."""

    def table(self, name: str) -> Table:
        """Return the declaration of table `name`; StoreError if there is none."""
        if name not in self.schema.tables:
            raise StoreError(f"there is no table {name!r}; the tables are {', '.join(self.schema.tables)}.")
        return self.schema.tables[name]

    def relation(self, name: str) -> Table | View:
        """Return the declaration of table or view `name`; StoreError if there is none."""
        return self.schema.views[name] if name in self.schema.views else self.table(name)

    def _answer(self, sql: str, parameters: Any, equals: Mapping[str, Any] | None = None) -> pd.DataFrame:
        import duckdb

        try:
            return self._select(sql, parameters, equals)
        except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
            raise InputError(f"the query cannot be answered: {error}") from None
        except (duckdb.Error, OSError) as error:
            raise StoreError(
                f"{self.place} could not be read: {error}. Correct the cause and run this again."
            ) from None

    def _checked(self, change: Replacement | Upsert) -> CheckedChange:
        table = self.table(change.table)
        if isinstance(change, Upsert):
            if not table.append_only and not table.stamps:
                raise StoreError(f"{table.name} has no stamp to keep: replace its cells. Nothing was written.")
            return CheckedChange(table, checked_rows(table, change.frame))
        if table.append_only:
            raise StoreError(f"{table.name} is a log: append rows by Upsert. Nothing was written.")
        rows = checked_rows(table, change.frame)
        return CheckedChange(table, rows, checked_cells(table, rows, change.cells))

    @abstractmethod
    def _write(self, checked: Sequence[CheckedChange]) -> int:
        """Write what was checked; return the rows changed in tables with stamps."""

    @abstractmethod
    def _remove(self, cells: Mapping[Table, pd.DataFrame]) -> None:
        """Remove the rows of cells, in the order given."""

    @abstractmethod
    def _select(self, sql: str, parameters: Any, equals: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the result of a reading statement; `equals` are conditions in it that may narrow what is looked at."""


def _require_reading(sql: str) -> None:
    import duckdb

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise InputError(f"the query cannot be read: {error}") from None
    if len(statements) != 1:
        raise InputError(f"a query is one statement, and this has {len(statements)}: ask them one after the other.")
    kind = statements[0].type
    if kind not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
        raise InputError(
            f"a query only reads, and this is a {kind.name} statement: use SELECT, FROM, DESCRIBE, SHOW or EXPLAIN."
        )
