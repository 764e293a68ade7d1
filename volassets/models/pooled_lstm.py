"""The small LSTM trained on the rows of all tickers: shared weights and scaler, each ticker's own level and ratio.

Inputs, head, loss and training are those of `volassets.models.lstm`, with fewer epochs, because a pool has more rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.models.lstm import Lstm
from volassets.models.pool import TickerPool, covariates_of, pool_members
from volassets.models.protocol import Fit, Window, new_fit
from volassets.models.sequences import Inputs, Scaler


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PooledLstm(TickerPool, Lstm):
    """Settings of the pooled LSTM."""

    name: ClassVar[str] = "pooled_lstm"
    family: ClassVar[str] = "pooled"
    code_version: ClassVar[str] = "3"

    epochs: Annotated[int, Field(ge=1, le=1000, description="Passes over the pool, always from a cold start.")] = 4
    weighting: Annotated[
        Literal["row", "ticker"], Field(description="Equal weight in the loss of every row, or of every ticker.")
    ] = "ticker"
    maximum_rows: Annotated[
        int, Field(ge=1000, description="Rows per epoch, above it sampled evenly over the tickers.")
    ] = 200_000

    def fit_pool(self, windows: Mapping[str, Window]) -> dict[str, Fit]:
        """See `PooledModel.fit_pool`."""
        covariates = covariates_of(windows)
        members = pool_members(self.name, windows, self.sequence_length, self.maximum_rows, covariates)
        inputs = Inputs.joined([member.inputs for member in members])
        scaler = Scaler.of(inputs)
        rows = np.array([len(member.rows) for member in members])
        weights = rows.sum() / (len(rows) * rows) if self.weighting == "ticker" else np.ones(len(rows))
        arrays = (
            *scaler.apply(inputs),
            np.concatenate([member.labels.log_ratio for member in members], axis=1),
            np.concatenate([w * member.labels.realised for w, member in zip(weights, members, strict=True)], axis=1),
        )
        trainer = self.trained(arrays, [self.pool_seed(members, number) for number in range(self.seeds)])
        names = {"pool": [member.window.ticker for member in members]}
        fits = {}
        for member in members:
            fields = self.fit_fields(trainer, scaler, member.labels.level, covariates)
            fields["parameters"] |= names
            fits[member.window.ticker] = new_fit(self, member.window, member.dates, **fields)
        return fits
