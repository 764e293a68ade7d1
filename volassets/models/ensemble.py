"""Fit and forecast of the networks that average several seeds in logs: `lstm` and `transformer`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.errors import InputError
from volassets.models.base import forecast_frame, new_fit, rows_of
from volassets.models.network_inference import in_blocks, load_weights, weights_of
from volassets.models.protocol import Fit, Model, Probe, Window
from volassets.models.sequences import CHANNELS, STATIC, Inputs, Scaler, build_inputs, build_labels, training_rows

if TYPE_CHECKING:
    from torch import Tensor

    from volassets.models.networks import Stacked
    from volassets.models.training import Epoch

MINIMUM_ROWS = 100


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class EnsembleModel(Model):
    """Settings and behaviour that the networks averaged over seeds share; the encoder is each one's own."""

    kind: ClassVar[str] = "pytorch"
    has_attention: ClassVar[bool] = True
    has_importance: ClassVar[bool] = True

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
    def network(self, horizons: int) -> Stacked:
        """Return the stack of `seeds` networks, not drawn yet."""

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


def fit_ensemble(spec: EnsembleModel, window: Window, on_epoch: Callable[[Epoch], None] | None = None) -> Fit:
    """Train the stack on every row whose inputs and shortest label lie before the cut-off.

    Raises
    ------
    InputError
        If the window has fewer than 100 such rows.
    """
    import torch

    from volassets.models.training import Recipe, Trainer, history_frame, machine_kind, one_thread

    inputs = build_inputs(window.features, spec.sequence_length)
    rows = training_rows(window, inputs.usable)
    if len(rows) < MINIMUM_ROWS:
        raise InputError(
            f"{window.ticker} has {len(rows)} usable rows before {window.month:%Y-%m-%d}, {spec.name} needs "
            f"{MINIMUM_ROWS}: choose a later month or fetch an earlier history."
        )
    inputs = inputs.take(rows)
    scaler = Scaler.of(inputs)
    labels = build_labels(window, inputs.anchor, rows)
    recipe = Recipe(
        epochs=spec.epochs,
        batch_size=spec.batch_size,
        last_batch_size=spec.last_batch_size,
        learning_rate=spec.learning_rate,
        final_rate=spec.final_rate,
        weight_decay=spec.weight_decay,
        clip=spec.clip,
        average=spec.average,
    )
    seeds = [window.seed(spec.name, number) for number in range(spec.seeds)]
    arrays = (*scaler.apply(inputs), labels.log_ratio, labels.realised)
    with one_thread():
        network = spec.network(len(window.horizons))
        network.start(seeds)
        trainer = Trainer(network, recipe, seeds, spec.device)
        trainer.fit(tuple(torch.tensor(array, dtype=torch.float32) for array in arrays), on_epoch=on_epoch)
    return new_fit(
        spec,
        window,
        pd.DatetimeIndex(window.features.index[rows]),
        parameters={
            "level": labels.level.tolist(),
            "channels": list(CHANNELS),
            "static": list(STATIC),
            "scaler": scaler.to_parameters(),
            "best_epoch": trainer.best_epoch,
        },
        tensors=weights_of(network),
        history=history_frame(trainer.history),
        computed_on=machine_kind(trainer.device, "float32"),
    )


def forecast_ensemble(spec: EnsembleModel, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
    """Forecast variances: exp(anchor + level + mean over seeds of the networks' outputs); see `Model.forecast`."""
    inputs = build_inputs(features, spec.sequence_length)
    rows = rows_of(features, origins)
    network = restored(spec, fit)
    output = _evaluate(fit, inputs, rows, lambda *tensors: network(*tensors).double().mean(dim=0))
    log_variance = inputs.anchor[rows] + np.asarray(fit.parameters["level"])[:, None] + output
    return forecast_frame(dict(zip(fit.horizons, np.exp(log_variance), strict=True)), origins)


def attention_ensemble(
    spec: EnsembleModel, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex
) -> pd.DataFrame:
    """Return which of the last days the networks of `fit` look at.

    Parameters
    ----------
    features : DataFrame
        Feature table up to at least the last origin.
    origins : DatetimeIndex
        Origins to average over; the seeds are averaged too. Origins in the warm-up are left out.

    Returns
    -------
    DataFrame
        Columns lag_days (0 is the origin's own day) and weight (sums to 1), by lag_days.
    """
    inputs = build_inputs(features, spec.sequence_length)
    network = restored(spec, fit)
    weights = _evaluate(
        fit, inputs, rows_of(features, origins), lambda sequence, _: network.attention(sequence).double().mean(dim=1)
    )
    mean = np.nanmean(weights, axis=1)[::-1]
    return pd.DataFrame({"lag_days": np.arange(len(mean)), "weight": mean / mean.sum()})


def probe_ensemble(spec: EnsembleModel, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> Probe:
    """Return the networks of `fit` on `origins`, ready to have an input shuffled."""
    import torch

    from volassets.models.training import one_thread

    rows = rows_of(features, origins)
    inputs = build_inputs(features, spec.sequence_length).take(rows)
    network = restored(spec, fit)
    level = inputs.anchor + np.asarray(fit.parameters["level"])[:, None]

    def log_variance(arrays: tuple[np.ndarray, ...]) -> np.ndarray:
        with one_thread(), torch.no_grad():
            output = network(*(torch.tensor(array) for array in arrays)).double().mean(dim=0).numpy()
        return level + output

    places: dict[str, tuple[int, tuple[slice | int, ...]]] = {
        f"sequence:{name}": (0, (slice(None), number)) for number, name in enumerate(CHANNELS)
    }
    places |= {f"static:{name}": (1, (number,)) for number, name in enumerate(STATIC)}
    return Probe(places, Scaler.from_parameters(fit.parameters["scaler"]).apply(inputs), log_variance)


def _evaluate(fit: Fit, inputs: Inputs, rows: np.ndarray, function: Callable[[Tensor, Tensor], Tensor]) -> np.ndarray:
    """Return function(sequence, static) at `rows`, shape (outputs, len(rows)); NaN in the warm-up."""
    scaler = Scaler.from_parameters(fit.parameters["scaler"])
    values = in_blocks(function, lambda members: scaler.apply(inputs.take(members)), rows, len(inputs.usable))
    values[:, ~inputs.usable[rows]] = np.nan
    return values


def restored(spec: EnsembleModel, fit: Fit) -> Stacked:
    """Return the network that holds the weights of `fit`, on the CPU, as it forecasts."""
    network = spec.network(len(fit.horizons))
    load_weights(network, fit.tensors)
    return network
