"""The graph's own functions as one callable, for the leakage audit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.evaluation.audit import FORECASTS, LABELS, AuditResult, Pipeline, audit
from volassets.evaluation.walk_forward import forecast_month
from volassets.features.targets import target
from volassets.market.calendar import SessionCalendar
from volassets.models.protocol import Fit, Model, Window
from volassets.models.window import make_window, month_selection, training_rows
from volassets.timing import origins_of_month, refit_month, training_length


@dataclass(frozen=True)
class GraphOptions:
    """The settings that the graph's functions take, under the settings' names."""

    horizons: tuple[int, ...] = (1, 5, 22)
    lags: tuple[int, ...] = (1, 2, 6, 11, 16)
    proxy: str = "gk_overnight"
    correlation_threshold: float = 0.95
    scaling: str = "standardize"
    interval_level: float = 0.90


def graph_pipeline(
    ticker: str,
    models: Mapping[str, Model],
    calendar: SessionCalendar,
    months: Sequence[pd.Timestamp],
    options: GraphOptions | None = None,
) -> Pipeline:
    """Return the real pipeline of one ticker for some refit months.

    Parameters
    ----------
    ticker : str
    models : mapping of str to Model
        Specifications by name; a combination finds its members here and is fitted after them.
    calendar : SessionCalendar
    months : sequence of Timestamp
        Refit months to select, fit and forecast; features and labels cover all bars.
    options : GraphOptions, optional

    Returns
    -------
    callable
        Bars -> stages ``features``, ``labels``, ``lags``, ``selection``, ``fits`` (every parameter,
        the weights as a digest) and ``forecasts`` (variances and intervals), each with
        ``known_at``: a row's own date, the last bar before the month's cut-off, the origin.
    """
    chosen = options or GraphOptions()

    def run(bars: pd.DataFrame) -> dict[str, pd.DataFrame]:
        from volassets.features.table import build_features

        features = build_features(bars, calendar, lags=chosen.lags, proxy=chosen.proxy)
        stages = {
            "features": features.assign(known_at=features.index),
            LABELS: _labels(features, chosen.horizons),
        }
        parts: dict[str, list[pd.DataFrame]] = {"lags": [], "selection": [], "fits": [], FORECASTS: []}
        for month in months:
            for stage, frame in _run_month(ticker, month, features, models, calendar, chosen).items():
                parts[stage].append(frame)
        return stages | {stage: pd.concat(frames, ignore_index=True) for stage, frames in parts.items() if frames}

    return run


def audit_ticker(
    ticker: str,
    bars: pd.DataFrame,
    models: Mapping[str, Model],
    calendar: SessionCalendar,
    options: GraphOptions | None = None,
    month: pd.Timestamp | None = None,
) -> AuditResult:
    """Audit the graph's functions on one ticker and refit month.

    Parameters
    ----------
    ticker, bars, models, calendar, options
        As in `graph_pipeline`.
    month : Timestamp, optional
        Refit month; by default the last one with a quarter of bars after it.

    Returns
    -------
    AuditResult
        Of two cuts: at the cut-off of the month, where the selection and the fits have just been
        made, and in the middle of the month, where a fit is in use.

    Raises
    ------
    InputError
        If the bars are too few to leave a month with bars before and after it.
    """
    chosen = options or GraphOptions()
    index = pd.DatetimeIndex(bars.index)
    after = max(66, 2 * max(chosen.horizons))
    if len(index) <= 2 * after:
        raise InputError(
            f"{ticker} has {len(index)} bars, the audit needs more than {2 * after}: fetch a longer history."
        )
    month = month or refit_month(index[-after - 22])
    return audit(bars, graph_pipeline(ticker, models, calendar, (month,), chosen), cut_dates(index, month))


def cut_dates(index: pd.DatetimeIndex, month: pd.Timestamp) -> tuple[pd.Timestamp, ...]:
    """Return the last bar before `month` and the bar in its middle."""
    first, last = training_length(index, month), training_length(index, month + pd.offsets.MonthBegin(1))
    if first == 0 or last >= len(index):
        raise InputError(
            f"refit month {month:%Y-%m} needs a bar before it and one after it to be audited: choose another."
        )
    return index[first - 1], index[(first + last) // 2]


def _run_month(
    ticker: str,
    month: pd.Timestamp,
    features: pd.DataFrame,
    models: Mapping[str, Model],
    calendar: SessionCalendar,
    options: GraphOptions,
) -> dict[str, pd.DataFrame]:
    from volassets.features.lags import analyse_lags

    threshold, scaling = options.correlation_threshold, options.scaling
    selection = month_selection(month, features, threshold, scaling)
    window = make_window(ticker, month, features, options.horizons, threshold, scaling, selection)
    made = {"month": month, "known_at": window.features.index[-1]}
    origins = origins_of_month(pd.DatetimeIndex(features.index), month, calendar)
    fits = fit_all(models, window)
    forecasts = [
        forecast_month(models[name], fit, features, origins, options.interval_level, calendar).assign(model=name)
        for name, fit in fits.items()
    ]
    rows = pd.concat(forecasts, ignore_index=True)
    analysis = analyse_lags(training_rows(features, month)["log_proxy"].dropna(), options.lags)
    return {
        "lags": analysis.reset_index(drop=True).assign(**made),
        "selection": selection.rename_axis("feature").reset_index().assign(**made),
        "fits": pd.DataFrame([fit_values(fit) for fit in fits.values()]).assign(**made),
        FORECASTS: rows.assign(month=month, known_at=rows["origin_date"]),
    }


def fit_all(models: Mapping[str, Model], window: Window) -> dict[str, Fit]:
    """Fit every model on the window, combinations last and from the fits of their members."""
    fits: dict[str, Fit] = {}
    for name, model in sorted(models.items(), key=lambda item: hasattr(item[1], "members")):
        members = {member: fits[member] for member in getattr(model, "members", ()) if member in fits}
        fits[name] = model.fit(Window(**{**vars(window), "members": members}) if members else window)
    return fits


def fit_values(fit: Fit) -> dict[str, object]:
    """Return a fit as one comparable row: what is stored of it, the weights as a digest."""
    weights = hashlib.sha256()
    for name in sorted(fit.tensors):
        weights.update(name.encode() + np.ascontiguousarray(fit.tensors[name]).tobytes())
    return {
        "model": fit.model,
        "ratio": fit.ratio,
        "train_start": fit.train_start,
        "train_end": fit.train_end,
        "n_train": fit.n_train,
        "parameters": json.dumps(fit.parameters, sort_keys=True),
        "log_likelihood": float("nan") if fit.log_likelihood is None else fit.log_likelihood,
        "converged": fit.converged,
        "message": fit.message,
        "weights": weights.hexdigest(),
        "history": "" if fit.history is None else fit.history.to_json(double_precision=15),
    }


def _labels(features: pd.DataFrame, horizons: Sequence[int]) -> pd.DataFrame:
    """Return the score target of every origin and horizon, with the ratio of the origin's own month."""
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "known_at": features.index,
                    "horizon": horizon,
                    "label": (features["ratio"] * target(features["proxy_variance"], horizon, 1.0)).to_numpy(),
                }
            )
            for horizon in horizons
        ],
        ignore_index=True,
    )
