"""The leakage audit of the pipeline's own steps: computed in memory, as a run computes them, on changed bars."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from volassets.errors import InputError
from volassets.evaluation.leakage import LABELS, AuditResult, Pipeline, audit, replace_future
from volassets.features.covariates import Covariate, is_early, lead
from volassets.features.targets import target
from volassets.market.calendar import SessionCalendar, calendar_for, covariate_calendar
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.memory_run import MemoryCell, MemoryRun
from volassets.pipeline.risk_steps import OF_MODEL, RISK
from volassets.pipeline.step import Step
from volassets.settings import Settings
from volassets.timing import last_known, refit_month, training_length

# What differs between two runs of the same fit.
OF_ONE_RUN = ("seconds", "computed_on")
AUDITED = (Scope.TICKER_MONTH, Scope.MONTH)
# Their sessions are more than the residuals that value at risk is steered from, and the longest horizon on top.
STEERED_MONTHS = 15
STEERED = "steered risk"
NOT_FOLLOWED = "returns do not follow by a session"


def audit_ticker(
    ticker: str,
    bars: pd.DataFrame,
    settings: Settings,
    month: pd.Timestamp | None = None,
    covariates: Mapping[str, pd.DataFrame] | None = None,
) -> AuditResult:
    """Audit the steps on one ticker and refit month, by default the last one with a quarter of bars after it.

    There are two cuts: at the cut-off of the month, where the selection and the fits have just been made, and in the
    middle of the month, where a fit is in use.

    The futures of `covariates`, bars by name, are replaced with the ticker's: every value whose session closes after
    the cut's. Nothing shows then of a series whose dates are too early in its source; so it is a rule too that the
    ticker's returns do not follow it by a session.

    Raises
    ------
    InputError
        If the bars are too few to leave a month with bars before and after it.
    """
    index = pd.DatetimeIndex(bars.index)
    month = month or audited_month(ticker, index, settings)
    listed = _covariates(ticker, settings, covariates or {})
    calendar, cuts = calendar_for(ticker, settings.calendars), cut_dates(index, month)

    def beside(cut: pd.Timestamp, replacement: str) -> dict[str, pd.DataFrame]:
        close = calendar.closing_times(pd.DatetimeIndex([cut]))
        return {other.name: _cut(other, close, replacement) for other in listed}

    pipeline = memory_pipeline(ticker, settings, (month,), {other.name: other.bars for other in listed})
    result = audit(bars, pipeline, cuts, beside=beside if listed else None)
    dates = [dated_early(other, bars, calendar, cuts[0]) for other in listed]
    return AuditResult(pd.concat([result.comparisons, *dates], ignore_index=True)) if dates else result


def _covariates(ticker: str, settings: Settings, given: Mapping[str, pd.DataFrame]) -> list[Covariate]:
    """Return the covariates of a ticker that have values."""
    names = [name for name in settings.covariates_of(ticker) if name in given and len(given[name])]
    return [Covariate(name, given[name], covariate_calendar(name, settings.calendars).name) for name in names]


def _cut(covariate: Covariate, close: pd.DatetimeIndex, replacement: str) -> pd.DataFrame:
    """Return the bars of a covariate with what closes after `close` replaced."""
    kept = int(last_known(covariate.closes, close)[0]) + 1
    if kept in (0, len(covariate.bars)):
        return covariate.bars.iloc[:kept]
    return replace_future(covariate.bars, covariate.bars.index[kept - 1], replacement)


def dated_early(covariate: Covariate, bars: pd.DataFrame, calendar: SessionCalendar, cut: pd.Timestamp) -> pd.DataFrame:
    """Return the comparison that says whether the ticker's returns follow a covariate by a session."""
    following, same = lead(covariate, bars, calendar)
    early = is_early(following, same)
    detail = (
        f"its changes have a correlation of {following:+.2f} with the return of the next session and of {same:+.2f} "
        f"with that of the same one: {covariate.name} is dated a day early, or closes later than {covariate.calendar}"
    )
    row = {
        "cut_date": cut,
        "replacement": "none",
        "stage": f"covariate {covariate.name}",
        "rule": NOT_FOLLOWED,
        "rows": len(bars),
        "columns": 1,
        "months": 0,
        "changed_rows": 0,
        "passed": not early,
        "detail": detail if early else "",
    }
    return pd.DataFrame([row])


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


def memory_pipeline(
    ticker: str,
    settings: Settings,
    months: Sequence[pd.Timestamp],
    covariates: Mapping[str, pd.DataFrame] | None = None,
) -> Pipeline:
    """Return the steps of some refit months as one function of a ticker's bars, and of the bars of `covariates`.

    It returns one frame per audited stage (`Step.stage`) and ``features`` and ``labels`` over all bars, each with
    ``known_at``: a row's own date, the last bar before the month's cut-off, or the origin.
    """
    alone = settings.model_copy(update={"tickers": (ticker,), "portfolios": {}})

    def run(bars: pd.DataFrame, beside: Mapping[str, pd.DataFrame] | None = None) -> dict[str, pd.DataFrame]:
        memory = MemoryRun(alone, {ticker: bars}, covariates if beside is None else beside)
        stages: dict[str, list[pd.DataFrame]] = {}
        for month in months:
            for step in memory.steps:
                if step.scope in AUDITED:
                    found = _audited_rows(memory, step, Partition(ticker, month))
                    stages.setdefault(step.stage or step.name, []).extend(found)
                if step.name == RISK:
                    stages.setdefault(STEERED, []).extend(_steered_rows(memory, step, Partition(ticker, month)))
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


def _steered_rows(memory: MemoryRun, step: Step, place: Partition) -> Iterator[pd.DataFrame]:
    """Compute value at risk over the months before too; yield the rows of the month, whose level is steered.

    A month alone has no residuals of the model's own forecasts, and nothing that was missed. Of the models the first
    one without a stored fit is taken: the way is the same for all, and its months are quick.
    """
    assert step.compute is not None
    models = [model for model in step.variants if model and not model.stored_fits and not model.member_names]
    months = pd.date_range(end=place.refit_month, periods=STEERED_MONTHS + 1, freq="MS")
    if not models or memory.gap(step, MemoryCell(Partition(place.ticker, months[0]), models[0])):
        return
    model, before, rows = models[0], None, pd.DataFrame()
    (source,) = (other for other in memory.steps if other.table == f"{model.family}_forecasts")
    made = []
    for month in months:
        cell = MemoryCell(Partition(place.ticker, month), model)
        made.append(memory.output(source, cell).tables[source.table].assign(refit_month=month))
        own = pd.concat(made, ignore_index=True).sort_values(["refit_month", "horizon", "origin_date"])
        inputs = replace(memory.inputs(step, cell), rows={f"{OF_MODEL} {model.name}": own}, before=before)
        output = step.compute(inputs)
        before, rows = (cell.partition, output), output.tables[step.table]
    yield rows.assign(model=model.name, month=place.month, known_at=rows["origin_date"]).reset_index(drop=True)


def labels(features: pd.DataFrame, horizons: Sequence[int]) -> pd.DataFrame:
    """Return the score target of every origin and horizon, with the ratio of the origin's own month."""
    frames = []
    for horizon in horizons:
        label = (features["ratio"] * target(features["proxy_variance"], horizon, 1.0)).to_numpy()
        frames.append(pd.DataFrame({"known_at": features.index, "horizon": horizon, "label": label}))
    return pd.concat(frames, ignore_index=True)
