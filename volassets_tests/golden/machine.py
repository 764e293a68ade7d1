"""The kind of machine that a number was made on: on one kind the same program gives the same bits."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "statsmodels", "arch", "numba")
# What lets a library take other instructions than the processor has.
SWITCHES = (
    "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_DISABLE_JIT",
)  # fmt: skip


def machine_kind() -> dict[str, Any]:
    """Return what decides the bits: instructions that the libraries take, and the libraries' versions.

    The processor's maker is among it because MKL chooses by it, its model is not.
    """
    import numpy
    import scipy.linalg  # noqa: F401  (so that its own BLAS is loaded and listed)
    import threadpoolctl
    import torch

    simd = numpy.show_config(mode="dicts")["SIMD Extensions"]
    blas = {pool["architecture"] for pool in threadpoolctl.threadpool_info() if pool.get("internal_api") == "openblas"}
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "vendor": _vendor(),
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": bool(torch.cpu._is_avx512_bf16_supported()),
        "numpy_simd": sorted(simd.get("found", [])),
        "openblas": sorted(blas),
        "switches": {name: os.environ[name] for name in SWITCHES if name in os.environ},
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def _vendor() -> str:
    file = Path("/proc/cpuinfo")
    found = re.search(r"^vendor_id\s*:\s*(\S+)", file.read_text("utf-8"), re.MULTILINE) if file.exists() else None
    return found.group(1) if found else ""
