"""Trains the networks an epoch at a time in the code that `compilation` compiles.

Both ways of training, this one and `training.Descent`, take the same rows, factors and drawn weights; they differ in
the order of their sums alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from volassets.models.compilation import compiled_epoch, kernels_of
from volassets.models.networks import Stacked, StackedLstm, StackedTransformer
from volassets.models.training import Descent, Hyperparameters, Network, Rows

# Of each network: the module of its epoch, and the sizes of its encoder, by the names of `Space.of`.
KERNELS: dict[type[Stacked], tuple[str, tuple[str, ...]]] = {
    StackedLstm: ("lstm_kernels", ("units",)),
    StackedTransformer: ("transformer_kernels", ("width", "heads")),
}


class CompiledDescent(Descent):
    """The steps of `Descent`, an epoch at a time in compiled code, for one of `KERNELS` on the CPU."""

    network: Stacked
    compiler = "numba"

    def __init__(self, network: Network, numbers: Hyperparameters, n_rows: int) -> None:
        super().__init__(network, numbers, n_rows)
        self._moments = np.zeros((2, *self.weights.shape), np.float32)
        self._steps_taken = 0

    def epoch(self, size: int, rows: Rows, noise: Rows) -> tuple[float, ...]:
        """See `Descent.epoch`."""
        module, names = KERNELS[type(self.network)]
        kernels, train_epoch = kernels_of(module), compiled_epoch(module)
        assert train_epoch is not None
        arrays = tuple(tensor.contiguous().numpy() for tensor in rows)
        sequence, static, log_ratio, _ = arrays
        days, channels, n_rows = sequence.shape
        merged, head = self.network.dropped
        factors = noise[0].contiguous() if noise else torch.ones(self.network.stack, merged + head, n_rows)
        schedule = np.array([self.next_step(size) for _ in range(n_rows // size)])
        numbers = (self._steps_taken, self.numbers.weight_decay, self.numbers.clip)
        sizes = {"days": days, "channels": channels, "static": len(static), "head": head, "horizons": len(log_ratio)}
        sizes |= {name: getattr(self.network, name) for name in names}
        block = min(kernels.BLOCK, size)
        whole, rest = (kernels.Space.of(**sizes, n=n) for n in (block, size % block or block))
        with one_blas_thread():
            losses = train_epoch(
                whole, rest, arrays, factors.numpy(), size, self.weights.detach().numpy(), self.averaged.numpy(),
                self._moments, schedule, numbers,
            )  # fmt: skip
        self._steps_taken += len(schedule)
        return tuple(losses.tolist())


def descent_for(network: Network, numbers: Hyperparameters, rows: Rows) -> type[Descent]:
    """Return `CompiledDescent` where it serves, else `Descent`.

    It serves a network of `KERNELS` in float32 on the CPU, with AdamW and finite rows, where numba is and can compile.
    """
    serves = (
        type(network) in KERNELS
        and numbers.decoupled
        and all(_plain(tensor) for tensor in (*rows, *network.parameters()))
        and compiled_epoch(KERNELS[type(network)][0]) is not None  # type: ignore[index]
    )
    return CompiledDescent if serves else Descent


def _plain(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32 and bool(tensor.isfinite().all())


def one_blas_thread() -> AbstractContextManager[Any]:
    """Return a context in which BLAS, to which numba leaves products, has one thread, as PyTorch has."""
    return _threads().limit(limits=1, user_api="blas")


@cache
def _threads() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
