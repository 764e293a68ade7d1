"""Compiles the networks' kernels once per machine, keeps the result where the user can write, and trains with it.

Both ways of training, this one and `training.Descent`, take the same rows, factors and drawn weights; they differ in
the order of their sums alone.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from volassets.file_lock import FileLock
from volassets.models.networks import Stacked, StackedLstm, StackedTransformer
from volassets.models.processor import features
from volassets.models.training import Descent, Hyperparameters, Network, Rows

CACHE_VARIABLE = "NUMBA_CACHE_DIR"
# Of each network: the module of its epoch, and the sizes of its encoder, by the names of `Space.of`.
KERNELS: dict[type[Stacked], tuple[str, tuple[str, ...]]] = {
    StackedLstm: ("lstm_kernels", ("units",)),
    StackedTransformer: ("transformer_kernels", ("width", "heads")),
}
_NAMES = ("lstm_kernels", "transformer_kernels", "stacked_kernels", "attention_loops", "vector_loops")
SOURCES = tuple(Path(__file__).with_name(f"{name}.py") for name in _NAMES)
_log = logging.getLogger(__name__)

TrainEpoch = Callable[..., np.ndarray]


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


def kernels_of(module: str) -> Any:
    """Return a module of kernels; numba is loaded with it, and only with it."""
    return import_module(f"volassets.models.{module}")


@cache
def compiled_epoch(module: str) -> TrainEpoch | None:
    """Return the module's `train_epoch` compiled, None where that is not possible, with a line of log.

    The first process of a machine compiles it, others wait for it and read what it kept. Where nothing can be kept or
    what is kept cannot be read it is compiled in memory; the bits are the same. NUMBA_DISABLE_JIT=1 asks for None.
    """
    try:
        from numba import config
    except ImportError as error:
        _log.warning("networks train without compiled code, a third as fast: numba cannot be loaded (%s).", error)
        return None
    if getattr(config, "DISABLE_JIT", 0):
        return None
    try:
        folder = cache_folder(module)
        with FileLock(folder / "lock").wait():
            return _kept_in(folder, module)
    except Exception as error:
        text = "compiled code of a network is not kept (%s): compiling in memory. Name a directory to write to in %s."
        _log.warning(text, error, CACHE_VARIABLE)
    try:
        return _compiled(None, module)
    except Exception as error:
        _log.warning("networks train without compiled code, a third as fast: it does not compile (%s).", error)
        return None


def cache_folder(module: str) -> Path:
    """Return the directory of a module's compiled code: of these sources, versions and this processor alone.

    Below NUMBA_CACHE_DIR where it is set, else in the user's directory of caches; RuntimeError without a home.
    """
    base = os.environ.get(CACHE_VARIABLE)
    if not base:
        own = "~/Library/Caches" if sys.platform == "darwin" else os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        base = f"{own}/volassets"
    chosen = [os.environ.get(f"NUMBA_{name}", "") for name in ("CPU_NAME", "CPU_FEATURES", "OPT")]
    parts = [*(source.read_text("utf-8") for source in SOURCES), platform.machine(), sys.version, *sorted(features())]
    parts += [*chosen, *(version(name) for name in ("numba", "llvmlite", "numpy"))]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return Path(base).expanduser() / f"{module}-{digest[:16]}"


def _kept_in(folder: Path, module: str) -> TrainEpoch:
    """Return the compiled function, read from `folder` or compiled into it; what is damaged is compiled again."""
    try:
        return _compiled(folder, module)
    except Exception as error:
        damaged = list(folder.rglob("*.nb[ic]"))
        if not damaged:
            raise
        _log.warning("compiled code in %s cannot be read (%s): compiling again.", folder, error)
        for file in damaged:
            file.unlink()
        return _compiled(folder, module)


def _compiled(folder: Path | None, module: str) -> TrainEpoch:
    """Compile with a first call on a few numbers; no other types are compiled after it."""
    from numba import config, njit

    from volassets.models.vector_loops import OPTIONS

    kernels = kernels_of(module)
    function: Any = njit(**OPTIONS)(kernels.train_epoch)
    if folder is not None:
        numba: Any = config
        before, numba.CACHE_DIR = numba.CACHE_DIR, str(folder)
        try:
            function.enable_caching()
        finally:
            numba.CACHE_DIR = before
    function(*kernels.smallest_arguments())
    function.disable_compile()
    return function
