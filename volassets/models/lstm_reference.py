"""The reference recipe: a two-layer LSTM on the selected indicators of a rolling window.

It follows the notebook's numbers (every one a setting) and this package's rules: its features are the selected ones of
the recipe with the month's scaler, its labels are the annualised volatilities sqrt(252 y_h) of the score's own targets,
one output per horizon, and training and validation rows lie before the cut-off, the validation rows last. Labels that
reach over the end of a part are kept: only those that reach over the cut-off are unknown.

Two settings are additions: `bias_correction` multiplies the variances of each horizon by the mean of y/f over the
training rows, and `precision` lets training steps multiply in bfloat16 where the CPU does so itself; weights,
validation and forecasts are float32 (on 24 months of 2004-2005 the QLIKE is .2911 with it and .2910 without).
"""

from __future__ import annotations

import re
from dataclasses import dataclass as plain_dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.errors import InputError
from volassets.features.catalogue import RECIPE
from volassets.models.network_inference import in_blocks, load_weights, weights_of
from volassets.models.processor import why_no_bfloat16
from volassets.models.protocol import TRADING_DAYS, Fit, Model, Probe, Window, forecast_frame, new_fit, rows_of
from volassets.names import PREFIX

if TYPE_CHECKING:
    from volassets.models.networks import ReferenceLstm


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class LstmReference(Model):
    """Settings of the reference LSTM."""

    name: ClassVar[str] = "lstm_reference"
    family: ClassVar[str] = "lstm"
    code_version: ClassVar[str] = "1"
    kind: ClassVar[str] = "pytorch"
    uses_selection: ClassVar[bool] = True
    has_importance: ClassVar[bool] = True
    has_validation: ClassVar[bool] = True
    uses_covariates: ClassVar[bool] = True

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
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Field(
            description="Products in training; auto takes bfloat16 on a CPU that has it, a third of the time less. "
            "bfloat16 is refused on an x86 CPU without AVX-512."
        ),
    ] = "auto"
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Field(description="Where to train.")] = "auto"

    def check_machine(self) -> None:
        """See `Model.check_machine`; bfloat16 is refused on a CPU without AVX-512."""
        reason = why_no_bfloat16(self.device) if self.precision == "bfloat16" else ""
        if reason:
            raise self._no_bfloat16(reason)

    def _no_bfloat16(self, reason: str) -> InputError:
        return InputError(
            f"{self.name}.precision = {self.precision!r} needs an LSTM in bfloat16, which an x86 CPU has with AVX-512 "
            f'only: {reason}. Set precision = "auto" or "float32" in the section [{self.name}], or fit on another '
            "machine."
        )

    def fit(self, window: Window) -> Fit:
        """Train on the rolling window with an early stop, then correct the bias on its rows.

        Raises
        ------
        InputError
            If no feature of the recipe is selected, there are too few rows, or the machine lacks the `precision`.
        """
        import torch

        from volassets.models.training import Hyperparameters, Trainer, cut, lstm_in_bfloat16, machine_kind, one_thread

        self.check_machine()
        if self.precision == "bfloat16" and not lstm_in_bfloat16(self.device):
            raise self._no_bfloat16("PyTorch has none on this machine")
        days = window.features.iloc[-self.window :]
        inputs = SelectedInputs.of_window(window, self.sequence_length)
        sequence = inputs.build(days)
        variances = np.stack([window.target(horizon).to_numpy(np.float64)[-len(days) :] for horizon in window.horizons])
        rows = np.flatnonzero(np.isfinite(sequence).all(axis=(0, 1)) & np.isfinite(variances[0]))
        n_validation = round(self.validation_split * len(rows))
        n_train = len(rows) - n_validation
        if not inputs.names or n_train < self.batch_size or not n_validation:
            raise InputError(
                f"{window.ticker} has {len(inputs.names)} selected features of the recipe, {n_train} training and "
                f"{n_validation} validation rows before {window.month:%Y-%m-%d}; {self.name} needs at least 1, "
                f"{self.batch_size} (its batch_size) and 1: choose a later month or change its section."
            )
        realised = np.isfinite(variances[:, rows])
        targets = TRADING_DAYS * np.where(realised, variances[:, rows], 0.0)
        arrays = (sequence[..., rows], np.sqrt(targets), realised)
        tensors = tuple(torch.tensor(array, dtype=torch.float32) for array in arrays)
        seed = window.seed(self.name)
        with one_thread():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                network = self.network(len(inputs.names), len(window.horizons))
            numbers = Hyperparameters.of(self, last_batch_size=self.batch_size, decoupled=False)
            trainer = Trainer(network, numbers, [seed], self.device)
            trainer.fit(cut(tensors, 0, n_train), cut(tensors, n_train, n_validation))
            fitted = trainer.predict(tensors[0])[0].double().numpy()
        bias = (targets / fitted**2).sum(axis=1) / realised.sum(axis=1)
        corrected = fitted**2 * (bias if self.bias_correction else np.ones(len(bias)))[:, None] / TRADING_DAYS
        return new_fit(
            self,
            window,
            pd.DatetimeIndex(days.index[rows]),
            parameters={
                "features": list(inputs.names),
                "center": inputs.center.tolist(),
                "scale": inputs.scale.tolist(),
                "bias": bias.tolist() if self.bias_correction else [1.0] * len(bias),
                "n_validation": n_validation,
                "best_epoch": trainer.best_epoch,
            },
            message="" if trainer.best_epoch < self.epochs else f"still better at the last epoch, {self.epochs}",
            tensors=weights_of(network),
            history=trainer.history_frame(),
            validation=_validation(
                window, days.index[rows[n_train:]], corrected[:, n_train:], variances[:, rows[n_train:]]
            ),
            computed_on=machine_kind(trainer.device, "bfloat16" if network.short else "float32"),
        )

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """See `Model.forecast`; NaN where a day of the sequence is missing."""
        network = self._restored(fit)
        sequence = SelectedInputs.of_fit(fit, self.sequence_length).build(features)
        rows = rows_of(features, origins)
        volatility = in_blocks(
            lambda tensor: network(tensor)[0], lambda members: (sequence[..., members],), rows, len(features)
        )
        variance = volatility**2 / TRADING_DAYS * np.asarray(fit.parameters["bias"])[:, None]
        variance[:, ~np.isfinite(sequence[..., rows]).all(axis=(0, 1))] = np.nan
        return forecast_frame(dict(zip(fit.horizons, variance, strict=True)), origins)

    def probe(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> Probe:
        """See `Model.probe`."""
        import torch

        from volassets.models.training import one_thread

        network = self._restored(fit)
        inputs = SelectedInputs.of_fit(fit, self.sequence_length)
        bias = np.log(np.asarray(fit.parameters["bias"]) / TRADING_DAYS)[:, None]

        def log_variance(arrays: tuple[np.ndarray, ...]) -> np.ndarray:
            with one_thread(), torch.no_grad():
                volatility = network(torch.tensor(arrays[0]))[0].double().numpy()
            return 2 * np.log(volatility) + bias

        places = {name: (0, (slice(None), number)) for number, name in enumerate(inputs.names)}
        return Probe(places, (inputs.build(features)[..., rows_of(features, origins)],), log_variance)

    def network(self, inputs: int, horizons: int) -> ReferenceLstm:
        """Return a fresh network, drawn from PyTorch's global generator."""
        from volassets.models.networks import ReferenceLstm
        from volassets.models.training import multiplies_bfloat16

        short = self.precision == "bfloat16" or (self.precision == "auto" and multiplies_bfloat16(self.device))
        sizes = {"hidden": self.hidden, "layers": self.layers, "days": self.sequence_length}
        return ReferenceLstm(inputs, horizons, **sizes, dropout=self.dropout, loss=self.loss, short=short)

    def n_parameters(self, inputs: int, horizons: int) -> int:
        """Return how many numbers a network of `inputs` and `horizons` learns, without making one."""
        # A layer of PyTorch has four gates, each with weights for input and state and two biases.
        widths = [inputs] + [self.hidden] * (self.layers - 1)
        recurrent = sum(4 * self.hidden * (width + self.hidden + 2) for width in widths)
        return recurrent + (self.hidden + 1) * horizons

    def _restored(self, fit: Fit) -> ReferenceLstm:
        return load_weights(self.network(len(fit.parameters["features"]), len(fit.horizons)), fit.tensors)


def _validation(window: Window, days: pd.Index, forecast: np.ndarray, outcome: np.ndarray) -> pd.DataFrame:
    """Return `Fit.validation` of variances (horizons, rows); an outcome that reaches over the cut-off is NaN."""
    frames = [
        pd.DataFrame({"horizon": horizon, "origin_date": days, "variance": own, "realized_variance": came})
        for horizon, own, came in zip(window.horizons, forecast, outcome, strict=True)
    ]
    return pd.concat(frames, ignore_index=True).dropna(ignore_index=True)


@plain_dataclass(frozen=True)
class SelectedInputs:
    """The month's selected features of the recipe, and their scaler."""

    names: tuple[str, ...]
    center: np.ndarray
    scale: np.ndarray
    length: int

    @classmethod
    def of_window(cls, window: Window, length: int) -> SelectedInputs:
        """Take the window's selection of the recipe, lagged returns whatever the lags, and covariates."""
        if window.selection is None or window.selection.empty:
            raise InputError(
                f"the window of {window.ticker} in {window.month:%Y-%m} has no feature selection: "
                "select its features first."
            )
        names = window.selection.index
        ours = np.array([name in RECIPE or re.match(rf"ret_lag_\d+$|{PREFIX}", name) is not None for name in names])
        chosen = window.selection.loc[ours & window.selection["selected"].to_numpy(bool)]
        center, scale = (chosen[column].to_numpy(np.float64) for column in ("center", "scale"))
        return cls(tuple(chosen.index), center, scale, length)

    @classmethod
    def of_fit(cls, fit: Fit, length: int) -> SelectedInputs:
        """Take those of a fit."""
        center, scale = (np.asarray(fit.parameters[name]) for name in ("center", "scale"))
        return cls(tuple(fit.parameters["features"]), center, scale, length)

    def build(self, features: pd.DataFrame) -> np.ndarray:
        """Return the sequence of every row, float32 (days, features, rows); NaN where a day is missing."""
        values = (features[list(self.names)].to_numpy(np.float64) - self.center) / self.scale
        padded = np.concatenate([np.full((self.length - 1, len(self.names)), np.nan), values])
        sequences = np.lib.stride_tricks.sliding_window_view(padded.astype(np.float32), self.length, axis=0)
        return np.ascontiguousarray(sequences.transpose(2, 1, 0))
