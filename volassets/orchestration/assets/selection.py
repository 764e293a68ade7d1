"""What a refit month may use: `lag_analysis` and `selected_features`, per ticker and month."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from volassets.orchestration import metadata, pictures, stages
from volassets.orchestration.fingerprints import CODE_VERSIONS
from volassets.orchestration.graph import (
    ONE_RUN,
    OWNER,
    by_ticker,
    code_version,
    grid_events,
    grid_partitions,
    numbers_per_cell,
)
from volassets.orchestration.inputs import Run
from volassets.settings import Settings

COUNT_SELECTED = """
    SELECT ticker, refit_month, count(*) FILTER (selected) AS n_selected
    FROM {table} WHERE list_contains($tickers, ticker) GROUP BY ALL
"""


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the lag and selection assets."""
    partitions = grid_partitions(settings)
    features = dg.AssetDep("realized_vol_features", partition_mapping=by_ticker())
    common: dict[str, Any] = {
        "partitions_def": partitions,
        "backfill_policy": ONE_RUN,
        "deps": [features],
        "group_name": "features",
        "owners": [OWNER],
        "required_resource_keys": {"settings"},
    }

    @dg.asset(
        **common,
        kinds={"duckdb", "python"},
        code_version=code_version(settings, CODE_VERSIONS["lag_analysis"]),
        metadata=metadata.definition("lag_analysis", settings),
    )
    def lag_analysis(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Which lags of the log proxy matter: PACF with bounds, adaptive lasso, stability over blocks.

        Grain: one row per ticker, refit month and lag, from the days before the month only.
        """
        context.add_asset_metadata(metadata.lineage("lag_analysis"))
        numbers = pictures.with_newest(_selected("lag_analysis"), pictures.lags)
        yield from grid_events(context, stages.analyse_lags, numbers)

    @dg.asset(
        **common,
        kinds={"duckdb", "pandas"},
        code_version=code_version(
            settings, CODE_VERSIONS["selected_features"], settings.correlation_threshold, settings.scaling
        ),
        metadata=metadata.definition("selected_features", settings),
    )
    def selected_features(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Which features are kept, why the others are not, and the scaler of the kept ones.

        Grain: one row per ticker, refit month and feature; every statistic is of training rows,
        those before the month.
        """
        numbers = pictures.with_newest(_selected("selected_features"), pictures.selection)
        yield from grid_events(context, stages.select_features, numbers)

    return [lag_analysis, selected_features]


def _selected(table: str) -> Callable[[Run, list[str]], dict[str, dict[str, float]]]:
    def read(run: Run, tickers: list[str]) -> dict[str, dict[str, float]]:
        rows = run.warehouse.query(COUNT_SELECTED.format(table=table), {"tickers": tickers})
        return numbers_per_cell(rows, ["n_selected"])

    return read
