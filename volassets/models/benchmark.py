"""Benchmarks: the last day's variance, the mean of the last days, an exponential mean. Nothing is estimated.

Each forecasts the same value for every horizon: the smoothed proxy times the month's ratio, so that it is comparable
with a close-to-close variance.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar

import pandas as pd
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.models.protocol import Fit, Model, Window, forecast_frame, new_fit, rows_of


class _Benchmark(Model):
    family: ClassVar[str] = "benchmark"
    code_version: ClassVar[str] = "1"
    stored_fits: ClassVar[bool] = False

    @abstractmethod
    def smoothed(self, proxy: pd.Series) -> pd.Series:
        """Return the daily variance expected after each date, from the proxy up to that date."""

    def fit(self, window: Window) -> Fit:
        return new_fit(self, window, pd.DatetimeIndex(window.features["proxy_variance"].dropna().index))

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        values = fit.ratio * self.smoothed(features["proxy_variance"]).to_numpy()[rows_of(features, origins)]
        return forecast_frame(dict.fromkeys(fit.horizons, values), origins)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Naive(_Benchmark):
    """The last day's proxy variance."""

    name: ClassVar[str] = "naive"

    def smoothed(self, proxy: pd.Series) -> pd.Series:
        """Return the proxy itself."""
        return proxy


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Rolling20(_Benchmark):
    """The mean proxy variance of the last days (20)."""

    name: ClassVar[str] = "rolling_20"

    days: Annotated[int, Field(ge=2, le=2520, description="Days in the mean.")] = 20

    def smoothed(self, proxy: pd.Series) -> pd.Series:
        """Return the rolling mean, NaN until `days` values are known."""
        return proxy.rolling(self.days).mean()


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Ewma(_Benchmark):
    """The exponentially weighted mean of the proxy (RiskMetrics 1996), started at the first value."""

    name: ClassVar[str] = "ewma"

    decay: Annotated[float, Field(gt=0, lt=1, description="Weight kept from one day to the next.")] = 0.94

    def smoothed(self, proxy: pd.Series) -> pd.Series:
        """Return s_t = decay * s_{t-1} + (1 - decay) * p_t."""
        return proxy.ewm(alpha=1.0 - self.decay, adjust=False).mean()
