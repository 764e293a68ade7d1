"""What a refit month may use: `lag_analysis` and `selected_features`, per ticker and month."""

import dagster as dg

from volassets.errors import VolassetsError
from volassets.orchestration import metadata, stages
from volassets.orchestration.fingerprints import CODE_VERSIONS
from volassets.orchestration.graph import (
    ONE_RUN,
    OWNER,
    by_ticker,
    cells_of,
    code_version,
    fail_with,
    grid_partitions,
    grid_result,
    numbers_per_cell,
    run_of,
)
from volassets.settings import Settings

COUNT_SELECTED = """
    SELECT ticker, refit_month, count(*) FILTER (selected) AS n_selected
    FROM {table} GROUP BY ALL
"""


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the lag and selection assets."""
    partitions = grid_partitions(settings)
    features = dg.AssetDep("realized_vol_features", partition_mapping=by_ticker())
    common = {
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
    def lag_analysis(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Which lags of the log proxy matter: PACF with bounds, adaptive lasso, stability over blocks.

        Grain: one row per ticker, refit month and lag, from the days before the month only.
        """
        run, cells = run_of(context), cells_of(context)
        try:
            outcomes = stages.analyse_lags(run, cells)
        except VolassetsError as error:
            raise fail_with(error) from error
        counted = run.warehouse.query(COUNT_SELECTED.format(table="lag_analysis")).to_dict("records")
        return grid_result(context, outcomes, numbers_per_cell(counted, ["n_selected"]))

    @dg.asset(
        **common,
        kinds={"duckdb", "pandas"},
        code_version=code_version(
            settings, CODE_VERSIONS["selected_features"], settings.correlation_threshold, settings.scaling
        ),
        metadata=metadata.definition("selected_features", settings),
    )
    def selected_features(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Which features are kept, why the others are not, and the scaler of the kept ones.

        Grain: one row per ticker, refit month and feature; every statistic is of training rows,
        those before the month.
        """
        run, cells = run_of(context), cells_of(context)
        try:
            outcomes = stages.select_features(run, cells)
        except VolassetsError as error:
            raise fail_with(error) from error
        counted = run.warehouse.query(COUNT_SELECTED.format(table="selected_features")).to_dict("records")
        return grid_result(context, outcomes, numbers_per_cell(counted, ["n_selected"]))

    return [lag_analysis, selected_features]
