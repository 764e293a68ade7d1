"""GARCH, GJR-GARCH and EGARCH with Student-t innovations."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pandas as pd
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.models.protocol import Fit, Window

Rows = Annotated[int, Field(ge=250, description="Returns before the cut-off that a fit uses.")]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Garch:
    """GARCH(1,1)."""

    name: ClassVar[str] = "garch"
    family: ClassVar[str] = "garch"
    code_version: ClassVar[str] = "1"

    window: Rows = 1260

    def fit(self, window: Window) -> Fit:
        raise NotImplementedError

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Gjr(Garch):
    """GJR-GARCH(1,1,1)."""

    name: ClassVar[str] = "gjr"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Egarch(Garch):
    """EGARCH(1,1,1)."""

    name: ClassVar[str] = "egarch"
