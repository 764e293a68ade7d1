"""What the processor can multiply, as far as the system says: a run asks before it writes, without loading PyTorch.

PyTorch leaves an LSTM on a CPU to oneDNN, which has no bfloat16 one for x86 processors without AVX-512. Where
nothing is certain (another system, a newer instruction set, a GPU that may be there) the answer here is that nothing
speaks against it, and the fit asks PyTorch.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path

from volassets.models.protocol import Model

CPUINFO = Path("/proc/cpuinfo")
GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})
# AVX2_VNNI_2 and its flag avx_ne_convert convert bfloat16, so that another oneDNN may have the LSTM there.
BELOW_AVX512 = frozenset({"SSE41", "AVX", "AVX2", "AVX2_VNNI"})
EMULATED = frozenset({"AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"})


def require_machine(models: Iterable[Model]) -> None:
    """Let every model that asks something of the machine check it.

    Raises
    ------
    InputError
        If a model cannot be fitted here.
    """
    for model in models:
        model.check_machine()


def instruction_limit() -> tuple[str, str]:
    """Return the variable that limits oneDNN and its value in capitals; two empty texts without one."""
    return next(((name, os.environ[name].upper()) for name in LIMITS if os.environ.get(name)), ("", ""))


def multiplies_bfloat16_itself() -> bool:
    """Return whether oneDNN may use bfloat16 products of the processor, if that has them."""
    return instruction_limit()[1] not in BELOW_AVX512 | EMULATED


def why_no_bfloat16(device: str) -> str:
    """Return what keeps an LSTM from training in bfloat16 on `device`; empty where nothing surely does.

    Parameters
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """
    elsewhere = device not in ("auto", "cpu") or (device == "auto" and any(path.exists() for path in GPU_DEVICES))
    if elsewhere or platform.machine() not in ("x86_64", "AMD64"):
        return ""
    variable, limit = instruction_limit()
    if limit in BELOW_AVX512:
        return f"{variable} = {limit} keeps oneDNN from AVX-512"
    flags = _flags()
    if not flags or "avx_ne_convert" in flags or flags >= AVX512:
        return ""
    return f"{CPUINFO} lists no {', '.join(sorted(AVX512 - flags))}"


def _flags() -> frozenset[str]:
    """Return the processor's features in Linux's names; none where the system has no such list."""
    try:
        lines = CPUINFO.read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
