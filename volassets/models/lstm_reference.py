"""The reference recipe: a two-layer LSTM on the selected indicators of a rolling window."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import pandas as pd
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.models.protocol import Fit, Window


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class LstmReference:
    """Settings of the reference LSTM."""

    name: ClassVar[str] = "lstm_reference"
    family: ClassVar[str] = "lstm"
    code_version: ClassVar[str] = "1"

    hidden: Annotated[int, Field(ge=1, le=1024, description="Units per LSTM layer.")] = 64
    layers: Annotated[int, Field(ge=1, le=8, description="LSTM layers.")] = 2
    dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout between layers and before the output.")] = 0.2
    sequence_length: Annotated[int, Field(ge=2, le=252, description="Days in a sequence.")] = 30
    window: Annotated[int, Field(ge=100, le=10000, description="Rows of the rolling training window.")] = 756
    validation_split: Annotated[float, Field(gt=0, lt=1, description="Share of the rows, the last in time.")] = 0.2
    epochs: Annotated[int, Field(ge=1, le=1000, description="Most passes over the training rows.")] = 50
    patience: Annotated[int, Field(ge=1, description="Epochs without improvement before stopping.")] = 15
    batch_size: Annotated[int, Field(ge=1, le=8192, description="Rows per step.")] = 32
    learning_rate: Annotated[float, Field(gt=0, le=1, description="Adam's first rate.")] = 1e-3
    rate_factor: Annotated[float, Field(gt=0, lt=1, description="Factor on the rate at a plateau.")] = 0.5
    rate_patience: Annotated[int, Field(ge=0, description="Epochs without improvement that make a plateau.")] = 10
    weight_decay: Annotated[float, Field(ge=0, le=1, description="Adam's L2 penalty.")] = 1e-5
    clip: Annotated[float, Field(gt=0, description="Largest gradient norm.")] = 1.0
    loss: Annotated[Literal["qlike", "mse"], Field(description="Loss on volatilities.")] = "qlike"
    bias_correction: Annotated[
        bool, Field(description="Multiply variances by the training rows' mean of y/f, per horizon.")
    ] = True
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Field(description="Where to train.")] = "auto"

    def fit(self, window: Window) -> Fit:
        """Train on the rolling window with early stopping on its last rows."""
        raise NotImplementedError

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Forecast the mean daily variance of the next h sessions; see `Model.forecast`."""
        raise NotImplementedError
