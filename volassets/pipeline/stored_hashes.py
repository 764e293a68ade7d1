"""The hashes of what is stored, read once per table and kept up to date by whoever writes."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from volassets.pipeline.cells import Partition
from volassets.warehouse.store import Warehouse

Hashes = dict[tuple[Partition, str], str]
"""(partition, model) to hash; the model is empty in a table that has none."""


class StoredHashes:
    """The hashes of the stored cells of `tickers`, all by default."""

    def __init__(self, warehouse: Warehouse, tickers: Sequence[str] | None = None) -> None:
        self._warehouse = warehouse
        self._tickers = tickers
        self._hashes: dict[str, Hashes] = {}
        self._months: dict[str, dict[tuple[str, str], list[pd.Timestamp]]] = {}
        self._before: dict[tuple[str, str, str], list[str]] = {}
        self._specs: dict[str, dict[tuple[Partition, str], tuple[str, str]]] = {}

    def hashes(self, table: str) -> Hashes:
        """Return the stored hashes of the cells of `table`."""
        if table not in self._hashes:
            self._hashes[table] = self._read(table, self._tickers)
        return self._hashes[table]

    def load(self, tables: Iterable[str]) -> None:
        """Read the hashes of those of `tables` that are not known yet, over one connection."""
        missing = [table for table in dict.fromkeys(tables) if table not in self._hashes]
        if missing:
            with self._warehouse.reading():
                for table in missing:
                    self.hashes(table)

    def hash(self, table: str, partition: Partition, model: str = "") -> str:
        """Return the hash of one stored cell; empty where it is not stored."""
        return self.hashes(table).get((partition, model), "")

    def put(self, table: str, partition: Partition, model: str, data_hash: str) -> None:
        """Note a cell that has just been written."""
        self.hashes(table)[partition, model] = data_hash
        self._forget(table)

    def reload(self, table: str, tickers: Iterable[str]) -> None:
        """Read the hashes of some tickers again: another process may have written them."""
        asked = set(tickers)
        kept = {key: value for key, value in self.hashes(table).items() if key[0].ticker not in asked}
        self._hashes[table] = kept | self._read(table, asked)
        self._forget(table)

    def months(self, table: str, ticker: str, model: str = "") -> list[pd.Timestamp]:
        """Return the stored months of one ticker and model, in order."""
        if table not in self._months:
            found = self._months[table] = {}
            for partition, name in self.hashes(table):
                if partition.month is not None:
                    found.setdefault((partition.ticker, name), []).append(partition.month)
            for listed in found.values():
                listed.sort()
        return self._months[table].get((ticker, model), [])

    def before(self, table: str, partition: Partition, model: str) -> str:
        """Return one hash over the stored cells of a ticker and model in the months before; empty without any."""
        key = (table, partition.ticker, model)
        months = self.months(table, partition.ticker, model)
        if key not in self._before:
            chain = self._before[key] = [""]
            for month in months:
                text = f"{chain[-1]} {month:%Y-%m} {self.hash(table, Partition(partition.ticker, month), model)}"
                chain.append(hashlib.sha256(text.encode()).hexdigest()[:16])
        return self._before[key][bisect_left(months, partition.refit_month)]

    def _forget(self, table: str) -> None:
        self._months.pop(table, None)
        for key in [key for key in self._before if key[0] == table]:
            del self._before[key]

    def spec(self, table: str, partition: Partition, model: str) -> tuple[str, str]:
        """Return the code version and the specification, as JSON, that a stored fit was made with."""
        if table not in self._specs:
            values = {"code_version": "code_version", "spec": "CAST(parameters->'$.spec' AS VARCHAR)"}
            keys, frame = self._cells(table, values, self._tickers)
            self._specs[table] = dict(zip(keys, zip(frame["code_version"], frame["spec"], strict=True), strict=True))
        return self._specs[table].get((partition, model), ("", ""))

    def _read(self, table: str, tickers: Iterable[str] | None) -> Hashes:
        if "data_hash" not in self._warehouse.table(table).column_names:
            return {}
        keys, frame = self._cells(table, {"data_hash": "data_hash"}, tickers)
        return dict(zip(keys, frame["data_hash"].fillna(""), strict=True))

    def _cells(
        self, table: str, values: Mapping[str, str], tickers: Iterable[str] | None
    ) -> tuple[list[tuple[Partition, str]], pd.DataFrame]:
        """Return the stored cells and, in their order, what all rows of a cell have in common."""
        cell = [
            name
            for name in ("ticker", "portfolio", "refit_month", "model")
            if name in self._warehouse.table(table).cell
        ]
        columns = ", ".join([*cell, *(f"min({value}) AS {name}" for name, value in values.items())])
        of_tickers = "WHERE ticker IN (SELECT unnest($tickers))" if tickers is not None and "ticker" in cell else ""
        group = f"GROUP BY {', '.join(cell)}" if cell else "HAVING count(*) > 0"
        given = {"tickers": list(tickers or ())} if of_tickers else None
        frame = self._warehouse.query(f"SELECT {columns} FROM {table} {of_tickers} {group}", given)
        models = frame["model"] if "model" in cell else [""] * len(frame)
        return list(zip(_partitions(frame), models, strict=True)), frame


def _partitions(frame: pd.DataFrame) -> list[Partition]:
    owners = [name for name in ("ticker", "portfolio") if name in frame]
    tickers = frame[owners[0]] if owners else [""] * len(frame)
    if "refit_month" not in frame:
        return [Partition(ticker) for ticker in tickers]
    # One object for all cells of a month.
    codes, months = pd.factorize(frame["refit_month"])
    stamps = list(pd.DatetimeIndex(months).as_unit("ns"))
    return [Partition(ticker, stamps[code]) for ticker, code in zip(tickers, codes, strict=True)]
