"""HAR, log-HAR, log-HAR with leverage terms, elastic net."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from volassets.models.protocol import Fit, Window


class _Linear:
    name: ClassVar[str]
    family: ClassVar[str] = "linear"
    code_version: ClassVar[str] = "1"

    def fit(self, window: Window) -> Fit:
        raise NotImplementedError

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Har(_Linear):
    """HAR in levels."""

    name: ClassVar[str] = "har"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class LogHar(_Linear):
    """HAR in logs."""

    name: ClassVar[str] = "log_har"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class LogHarLeverage(_Linear):
    """HAR in logs with leverage terms."""

    name: ClassVar[str] = "log_har_leverage"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ElasticNet(_Linear):
    """Elastic net on log variances and features."""

    name: ClassVar[str] = "elastic_net"
