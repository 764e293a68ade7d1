"""What steps read of the store for many partitions at once, and what they have in common about months."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from volassets.models.protocol import Model
from volassets.pipeline.cells import Partition

if TYPE_CHECKING:
    from volassets.pipeline.context import Context
    from volassets.pipeline.state import State
    from volassets.pipeline.step import Load, Rows


def stored_rows(
    context: Context, table: str, partitions: Sequence[Partition], columns: Iterable[str] = ()
) -> dict[Partition, pd.DataFrame]:
    """Return the rows of a table over tickers and months, by partition, in the order of its key.

    Parameters
    ----------
    context : Context
    table : str
    partitions : sequence of Partition
        With ticker and month; those without rows are not in the result.
    columns : iterable of str
        Columns beside the partition's; all where none is given.
    """
    if not partitions:
        return {}
    wanted = set(partitions)
    names = ", ".join(["ticker", "refit_month", *columns]) if columns else "*"
    order = ", ".join(context.warehouse.table(table).key)
    rows = context.warehouse.query(
        f"SELECT {names} FROM {table} WHERE ticker IN (SELECT unnest($tickers)) "
        f"AND refit_month IN (SELECT unnest($months)) ORDER BY {order}",
        {
            "tickers": sorted({partition.ticker for partition in wanted}),
            "months": sorted({partition.month.date() for partition in wanted if partition.month is not None}),
        },
    )
    groups = rows.groupby(["ticker", "refit_month"], sort=False)
    found = {Partition(str(ticker), pd.Timestamp(str(month))): part for (ticker, month), part in groups}
    return {partition: part.reset_index(drop=True) for partition, part in found.items() if partition in wanted}


def load_tables(*tables: str) -> Load:
    """Return the loader of the partition's own rows of `tables`."""

    def load(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Rows]:
        found = {table: stored_rows(state.context, table, partitions) for table in tables}
        return {
            partition: {table: rows[partition] for table, rows in found.items() if partition in rows}
            for partition in partitions
        }

    return load


def history_gap(state: State, partition: Partition, model: Model | None) -> str:
    """Return why there is too little history before the month, or why the month has not come; empty where it has."""
    assert partition.month is not None
    return state.ticker(partition).gap(partition.month, state.context.needs(model))


def session_gap(state: State, partition: Partition, model: Model | None) -> str:
    """Return `history_gap`, or that no session of the month has a bar before it."""
    gap = history_gap(state, partition, model)
    if not gap and partition.month is not None and not state.ticker(partition).has_session(partition.month):
        gap = f"no bar of {partition.ticker} has its next session in {partition.month:%Y-%m}: it was not traded"
    return gap
