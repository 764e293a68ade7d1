"""The leakage audit of the pipeline's own steps: computed in memory, as a run computes them, on changed bars."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import pandas as pd

from volassets.errors import InputError
from volassets.evaluation.leakage import LABELS, AuditResult, Pipeline, audit
from volassets.features.targets import target
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.memory_run import MemoryCell, MemoryRun
from volassets.pipeline.step import Step
from volassets.settings import Settings
from volassets.timing import refit_month, training_length

# What differs between two runs of the same fit.
OF_ONE_RUN = ("seconds", "computed_on")
AUDITED = (Scope.TICKER_MONTH, Scope.MONTH)


def audit_ticker(ticker: str, bars: pd.DataFrame, settings: Settings, month: pd.Timestamp | None = None) -> AuditResult:
    """Audit the steps on one ticker and refit month, by default the last one with a quarter of bars after it.

    There are two cuts: at the cut-off of the month, where the selection and the fits have just been made, and in the
    middle of the month, where a fit is in use.

    Raises
    ------
    InputError
        If the bars are too few to leave a month with bars before and after it.
    """
    index = pd.DatetimeIndex(bars.index)
    month = month or audited_month(ticker, index, settings)
    return audit(bars, memory_pipeline(ticker, settings, (month,)), cut_dates(index, month))


def audited_month(ticker: str, index: pd.DatetimeIndex, settings: Settings) -> pd.Timestamp:
    """Return the last month with a quarter of bars after it; raise an InputError if there are too few."""
    after = max(66, 2 * max(settings.horizons))
    if len(index) <= 2 * after:
        raise InputError(
            f"{ticker} has {len(index)} bars, the audit needs more than {2 * after}: fetch a longer history."
        )
    return refit_month(index[-after - 22])


def cut_dates(index: pd.DatetimeIndex, month: pd.Timestamp) -> tuple[pd.Timestamp, ...]:
    """Return the last bar before `month` and the bar in its middle."""
    first, last = training_length(index, month), training_length(index, month + pd.offsets.MonthBegin(1))
    if first == 0 or last >= len(index):
        raise InputError(
            f"refit month {month:%Y-%m} needs a bar before it and one after it to be audited: choose another."
        )
    return index[first - 1], index[(first + last) // 2]


def memory_pipeline(ticker: str, settings: Settings, months: Sequence[pd.Timestamp]) -> Pipeline:
    """Return the steps of some refit months as one function of a ticker's bars.

    It returns one frame per audited stage (`Step.stage`) and ``features`` and ``labels`` over all bars, each with
    ``known_at``: a row's own date, the last bar before the month's cut-off, or the origin.
    """
    alone = settings.model_copy(update={"tickers": (ticker,), "portfolios": {}})

    def run(bars: pd.DataFrame) -> dict[str, pd.DataFrame]:
        memory = MemoryRun(alone, {ticker: bars})
        stages: dict[str, list[pd.DataFrame]] = {}
        for month in months:
            for step in memory.steps:
                if step.scope in AUDITED:
                    found = _audited_rows(memory, step, Partition(ticker, month))
                    stages.setdefault(step.stage or step.name, []).extend(found)
        features = memory.features[ticker]
        whole = {"features": features.assign(known_at=features.index), LABELS: labels(features, settings.horizons)}
        return whole | {name: pd.concat(frames, ignore_index=True) for name, frames in stages.items() if frames}

    return run


def _audited_rows(memory: MemoryRun, step: Step, place: Partition) -> Iterator[pd.DataFrame]:
    """Compute a step for one month; yield its rows with ``month`` and ``known_at``."""
    index = pd.DatetimeIndex(memory.features[place.ticker].index)
    before = index[training_length(index, place.refit_month) - 1]
    for model in step.variants:
        cell = MemoryCell(place, model)
        if memory.gap(step, cell):
            continue
        output = memory.output(step, cell)
        memory.keep(step, cell, output)
        rows = output.tables[step.table].drop(columns=[*OF_ONE_RUN, "data_hash"], errors="ignore")
        if output.files:
            rows["weights"] = hashlib.sha256(b"".join(output.files.values())).hexdigest()
        if "training_history" in output.tables:
            rows["history"] = output.tables["training_history"].to_json(double_precision=15)
        if "validation_forecasts" in output.tables:
            rows["validation"] = output.tables["validation_forecasts"].to_json(double_precision=15)
        known = rows.get("origin_date", before)
        named = {"model": model.name} if model else {}
        yield rows.reset_index(drop=True).assign(**named, month=place.month, known_at=known)


def labels(features: pd.DataFrame, horizons: Sequence[int]) -> pd.DataFrame:
    """Return the score target of every origin and horizon, with the ratio of the origin's own month."""
    frames = []
    for horizon in horizons:
        label = (features["ratio"] * target(features["proxy_variance"], horizon, 1.0)).to_numpy()
        frames.append(pd.DataFrame({"known_at": features.index, "horizon": horizon, "label": label}))
    return pd.concat(frames, ignore_index=True)
