"""Fit and forecast of the networks that average several seeds in logs: `lstm` and `transformer`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.models.base import forecast_frame, new_fit, rows_of
from volassets.models.protocol import Fit, Model, Window
from volassets.models.sequences import CHANNELS, STATIC, Inputs, Scaler, build_inputs, build_labels, training_rows

if TYPE_CHECKING:
    from torch import Tensor

    from volassets.models.networks import Stacked
    from volassets.models.training import Epoch

BLOCK = 64
MINIMUM_ROWS = 100


class EnsembleSpec(Model, Protocol):
    """What the shared fit needs of a specification."""

    @property
    def sequence_length(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def last_batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def final_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def clip(self) -> float: ...
    @property
    def average(self) -> float: ...
    @property
    def seeds(self) -> int: ...
    @property
    def device(self) -> str: ...

    def network(self, horizons: int) -> Stacked:
        """Return the stack of `seeds` networks, not drawn yet."""
        ...


def fit_ensemble(spec: EnsembleSpec, window: Window, on_epoch: Callable[[Epoch], None] | None = None) -> Fit:
    """Train the stack on every row whose inputs and shortest label lie before the cut-off.

    Raises
    ------
    InputError
        If the window has fewer than 100 such rows.
    """
    import torch

    from volassets.models.training import Recipe, Trainer, history_frame, one_thread

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
        tensors={name: value.detach().cpu().numpy().copy() for name, value in network.named_parameters()},
        history=history_frame(trainer.history),
    )


def forecast_ensemble(spec: EnsembleSpec, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
    """Forecast variances: exp(anchor + level + mean over seeds of the networks' outputs); see `Model.forecast`."""
    inputs = build_inputs(features, spec.sequence_length)
    rows = rows_of(features, origins)
    output = evaluate(spec, fit, inputs, rows, lambda network, *tensors: network(*tensors).double().mean(dim=0))
    log_variance = inputs.anchor[rows] + np.asarray(fit.parameters["level"])[:, None] + output
    return forecast_frame(dict(zip(fit.horizons, np.exp(log_variance), strict=True)), origins)


def attention(fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
    """Return which of the last days the networks of `fit` look at.

    Parameters
    ----------
    fit : Fit
        Of `lstm` (weights of its pool over the states) or `transformer` (what its last token
        attends to, mean over heads).
    features : DataFrame
        Feature table up to at least the last origin.
    origins : DatetimeIndex
        Origins to average over; the seeds are averaged too. Origins in the warm-up are left out.

    Returns
    -------
    DataFrame
        Columns lag_days (0 is the origin's own day) and weight (sums to 1), by lag_days.

    Raises
    ------
    InputError
        If the model has no attention.
    """
    from volassets.models.forecasting import specification

    spec: Any = specification(fit)
    if not hasattr(spec, "network"):
        raise InputError(f"model {fit.model!r} has no attention weights: give a fit of lstm or transformer.")
    inputs = build_inputs(features, spec.sequence_length)
    weights = evaluate(spec, fit, inputs, rows_of(features, origins), _attention)
    mean = np.nanmean(weights, axis=1)[::-1]
    return pd.DataFrame({"lag_days": np.arange(len(mean)), "weight": mean / mean.sum()})


def _attention(network: Stacked, sequence: Tensor, static: Tensor) -> Tensor:
    return network.attention(sequence).double().mean(dim=1)


def evaluate(
    spec: EnsembleSpec, fit: Fit, inputs: Inputs, rows: np.ndarray, function: Callable[..., Tensor]
) -> np.ndarray:
    """Return function(network, sequence, static) for `rows`, shape (outputs, len(rows)); NaN in the warm-up.

    A row is computed at the same place of a block of 64 rows whatever else is asked for, on the CPU
    and with one thread, so its bits depend on nothing but the fit and the row.
    """
    import torch

    from volassets.models.training import one_thread

    network = restored(spec, fit)
    scaler = Scaler.from_parameters(fit.parameters["scaler"])
    blocks = rows // BLOCK
    outputs: np.ndarray | None = None
    with one_thread(), torch.no_grad():
        for block in np.unique(blocks):
            wanted = np.flatnonzero(blocks == block)
            members = np.arange(block * BLOCK, min((block + 1) * BLOCK, len(inputs.usable)))
            tensors = []
            for array in scaler.apply(inputs.take(members)):
                tensor = torch.zeros(*array.shape[:-1], BLOCK)
                tensor[..., : len(members)] = torch.from_numpy(np.nan_to_num(array))
                tensors.append(tensor)
            values = function(network, *tensors).numpy()
            if outputs is None:
                outputs = np.full((len(values), len(rows)), np.nan)
            outputs[:, wanted] = values[:, rows[wanted] - block * BLOCK]
    if outputs is None:
        raise InputError("no origin was given: name at least one.")
    outputs[:, ~inputs.usable[rows]] = np.nan
    return outputs


def restored(spec: EnsembleSpec, fit: Fit) -> Stacked:
    """Return the network that holds the weights of `fit`, on the CPU, as it forecasts."""
    import torch

    network = spec.network(len(fit.horizons))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.from_numpy(np.array(fit.tensors[name])))
    network.eval()
    return network
