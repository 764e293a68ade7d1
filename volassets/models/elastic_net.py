"""Elastic net for ln y on lags of the log proxy and the networks' static features.

The penalty is chosen on expanding blocks in time. Only sums of products over prefixes of the rows are needed, so every
row is multiplied out once and all folds share the result.
"""

from __future__ import annotations

import warnings
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.features.covariates import names_in
from volassets.models.linear import LinearModel, center_and_scale, prefix_moments, weighted

CLIP = 6.0
TOLERANCE = 1e-5
ITERATIONS = 2000
STATIC = (
    "log_proxy_level", "return_z", "return_z_negative", "overnight_z", "return_z_5", "return_z_5_negative",
    "return_z_22", "return_z_22_negative", "volume_surprise", "volume_surprise_5", "close_location",
    "next_monday", "next_friday",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ElasticNet(LinearModel):
    """The elastic net; inputs are standardised on the training rows and clipped to +-6."""

    name: ClassVar[str] = "elastic_net"
    uses_covariates: ClassVar[bool] = True

    lags: Annotated[int, Field(ge=1, le=252, description="Lags of the log proxy.")] = 22
    l1_ratio: Annotated[
        float, Field(gt=0, le=1, description="Share of the absolute in the penalty; 1 is the lasso.")
    ] = 0.5
    folds: Annotated[int, Field(ge=2, le=20, description="Blocks in time that choose the penalty.")] = 5
    penalties: Annotated[int, Field(ge=2, le=200, description="Penalties that are tried.")] = 12
    smallest_penalty: Annotated[
        float, Field(gt=0, lt=1, description="Smallest penalty, as a share of the one that leaves nothing.")
    ] = 1e-3

    def inputs(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return lags 0 .. lags-1 of the log proxy; log variances, leverage, volume, calendar and covariates at t."""
        log_proxy, level = features["log_proxy"], features["log_proxy_22"]
        columns = {f"log_proxy_lag_{lag}": log_proxy.shift(lag) for lag in range(self.lags)} | {
            "log_proxy_less_22": log_proxy - level,
            "log_proxy_5_less_22": features["log_proxy_5"] - level,
            "log_proxy_66_less_22": features["log_proxy_66"] - level,
            "log_gk_less_proxy": features["log_gk"] - log_proxy,
            "log_gk_5_less_proxy_5": features["log_gk_5"] - features["log_proxy_5"],
        }
        static = (*STATIC, *names_in(features.columns))
        return pd.DataFrame(columns | {name: features[name] for name in static}, index=features.index)

    def equation(self, inputs: np.ndarray, label: np.ndarray, horizon: int) -> dict[str, Any]:
        """Choose the penalty on blocks in time, estimate on all rows, smear."""
        center, scale = center_and_scale(inputs)
        scaled = np.clip((inputs - center) / scale, -CLIP, CLIP)
        chosen = choose_and_fit(
            scaled, np.log(label), horizon, self.l1_ratio, self.folds, self.penalties, self.smallest_penalty
        )
        fitted = np.exp(chosen.intercept + weighted(scaled, chosen.slopes))
        return {
            "intercept": chosen.intercept,
            "slopes": chosen.slopes.tolist(),
            "center": center.tolist(),
            "scale": scale.tolist(),
            "penalty": chosen.penalty,
            "smearing": float((label / fitted).mean()),
        }

    def apply(self, equation: dict[str, Any], inputs: np.ndarray) -> np.ndarray:
        """Return the smeared exponential."""
        scaled = np.clip((inputs - np.array(equation["center"])) / np.array(equation["scale"]), -CLIP, CLIP)
        return equation["smearing"] * np.exp(equation["intercept"] + weighted(scaled, equation["slopes"]))


class Choice(NamedTuple):
    """Intercept, slopes, shape (k,), and the penalty they were estimated with."""

    intercept: float
    slopes: np.ndarray
    penalty: float


def choose_and_fit(
    inputs: np.ndarray,
    label: np.ndarray,
    horizon: int,
    l1_ratio: float,
    folds: int,
    penalties: int,
    smallest: float,
) -> Choice:
    """Return the elastic net on all rows with the penalty of the smallest mean squared error on later blocks.

    Parameters
    ----------
    inputs : ndarray, shape (n, k)
        Standardised, in time order.
    label : ndarray, shape (n,)
    horizon : int
        Sessions of a label: that many rows less one are left out before a block, because their labels overlap it.
    folds : int
        Blocks of scikit-learn's ``TimeSeriesSplit``: each is forecast from the rows before it.
    penalties, smallest : int, float
        Points of the geometric path, and its end as a share of the penalty that leaves no input.
    """
    from sklearn.model_selection import TimeSeriesSplit

    splits = list(TimeSeriesSplit(folds, gap=horizon - 1).split(inputs))
    ends = [len(train) for train, _ in splits] + [len(label)]
    prefixes = prefix_moments(np.column_stack([inputs, label]), ends)
    *_, (full_gram, full_moment, full_means) = prefixes
    largest = np.abs(full_moment).max() / (len(label) * l1_ratio)
    path = largest * np.geomspace(1.0, smallest, penalties)
    errors = np.zeros(penalties)
    for (train, block), (gram, moment, means) in zip(splits, prefixes, strict=False):
        slopes = _path(inputs[train], label[train], gram, moment, path, l1_ratio)
        predicted = means[-1] + np.einsum("ij,ja->ia", inputs[block] - means[:-1], slopes)
        errors += ((label[block, None] - predicted) ** 2).mean(axis=0)
    best = int(errors.argmin())
    slopes = _path(inputs, label, full_gram, full_moment, path[: best + 1], l1_ratio)[:, -1]
    return Choice(float(full_means[-1] - (full_means[:-1] * slopes).sum()), slopes, float(path[best]))


def _path(
    inputs: np.ndarray, label: np.ndarray, gram: np.ndarray, moment: np.ndarray, path: np.ndarray, l1_ratio: float
) -> np.ndarray:
    """Return the slopes, shape (k, len(path)), each started from the one before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import enet_path

    with warnings.catch_warnings():
        # The lags are nearly collinear: at the small end slopes still shift among neighbours, forecasts no more.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return enet_path(
            inputs, label - label.mean(), l1_ratio=l1_ratio, alphas=path, precompute=gram, Xy=moment,
            check_input=False, tol=TOLERANCE, max_iter=ITERATIONS,
        )[1]  # fmt: skip
