"""The small Transformer on log variances: expanding window, QLIKE loss, five seeds averaged in logs.

Inputs, labels, anchor, loss and training are those of `volassets.models.lstm`; only the encoder differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import pandas as pd
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from volassets.models.blocks import Probe
from volassets.models.ensemble import attention_ensemble, fit_ensemble, forecast_ensemble, probe_ensemble
from volassets.models.protocol import Fit, Window
from volassets.models.sequences import CHANNELS, STATIC

if TYPE_CHECKING:
    from volassets.models.networks import StackedTransformer


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Transformer:
    """Settings of the Transformer."""

    name: ClassVar[str] = "transformer"
    family: ClassVar[str] = "transformer"
    code_version: ClassVar[str] = "2"

    width: Annotated[int, Field(ge=1, le=512, description="Width of the block.")] = 16
    heads: Annotated[int, Field(ge=1, le=32, description="Attention heads; divides the width.")] = 2
    head_units: Annotated[int, Field(ge=1, le=512, description="Units of the SiLU layer before the outputs.")] = 16
    sequence_length: Annotated[int, Field(ge=2, le=252, description="Days in a sequence.")] = 22
    dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout before and after the SiLU layer.")] = 0.2
    epochs: Annotated[int, Field(ge=1, le=1000, description="Passes over the window, always from a cold start.")] = 5
    batch_size: Annotated[int, Field(ge=1, le=8192, description="Rows per step.")] = 64
    last_batch_size: Annotated[int, Field(ge=1, le=65536, description="Rows per step in the last epoch.")] = 256
    learning_rate: Annotated[float, Field(gt=0, le=1, description="AdamW's first rate.")] = 5e-3
    final_rate: Annotated[float, Field(ge=0, le=1, description="Last rate of the cosine, as a share.")] = 0.05
    weight_decay: Annotated[float, Field(ge=0, le=1, description="AdamW's weight decay.")] = 0.01
    clip: Annotated[float, Field(gt=0, description="Largest gradient norm.")] = 1.0
    average: Annotated[float, Field(ge=0, lt=1, description="Decay of the weight average that forecasts.")] = 0.99
    seeds: Annotated[int, Field(ge=1, le=64, description="Networks averaged in logs.")] = 5
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Field(description="Where to train.")] = "auto"

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Transformer:
        if self.width % self.heads:
            raise ValueError(f"heads = {self.heads} must divide width = {self.width}")
        return self

    def fit(self, window: Window) -> Fit:
        """Train on every realised row before the cut-off."""
        return fit_ensemble(self, window)

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Forecast the mean daily variance of the next h sessions; see `Model.forecast`."""
        return forecast_ensemble(self, fit, features, origins)

    def attention(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Return the mean weight of each of the last days (lag_days, weight); see `attention_ensemble`."""
        return attention_ensemble(self, fit, features, origins)

    def probe(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> Probe:
        """Return the fitted networks on `origins`, for permutation importance."""
        return probe_ensemble(self, fit, features, origins)

    def network(self, horizons: int) -> StackedTransformer:
        """Return the stack of networks, one per seed, not drawn yet."""
        from volassets.models.networks import StackedTransformer

        return StackedTransformer(
            self.seeds,
            channels=len(CHANNELS),
            static=len(STATIC),
            horizons=horizons,
            width=self.width,
            heads=self.heads,
            days=self.sequence_length,
            head=self.head_units,
            dropout=self.dropout,
        )
