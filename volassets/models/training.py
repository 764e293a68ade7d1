"""The training loop of every network: tensors in, weights and a history out.

Rows are the last dimension of every tensor. A network may hold a stack of equal networks that differ in their seed;
they see the same batches and are trained side by side, which costs far less than one after the other. None has a part
in another's loss, clip or step.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from volassets.models.processor import multiplies_bfloat16_itself
from volassets.models.protocol import Model

Rows = tuple[Tensor, ...]


class Network(torch.nn.Module):
    """What the loop needs of a network; `stack` equal ones are trained side by side.

    `prefers_cpu` says of a kind of network that the device ``auto`` is the CPU for it, as it is no faster on a GPU.
    """

    stack: int
    prefers_cpu = False

    def noise(self, n_rows: int, generators: Sequence[torch.Generator]) -> Rows:
        """Return the random factors of one epoch, rows last; may be empty."""
        raise NotImplementedError

    def loss(self, rows: Rows, noise: Rows) -> Tensor:
        """Return the mean loss of `rows`, shape (stack,); without noise the network is as it forecasts."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """The numbers of a training run.

    Attributes
    ----------
    batch_size, last_batch_size : int
        Rows per step in the first and in the last epoch, geometric in between, in multiples of `batch_size`.
    learning_rate, final_rate : float
        First rate, and the last one as a share of it; a half cosine between, over rows seen.
    rate_factor, rate_patience : float, int
        Instead of the cosine: the factor on the rate after more than so many epochs without a better validation
        loss. A factor of 1 selects the cosine.
    decoupled : bool
        AdamW where True, else Adam with an L2 penalty.
    clip : float
        Largest gradient norm, per network of the stack.
    average : float
        Decay of the weights' moving average per `batch_size` rows, corrected for its start so that the drawn weights
        have no part in it; 0 keeps the last weights.
    patience : int
        Epochs without a better validation loss before stopping; 0 never stops early.
    """

    epochs: int
    batch_size: int
    last_batch_size: int
    learning_rate: float
    final_rate: float = 1.0
    rate_factor: float = 1.0
    rate_patience: int = 0
    weight_decay: float
    decoupled: bool = True
    clip: float
    average: float = 0.0
    patience: int = 0

    @classmethod
    def of(cls, model: Model, **others: Any) -> Hyperparameters:
        """Return the settings of `model` that have these names, with `others`."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in vars(model).items() if name in names}, **others)

    def batch_of_epoch(self, epoch: int, n_rows: int) -> int:
        """Return the rows per step of `epoch` (from 0), at most `n_rows`."""
        share = epoch / max(self.epochs - 1, 1)
        size = self.batch_size * (self.last_batch_size / self.batch_size) ** share
        return min(round(size / self.batch_size) * self.batch_size, n_rows)


@dataclass(frozen=True)
class Epoch:
    """One line of the history; losses per network of the stack, NaN without validation rows."""

    number: int
    train_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    learning_rate: float


class Descent:
    """The steps of one training run: all weights in one buffer, their average, and the rate of the last step."""

    compiler = ""

    def __init__(self, network: Network, numbers: Hyperparameters, n_rows: int) -> None:
        self.network, self.numbers = network, numbers
        self.weights, self.gradient = flatten(network)
        self.parameters = list(network.parameters())
        self.averaged = self.weights.detach().clone()
        self.sizes = [numbers.batch_of_epoch(epoch, n_rows) for epoch in range(numbers.epochs)]
        self.rate = numbers.learning_rate
        self._rows_to_see = sum(n_rows // size * size for size in self.sizes)
        self._rows_seen = 0
        self._share_of_start = 1.0
        self._bad_epochs = 0
        self._optimizer = (torch.optim.AdamW if numbers.decoupled else torch.optim.Adam)(
            [self.weights], lr=self.rate, weight_decay=numbers.weight_decay, fused=self.weights.device.type != "mps"
        )

    @property
    def current(self) -> Tensor:
        """Weights that forecast: the average where there is one."""
        return self.averaged if self.numbers.average else self.weights.detach()

    def epoch(self, size: int, rows: Rows, noise: Rows) -> tuple[float, ...]:
        """Step through `rows`, `size` at a time; return the mean loss of every network."""
        n_rows = rows[0].shape[-1]
        total = torch.zeros(self.network.stack, device=self.weights.device)
        for start in range(0, n_rows - size + 1, size):
            total += self.step(cut(rows, start, size), cut(noise, start, size))
        return tuple((total / (n_rows // size)).tolist())

    def step(self, rows: Rows, noise: Rows) -> Tensor:
        """Take one step; return the loss before it, shape (stack,)."""
        rate, share = self.next_step(rows[0].shape[-1])
        self._optimizer.param_groups[0]["lr"] = rate
        loss = self.network.loss(rows, noise)
        parts = torch.autograd.grad(loss.sum(), self.parameters)
        torch.cat([part.reshape(self.network.stack, -1) for part in parts], dim=1, out=self.gradient)
        norm = self.gradient.norm(dim=1, keepdim=True)
        self.gradient.mul_((self.numbers.clip / (norm + 1e-6)).clamp_(max=1.0))
        self._optimizer.step()
        if share:
            self.averaged.lerp_(self.weights.detach(), share)
        return loss.detach()

    def next_step(self, n_rows: int) -> tuple[float, float]:
        """Count a step of `n_rows` rows; return its rate and the share of its weights in the average, 0 without one."""
        numbers, share = self.numbers, 0.0
        if numbers.rate_factor == 1:
            cosine = 0.5 * (1 + math.cos(math.pi * self._rows_seen / self._rows_to_see))
            self.rate = numbers.learning_rate * (numbers.final_rate + (1 - numbers.final_rate) * cosine)
        if numbers.average:
            keep = numbers.average ** (n_rows / numbers.batch_size)
            self._share_of_start *= keep
            share = (1 - keep) / (1 - self._share_of_start)
        self._rows_seen += n_rows
        return self.rate, share

    def step_on_plateau(self, improved: bool) -> None:
        """Lower the rate after more than `rate_patience` epochs in a row without a better validation loss."""
        self._bad_epochs = 0 if improved else self._bad_epochs + 1
        if self._bad_epochs > self.numbers.rate_patience:
            self.rate, self._bad_epochs = self.rate * self.numbers.rate_factor, 0


class Trainer:
    """Trains a stack of networks in place on one device.

    Parameters
    ----------
    seeds : sequence of int
        One per network of the stack. They decide the noise; the first one also the rows' order.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``; ``auto`` is the CPU for a network that prefers it.
    choose_descent : callable
        Returns the class that takes the steps, from the network on its device, the numbers and the rows.

    Attributes
    ----------
    history : list of Epoch
    best_epoch : int
        Epoch (from 1) whose weights are kept: the one of least validation loss, else the last.
    computed_on : str
        Of the last fit, see `machine_kind`.
    """

    def __init__(
        self, network: Network, numbers: Hyperparameters, seeds: Sequence[int], device: str = "auto",
        choose_descent: Callable[[Network, Hyperparameters, Rows], type[Descent]] = lambda *_: Descent,
    ) -> None:  # fmt: skip
        self.choose_descent = choose_descent
        self.device = choose_device(device, network.prefers_cpu)
        self.network = network.to(self.device)
        self.numbers = numbers
        self.seeds = tuple(seeds)
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self.computed_on = ""

    def fit(self, rows: Rows, validation: Rows = ()) -> Trainer:
        """Train on `rows`; `validation` rows decide the plateau, the stop and the best epoch."""
        with full_float32(self.device):
            return self._fit(rows, validation)

    def _fit(self, rows: Rows, validation: Rows) -> Trainer:
        rows, validation = self._here(rows), self._here(validation)
        n_rows = rows[0].shape[-1]
        generators = [torch.Generator().manual_seed(seed) for seed in self.seeds]
        descent = self.choose_descent(self.network, self.numbers, rows)(self.network, self.numbers, n_rows)
        self.computed_on = machine_kind(self.device, "float32", descent.compiler)
        best, best_loss = descent.weights.detach().clone(), math.inf
        for epoch, size in enumerate(descent.sizes, start=1):
            order = torch.randperm(n_rows, generator=generators[0]).to(self.device)
            shuffled = tuple(tensor.index_select(-1, order) for tensor in rows)
            self.network.train()
            train_loss = descent.epoch(size, shuffled, self.network.noise(n_rows, generators))
            validation_loss = (math.nan,) * self.network.stack
            if validation:
                with holding(descent.weights, descent.current):
                    validation_loss = self.validate(validation)
            self.history.append(Epoch(epoch, train_loss, validation_loss, descent.rate))
            mean_loss = sum(validation_loss) / len(validation_loss)
            improved = not validation or mean_loss < best_loss
            if improved:
                best_loss, self.best_epoch = mean_loss, epoch
                best.copy_(descent.current)
            elif epoch - self.best_epoch == self.numbers.patience:
                break
            descent.step_on_plateau(improved)
        with torch.no_grad():
            descent.weights.copy_(best)
        return self

    def _here(self, rows: Rows) -> Rows:
        return tuple(tensor.to(self.device) for tensor in rows)

    def validate(self, rows: Rows) -> tuple[float, ...]:
        """Return the mean loss of `rows` per network, without noise."""
        self.network.eval()
        with torch.no_grad(), full_float32(self.device):
            return tuple(self.network.loss(self._here(rows), ()).tolist())

    def predict(self, *inputs: Tensor) -> Tensor:
        """Return the network's output for `inputs`, on the CPU."""
        self.network.eval()
        with torch.no_grad(), full_float32(self.device):
            return self.network(*self._here(inputs)).cpu()

    def history_frame(self) -> pd.DataFrame:
        """Return one row per seed and epoch: seed, epoch, train_loss, validation_loss, learning_rate."""
        rows = [
            (seed, epoch.number, train, validation, epoch.learning_rate)
            for epoch in self.history
            for seed, (train, validation) in enumerate(zip(epoch.train_loss, epoch.validation_loss, strict=True))
        ]
        frame = pd.DataFrame(rows, columns=["seed", "epoch", "train_loss", "validation_loss", "learning_rate"])
        return frame.sort_values(["seed", "epoch"], ignore_index=True)


def cut(rows: Rows, start: int, size: int) -> Rows:
    """Return rows `start` .. `start + size` of every tensor, without a copy."""
    return tuple(tensor.narrow(-1, start, size) for tensor in rows)


def flatten(network: Network) -> tuple[Tensor, Tensor]:
    """Return all weights and their gradient as two buffers, shape (stack, parameters per network).

    The parameters become views of the weights, so that clip, step and average are one operation each.
    """
    parameters = list(network.parameters())
    stack = network.stack
    weights = torch.cat([parameter.detach().reshape(stack, -1) for parameter in parameters], dim=1)
    gradient = torch.zeros_like(weights)
    start = 0
    for parameter in parameters:
        end = start + parameter.numel() // stack
        parameter.data = weights[:, start:end].view(parameter.shape)
        start = end
    weights.requires_grad_()
    weights.grad = gradient
    return weights, gradient


@contextmanager
def holding(weights: Tensor, values: Tensor) -> Iterator[None]:
    """Put `values` in place of `weights` inside the block."""
    with torch.no_grad():
        before = weights.clone()
        weights.copy_(values)
        yield
        weights.copy_(before)


def choose_device(name: str, prefers_cpu: bool = False) -> torch.device:
    """Return the device called `name`; ``auto`` takes cuda, else mps, else cpu, and cpu at once where preferred."""
    if name == "auto" and prefers_cpu:
        name = "cpu"
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return torch.device(name)


def multiplies_bfloat16(device: str) -> bool:
    """Return whether `device` is a CPU with bfloat16 products of its own, which oneDNN may use."""
    itself = torch.cpu._is_avx512_bf16_supported() and multiplies_bfloat16_itself()
    return choose_device(device).type == "cpu" and bool(itself) and lstm_in_bfloat16("cpu")


@cache
def lstm_in_bfloat16(device: str) -> bool:
    """Return whether PyTorch trains an LSTM in bfloat16 on `device`; only a try shows it."""
    place = choose_device(device)
    # The weights drawn for the try must not move the caller's random numbers.
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        layer, sequence = torch.nn.LSTM(1, 1).to(place), torch.zeros(1, 1, 1, device=place)
        try:
            with torch.autocast(place.type, torch.bfloat16):
                states, _ = layer(sequence)
            states.float().sum().backward()
        except RuntimeError:
            return False
    return True


def machine_kind(device: torch.device, precision: str, compiler: str = "") -> str:
    """Return what the last bits of a training depend on beside its settings: ``cpu float32 AVX512 numba``."""
    capability = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else ""
    return " ".join(filter(None, (device.type, precision, capability, compiler)))


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Multiply in all bits of float32 inside the block, in the same order every time; on a GPU cuDNN would not.

    Its LSTM multiplies in TF32 otherwise, whose 11 bits show in the fifth digit of a forecast.
    """
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False), warnings.catch_warnings():
        # All weights are in the training's one buffer, so that cuDNN copies an LSTM's into its own at every call.
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk", UserWarning)
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one intra-op thread inside the block: processes are the parallelism, and bits stay the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
