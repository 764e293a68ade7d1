"""Bars and what follows from them alone: `raw_prices` and `realized_vol_features`, per ticker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

from volassets.evaluation import row_checks
from volassets.features.catalogue import catalogue
from volassets.features.feature_table import build_features
from volassets.market.findings import Finding
from volassets.models.protocol import Model
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.freshness import BAR, current_check
from volassets.pipeline.state import FEATURES, State
from volassets.pipeline.step import Check, Inputs, Output, Step
from volassets.settings import Settings

PRICES, BARS_VALID = "raw_prices", "bars_valid"


def price_steps(settings: Settings, _models: tuple[Model, ...]) -> Iterator[Step]:
    """Yield the bars and the feature table."""
    refused, odd = partial(_findings, "error"), partial(_findings, "warning")
    yield Step(
        name=PRICES,
        scope=Scope.TICKER,
        tables=(PRICES, "price_revisions", "data_quality", "suspect_days"),
        upstream=(),
        description="Daily bars (open, high, low, close, adjusted close, volume) as the source gives them.\n\n"
        "Grain: one row per ticker and session. Blocking rules are checked before anything is written; only new and "
        "changed rows are, and a change of an old row is recorded in `price_revisions`. A ticker that fails keeps its "
        "stored bars, fails the check bars_valid and stops at the feature table; it does not stop the others.",
        group="market",
        kinds=("duckdb", settings.source),
        fingerprint=_history,
        compute=None,
        job="refresh_prices",
        needs_features=False,
        checks=(
            Check(BARS_VALID, "Whether bars break a rule; refused ones are not stored.", refused, blocking=True),
            Check("bars_plausible", "Whether something about the bars looks odd.", odd),
            current_check(BAR),
        ),
    )
    yield Step(
        name=FEATURES,
        scope=Scope.TICKER,
        tables=(FEATURES,),
        upstream=(PRICES,),
        description="Variance proxies, indicators and network inputs per session.\n\n"
        "Grain: one row per ticker and session; the row of a date uses bars up to and including its close. NULL only "
        "in the warm-up. Each column's formula, unit and source is in its comment.",
        group="features",
        kinds=("duckdb", "pandas"),
        fingerprint=lambda state, partition, _: state.fingerprints(partition).features(),
        compute=feature_rows,
        needs_features=False,
        gap=_no_bars,
        checks=(Check("features_finite", "Whether a value is missing after its warm-up.", _not_finite, blocking=True),),
    )


def feature_rows(inputs: Inputs) -> Output:
    """Return ``realized_vol_features`` of one ticker."""
    assert inputs.bars is not None
    settings = inputs.settings
    features = build_features(inputs.bars, inputs.calendar, settings.lags, settings.proxy, inputs.covariates)
    return Output({FEATURES: features.reset_index()})


def _history(state: State, partition: Partition, _model: Model | None) -> str:
    # It changes with the past and not with appended bars: else every earlier month would look stale every morning.
    empty = state.ticker(partition).bars.empty
    return "" if empty else f"revisions-{state.revisions.get(partition.ticker, 0)}"


def _no_bars(state: State, partition: Partition, _model: Model | None) -> str:
    empty = state.ticker(partition).bars.empty
    return f"no bars of {partition.ticker} are stored: materialize raw_prices for it first" if empty else ""


def _findings(
    severity: Literal["error", "warning"], state: State, partitions: Sequence[Partition]
) -> Mapping[Partition, Sequence[Finding]]:
    """Return what was found in the bars when they were last taken in, or why they were refused."""
    tickers = [partition.ticker for partition in partitions]
    rows = state.context.warehouse.read("data_quality", ticker=tickers, severity=severity)
    found: dict[Partition, list[Finding]] = {partition: [] for partition in partitions}
    for row in rows.itertuples():
        found[Partition(str(row.ticker))].append(Finding(str(row.check_name), severity, str(row.message)))
    for partition, listed in list(found.items()):
        if not listed and state.ticker(partition).bars.empty:
            if severity == "error":
                listed.append(Finding("no_bars", "error", f"no bars of {partition.ticker} are stored"))
            else:
                del found[partition]
    return found


def _not_finite(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Sequence[Finding]]:
    warm_up = {feature.name: feature.warm_up for feature in catalogue(state.context.settings.lags)}
    return {
        partition: row_checks.features_not_finite(state.context.features(partition.ticker).load(), warm_up)
        for partition in partitions
        if state.features_current(partition.ticker)
    }
