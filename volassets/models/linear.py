"""Linear models of the variance: HAR, log-HAR with and without leverage terms, elastic net on logs.

All are estimated on every row before the cut-off whose inputs and label are known (expanding window),
one equation per horizon. A model in logs is multiplied by mean(y/f) over its training rows (Duan's
smearing, 1983), so that it forecasts a mean and not a median. Sums run in numpy's own loops and not in
a BLAS, whose last bits depend on the number of threads.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.models.base import forecast_frame, new_fit, rows_of
from volassets.models.elastic_net import choose_and_fit
from volassets.models.protocol import Fit, Model, Window

CLIP = 6.0


class _Linear(Model):
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
        equations = {}
        for horizon in window.horizons:
            label = window.target(horizon).to_numpy()
            rows = usable & np.isfinite(label)
            equations[str(horizon)] = self.equation(values[rows], label[rows], horizon)
        realised = usable & np.isfinite(window.target(min(window.horizons)).to_numpy())
        return new_fit(
            self,
            window,
            pd.DatetimeIndex(window.features.index[realised]),
            parameters={"inputs": list(regressors.columns), "equations": equations},
        )

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Forecast as in the protocol; NaN in the warm-up of the inputs."""
        values = self.inputs(features).to_numpy()[rows_of(features, origins)]
        equations = fit.parameters["equations"]
        return forecast_frame({h: self.apply(equations[str(h)], values) for h in fit.horizons}, origins)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Har(_Linear):
    """HAR (Corsi 2009): the variance on its last day and its means over 5 and 22 days, least squares.

    A forecast below the smallest label of the training rows is replaced by it, because least squares
    in levels can turn negative.
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
class LogHar(_Linear):
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
    columns: ClassVar[tuple[str, ...]] = (
        *LogHar.columns,
        "return_z_negative",
        "return_z_5_negative",
        "return_z_22_negative",
    )


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ElasticNet(_Linear):
    """Elastic net for ln y on lags of the log proxy and the networks' static features.

    Inputs are standardised on the training rows and clipped to +-6.
    """

    name: ClassVar[str] = "elastic_net"

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
        """Return lags 0 .. lags-1 of the log proxy and the static features."""
        log_proxy = features["log_proxy"]
        lagged = {f"log_proxy_lag_{lag}": log_proxy.shift(lag) for lag in range(self.lags)}
        return pd.DataFrame(lagged | static_inputs(features), index=features.index)

    def equation(self, inputs: np.ndarray, label: np.ndarray, horizon: int) -> dict[str, Any]:
        """Choose the penalty on blocks in time, estimate on all rows, smear."""
        center, scale = inputs.mean(axis=0), inputs.std(axis=0)
        # A constant input, such as the volume of an index without volume, is zero after centring.
        scale = np.where(scale > 0, scale, 1.0)
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


def static_inputs(features: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the static features at t: log variances against the 22-day level, leverage, volume, calendar."""
    level = features["log_proxy_22"]
    relative = {
        "log_proxy_less_22": features["log_proxy"] - level,
        "log_proxy_5_less_22": features["log_proxy_5"] - level,
        "log_proxy_66_less_22": features["log_proxy_66"] - level,
        "log_gk_less_proxy": features["log_gk"] - features["log_proxy"],
        "log_gk_5_less_proxy_5": features["log_gk_5"] - features["log_proxy_5"],
    }
    return relative | {name: features[name] for name in STATIC}


STATIC = (
    "log_proxy_level",
    "return_z",
    "return_z_negative",
    "overnight_z",
    "return_z_5",
    "return_z_5_negative",
    "return_z_22",
    "return_z_22_negative",
    "volume_surprise",
    "volume_surprise_5",
    "close_location",
    "next_monday",
    "next_friday",
)


def weighted(inputs: np.ndarray, slopes: np.ndarray | list[float]) -> np.ndarray:
    """Return inputs @ slopes, shape (n,); a row's result does not depend on the other rows."""
    return np.einsum("ij,j->i", inputs, np.asarray(slopes))


def least_squares(inputs: np.ndarray, label: np.ndarray) -> tuple[float, np.ndarray]:
    """Return intercept and slopes, shape (k,), of the regression of label, shape (n,), on inputs, shape (n, k)."""
    center, scale = inputs.mean(axis=0), inputs.std(axis=0)
    scaled = (inputs - center) / np.where(scale > 0, scale, 1.0)
    gram = np.einsum("ij,ik->jk", scaled, scaled)
    moment = np.einsum("ij,i->j", scaled, label - label.mean())
    slopes = np.linalg.lstsq(gram, moment, rcond=None)[0] / np.where(scale > 0, scale, 1.0)
    return float(label.mean() - (center * slopes).sum()), slopes
