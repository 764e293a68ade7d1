"""Linear models of the variance: HAR, log-HAR with and without leverage terms.

All are estimated on every row before the cut-off whose inputs and label are known (expanding window), one equation per
horizon. A model in logs is multiplied by mean(y/f) over its training rows (Duan's smearing, 1983), so that it forecasts
a mean and not a median. Sums run in numpy's own loops: the last bits of a BLAS depend on the number of threads.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from volassets.models.protocol import Fit, Model, Window, forecast_frame, new_fit, rows_of


class LinearModel(Model):
    """One equation per horizon on the columns of `inputs`."""

    family: ClassVar[str] = "linear"
    code_version: ClassVar[str] = "1"

    @abstractmethod
    def inputs(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return the regressors, rows as in `features`, each from rows up to its own date."""

    @abstractmethod
    def equation(self, inputs: np.ndarray, label: np.ndarray, horizon: int) -> dict[str, Any]:
        """Estimate on inputs, shape (n, k), and labels, shape (n,), daily variance; return JSON types."""

    @abstractmethod
    def apply(self, equation: dict[str, Any], inputs: np.ndarray) -> np.ndarray:
        """Return the variances that `equation` gives for `inputs`; NaN where an input is NaN."""

    def fit(self, window: Window) -> Fit:
        """Estimate every horizon's equation on the realised labels before the cut-off."""
        regressors = self.inputs(window.features)
        values = regressors.to_numpy()
        usable = np.isfinite(values).all(axis=1)
        labels = {horizon: window.target(horizon).to_numpy() for horizon in window.horizons}
        rows = {horizon: usable & np.isfinite(label) for horizon, label in labels.items()}
        equations = {str(h): self.equation(values[rows[h]], labels[h][rows[h]], h) for h in window.horizons}
        dates = pd.DatetimeIndex(window.features.index[rows[min(window.horizons)]])
        return new_fit(self, window, dates, parameters={"inputs": list(regressors.columns), "equations": equations})

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """See `Model.forecast`; NaN in the warm-up of the inputs."""
        values = self.inputs(features).to_numpy()[rows_of(features, origins)]
        equations = fit.parameters["equations"]
        return forecast_frame({h: self.apply(equations[str(h)], values) for h in fit.horizons}, origins)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Har(LinearModel):
    """HAR (Corsi 2009): the variance on its last day and its means over 5 and 22 days, least squares.

    A forecast below the smallest label of the training rows is replaced by it, because least squares in levels can turn
    negative.
    """

    name: ClassVar[str] = "har"

    def inputs(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return the proxy and its two rolling means."""
        return features[["proxy_variance", "proxy_mean_5", "proxy_mean_22"]]

    def equation(self, inputs: np.ndarray, label: np.ndarray, horizon: int) -> dict[str, Any]:
        """Regress the label."""
        intercept, slopes = least_squares(inputs, label)
        return {"intercept": intercept, "slopes": slopes.tolist(), "floor": float(label.min())}

    def apply(self, equation: dict[str, Any], inputs: np.ndarray) -> np.ndarray:
        """Return the fitted value, floored."""
        return np.maximum(equation["intercept"] + weighted(inputs, equation["slopes"]), equation["floor"])


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class LogHar(LinearModel):
    """HAR on logs: ln y on the logs of the last day and of the means over 5 and 22 days."""

    name: ClassVar[str] = "log_har"
    columns: ClassVar[tuple[str, ...]] = ("log_proxy", "log_proxy_5", "log_proxy_22")

    def inputs(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return the columns of the feature table."""
        return features[list(self.columns)]

    def equation(self, inputs: np.ndarray, label: np.ndarray, horizon: int) -> dict[str, Any]:
        """Regress ln y and smear."""
        intercept, slopes = least_squares(inputs, np.log(label))
        fitted = np.exp(intercept + weighted(inputs, slopes))
        return {"intercept": intercept, "slopes": slopes.tolist(), "smearing": float((label / fitted).mean())}

    def apply(self, equation: dict[str, Any], inputs: np.ndarray) -> np.ndarray:
        """Return the smeared exponential."""
        return equation["smearing"] * np.exp(equation["intercept"] + weighted(inputs, equation["slopes"]))


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class LogHarLeverage(LogHar):
    """log_har with the negative parts of standardised returns over 1, 5 and 22 days (Corsi and Reno 2012)."""

    name: ClassVar[str] = "log_har_leverage"
    leverage: ClassVar = ("return_z_negative", "return_z_5_negative", "return_z_22_negative")
    columns: ClassVar[tuple[str, ...]] = (*LogHar.columns, *leverage)


def weighted(inputs: np.ndarray, slopes: np.ndarray | list[float]) -> np.ndarray:
    """Return inputs @ slopes, shape (n,); a row's result does not depend on the other rows."""
    # By rows in memory: by columns, a single row is added up in another order than one of several.
    return np.einsum("ij,j->i", np.ascontiguousarray(inputs), np.asarray(slopes))


def least_squares(inputs: np.ndarray, label: np.ndarray) -> tuple[float, np.ndarray]:
    """Return intercept and slopes, shape (k,), of the regression of label, shape (n,), on inputs, shape (n, k)."""
    center, scale = center_and_scale(inputs)
    scaled = (inputs - center) / scale
    gram = np.einsum("ij,ik->jk", scaled, scaled)
    moment = np.einsum("ij,i->j", scaled, label - label.mean())
    slopes = np.linalg.lstsq(gram, moment, rcond=None)[0] / scale
    return float(label.mean() - (center * slopes).sum()), slopes


def center_and_scale(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation per column; 1 for a constant one, such as the volume of an index without volume."""
    scale = inputs.std(axis=0)
    return inputs.mean(axis=0), np.where(scale > 0, scale, 1.0)


def prefix_moments(rows: np.ndarray, ends: list[int]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return (X'X, X'y, means) of the centred rows[:end] for each end; the last column is y."""
    products = np.zeros((rows.shape[1], rows.shape[1]))
    sums = np.zeros(rows.shape[1])
    found, start = [], 0
    for end in ends:
        block = np.ascontiguousarray(rows[start:end].T)
        products = products + np.einsum("ji,ki->jk", block, block)
        sums = sums + block.sum(axis=1)
        centred = products - np.outer(sums, sums) / end
        found.append((np.ascontiguousarray(centred[:-1, :-1]), centred[:-1, -1].copy(), sums / end))
        start = end
    return found
