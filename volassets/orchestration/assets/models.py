"""Fits and forecasts: two assets per model family, made from the registry."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
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
from volassets.partitions import Cells
from volassets.settings import Settings

NETWORK_FAMILIES = ("lstm", "transformer")
FIT_NUMBERS = """
    SELECT ticker, refit_month, sum(seconds) AS seconds, count(*) FILTER (NOT converged) AS not_converged
    FROM {table} WHERE list_contains($tickers, ticker) GROUP BY ALL
"""
FORECAST_NUMBERS = """
    SELECT ticker, date_trunc('month', target_date)::DATE AS refit_month, avg(qlike) AS qlike
    FROM forecast_losses WHERE horizon = 1 AND list_contains($tickers, ticker) AND list_contains($models, model)
    GROUP BY ALL
"""


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the fits and forecasts of every family with a chosen model."""
    families = dict.fromkeys(model.family for model in settings.chosen_models.values())
    assets = []
    for family in families:
        if family not in stages.UNSTORED_FITS:
            assets.append(_fits(settings, family))
        assets.append(_forecasts(settings, family))
    return assets


def _common(settings: Settings, family: str, table: str, deps: list[dg.AssetDep]) -> Mapping[str, Any]:
    models = [model for model in settings.chosen_models.values() if model.family == family]
    return {
        "name": table,
        "partitions_def": grid_partitions(settings),
        "backfill_policy": ONE_RUN,
        "deps": deps,
        "group_name": "models",
        "owners": [OWNER],
        "kinds": {"duckdb", "pytorch" if family in NETWORK_FAMILIES else "python"},
        "required_resource_keys": {"settings"},
        "metadata": metadata.definition(table, settings),
        "code_version": code_version(
            settings, CODE_VERSIONS["forecasts"], settings.interval_level, [(m.code_version, repr(m)) for m in models]
        ),
    }


def _fits(settings: Settings, family: str) -> dg.AssetsDefinition:
    table = f"{family}_fits"
    deps = [dg.AssetDep("realized_vol_features", partition_mapping=by_ticker()), dg.AssetDep("selected_features")]
    names = [model.name for model in settings.chosen_models.values() if model.family == family]

    @dg.asset(
        **_common(settings, family, table, deps),
        description=f"Fits of {', '.join(names)} on the bars before each refit month.\n\n"
        "Grain: one row per ticker, refit month and model, with parameters, convergence and, for networks, "
        "a checkpoint. Months are fitted in parallel; each is committed when done and skipped when its inputs "
        "have not changed.",
    )
    def fits(context: dg.AssetExecutionContext) -> Iterator[Any]:
        def compute(run: Run, cells: Cells) -> dict[str, stages.Outcome]:
            return stages.fit_family(run, family, cells)

        numbers: pictures.Numbers = _numbers(FIT_NUMBERS.format(table=table), ["seconds", "not_converged"])
        if family in NETWORK_FAMILIES:
            numbers = pictures.with_newest(numbers, partial(pictures.training, family=family))
        yield from grid_events(context, compute, numbers)

    return fits


def _forecasts(settings: Settings, family: str) -> dg.AssetsDefinition:
    table = f"{family}_forecasts"
    chosen = [model for model in settings.chosen_models.values() if model.family == family]
    members = dict.fromkeys(name for model in chosen for name in getattr(model, "members", ()))
    upstream = dict.fromkeys(settings.model(name).family for name in members) or {family: None}
    deps = [dg.AssetDep(f"{name}_fits") for name in upstream if name not in stages.UNSTORED_FITS]
    deps.append(dg.AssetDep("realized_vol_features", partition_mapping=by_ticker()))
    names = [model.name for model in chosen]

    @dg.asset(
        **_common(settings, family, table, deps),
        description=f"Forecasts of {', '.join(names)} for every session of each refit month, with intervals.\n\n"
        "Grain: one row per ticker, refit month, model, origin date and horizon; daily variance and annualised "
        "volatility. The month's fit is filtered forward day by day and never refitted.",
    )
    def forecasts(context: dg.AssetExecutionContext) -> Iterator[Any]:
        def compute(run: Run, cells: Cells) -> dict[str, stages.Outcome]:
            return stages.forecast_family(run, family, cells)

        fits = [f"{name}_fits" for name in upstream if name not in stages.UNSTORED_FITS]
        context.add_asset_metadata(metadata.forecast_lineage(fits))
        yield from grid_events(context, compute, _numbers(FORECAST_NUMBERS, ["qlike"], {"models": names}))

    return forecasts


def _numbers(
    sql: str, columns: list[str], parameters: Mapping[str, Any] | None = None
) -> Callable[[Run, list[str]], dict[str, dict[str, float]]]:
    def read(run: Run, tickers: list[str]) -> dict[str, dict[str, float]]:
        rows = run.warehouse.query(sql, {"tickers": tickers, **(parameters or {})})
        return numbers_per_cell(rows, columns)

    return read
