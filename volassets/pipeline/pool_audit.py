"""The audit of a home: each ticker's own, and that of its pooled models on the bars of several tickers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pandas as pd

from volassets.evaluation.leakage import AuditResult
from volassets.evaluation.pool_leakage import PoolPipeline, audit_pool
from volassets.models.protocol import Model
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.leakage_audit import OF_ONE_RUN, audit_ticker, audited_month, cut_dates
from volassets.pipeline.memory_run import MemoryCell, MemoryRun
from volassets.pipeline.step import Step
from volassets.settings import Settings
from volassets.timing import training_length
from volassets.warehouse.store import Replacement

# A pool of hundreds would take hours and shows nothing more.
COMPANIONS = 5


def audit_stored(context: Context, ticker: str) -> AuditResult:
    """Audit the steps with this home's models on the stored bars, and its pool; store what was compared.

    Raises
    ------
    InputError
        If the bars are too few.
    """
    others = {covariate.name: covariate.bars for covariate in context.covariates(ticker)}
    result = audit_ticker(ticker, context.bars(ticker), context.settings, covariates=others)
    pool = audit_stored_pool(context, ticker)
    if pool is not None:
        result = AuditResult(pd.concat([result.comparisons, pool.comparisons], ignore_index=True))
    rows = result.comparisons.assign(ticker=ticker)
    context.warehouse.write(Replacement("audit_results", rows, pd.DataFrame({"ticker": [ticker]})))
    return result


def audit_stored_pool(context: Context, ticker: str) -> AuditResult | None:
    """Audit the home's pooled models on the stored bars of `ticker` and the first five others of its pool.

    None where there is no pooled model, no other ticker, or a history too short for the pool.
    """
    settings, index = context.settings, pd.DatetimeIndex(context.bars(ticker).index)
    month = audited_month(ticker, index, settings)
    members = context.pools.candidates(month)
    ends = {name: context.bars(name).index[-1] for name in members}
    first, last = cut_dates(index, month)
    others = [name for name in members if name != ticker and ends[name] > last][:COMPANIONS]
    pooled = any(model.scope == Scope.MONTH.value for model in settings.chosen_models.values())
    if not pooled or not others or ticker not in members:
        return None
    bars = {name: context.bars(name) for name in sorted([ticker, *others])}
    covariates = {other.name: other.bars for name in bars for other in context.covariates(name)}
    pipeline = pool_pipeline(settings, month, covariates)
    return audit_pool(bars, pipeline, (first, last), ticker, replacements=("noise", "dropped"))


def pool_pipeline(
    settings: Settings, month: pd.Timestamp, covariates: Mapping[str, pd.DataFrame] | None = None
) -> PoolPipeline:
    """Return the fits and forecasts of the pooled models for one month as a function of the tickers' bars.

    The bars of `covariates` stay as they are: `audit_ticker` replaces theirs.
    """

    def run(bars: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        memory = MemoryRun(settings.model_copy(update={"tickers": tuple(bars), "portfolios": {}}), bars, covariates)
        frames: dict[str, list[pd.DataFrame]] = {"fits": [], "forecasts": []}
        for step in memory.steps:
            for model in step.models if step.stage in frames else ():
                if model.scope == Scope.MONTH.value and model.name in settings.models:
                    make = _fits if step.stage == "fits" else _forecasts
                    frames[step.stage] += make(memory, step, model, month)
        return {stage: pd.concat(found, ignore_index=True) for stage, found in frames.items()}

    return run


def _fits(memory: MemoryRun, step: Step, model: Model, month: pd.Timestamp) -> list[pd.DataFrame]:
    """Fit one model over the tickers; return its rows with month and known_at, a ticker's last bar before the month."""
    cell = MemoryCell(Partition("", month), model)
    output = memory.output(step, cell)
    memory.keep(step, cell, output)
    rows = output.tables[step.table]
    indices = {ticker: pd.DatetimeIndex(memory.features[ticker].index) for ticker in rows["ticker"]}
    known = [index[training_length(index, month) - 1] for index in indices.values()]
    weights = hashlib.sha256(b"".join(output.files.values())).hexdigest()
    rows = rows.drop(columns=[*OF_ONE_RUN, "data_hash", "checkpoint"], errors="ignore")
    return [rows.assign(model=model.name, weights=weights, month=month, known_at=known)]


def _forecasts(memory: MemoryRun, step: Step, model: Model, month: pd.Timestamp) -> list[pd.DataFrame]:
    """Forecast every ticker; return its rows with ticker, month and known_at, the origin."""
    frames = []
    for ticker in memory.features:
        rows = memory.output(step, MemoryCell(Partition(ticker, month), model)).tables[step.table]
        named: dict[str, Any] = {"ticker": ticker, "model": model.name, "month": month}
        frames.append(rows.assign(**named, known_at=rows["origin_date"]))
    return frames
