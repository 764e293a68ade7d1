"""Networks that are trained from several seeds and averaged in logs: `lstm` and `transformer`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.errors import InputError
from volassets.features.covariates import names_in
from volassets.models.network_inference import in_blocks, load_weights, weights_of
from volassets.models.processor import may_have_gpu
from volassets.models.protocol import Fit, Model, Probe, Window, forecast_frame, new_fit, rows_of
from volassets.models.sequences import (
    CHANNELS,
    MINIMUM_ROWS,
    STATIC,
    Inputs,
    Scaler,
    build_inputs,
    build_labels,
    labelled_rows,
)

if TYPE_CHECKING:
    from torch import Tensor

    from volassets.models.networks import Stacked
    from volassets.models.training import Trainer


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class EnsembleModel(Model):
    """Settings and behaviour of the networks averaged over seeds; a model adds its encoder."""

    kind: ClassVar[str] = "pytorch"
    has_attention: ClassVar[bool] = True
    has_importance: ClassVar[bool] = True
    uses_covariates: ClassVar[bool] = True
    kernels: ClassVar[str]
    prefers_cpu: ClassVar[bool] = False

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

    @abstractmethod
    def network(self, horizons: int, covariates: int = 0) -> Stacked:
        """Return the stack of `seeds` networks, not drawn yet; `covariates` columns are inputs beside `STATIC`."""

    def compiled_module(self) -> str:
        """See `Model.compiled_module`; none where a GPU may train."""
        on_cpu = self.device == "cpu" or (self.device == "auto" and (self.prefers_cpu or not may_have_gpu()))
        return self.kernels if on_cpu else ""

    def fit(self, window: Window) -> Fit:
        """Train on every row whose inputs and shortest label lie before the cut-off, at least 100."""
        covariates = names_in(window.features.columns)
        inputs = build_inputs(window.features, self.sequence_length, covariates)
        rows = labelled_rows(window, inputs.usable)
        if len(rows) < MINIMUM_ROWS:
            raise InputError(
                f"{window.ticker} has {len(rows)} usable rows before {window.month:%Y-%m-%d}, {self.name} needs "
                f"{MINIMUM_ROWS}: choose a later month or fetch an earlier history."
            )
        inputs = inputs.take(rows)
        scaler = Scaler.of(inputs)
        labels = build_labels(window, inputs.anchor, rows)
        arrays = (*scaler.apply(inputs), labels.log_ratio, labels.realised)
        trainer = self.trained(arrays, [window.seed(self.name, number) for number in range(self.seeds)])
        dates = pd.DatetimeIndex(window.features.index[rows])
        return new_fit(self, window, dates, **self.fit_fields(trainer, scaler, labels.level, covariates))

    def trained(self, arrays: Sequence[np.ndarray], seeds: Sequence[int]) -> Trainer:
        """Train a stack on sequences, static values, log ratios and the mask of realised labels, rows last."""
        import torch

        from volassets.models.compiled_descent import descent_for
        from volassets.models.training import Hyperparameters, Trainer, one_thread

        with one_thread():
            network = self.network(len(arrays[-1]), len(arrays[1]) - len(STATIC))
            network.start(seeds)
            trainer = Trainer(network, Hyperparameters.of(self), seeds, self.device, descent_for)
            return trainer.fit(tuple(torch.tensor(array, dtype=torch.float32) for array in arrays))

    def fit_fields(
        self, trainer: Trainer, scaler: Scaler, level: np.ndarray, covariates: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Return what `new_fit` takes of a training run; `level` is k_h per horizon."""
        return {
            "parameters": {
                "level": level.tolist(),
                "channels": list(CHANNELS),
                "static": [*STATIC, *covariates],
                "scaler": scaler.to_parameters(),
                "best_epoch": trainer.best_epoch,
            },
            "tensors": weights_of(trainer.network),
            "history": trainer.history_frame(),
            "computed_on": trainer.computed_on,
        }

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Forecast exp(anchor + level + mean over seeds of the networks' outputs); see `Model.forecast`."""
        inputs, rows, network = self._inputs(fit, features), rows_of(features, origins), self._network(fit)
        output = _evaluate(fit, inputs, rows, lambda *tensors: network(*tensors).double().mean(dim=0))
        log_variance = inputs.anchor[rows] + np.asarray(fit.parameters["level"])[:, None] + output
        return forecast_frame(dict(zip(fit.horizons, np.exp(log_variance), strict=True)), origins)

    def attention(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """See `Model.attention`; mean over the seeds and the origins after the warm-up."""
        inputs, rows, network = self._inputs(fit, features), rows_of(features, origins), self._network(fit)
        weights = _evaluate(fit, inputs, rows, lambda sequence, _: network.attention(sequence).double().mean(dim=1))
        mean = np.nanmean(weights, axis=1)[::-1]
        return pd.DataFrame({"lag_days": np.arange(len(mean)), "weight": mean / mean.sum()})

    def probe(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> Probe:
        """See `Model.probe`."""
        import torch

        from volassets.models.training import one_thread

        inputs = self._inputs(fit, features).take(rows_of(features, origins))
        network = self._network(fit)
        level = inputs.anchor + np.asarray(fit.parameters["level"])[:, None]

        scaled = Scaler.from_parameters(fit.parameters["scaler"]).apply(inputs)

        def encoded(sequence: np.ndarray) -> Tensor:
            with one_thread(), torch.no_grad():
                parts = torch.tensor(sequence).split(network.rows_at_once, dim=2)
                # A copy, because a network may keep its encoding in memory that its next pass overwrites.
                return torch.cat([network.encode(part).clone() for part in parts], dim=2)

        # The encoder is nearly all of the work, and two thirds of the inputs are static.
        unshuffled = encoded(scaled[0])

        def log_variance(arrays: tuple[np.ndarray, ...]) -> np.ndarray:
            sequence, static = arrays
            encoding = unshuffled if sequence is scaled[0] else encoded(sequence)
            with one_thread(), torch.no_grad():
                output = network.corrections(encoding, torch.tensor(static)).double().mean(dim=0).numpy()
            return level + output

        places: dict[str, tuple[int, tuple[slice | int, ...]]] = {
            f"sequence:{name}": (0, (slice(None), number)) for number, name in enumerate(CHANNELS)
        }
        places |= {f"static:{name}": (1, (number,)) for number, name in enumerate(fit.parameters["static"])}
        return Probe(places, scaled, log_variance)

    def _network(self, fit: Fit) -> Stacked:
        """Return the network with the weights of `fit`, on the CPU."""
        return load_weights(self.network(len(fit.horizons), len(_covariates_of(fit))), fit.tensors)

    def _inputs(self, fit: Fit, features: pd.DataFrame) -> Inputs:
        return build_inputs(features, self.sequence_length, _covariates_of(fit))


def _covariates_of(fit: Fit) -> list[str]:
    """Return the columns of covariates that a fit has as inputs."""
    return list(fit.parameters["static"][len(STATIC) :])


def _evaluate(fit: Fit, inputs: Inputs, rows: np.ndarray, function: Callable[[Tensor, Tensor], Tensor]) -> np.ndarray:
    """Return function(sequence, static) at `rows`, shape (outputs, len(rows)); NaN in the warm-up."""
    scaler = Scaler.from_parameters(fit.parameters["scaler"])
    values = in_blocks(function, lambda members: scaler.apply(inputs.take(members)), rows, len(inputs.usable))
    values[:, ~inputs.usable[rows]] = np.nan
    return values
