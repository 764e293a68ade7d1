"""What Dagster has recorded against what the tables hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import dagster as dg
import pandas as pd

from volassets.orchestration.plan import StaleCell
from volassets.partitions import cells_of_keys

NOT_RECORDED = "in the tables, not recorded in Dagster"
TICKER_LEVEL = ("raw_prices", "realized_vol_features", "comparison_reports", "panel_report")


def recorded_months(instance: dg.DagsterInstance, asset: str, ticker: str) -> set[pd.Timestamp]:
    """Return the months of `ticker` for which Dagster has a materialization of `asset`."""
    keys = instance.get_materialized_partitions(dg.AssetKey(asset))
    return set(cells_of_keys(key for key in keys if "|" in key).get(ticker, []))


def unrecorded_cells(
    instance: dg.DagsterInstance,
    assets: Sequence[str],
    ticker: str,
    months: Iterable[pd.Timestamp],
    stale: Iterable[StaleCell],
) -> list[StaleCell]:
    """Return cells whose rows are right but which Dagster does not know, as after a kill before its record.

    Parameters
    ----------
    stale : iterable of StaleCell
        Cells that are computed, and so recorded, anyway.
    """
    planned = {(cell.asset, cell.month) for cell in stale}
    missing = []
    for asset in assets:
        if asset in TICKER_LEVEL:
            continue
        recorded = recorded_months(instance, asset, ticker)
        missing += [
            StaleCell(asset, ticker, month, "", NOT_RECORDED)
            for month in months
            if month not in recorded and (asset, month) not in planned
        ]
    return missing
