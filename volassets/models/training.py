"""The training loop of every network: tensors in, weights and a history out.

It knows a network, tensors, numbers and a callback. Rows are the last dimension of every tensor. A network may hold a
stack of equal networks that differ in their seed; they see the same batches and are trained side by
side, which costs far less than one after the other. None has a part in another's loss, clip or step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import pandas as pd
import torch
from torch import Tensor

from volassets.models.processor import multiplies_bfloat16_itself

Rows = tuple[Tensor, ...]


class Network(torch.nn.Module):
    """What the loop needs of a network; `stack` equal ones are trained side by side."""

    stack: int

    def noise(self, n_rows: int, generators: Sequence[torch.Generator]) -> Rows:
        """Return what one epoch needs of random numbers beside the order of its rows; may be empty."""
        raise NotImplementedError

    def loss(self, rows: Rows, noise: Rows) -> Tensor:
        """Return the mean loss of `rows`, shape (stack,); without noise the network is as it forecasts."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The numbers of a training run.

    Attributes
    ----------
    epochs : int
    batch_size, last_batch_size : int
        Rows per step in the first and in the last epoch, geometric in between, in multiples of
        `batch_size`.
    learning_rate, final_rate : float
        First rate, and the last one as a share of it; a half cosine between, over rows seen.
    rate_factor, rate_patience : float, int
        Instead of the cosine: the factor on the rate after more than so many epochs without a better
        validation loss. A factor of 1 selects the cosine.
    weight_decay : float
    decoupled : bool
        AdamW where True, else Adam with an L2 penalty.
    clip : float
        Largest gradient norm, per network of the stack.
    average : float
        Decay of the weights' moving average per `batch_size` rows, corrected for its start so that
        the drawn weights have no part in it; 0 keeps the last weights.
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
    """The steps of one training run: all weights in one buffer, their average, and the rate.

    Parameters
    ----------
    network : Network
        On its device; its parameters become views of the buffer.
    recipe : Recipe
    n_rows : int
        Training rows.

    Attributes
    ----------
    weights, averaged : Tensor, shape (stack, parameters per network)
    sizes : list of int
        Rows per step of every epoch.
    rate : float
        Of the last step.
    """

    def __init__(self, network: Network, recipe: Recipe, n_rows: int) -> None:
        self.network, self.recipe = network, recipe
        self.weights, self.gradient = flatten(network)
        self.parameters = list(network.parameters())
        self.averaged = self.weights.detach().clone()
        self.sizes = [recipe.batch_of_epoch(epoch, n_rows) for epoch in range(recipe.epochs)]
        self.rate = recipe.learning_rate
        self._rows_to_see = sum(n_rows // size * size for size in self.sizes)
        self._rows_seen = 0
        self._forgotten = 1.0
        self._stale = 0
        self._optimizer = (torch.optim.AdamW if recipe.decoupled else torch.optim.Adam)(
            [self.weights], lr=self.rate, weight_decay=recipe.weight_decay, fused=self.weights.device.type != "mps"
        )

    @property
    def current(self) -> Tensor:
        """Weights that forecast: the average where there is one."""
        return self.averaged if self.recipe.average else self.weights.detach()

    def epoch(self, size: int, rows: Rows, noise: Rows) -> tuple[float, ...]:
        """Step through `rows`, `size` at a time; return the mean loss of every network."""
        n_rows = rows[0].shape[-1]
        total = torch.zeros(self.network.stack, device=self.weights.device)
        for start in range(0, n_rows - size + 1, size):
            total += self.step(cut(rows, start, size), cut(noise, start, size))
        return tuple((total / (n_rows // size)).tolist())

    def step(self, rows: Rows, noise: Rows) -> Tensor:
        """Take one step; return the loss before it, shape (stack,)."""
        recipe, n_rows = self.recipe, rows[0].shape[-1]
        if recipe.rate_factor == 1:
            share = 0.5 * (1 + math.cos(math.pi * self._rows_seen / self._rows_to_see))
            self.rate = recipe.learning_rate * (recipe.final_rate + (1 - recipe.final_rate) * share)
        self._optimizer.param_groups[0]["lr"] = self.rate
        loss = self.network.loss(rows, noise)
        parts = torch.autograd.grad(loss.sum(), self.parameters)
        torch.cat([part.reshape(self.network.stack, -1) for part in parts], dim=1, out=self.gradient)
        norm = self.gradient.norm(dim=1, keepdim=True)
        self.gradient.mul_((recipe.clip / (norm + 1e-6)).clamp_(max=1.0))
        self._optimizer.step()
        if recipe.average:
            keep = recipe.average ** (n_rows / recipe.batch_size)
            self._forgotten *= keep
            self.averaged.lerp_(self.weights.detach(), (1 - keep) / (1 - self._forgotten))
        self._rows_seen += n_rows
        return loss.detach()

    def step_on_plateau(self, stale: int) -> None:
        """Lower the rate at a plateau, after `stale` epochs without a better validation loss."""
        self._stale = self._stale + 1 if stale else 0
        if self._stale > self.recipe.rate_patience:
            self.rate, self._stale = self.rate * self.recipe.rate_factor, 0


class Trainer:
    """Trains one network (or stack) on one device.

    Parameters
    ----------
    network : Network
        Trained in place; afterwards it holds the weights that forecast.
    recipe : Recipe
    seeds : sequence of int
        One per network of the stack. They decide the noise; the first one also the rows' order.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Attributes
    ----------
    history : list of Epoch
    best_epoch : int
        Epoch (from 1) whose weights are kept: the one of least validation loss, else the last.
    """

    def __init__(self, network: Network, recipe: Recipe, seeds: Sequence[int], device: str = "auto") -> None:
        self.device = choose_device(device)
        self.network = network.to(self.device)
        self.recipe = recipe
        self.seeds = tuple(seeds)
        self.history: list[Epoch] = []
        self.best_epoch = 0

    def fit(self, rows: Rows, validation: Rows = (), on_epoch: Callable[[Epoch], None] | None = None) -> Trainer:
        """Train on `rows`; `validation` rows decide the plateau, the stop and the best epoch."""
        rows, validation = self._here(rows), self._here(validation)
        n_rows = rows[0].shape[-1]
        generators = [torch.Generator().manual_seed(seed) for seed in self.seeds]
        descent = Descent(self.network, self.recipe, n_rows)
        best = descent.weights.detach().clone()
        best_loss, stale = math.inf, 0
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
            if on_epoch:
                on_epoch(self.history[-1])

            mean_loss = sum(validation_loss) / len(validation_loss)
            if not validation or mean_loss < best_loss:
                best_loss, stale, self.best_epoch = mean_loss, 0, epoch
                best.copy_(descent.current)
            else:
                stale += 1
                if stale == self.recipe.patience:
                    break
            descent.step_on_plateau(stale)
        with torch.no_grad():
            descent.weights.copy_(best)
        return self

    def _here(self, rows: Rows) -> Rows:
        return tuple(tensor.to(self.device) for tensor in rows)

    def validate(self, rows: Rows) -> tuple[float, ...]:
        """Return the mean loss of `rows` per network, without noise."""
        self.network.eval()
        with torch.no_grad():
            return tuple(self.network.loss(self._here(rows), ()).tolist())

    def predict(self, *inputs: Tensor) -> Tensor:
        """Return the network's output for `inputs`, on the CPU."""
        self.network.eval()
        with torch.no_grad():
            return self.network(*self._here(inputs)).cpu()


def cut(rows: Rows, start: int, size: int) -> Rows:
    """Return rows `start` .. `start + size` of every tensor, without a copy."""
    return tuple(tensor.narrow(-1, start, size) for tensor in rows)


def flatten(network: Network) -> tuple[Tensor, Tensor]:
    """Move all parameters into one buffer, so that clip, step and average are one operation each.

    Returns
    -------
    weights, gradient : Tensor, shape (stack, parameters per network)
        The parameters are views of the weights from now on; the gradient is the weights' own.
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


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; ``auto`` takes cuda, else mps, else cpu."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return torch.device(name)


def history_frame(history: Sequence[Epoch]) -> pd.DataFrame:
    """Return one row per seed and epoch: seed, epoch, train_loss, validation_loss, learning_rate."""
    rows = [
        (seed, epoch.number, train, validation, epoch.learning_rate)
        for epoch in history
        for seed, (train, validation) in enumerate(zip(epoch.train_loss, epoch.validation_loss, strict=True))
    ]
    frame = pd.DataFrame(rows, columns=["seed", "epoch", "train_loss", "validation_loss", "learning_rate"])
    return frame.sort_values(["seed", "epoch"], ignore_index=True)


def multiplies_bfloat16(device: str) -> bool:
    """Return whether the device called `device` is a CPU with bfloat16 products of its own, which oneDNN may use."""
    itself = torch.cpu._is_avx512_bf16_supported() and multiplies_bfloat16_itself()
    return choose_device(device).type == "cpu" and bool(itself) and lstm_in_bfloat16("cpu")


@cache
def lstm_in_bfloat16(device: str) -> bool:
    """Return whether PyTorch trains an LSTM in bfloat16 on the device called `device`; only a try shows it."""
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


def machine_kind(device: torch.device, precision: str) -> str:
    """Return what the last bits of a training depend on beside its settings: ``cpu float32 AVX512``."""
    capability = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else ""
    return " ".join(filter(None, (device.type, precision, capability)))


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one intra-op thread inside the block: processes are the parallelism, and bits stay the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
