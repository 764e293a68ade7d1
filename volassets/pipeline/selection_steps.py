"""What a refit month may use: `lag_analysis` and `selected_features`, per ticker and month."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from volassets.evaluation import row_checks
from volassets.features.lag_analysis import analyse_lags
from volassets.market.findings import Finding
from volassets.models.protocol import Model
from volassets.models.window import month_selection, training_rows
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.step import Check, Inputs, Output, Step
from volassets.pipeline.upstream_rows import history_gap, stored_rows

if TYPE_CHECKING:
    from volassets.pipeline.state import State
    from volassets.settings import Settings

FEATURES = ("realized_vol_features",)
SELECTED = """
    SELECT ticker, refit_month, count(*) FILTER (selected) AS n_selected
    FROM {table} WHERE list_contains($tickers, ticker) GROUP BY ALL
"""


def selection_steps(_settings: Settings, _models: tuple[Model, ...]) -> Iterator[Step]:
    """Yield the lag analysis and the selection."""
    yield Step(
        name="lag_analysis",
        scope=Scope.TICKER_MONTH,
        tables=("lag_analysis",),
        upstream=FEATURES,
        description="Which lags of the log proxy matter: PACF with bounds, adaptive lasso, stability over blocks.\n\n"
        "Grain: one row per ticker, refit month and lag, from the days before the month only.",
        group="features",
        kinds=("duckdb", "python"),
        fingerprint=_lag_fingerprint,
        compute=lag_rows,
        job="refit_months",
        gap=history_gap,
        numbers=SELECTED,
        stage="lags",
    )
    yield Step(
        name="selected_features",
        scope=Scope.TICKER_MONTH,
        tables=("selected_features",),
        upstream=FEATURES,
        description="Which features are kept, why the others are not, and the scaler of the kept ones.\n\n"
        "Grain: one row per ticker, refit month and feature; every statistic is of training rows, those before the "
        "month.",
        group="features",
        kinds=("duckdb", "pandas"),
        fingerprint=_selection_fingerprint,
        compute=selection_rows,
        gap=history_gap,
        checks=(Check("selection_not_empty", "Every month keeps at least one feature.", selection_empty, True),),
        numbers=SELECTED,
        stage="selection",
    )


def lag_rows(inputs: Inputs) -> Output:
    """Return ``lag_analysis`` of one month, from the log proxy before it."""
    before = training_rows(inputs.table, inputs.month)["log_proxy"].dropna()
    return Output({"lag_analysis": analyse_lags(before, inputs.settings.lags)})


def selection_rows(inputs: Inputs) -> Output:
    """Return ``selected_features`` of one month."""
    settings = inputs.settings
    selection = month_selection(inputs.month, inputs.table, settings.correlation_threshold, settings.scaling)
    return Output({"selected_features": selection.rename_axis("feature").reset_index()})


def _lag_fingerprint(state: State, partition: Partition, _model: Model | None) -> str:
    assert partition.month is not None
    return state.prints(partition).lag_analysis(partition.month)


def _selection_fingerprint(state: State, partition: Partition, _model: Model | None) -> str:
    assert partition.month is not None
    return state.prints(partition).selected_features(partition.month)


def selection_empty(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Sequence[Finding]]:
    """Find months without a selected feature."""
    rows = stored_rows(state.context, "selected_features", partitions, ("feature", "selected", "reason"))
    return {partition: row_checks.selection_empty(group) for partition, group in rows.items()}
