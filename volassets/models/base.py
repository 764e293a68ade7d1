"""What every model's `fit` and `forecast` have in common: the fit's bookkeeping and the forecast frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.models.protocol import Fit, Model, Window


def spec_values(spec: Model) -> dict[str, Any]:
    """Return the field values of a specification as JSON types, the `Fit.spec` to rebuild it from."""
    values = dataclasses.asdict(spec)  # type: ignore[call-overload]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def new_fit(spec: Model, window: Window, rows: pd.DatetimeIndex, **fields: Any) -> Fit:
    """Return the fit of `spec` on the training `rows` of `window`, with `fields` as in `Fit`.

    Parameters
    ----------
    rows : DatetimeIndex
        Dates of the rows used for estimation, in order.

    Raises
    ------
    InputError
        If there is no row.
    """
    if rows.empty:
        raise InputError(
            f"{window.ticker} has no usable row before {window.month:%Y-%m-%d} for {spec.name}: choose a later month."
        )
    described: dict[str, Any] = {
        "model": spec.name,
        "spec": spec_values(spec),
        "ticker": window.ticker,
        "month": window.month,
        "horizons": window.horizons,
        "ratio": window.ratio,
        "train_start": rows[0],
        "train_end": rows[-1],
        "n_train": len(rows),
    }
    return Fit(**described, **fields)


def forecast_frame(columns: Mapping[int, np.ndarray], origins: pd.DatetimeIndex) -> pd.DataFrame:
    """Return variances as the frame that `Model.forecast` promises: index `origins`, one column per horizon."""
    return pd.DataFrame(dict(columns), index=origins, dtype=np.float64)


def rows_of(features: pd.DataFrame, origins: pd.DatetimeIndex) -> np.ndarray:
    """Return the row numbers of `origins` in `features`, shape (len(origins),).

    Raises
    ------
    InputError
        If an origin is not a row of the table.
    """
    rows = features.index.get_indexer(origins)
    if (rows < 0).any():
        raise InputError(f"origin {origins[rows < 0][0]:%Y-%m-%d} is not a row of the feature table: build it first.")
    return rows
