"""Partitions of the assets, and how those of one scope depend on those of another."""

import warnings

import dagster as dg

from volassets.pipeline.cells import Scope
from volassets.settings import Settings

# Used as documented, and marked beta or preview by name on every call.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*(backfill_policy|MultiToSingleDimension).*")
warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*partitions_def on an AssetCheckSpec.*")

MONTH_DIMENSION, TICKER_DIMENSION = "refit_month", "ticker"


def partitions_of(settings: Settings, scope: Scope) -> dg.PartitionsDefinition | None:
    """Return the partitions of assets of a scope: listed tickers, refit months with the running one, or both."""
    tickers = dg.StaticPartitionsDefinition(list(settings.tickers))
    months = dg.MonthlyPartitionsDefinition(f"{settings.start_month}-01", end_offset=1)
    grid = dg.MultiPartitionsDefinition({MONTH_DIMENSION: months, TICKER_DIMENSION: tickers})
    return {Scope.TICKER: tickers, Scope.MONTH: months, Scope.TICKER_MONTH: grid}.get(scope)


def mapping(downstream: Scope, upstream: Scope) -> dg.PartitionMapping | None:
    """Return which partitions upstream one partition downstream is made from; None where they are the same."""
    if downstream is upstream or upstream is Scope.ONCE:
        return None
    if {downstream, upstream} == {Scope.TICKER_MONTH, Scope.TICKER}:
        return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=TICKER_DIMENSION)
    if {downstream, upstream} == {Scope.TICKER_MONTH, Scope.MONTH}:
        return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=MONTH_DIMENSION)
    return dg.AllPartitionMapping()
