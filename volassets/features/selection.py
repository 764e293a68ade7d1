"""Which features a refit month uses, and the scaler: statistics of training rows only."""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.features.catalogue import OUTCOMES, longest_warm_up

SCALINGS = ("standardize", "minmax")
MINIMUM_ROWS = 30
# relative to the size of the values: below it only rounding moves
CONSTANT = 1e-12


def select_features(training: pd.DataFrame, threshold: float = 0.95, scaling: str = "standardize") -> pd.DataFrame:
    """Drop the features that carry nothing new, and fit the scaler of all.

    Parameters
    ----------
    training : DataFrame
        Columns of the feature table in catalogue order, rows dated before the cut-off; the outcome
        columns of the table are ignored. Rows of the warm-up may be at the start.
    threshold : float
        Largest absolute correlation that two kept features may have.
    scaling : {"standardize", "minmax"}
        ``(x - mean) / standard deviation`` or ``(x - minimum) / (maximum - minimum)``.

    Returns
    -------
    DataFrame
        One row per feature, in the order of `training`, index ``feature``. ``selected``; ``reason``:
        `missing` where a value is lacking after the warm-up, `constant`, `correlated` or `kept`;
        ``correlated_with`` and ``abs_correlation``: the kept earlier feature that a correlated one
        was dropped for, otherwise None and NaN; ``center`` and ``scale`` for ``(x - center) / scale``,
        0 and 1 for a missing feature, scale 1 for a constant one.

    Raises
    ------
    InputError
        If `scaling` is unknown, or fewer than 30 rows are left after the warm-up.

    Notes
    -----
    The order decides: features are taken in catalogue order, and one is dropped if its absolute
    correlation with any feature kept so far is above the threshold. The recorded partner is the kept
    feature that it is most correlated with, the earliest of equals.
    """
    if scaling not in SCALINGS:
        raise InputError(f"scaling {scaling!r} is unknown: choose from {', '.join(SCALINGS)}.")
    features = training.drop(columns=[name for name in OUTCOMES if name in training])
    values, missing = _usable_rows(features)
    mean, deviation = values.mean(axis=1), values.std(axis=1)
    constant = ~missing & (deviation <= CONSTANT * np.abs(values).max(axis=1))
    varying = np.flatnonzero(~missing & ~constant)

    reason = np.full(len(values), "kept", dtype=object)
    reason[missing] = "missing"
    reason[constant] = "constant"
    partner = np.full(len(values), None, dtype=object)
    strength = np.full(len(values), np.nan)
    names = features.columns.to_numpy(dtype=object)
    correlation = _absolute_correlations((values[varying] - mean[varying, None]) / deviation[varying, None])
    kept: list[int] = []
    for position, row in enumerate(varying):
        nearest = kept[int(np.argmax(correlation[position, kept]))] if kept else position
        if kept and correlation[position, nearest] > threshold:
            reason[row] = "correlated"
            partner[row], strength[row] = names[varying[nearest]], correlation[position, nearest]
        else:
            kept.append(position)

    center = mean if scaling == "standardize" else values.min(axis=1)
    scale = deviation if scaling == "standardize" else np.ptp(values, axis=1)
    index = pd.Index(names, name="feature")
    return pd.DataFrame(
        {
            "selected": reason == "kept",
            "reason": reason,
            "correlated_with": pd.Series(partner, dtype=object, index=index),
            "abs_correlation": strength,
            "center": np.where(missing, 0.0, center),
            "scale": np.where(missing | constant, 1.0, scale),
        },
        index=index,
    )


def scaled(features: pd.DataFrame, selection: pd.DataFrame) -> pd.DataFrame:
    """Return the selected columns of `features`, each as (x - center) / scale.

    Parameters
    ----------
    features : DataFrame
        Feature table, any rows.
    selection : DataFrame
        Result of `select_features` for one refit month.
    """
    chosen = selection[selection["selected"].astype(bool)]
    return (features[list(chosen.index)] - chosen["center"]) / chosen["scale"]


def _usable_rows(features: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the values after the warm-up, shape (features, rows), missing features as 0, and the mask of these.

    The warm-up ends where the last feature starts, and is no longer than the catalogue declares: a
    feature that starts later is missing and shortens nobody else's history.
    """
    values = np.ascontiguousarray(features.to_numpy(dtype=float).T)
    finite = np.isfinite(values)
    starts = np.where(finite.any(axis=1), finite.argmax(axis=1), values.shape[1])
    lags = [int(name.removeprefix("ret_lag_")) for name in features.columns if name.startswith("ret_lag_")]
    in_time = starts <= longest_warm_up(lags)
    first = int(starts[in_time].max()) if in_time.any() else 0
    if values.shape[1] - first < MINIMUM_ROWS:
        raise InputError(
            f"feature selection has {max(values.shape[1] - first, 0)} complete rows, but needs {MINIMUM_ROWS}: "
            "choose a later refit month or fetch an earlier history."
        )
    values, finite = values[:, first:], finite[:, first:]
    missing = ~finite.all(axis=1)
    return np.where(missing[:, None], 0.0, values), missing


def _absolute_correlations(standardised: np.ndarray) -> np.ndarray:
    """Return |correlation| of the rows, shape (n, n)."""
    # not a matrix product: its bits would depend on the number of threads
    products = np.einsum("ik,jk->ij", standardised, standardised)
    return np.minimum(np.abs(products) / standardised.shape[1], 1.0)
