"""Compiles the networks' kernels once per machine, and keeps the result where the user can write.

`compile_ahead` starts that in a process of its own. Neither PyTorch nor numba is loaded with this module.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from volassets.file_lock import FileLock
from volassets.models.processor import features
from volassets.parent_watch import end_with

CACHE_VARIABLE = "NUMBA_CACHE_DIR"
_NAMES = ("lstm_kernels", "transformer_kernels", "stacked_kernels", "attention_loops", "vector_loops")
SOURCES = tuple(Path(__file__).with_name(f"{name}.py") for name in _NAMES)
# Just below that of the fits that run meanwhile: on a busy machine the networks wait for it.
NICENESS = 1
_log = logging.getLogger(__name__)
_ahead: dict[str, subprocess.Popen[bytes]] = {}

TrainEpoch = Callable[..., np.ndarray]


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


def must_compile(module: str) -> bool:
    """Return whether the module's code is to be compiled, but neither kept nor begun by `compile_ahead`."""
    if module in _ahead or os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return False
    try:
        return not any(cache_folder(module).rglob("*.nbc"))
    except Exception as error:
        _log.debug("%s is not compiled ahead: %s", module, error)
        return False


def compile_ahead(module: str) -> None:
    """Compile a module for every process of this machine, in one of low priority that ends with this one.

    Who needs it meanwhile waits for it in `compiled_epoch`, which also says what is wrong: here nothing is said.
    """
    command = [sys.executable, "-P", "-m", __name__, module, str(os.getpid())]
    # What this process can import, and from where.
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    nothing = subprocess.DEVNULL
    try:
        _ahead[module] = subprocess.Popen(command, env=given, stdin=nothing, stdout=nothing, stderr=nothing)
    except OSError as error:
        _log.debug("%s is not compiled ahead: %s", module, error)


def _compile_for(module: str, parent: int) -> None:
    """Compile a module into its directory, and end with the process `parent`."""
    end_with(parent)
    os.nice(NICENESS)
    folder = cache_folder(module)
    with FileLock(folder / "lock").wait():
        _compiled(folder, module)


if __name__ == "__main__":
    _compile_for(sys.argv[1], int(sys.argv[2]))
