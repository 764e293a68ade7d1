"""The hashes of what is stored, read once per table: of one ticker for a run, of all of them for `volassets status`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import pandas as pd

from volassets.orchestration.inputs import Run

Stored = dict[tuple[pd.Timestamp, str], str]
"""(refit month, model) to hash; the model is empty in a table that has none."""


class StoredCells:
    """What is stored of some tickers.

    Parameters
    ----------
    run : Run
    tickers : sequence of str, optional
        All by default.
    """

    def __init__(self, run: Run, tickers: Sequence[str] | None = None) -> None:
        self._run = run
        self._tickers = None if tickers is None else list(tickers)
        self._hashes = lru_cache(maxsize=None)(self._read_hashes)
        self._wholes = lru_cache(maxsize=None)(self._read_wholes)
        self._specs = lru_cache(maxsize=None)(self._read_specs)

    def hashes(self, table: str, ticker: str) -> Stored:
        """Return the stored hashes of a ticker's cells in `table`."""
        return self._hashes(table).get(ticker, {})

    def whole(self, table: str, ticker: str) -> str:
        """Return the hash of a table that has one cell per ticker; empty where it has no rows."""
        return self._wholes(table).get(ticker, "")

    def spec(self, table: str, ticker: str, month: pd.Timestamp, model: str) -> tuple[str, str]:
        """Return the code version and the specification, as JSON, that a stored fit was made with."""
        return self._specs(table).get((ticker, month, model), ("", ""))

    def _read_hashes(self, table: str) -> dict[str, Stored]:
        has_model = "model" in self._run.warehouse.table(table).column_names
        model = "model" if has_model else "'' AS model"
        frame = self._query(f"SELECT ticker, refit_month, {model}, min(data_hash) AS data_hash", table, "ALL")
        stored: dict[str, Stored] = {}
        columns = (frame["ticker"].tolist(), _months(frame), frame["model"].tolist(), frame["data_hash"].tolist())
        for ticker, month, name, data_hash in zip(*columns, strict=True):
            stored.setdefault(ticker, {})[month, name] = data_hash
        return stored

    def _read_wholes(self, table: str) -> dict[str, str]:
        frame = self._query("SELECT ticker, min(data_hash) AS data_hash", table, "ALL")
        return dict(zip(frame["ticker"], frame["data_hash"], strict=True))

    def _read_specs(self, table: str) -> dict[tuple[str, pd.Timestamp, str], tuple[str, str]]:
        what = "SELECT ticker, refit_month, model, code_version, CAST(parameters->'$.spec' AS VARCHAR) AS spec"
        frame = self._query(what, table, "")
        keys = zip(frame["ticker"], _months(frame), frame["model"], strict=True)
        return dict(zip(keys, zip(frame["code_version"], frame["spec"], strict=True), strict=True))

    def _query(self, what: str, table: str, group: str) -> pd.DataFrame:
        sql = f"{what} FROM {table}"
        if self._tickers is not None:
            sql += " WHERE ticker IN (SELECT unnest($tickers))"
        if group:
            sql += f" GROUP BY {group}"
        return self._run.warehouse.query(sql, None if self._tickers is None else {"tickers": self._tickers})


def _months(frame: pd.DataFrame) -> list[pd.Timestamp]:
    """Return the refit months, one object for all cells of a month."""
    codes, uniques = pd.factorize(frame["refit_month"])
    stamps = list(pd.DatetimeIndex(uniques).as_unit("ns"))
    return [stamps[code] for code in codes]
