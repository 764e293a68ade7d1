"""What a refit month may use: `lag_analysis` and `selected_features`, per ticker and month."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from volassets.evaluation import row_checks
from volassets.features.lag_analysis import analyse_lags
from volassets.models.protocol import Model
from volassets.models.window import month_selection, training_rows
from volassets.pipeline.cells import Scope
from volassets.pipeline.state import FEATURES, State
from volassets.pipeline.step import Check, Inputs, Output, Step
from volassets.pipeline.upstream_rows import month_check
from volassets.settings import Settings

SELECTED = """
    SELECT ticker, refit_month, count(*) FILTER (selected) AS n_selected
    FROM {table} WHERE list_contains($tickers, ticker) GROUP BY ALL
"""


def selection_steps(_settings: Settings, _models: tuple[Model, ...]) -> Iterator[Step]:
    """Yield the lag analysis and the selection."""
    shared: dict[str, Any] = {
        "scope": Scope.TICKER_MONTH,
        "upstream": (FEATURES,),
        "group": "features",
        "gap": State.month_gap,
        "numbers": SELECTED,
    }
    yield Step(
        name="lag_analysis",
        tables=("lag_analysis",),
        description="Which lags of the log proxy matter: PACF with bounds, adaptive lasso, stability over blocks.\n\n"
        "Grain: one row per ticker, refit month and lag, from the days before the month only.",
        kinds=("duckdb", "python"),
        fingerprint=lambda state, partition, _: state.fingerprints(partition).lag_analysis(partition.refit_month),
        compute=lag_rows,
        job="refit_months",
        stage="lags",
        **shared,
    )
    examined = ("feature", "selected", "reason")
    find = month_check("selected_features", examined, row_checks.selection_empty)
    yield Step(
        name="selected_features",
        tables=("selected_features",),
        description="Which features are kept, why the others are not, and the scaler of the kept ones.\n\n"
        "Grain: one row per ticker, refit month and feature; every statistic is of training rows, those before the "
        "month.",
        kinds=("duckdb", "pandas"),
        fingerprint=lambda state, partition, _: state.fingerprints(partition).selected_features(partition.refit_month),
        compute=selection_rows,
        checks=(Check("selection_not_empty", "Whether every month keeps at least one feature.", find, blocking=True),),
        stage="selection",
        **shared,
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
