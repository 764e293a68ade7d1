"""Fits, forecasts and permutation importance: steps made from the registered models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import pandas as pd

from volassets.errors import InputError
from volassets.evaluation import row_checks
from volassets.evaluation.validation import validation_scores
from volassets.evaluation.walk_forward import forecast_month
from volassets.models.fit_storage import encode_checkpoint, fit_from_row, fit_to_row, read_checkpoint
from volassets.models.protocol import Fit, FittedModel, Model, PooledModel, Window
from volassets.models.window import make_window
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.kept_members import without_pool
from volassets.pipeline.pool_membership import CANDIDATES
from volassets.pipeline.state import FEATURES, State
from volassets.pipeline.step import Check, Inputs, Load, Output, Requirement, Step
from volassets.pipeline.upstream_rows import first_of_pool, load_tables, month_check
from volassets.settings import Settings
from volassets.timing import origins_of_month

SELECTION, IMPORTANCE = "selected_features", "feature_importance"
VALIDATION = ("validation_scores", "validation_forecasts")
# Owner of the checkpoints of fits over all tickers; no ticker has this name.
POOL = "_pool"
FIT_NUMBERS = """
    SELECT ticker, refit_month, model, seconds, converged, parameters
    FROM {table} WHERE list_contains($tickers, ticker) ORDER BY model
"""
FORECAST_NUMBERS = """
    SELECT ticker, date_trunc('month', target_date)::DATE AS refit_month, model, avg(qlike) AS qlike,
        count(qlike) AS outcomes
    FROM forecast_losses WHERE horizon = 1 AND list_contains($tickers, ticker) AND list_contains($models, model)
    GROUP BY ALL ORDER BY qlike
"""


def model_steps(settings: Settings, models: tuple[Model, ...]) -> Iterator[Step]:
    """Yield fits and forecasts by family, then what the inputs of the networks are worth.

    Families that look at one ticker at a time come first, then those over all tickers, then combinations.
    """
    families = {
        name: [model for model in models if model.family == name]
        for name in dict.fromkeys(model.family for model in models)
    }
    pooled = {name: members for name, members in families.items() if _pooled(members)}
    combining = {name: members for name, members in families.items() if any(model.member_names for model in members)}
    alone = {name: members for name, members in families.items() if name not in pooled | combining}
    for name, members in alone.items():
        yield from (*_fits(settings, name, members), _forecasts(settings, name, members))
    for name, members in pooled.items():
        yield from _fits(settings, name, members)
    for name, members in pooled.items():
        yield _forecasts(settings, name, members)
    for name, members in combining.items():
        yield from (*_fits(settings, name, members), _forecasts(settings, name, members))
    yield from _importance(settings, [model for model in models if model.has_importance])


def fit_tables(settings: Settings, models: Sequence[Model]) -> tuple[str, ...]:
    """Return the tables of the stored fits that `models` forecast from."""
    sources = (source for model in models for source in fitted_models(settings, model))
    return tuple(dict.fromkeys(f"{source.family}_fits" for source in sources if source.stored_fits))


def _lost_inputs(settings: Settings, models: Sequence[Model]) -> tuple[str, ...]:
    """Return what a fit whose checkpoint is lost is made from again, beside the features."""
    sources = (source for model in models for source in fitted_models(settings, model))
    return _selection([source for source in sources if source.stored_fits and source.kind == "pytorch"])


def fitted_models(settings: Settings, model: Model) -> tuple[Model, ...]:
    """Return the models whose fits a forecast of `model` is made from: its members, or itself."""
    return tuple(settings.model(name) for name in model.member_names) or (model,)


def _own(settings: Settings, members: Sequence[Model]) -> tuple[Model, ...]:
    """Return the home's own models among `members`; all where it has none of them."""
    return tuple(model for model in members if model.name in settings.models) or tuple(members)


def _pooled(members: Sequence[Model]) -> bool:
    return any(model.scope == Scope.MONTH.value for model in members)


def _selection(members: Sequence[Model]) -> tuple[str, ...]:
    return (SELECTION,) if any(model.uses_selection for model in members) else ()


def _names(members: Sequence[Model]) -> str:
    return ", ".join(model.name for model in members)


def _fits(settings: Settings, family: str, members: Sequence[Model]) -> Iterator[Step]:
    members = tuple(model for model in members if model.stored_fits)
    if not members:
        return
    table, pooled, own = f"{family}_fits", _pooled(members), _own(settings, members)
    converged = month_check(table, ("model", "converged", "message"), row_checks.fits_not_converged)
    yield Step(
        name=table,
        scope=Scope.MONTH if pooled else Scope.TICKER_MONTH,
        tables=(table, "training_history", *(VALIDATION if any(model.has_validation for model in members) else ())),
        upstream=(FEATURES, *_selection(own)),
        description=f"Fits of {_names(own)} on the bars before each refit month.\n\n"
        "Grain: one row per ticker, refit month and model, with parameters, convergence and, for networks, "
        "a checkpoint. Months are fitted in parallel; each is committed when done and skipped when its inputs "
        "have not changed.",
        group="models",
        kinds=("duckdb", members[0].kind),
        fingerprint=_pooled_fit_hash if pooled else _fit_hash,
        compute=pooled_fit_rows if pooled else fit_rows,
        load=load_tables(*_selection(members)),
        requires=_selection_needed,
        models=members,
        gap=State.pool_gap if pooled else State.month_gap,
        checks=(Check(f"{table}_converged", "Whether every fit of the month converged.", converged),),
        numbers="" if pooled else FIT_NUMBERS,
        stage="fits",
        # A job maps the features of its cells, and each month has a pool of its own.
        cells_per_job=1 if pooled or members[0].kind == "pytorch" else 16,
    )


def _forecasts(settings: Settings, family: str, members: Sequence[Model]) -> Step:
    table, own = f"{family}_forecasts", _own(settings, members)
    sane = month_check(table, ("model", "horizon", "origin_date", "variance"), row_checks.forecasts_broken)
    return Step(
        name=table,
        scope=Scope.TICKER_MONTH,
        tables=(table, "attention"),
        upstream=(FEATURES, *fit_tables(settings, own)),
        description=f"Forecasts of {_names(own)} for every session of each refit month, with intervals.\n\n"
        "Grain: one row per ticker, refit month, model, origin date and horizon; daily variance and annualised "
        "volatility. The month's fit is filtered forward day by day and never refitted.",
        group="models",
        kinds=("duckdb", members[0].kind),
        fingerprint=lambda state, place, model: state.fingerprints(place).forecast(model, place.refit_month),
        compute=forecast_rows,
        load=load_fits(settings, members, *_lost_inputs(settings, members)),
        requires=fits_needed,
        models=tuple(members),
        gap=State.month_gap,
        checks=(Check(f"{table}_sane", "Whether forecasts are positive, finite and moving inside the month.", sane),),
        numbers=FORECAST_NUMBERS,
        stage="forecasts",
        cells_per_job=4 if members[0].kind == "pytorch" or any(model.member_names for model in members) else 16,
    )


def _importance(settings: Settings, explained: Sequence[Model]) -> Iterator[Step]:
    if not explained:
        return
    own = _own(settings, explained)
    yield Step(
        name=IMPORTANCE,
        scope=Scope.TICKER_MONTH,
        tables=(IMPORTANCE,),
        upstream=(FEATURES, *fit_tables(settings, own), *_selection(own)),
        description=f"What shuffling each input of {_names(own)} costs on rows before the refit month.\n\n"
        "Grain: one row per ticker, refit month, model and input, for the refits that the setting `importance` names.",
        group="models",
        kinds=("duckdb", "pytorch"),
        fingerprint=lambda state, place, model: state.fingerprints(place).importance(model, place.refit_month),
        compute=importance_rows,
        load=load_fits(settings, explained, *_selection(explained)),
        requires=lambda *cell: (*fits_needed(*cell), *_selection_needed(*cell)),
        models=tuple(explained),
        asked_for=_explains,
        gap=_importance_gap,
        stage="importance",
        cells_per_job=2,
    )


def load_fits(settings: Settings, models: Sequence[Model], *others: str) -> Load:
    """Return the loader of the fits of `models` and of `others`; a ticker outside a pool gets the row of one inside."""
    before = [model for model in map(without_pool, models) if model is not None]
    own = load_tables(*fit_tables(settings, [*models, *before]), *others)
    sources = [source for model in models for source in fitted_models(settings, model)]
    pooled = fit_tables(settings, [source for source in sources if source.scope == Scope.MONTH.value])
    if not pooled:
        return own

    def load(state: State, partitions: Sequence[Partition]) -> dict[Partition, dict[str, pd.DataFrame]]:
        found = {place: dict(rows) for place, rows in own(state, partitions).items()}
        for table in pooled:
            months = sorted({place.refit_month for place in partitions})
            of_pool = first_of_pool(state.context, table, months)
            for place in partitions:
                if place.refit_month in of_pool:
                    rows = found[place].get(table)
                    found[place][table] = _with_pools(rows, of_pool[place.refit_month])
        return found

    return load


def _with_pools(rows: pd.DataFrame | None, of_pool: pd.DataFrame) -> pd.DataFrame:
    """Return a ticker's own rows, and of models that have none the row of a ticker of the pool."""
    if rows is None:
        return of_pool
    others = of_pool[~of_pool["model"].isin(rows["model"])]
    return rows if others.empty else pd.concat([rows, others], ignore_index=True)


def window_of(inputs: Inputs, model: Model, members: Mapping[str, FittedModel] | None = None) -> Window:
    """Return the window of the cell's month, with the selection where `model` uses one."""
    selection = inputs.rows[SELECTION].set_index("feature") if model.uses_selection else None
    horizons = inputs.settings.horizons
    sessions = inputs.calendar.sessions_per_year
    place = inputs.partition.ticker, inputs.month
    window = make_window(*place, inputs.table, horizons, selection, members, sessions, inputs.ratios.get(place))
    inputs.ratios[place] = window.ratio
    return window


def fit_rows(inputs: Inputs) -> Output:
    """Return one row of ``<family>_fits``, its training history and its checkpoint."""
    window, start = window_of(inputs, inputs.model), perf_counter()
    fit = inputs.model.fit(window)
    return _stored_fits(inputs, {inputs.partition.ticker: fit}, perf_counter() - start)


def pooled_fit_rows(inputs: Inputs) -> Output:
    """Return the rows of a fit over all tickers, one per ticker."""
    horizons = inputs.settings.horizons
    tables = sorted(inputs.features.items())
    windows = {ticker: make_window(ticker, inputs.month, features, horizons) for ticker, features in tables}
    start = perf_counter()
    fits = inputs.model.fit_pool(windows)
    # The hash covers those that were looked at, also one with too few usable rows to be a member.
    looked_at = {CANDIDATES: list(windows), "left_out": sorted(set(inputs.settings.tickers) - set(windows))}
    fits = {ticker: replace(fit, parameters=fit.parameters | looked_at) for ticker, fit in fits.items()}
    return _stored_fits(inputs, fits, perf_counter() - start)


def _stored_fits(inputs: Inputs, fits: Mapping[str, Fit], seconds: float) -> Output:
    model, rows, files, history = inputs.model, [], {}, []
    for ticker, fit in fits.items():
        checkpoint = ""
        if fit.tensors:
            owner = inputs.partition.ticker or POOL
            checkpoint = checkpoint_path(owner, inputs.month, model.name, inputs.data_hash)
            if checkpoint not in files:
                files[checkpoint] = encode_checkpoint(fit, inputs.data_hash, model.code_version)
        rows.append(fit_to_row(fit, seconds / len(fits), checkpoint, inputs.data_hash, model.code_version))
        if fit.history is not None:
            history.append(fit.history.assign(ticker=ticker))
    tables = {f"{model.family}_fits": pd.DataFrame(rows)}
    if history:
        tables["training_history"] = pd.concat(history, ignore_index=True)
    if model.has_validation:
        tables |= _validation_tables(inputs, fits)
    return Output(tables, files)


def _validation_tables(inputs: Inputs, fits: Mapping[str, Fit]) -> dict[str, pd.DataFrame]:
    listed: dict[str, list[pd.DataFrame]] = {name: [] for name in VALIDATION}
    for ticker, fit in fits.items():
        if fit.validation is not None and len(fit.validation):
            sessions = inputs.calendars[ticker].sessions_per_year
            for name, rows in zip(
                VALIDATION, (validation_scores(fit.validation, sessions), fit.validation), strict=True
            ):
                listed[name].append(rows.assign(ticker=ticker))
    return {name: pd.concat(frames, ignore_index=True) for name, frames in listed.items() if frames}


def forecast_rows(inputs: Inputs) -> Output:
    """Return ``<family>_forecasts`` of one model and month, and where its attention lies."""
    model, features = inputs.model, inputs.table
    origins = origins_of_month(pd.DatetimeIndex(features.index), inputs.month, inputs.calendar)
    refits = Refits()
    fit = fitted(inputs, model, refits)
    rows = forecast_month(model, fit, features, origins, inputs.settings.interval_level, inputs.calendar)
    tables = {f"{model.family}_forecasts": rows}
    if model.has_attention:
        tables["attention"] = model.attention(fit, features, origins)
    return Output(tables, refits.files, refits.log)


def importance_rows(inputs: Inputs) -> Output:
    """Return ``feature_importance`` of one stored fit."""
    from volassets.evaluation.importance import feature_importance

    model, refits = inputs.model, Refits()
    rows = feature_importance(model, fitted(inputs, model, refits), window_of(inputs, model))
    return Output({IMPORTANCE: rows}, refits.files, refits.log)


@dataclass
class Refits:
    """Checkpoints that were lost and are written again."""

    files: dict[str, bytes] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


def fitted(inputs: Inputs, model: Model, refits: Refits) -> Fit:
    """Return the fit that the month's forecasts are made from: stored, or made here where that is as cheap."""
    if model.member_names:
        sources = fitted_models(inputs.settings, model)
        members = {source.name: FittedModel(source, fitted(inputs, source, refits)) for source in sources}
        return model.fit(window_of(inputs, model, members))
    if not model.stored_fits:
        return model.fit(window_of(inputs, model))
    rows = inputs.rows[f"{model.family}_fits"]
    (row,) = rows[rows["model"] == model.name].to_dict("records")
    fit = fit_from_row({str(key): value for key, value in row.items()})
    if row["checkpoint"]:
        try:
            # The weights may be a pool's, the row is the ticker's own.
            kept = read_checkpoint(row["checkpoint"], data_hash=row["data_hash"], read=inputs.read_file)
        except InputError as error:
            return _refitted(inputs, model, row, refits, error)
        fit = replace(fit, tensors=kept.tensors)
    if isinstance(model, PooledModel) and fit.ticker != inputs.partition.ticker:
        return model.fit_outside(fit, window_of(inputs, model))
    return fit


def _refitted(inputs: Inputs, model: Model, row: Mapping[Any, Any], refits: Refits, error: InputError) -> Fit:
    """Return the fit of a lost checkpoint from the same inputs: its row stays right, its file is written again."""
    if model.scope == Scope.MONTH.value or (model.uses_selection and SELECTION not in inputs.rows):
        month = f"{inputs.month:%Y-%m}"
        raise InputError(
            f"{error} `volassets run --from {month} --to {month} --models {model.name} --force` fits it."
        ) from None
    fit = model.fit(window_of(inputs, model))
    refits.files[row["checkpoint"]] = encode_checkpoint(fit, row["data_hash"], model.code_version)
    refits.log.append(f"{model.name} of {inputs.partition.label} was fitted again: {error}")
    return fit


def checkpoint_path(ticker: str, month: pd.Timestamp, model: str, data_hash: str) -> str:
    """Return the checkpoint's path below the home, or below the URL of the cells."""
    return f"checkpoints/{ticker}/{month:%Y-%m}/{model}-{data_hash}.safetensors"


def _fit_hash(state: State, partition: Partition, model: Model) -> str:
    return state.fingerprints(partition).fit(model, partition.refit_month)


def _pooled_fit_hash(state: State, partition: Partition, model: Model) -> str:
    return state.context.pooled_fit_hash(model, partition.refit_month)


def _selection_needed(state: State, partition: Partition, model: Model) -> Iterator[Requirement]:
    if model.uses_selection:
        yield SELECTION, partition, "", state.fingerprints(partition).selected_features(partition.refit_month)


def fits_needed(state: State, partition: Partition, model: Model) -> Iterator[Requirement]:
    """Yield the stored fits that a forecast of the model is made from."""
    kept = state.context.members.model(partition.ticker, partition.refit_month, model)
    for source in fitted_models(state.context.settings, kept):
        if source.stored_fits:
            place = Partition("", partition.month) if source.scope == Scope.MONTH.value else partition
            yield f"{source.family}_fits", place, source.name, _fit_hash(state, partition, source)


def _explains(settings: Settings, month: pd.Timestamp) -> bool:
    return settings.importance == "monthly" or (settings.importance == "yearly" and month.month == 1)


def _importance_gap(state: State, partition: Partition, model: Model) -> str:
    choice = state.context.settings.importance
    if _explains(state.context.settings, partition.refit_month):
        return state.month_gap(partition, model)
    return f"importance = {choice!r} asks for {'no refit' if choice == 'never' else 'the refits of January only'}"
