"""The hashes of what is stored, read once per table and kept up to date by whoever writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from volassets.pipeline.cells import Partition
from volassets.warehouse.store import Warehouse

Stored = dict[tuple[Partition, str], str]
"""(partition, model) to hash; the model is empty in a table that has none."""


class CellHashes:
    """What is stored of some tickers.

    Parameters
    ----------
    warehouse : Warehouse
    tickers : sequence of str, optional
        All by default.
    """

    def __init__(self, warehouse: Warehouse, tickers: Sequence[str] | None = None) -> None:
        self._warehouse = warehouse
        self._tickers = None if tickers is None else list(tickers)
        self._hashes: dict[str, Stored] = {}
        self._specs: dict[str, dict[tuple[Partition, str], tuple[str, str]]] = {}

    def hashes(self, table: str) -> Stored:
        """Return the stored hashes of the cells of `table`."""
        if table not in self._hashes:
            self._hashes[table] = self._read(table)
        return self._hashes[table]

    def hash(self, table: str, partition: Partition, model: str = "") -> str:
        """Return the hash of one stored cell; empty where it is not stored."""
        return self.hashes(table).get((partition, model), "")

    def put(self, table: str, partition: Partition, model: str, data_hash: str) -> None:
        """Note a cell that has just been written."""
        self.hashes(table)[partition, model] = data_hash

    def reload(self, table: str, tickers: Iterable[str]) -> None:
        """Read the hashes of some tickers again: another process may have written them."""
        tickers = list(tickers)
        known = self.hashes(table)
        for key in [key for key in known if key[0].ticker in tickers]:
            del known[key]
        known.update(self._read(table, tickers))

    def forget(self, *tables: str) -> None:
        """Read `tables` again when they are asked for; all of them where none is named."""
        for table in tables or list(self._hashes):
            self._hashes.pop(table, None)
            self._specs.pop(table, None)

    def spec(self, table: str, partition: Partition, model: str) -> tuple[str, str]:
        """Return the code version and the specification, as JSON, that a stored fit was made with."""
        if table not in self._specs:
            what = "ticker, refit_month, model, code_version, CAST(parameters->'$.spec' AS VARCHAR) AS spec"
            frame = self._query(f"SELECT {what} FROM {table}", self._tickers)
            keys = zip(_partitions(frame), frame["model"], strict=True)
            self._specs[table] = dict(zip(keys, zip(frame["code_version"], frame["spec"], strict=True), strict=True))
        return self._specs[table].get((partition, model), ("", ""))

    def _read(self, table: str, tickers: Sequence[str] | None = None) -> Stored:
        names = self._warehouse.table(table).column_names
        cell = [name for name in ("ticker", "refit_month", "model") if name in self._warehouse.table(table).cell]
        if "data_hash" not in names:
            return {}
        columns = ", ".join([*cell, "min(data_hash) AS data_hash"])
        group = f" GROUP BY {', '.join(cell)}" if cell else " HAVING count(*) > 0"
        asked = tickers if tickers is not None else self._tickers
        where = "" if "ticker" not in names or asked is None else " WHERE ticker IN (SELECT unnest($tickers))"
        frame = self._query(f"SELECT {columns} FROM {table}{where}{group}", asked if where else None)
        models = frame["model"] if "model" in frame else [""] * len(frame)
        hashes = frame["data_hash"].fillna("")
        return dict(zip(zip(_partitions(frame), models, strict=True), hashes, strict=True))

    def _query(self, sql: str, tickers: Sequence[str] | None) -> pd.DataFrame:
        if tickers is not None and "WHERE" not in sql and "ticker" in sql:
            sql += " WHERE ticker IN (SELECT unnest($tickers))"
        return self._warehouse.query(sql, None if tickers is None else {"tickers": list(tickers)})


def _partitions(frame: pd.DataFrame) -> list[Partition]:
    tickers = frame["ticker"].tolist() if "ticker" in frame else [""] * len(frame)
    return [Partition(ticker, month) for ticker, month in zip(tickers, _months(frame), strict=True)]


def _months(frame: pd.DataFrame) -> list[pd.Timestamp | None]:
    """Return the refit months, one object for all cells of a month."""
    if "refit_month" not in frame:
        return [None] * len(frame)
    codes, uniques = pd.factorize(frame["refit_month"])
    stamps = list(pd.DatetimeIndex(uniques).as_unit("ns"))
    return [stamps[code] for code in codes]
