"""The small LSTM on log variances: expanding window, QLIKE loss, five seeds averaged in logs.

ln f_h = anchor_t + k_h + o_h: the network corrects the log of the 22-day mean, so an untrained one is
that mean. It trains on every row before the cut-off, from a cold start each month, and has no
validation rows: its number of epochs was chosen on 2004-2008, and its history has no validation loss.

The batches grow from 64 to 256 rows while the rate falls from .005. On 2004-2008 that scores as 64 rows
throughout and .003 do (QLIKE of the S&P 500 .294 against .296, of the NASDAQ .263 against .265), in three
quarters of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import pandas as pd
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.models.blocks import Probe
from volassets.models.ensemble import attention_ensemble, fit_ensemble, forecast_ensemble, probe_ensemble
from volassets.models.protocol import Fit, Window
from volassets.models.sequences import CHANNELS, STATIC

if TYPE_CHECKING:
    from volassets.models.networks import StackedLstm


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Lstm:
    """Settings of the LSTM."""

    name: ClassVar[str] = "lstm"
    family: ClassVar[str] = "lstm"
    code_version: ClassVar[str] = "2"

    units: Annotated[int, Field(ge=1, le=512, description="LSTM units, one layer.")] = 16
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

    def network(self, horizons: int) -> StackedLstm:
        """Return the stack of networks, one per seed, not drawn yet."""
        from volassets.models.networks import StackedLstm

        return StackedLstm(
            self.seeds,
            channels=len(CHANNELS),
            static=len(STATIC),
            horizons=horizons,
            units=self.units,
            head=self.head_units,
            dropout=self.dropout,
        )
