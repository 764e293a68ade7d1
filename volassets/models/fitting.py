"""One model, one ticker, one month: the unit of work that a worker process does."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pandas as pd

from volassets.models.protocol import Fit, Model, Window
from volassets.timing import refit_month


def fit_window(model: Model, window: Window) -> tuple[Fit, float]:
    """Return the fit of `model` on `window` and the seconds it took."""
    start = time.perf_counter()
    fit = model.fit(window)
    return fit, time.perf_counter() - start


def fit_to_row(fit: Fit, seconds: float, checkpoint: str, data_hash: str, code_version: str) -> dict[str, Any]:
    """Return the row of ``<family>_fits`` that keeps everything of `fit` but its tensors and history."""
    parameters = {"spec": fit.spec, "horizons": list(fit.horizons), "ratio": fit.ratio, **fit.parameters}
    return {
        "ticker": fit.ticker,
        "refit_month": fit.month,
        "model": fit.model,
        "train_start": fit.train_start,
        "train_end": fit.train_end,
        "n_train": fit.n_train,
        "parameters": json.dumps(parameters, allow_nan=False, sort_keys=True),
        "log_likelihood": fit.log_likelihood,
        "converged": fit.converged,
        "message": fit.message,
        "seconds": seconds,
        "checkpoint": checkpoint,
        "data_hash": data_hash,
        "code_version": code_version,
        "computed_on": fit.computed_on or None,
    }


def fit_from_row(row: Mapping[str, Any]) -> Fit:
    """Return the fit that `fit_to_row` wrote; floats come back bit for bit."""
    parameters = json.loads(row["parameters"])
    return Fit(
        model=row["model"],
        spec=parameters.pop("spec"),
        ticker=row["ticker"],
        month=refit_month(pd.Timestamp(row["refit_month"])),
        horizons=tuple(parameters.pop("horizons")),
        ratio=parameters.pop("ratio"),
        train_start=pd.Timestamp(row["train_start"]),
        train_end=pd.Timestamp(row["train_end"]),
        n_train=int(row["n_train"]),
        parameters=parameters,
        log_likelihood=None if pd.isna(row["log_likelihood"]) else float(row["log_likelihood"]),
        converged=bool(row["converged"]),
        message=row["message"] or "",
        computed_on=row.get("computed_on") or "",
    )
