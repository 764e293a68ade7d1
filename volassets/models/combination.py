"""The mean of other models' forecasts, in logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.errors import InputError
from volassets.models.protocol import Fit, FittedModel, Model, Window, forecast_frame, new_fit


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Combination(Model):
    """Weighted mean of the members' log variances, per horizon.

    Weights are equal, or with ``weights = "past_losses"`` inverse to the mean QLIKE of the members'
    own forecasts at the last origins whose label is realised before the cut-off (Bates and Granger
    1969). A member's own training rows are among these origins.
    """

    name: ClassVar[str] = "combination"
    family: ClassVar[str] = "combined"
    code_version: ClassVar[str] = "1"
    stored_fits: ClassVar[bool] = False
    # Chosen on 2004-2007 among twenty lists (docs/results.md).
    members_with_pool: ClassVar[tuple[str, ...]] = (
        "lstm",
        "transformer",
        "pooled_lstm",
        "pooled_ridge",
        "pooled_boosting",
    )

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

    @property
    def member_names(self) -> tuple[str, ...]:
        """See `Model.member_names`."""
        return self.members

    def fit(self, window: Window) -> Fit:
        """Keep the members' fits and their weights per horizon; raise an InputError if one is not in the run."""
        missing = [name for name in self.members if name not in window.members]
        if missing:
            raise InputError(
                f"combination needs {', '.join(missing)}, which this run does not fit: add it to `models`, or take it "
                "out of `members` in the section [combination]."
            )
        members = {name: window.members[name] for name in self.members}
        if self.weights == "past_losses":
            weights = self._from_past_losses(window, members)
        else:
            weights = {str(h): dict.fromkeys(self.members, 1.0 / len(self.members)) for h in window.horizons}
        index = pd.DatetimeIndex(window.features.index)
        return new_fit(self, window, index, members=members, parameters={"weights": weights})

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """See `Model.forecast`; NaN at an origin where a member has no forecast."""
        forecasts = _forecasts(fit.members, features, origins)
        columns = {}
        for horizon in fit.horizons:
            weights = fit.parameters["weights"][str(horizon)]
            logs = sum(weight * np.log(forecasts[name][horizon].to_numpy()) for name, weight in weights.items())
            columns[horizon] = np.exp(logs)
        return forecast_frame(columns, origins)

    def _from_past_losses(self, window: Window, members: dict[str, FittedModel]) -> dict[str, dict[str, float]]:
        weights = {}
        for horizon in window.horizons:
            label = window.target(horizon).dropna().iloc[-self.loss_days :]
            forecasts = _forecasts(members, window.features, pd.DatetimeIndex(label.index))
            inverse = {}
            for name, forecast in forecasts.items():
                ratio = label.to_numpy() / forecast[horizon].to_numpy()
                inverse[name] = 1.0 / float(np.nanmean(ratio - np.log(ratio) - 1.0))
            weights[str(horizon)] = {name: value / sum(inverse.values()) for name, value in inverse.items()}
        return weights


def _forecasts(
    members: Mapping[str, FittedModel], features: pd.DataFrame, origins: pd.DatetimeIndex
) -> dict[str, pd.DataFrame]:
    return {name: member.forecast(features, origins) for name, member in members.items()}
