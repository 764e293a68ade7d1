"""Partitions of the assets, and how those of one scope depend on those of another."""

import warnings

import dagster as dg
import pandas as pd

from volassets.market.bundled import LAST_MONTH
from volassets.pipeline.cells import Scope
from volassets.settings import Settings

# Used as documented, and marked beta or preview by name on every call.
_BETA = ("backfill_policy", "MultiToSingleDimension", "MultiPartitionMapping", "CodeReference")
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=f".*({'|'.join(_BETA)}).*")
warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*partitions_def on an AssetCheckSpec.*")

MONTH_DIMENSION, TICKER_DIMENSION = "refit_month", "ticker"
# Dagster sorts dimensions by name, and a key begins with its month.
PORTFOLIO_DIMENSION = "refit_portfolio"


def partitions_of(settings: Settings, scope: Scope) -> dg.PartitionsDefinition | None:
    """Return the partitions of assets of a scope: listed tickers, refit months with the running one, or both."""
    tickers = dg.StaticPartitionsDefinition(list(settings.tickers))
    months = _months(settings)
    grid = dg.MultiPartitionsDefinition({MONTH_DIMENSION: months, TICKER_DIMENSION: tickers})
    portfolios = dg.StaticPartitionsDefinition(list(settings.portfolios))
    books = dg.MultiPartitionsDefinition({MONTH_DIMENSION: months, PORTFOLIO_DIMENSION: portfolios})
    listed = {Scope.TICKER: tickers, Scope.MONTH: months, Scope.TICKER_MONTH: grid}
    return {**listed, Scope.PORTFOLIO: portfolios, Scope.PORTFOLIO_MONTH: books}.get(scope)


def only_bundled(settings: Settings) -> bool:
    """Return whether the bars of every listed ticker come with packages, so that none will be added."""
    return all(settings.source_of(ticker).source == "bundled" for ticker in settings.tickers)


def _months(settings: Settings) -> dg.MonthlyPartitionsDefinition:
    """Return the refit months up to the running one, or to the last one that bundled bars reach where all are."""
    first = f"{settings.start_month}-01"
    if only_bundled(settings) and settings.start_month <= LAST_MONTH:
        end = pd.Timestamp(LAST_MONTH) + pd.offsets.MonthBegin(1)
        return dg.MonthlyPartitionsDefinition(first, end_date=f"{end:%Y-%m-%d}")
    return dg.MonthlyPartitionsDefinition(first, end_offset=1)


def mapping(downstream: Scope, upstream: Scope) -> dg.PartitionMapping | None:
    """Return which partitions upstream one partition downstream is made from; None where they are the same."""
    if downstream is upstream or upstream is Scope.ONCE:
        return None
    if {downstream, upstream} == {Scope.TICKER_MONTH, Scope.TICKER}:
        return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=TICKER_DIMENSION)
    if {downstream, upstream} == {Scope.PORTFOLIO_MONTH, Scope.PORTFOLIO}:
        return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=PORTFOLIO_DIMENSION)
    if {downstream, upstream} == {Scope.PORTFOLIO_MONTH, Scope.TICKER_MONTH}:
        same = dg.DimensionPartitionMapping(MONTH_DIMENSION, dg.IdentityPartitionMapping())
        return dg.MultiPartitionMapping({MONTH_DIMENSION: same})
    if Scope.MONTH in (downstream, upstream) and {downstream, upstream} & {Scope.TICKER_MONTH, Scope.PORTFOLIO_MONTH}:
        return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=MONTH_DIMENSION)
    return dg.AllPartitionMapping()
