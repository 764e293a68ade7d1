"""What Dagster has recorded against what the tables hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg
import pandas as pd

from volassets.orchestration.plan import StaleCell

NOT_RECORDED = "in the tables, not recorded in Dagster"

Recorded = Mapping[str, set[pd.Timestamp]]
"""Asset to the months that Dagster has recorded of one ticker."""


def recorded_months(
    instance: dg.DagsterInstance, assets: Iterable[str], tickers: Iterable[str]
) -> dict[str, dict[str, set[pd.Timestamp]]]:
    """Return ticker -> asset -> months that Dagster has a materialization of; every asset is read once.

    Parameters
    ----------
    instance : DagsterInstance
    assets : iterable of str
        Of ticker x refit month.
    tickers : iterable of str
    """
    assets = list(assets)
    recorded: dict[str, dict[str, set[pd.Timestamp]]] = {
        ticker: {asset: set() for asset in assets} for ticker in tickers
    }
    stamps: dict[str, pd.Timestamp] = {}
    for asset in assets:
        for key in instance.get_materialized_partitions(dg.AssetKey(asset)):
            month, _, ticker = key.partition("|")
            if ticker in recorded:
                if month not in stamps:
                    stamps[month] = pd.Timestamp(month)
                recorded[ticker][asset].add(stamps[month])
    return recorded


def unrecorded_cells(
    recorded: Recorded, ticker: str, months: Sequence[pd.Timestamp], stale: Iterable[StaleCell]
) -> list[StaleCell]:
    """Return cells whose rows are right but which Dagster does not know, as after a kill before its record.

    Parameters
    ----------
    recorded : mapping
        Of this ticker.
    ticker : str
    months : sequence of Timestamp
    stale : iterable of StaleCell
        Cells that are computed, and so recorded, anyway.
    """
    planned = {(cell.asset, cell.month) for cell in stale}
    return [
        StaleCell(asset, ticker, month, "", NOT_RECORDED)
        for asset, known in recorded.items()
        for month in months
        if month not in known and (asset, month) not in planned
    ]
