"""Stored rows for many partitions at once, as steps load them and checks examine them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from volassets.market.findings import Finding
from volassets.pipeline.cells import Partition
from volassets.pipeline.step import Find, Load, Rows

if TYPE_CHECKING:
    from volassets.pipeline.context import Context
    from volassets.pipeline.state import State


def stored_rows(
    context: Context, table: str, partitions: Iterable[Partition], columns: Iterable[str] = ()
) -> dict[Partition, pd.DataFrame]:
    """Return the rows of a table by partition, in the order of its key; partitions without rows are left out.

    Partitions are of tickers and months, or of months alone; `columns` are those beside the partition's, all by
    default.
    """
    wanted = set(partitions)
    if not wanted:
        return {}
    by = ["ticker", "refit_month"] if all(partition.ticker for partition in wanted) else ["refit_month"]
    asked = {name: sorted({getattr(place, name) for place in wanted}) for name in by}
    rows = context.warehouse.read(table, [*by, *columns] if columns else None, **asked)
    found: dict[Partition, pd.DataFrame] = {}
    for key, part in rows.groupby(by, sort=False):
        ticker, month = key if len(by) > 1 else ("", *key)
        found[Partition(str(ticker), pd.Timestamp(str(month)))] = part.reset_index(drop=True)
    return {partition: part for partition, part in found.items() if partition in wanted}


def first_of_pool(context: Context, table: str, months: Sequence[pd.Timestamp]) -> dict[pd.Timestamp, pd.DataFrame]:
    """Return, by month, the row of the first ticker of each pooled fit: what a ticker outside the pool starts from."""
    sql = f"""
        SELECT * FROM {table} WHERE list_contains($months, refit_month)
        QUALIFY row_number() OVER (PARTITION BY refit_month, model ORDER BY ticker) = 1 ORDER BY model
    """
    rows = context.warehouse.query(sql, {"months": [month.date() for month in months]})
    return {
        pd.Timestamp(str(month)): part.reset_index(drop=True) for month, part in rows.groupby("refit_month", sort=False)
    }


def load_tables(*tables: str) -> Load:
    """Return the loader of the partition's own rows of `tables`."""

    def load(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Rows]:
        found = {table: stored_rows(state.context, table, partitions) for table in tables}
        return {place: {table: rows[place] for table, rows in found.items() if place in rows} for place in partitions}

    return load


def month_check(table: str, columns: Sequence[str], examine: Callable[[pd.DataFrame], Sequence[Finding]]) -> Find:
    """Return the check that has `examine` look at the rows of each month that has some."""

    def find(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Sequence[Finding]]:
        rows = stored_rows(state.context, table, partitions, columns)
        return {partition: examine(part) for partition, part in rows.items()}

    return find


def ticker_check(table: str, examine: Callable[[State, pd.DataFrame], Sequence[Finding]]) -> Find:
    """Return the check that has `examine` look at the rows of each ticker; one without rows cannot pass it."""

    def find(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Sequence[Finding]]:
        rows = state.context.warehouse.read(table, ticker=[partition.ticker for partition in partitions])
        parts = {place: rows[rows["ticker"] == place.ticker] for place in partitions}
        found = {place: examine(state, part) for place, part in parts.items()}
        return {place: findings for place, findings in found.items() if findings or len(parts[place])}

    return find
