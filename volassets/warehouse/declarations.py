"""What a table and a view are declared with, and the DDL that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

TYPES = ("VARCHAR", "DATE", "TIMESTAMP", "DOUBLE", "INTEGER", "BOOLEAN", "JSON")


@dataclass(frozen=True)
class Column:
    """A column: SQL type of `TYPES`, what it means with its unit, and whether it may be NULL."""

    name: str
    type: str
    comment: str
    nullable: bool = False


@dataclass(frozen=True)
class Relation:
    """What can be read by name: its columns in the order shown, and the key that orders `Warehouse.read`."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True)
class Table(Relation):
    """A stored table; its key is the primary key.

    Attributes
    ----------
    cell : tuple of str
        Columns that name the unit of replacement; empty where the whole table is one cell.
    may_be_empty : bool
        Whether a cell without rows is an answer (no finding) and not a mistake.
    append_only : bool
        A log: rows are only ever added.
    was : str
        The name under which an earlier release stored its rows.
    stamps : tuple of str
        In a table that is upserted, the columns that do not count as a change.
    """

    cell: tuple[str, ...] = ("ticker",)
    may_be_empty: bool = False
    append_only: bool = False
    was: str = ""
    stamps: tuple[str, ...] = ()

    def column(self, name: str) -> Column:
        """Return the column `name`; KeyError if there is none."""
        return {column.name: column for column in self.columns}[name]

    @property
    def compared(self) -> tuple[str, ...]:
        """Columns in which a row that is upserted agrees with the same row stored."""
        return self.key if self.append_only else tuple(name for name in self.column_names if name not in self.stamps)


@dataclass(frozen=True)
class View(Relation):
    """A query with a name; `needs` lists the tables and views that it reads."""

    needs: tuple[str, ...]
    sql: str


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def qlike(realized: str, forecast: str) -> str:
    """Return the SQL of y/f - ln(y/f) - 1 on two columns of variances; NULL where one of them is not positive."""
    ratio = f"{realized} / {forecast}"
    return f"CASE WHEN {realized} > 0 AND {forecast} > 0 THEN {ratio} - ln({ratio}) - 1 END"


def create_table(table: Table) -> str:
    """Return the statement that creates `table` where it does not exist."""
    lines = [f"{quoted(c.name)} {c.type}{'' if c.nullable else ' NOT NULL'}" for c in table.columns]
    lines.append(f"PRIMARY KEY ({', '.join(map(quoted, table.key))})")
    return f"CREATE TABLE IF NOT EXISTS {quoted(table.name)} ({', '.join(lines)})"


def cast(table: Table, source: str) -> str:
    """Return the select list that gives the columns of `source` the names, order and types of `table`."""
    return ", ".join(f"CAST({source}.{quoted(c.name)} AS {c.type}) AS {quoted(c.name)}" for c in table.columns)


def create_view(view: View) -> str:
    """Return the statement that creates or replaces `view`."""
    return f"CREATE OR REPLACE VIEW {quoted(view.name)} AS {view.sql}"


def comments(relation: Relation, kind: str = "") -> list[str]:
    """Return the statements that comment a table or view, or a table that stands as a view, and each column."""
    kind = kind or ("VIEW" if isinstance(relation, View) else "TABLE")
    name = quoted(relation.name)
    return [f"COMMENT ON {kind} {name} IS {literal(relation.comment)}"] + [
        f"COMMENT ON COLUMN {name}.{quoted(c.name)} IS {literal(c.comment)}" for c in relation.columns
    ]
