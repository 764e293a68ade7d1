"""The mean of other models' forecasts, in logs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.errors import InputError
from volassets.models.base import forecast_frame, new_fit
from volassets.models.protocol import Fit, Window


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Combination:
    """Weighted mean of the members' log variances, equal weights unless asked otherwise.

    With ``weights = "past_losses"`` a member's weight is its inverse mean QLIKE over the last
    realised origins before the cut-off, per horizon.
    """

    name: ClassVar[str] = "combination"
    family: ClassVar[str] = "combined"
    code_version: ClassVar[str] = "1"

    members: Annotated[tuple[str, ...], Field(min_length=1, description="Models that are combined.")] = (
        "elastic_net",
        "lstm",
        "transformer",
        "gjr",
    )
    weights: Annotated[
        Literal["equal", "past_losses"], Field(description="Equal, or inverse to the realised losses before the month.")
    ] = "equal"
    loss_days: Annotated[int, Field(ge=20, description="Realised origins behind past_losses.")] = 500

    def fit(self, window: Window) -> Fit:
        """Keep the members' fits and their weights per horizon.

        Raises
        ------
        InputError
            If a member is not in the run.
        """
        missing = [name for name in self.members if name not in window.members]
        if missing:
            raise InputError(
                f"combination needs {', '.join(missing)}, which this run does not fit: add it to `models`, or take it "
                "out of `members` in the section [combination]."
            )
        members = {name: window.members[name] for name in self.members}
        equal = dict.fromkeys(self.members, 1.0 / len(self.members))
        weights = {
            str(h): self._inverse_losses(window, h) if self.weights == "past_losses" else equal for h in window.horizons
        }
        return new_fit(self, window, window.features.index, members=members, parameters={"weights": weights})

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Forecast as in the protocol; NaN where a member has no forecast."""
        raise NotImplementedError

    def _inverse_losses(self, window: Window, horizon: int) -> dict[str, float]:
        raise NotImplementedError
