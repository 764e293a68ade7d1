"""Move rows between stores: `convert` from one back end to another, and the copies behind backups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from volassets.warehouse.declarations import Table, literal, quoted
from volassets.warehouse.interface import Replacement, Upsert, Warehouse
from volassets.warehouse.schema import SCHEMA_VERSION_TABLE
from volassets.warehouse.write_checks import StoreError

if TYPE_CHECKING:
    import pandas as pd


def convert(source: Warehouse, destination: Warehouse) -> dict[str, int]:
    """Copy every row of `source` into the empty `destination`, and return the rows per table.

    Raises
    ------
    StoreError
        If `destination` already has rows; nothing is written then.
    """
    parts = (f"SELECT {literal(name)} AS name FROM {quoted(name)}" for name in _stored(destination))
    filled = destination.query(f"SELECT name FROM ({' UNION ALL '.join(parts)}) LIMIT 1")["name"]
    if len(filled):
        raise StoreError(
            f"{destination.place} already has rows in {filled[0]}: choose an empty place, or remove what a conversion "
            "that was interrupted left there. Nothing was written."
        )
    return copy_rows(source, destination, source.schema.tables)


def copy_rows(source: Warehouse, destination: Warehouse, order: Iterable[str]) -> dict[str, int]:
    """Write the rows of `source` into `destination`, a call per ticker, tables in `order`; then what is of none."""
    tables = [source.table(name) for name in order if name in _stored(source)]
    counts = dict.fromkeys((table.name for table in tables), 0)
    of_tickers = [table.name for table in tables if "ticker" in table.cell]
    for ticker, there in _tickers(source, of_tickers).items():
        frames = {table: source.read(table.name, ticker=ticker) for table in tables if table.name in there}
        for table, rows in frames.items():
            counts[table.name] += len(rows)
        destination.write(*(_change(table, rows) for table, rows in frames.items()))
    for table in tables:
        if table.name not in of_tickers and len(rows := source.read(table.name)):
            counts[table.name] = len(rows)
            destination.write(_change(table, rows))
    return counts


def _stored(warehouse: Warehouse) -> list[str]:
    return [name for name in warehouse.schema.tables if name != SCHEMA_VERSION_TABLE.name]


def _tickers(source: Warehouse, names: list[str]) -> dict[str, set[str]]:
    """Return the tables that have rows of each ticker."""
    parts = (f"SELECT DISTINCT ticker, {literal(name)} AS name FROM {quoted(name)}" for name in names)
    found = source.query(f"SELECT * FROM ({' UNION ALL '.join(parts)}) ORDER BY ticker")
    return {str(ticker): set(rows["name"]) for ticker, rows in found.groupby("ticker")}


def _change(table: Table, rows: pd.DataFrame) -> Replacement | Upsert:
    if table.append_only:
        return Upsert(table.name, rows)
    if not table.cell:
        return Replacement(table.name, rows)
    return Replacement(table.name, rows, rows[list(table.cell)].drop_duplicates())
