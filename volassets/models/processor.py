"""Whether the processor can train an LSTM in bfloat16, found without loading PyTorch.

PyTorch leaves an LSTM on a CPU to oneDNN, which has no bfloat16 one for x86 processors without AVX-512. In doubt
(another system, a newer instruction set, a GPU) nothing is refused here, and the fit asks PyTorch.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})
# AVX2_VNNI_2 and its flag avx_ne_convert convert bfloat16, so that another oneDNN may have the LSTM there.
BELOW_AVX512 = frozenset({"SSE41", "AVX", "AVX2", "AVX2_VNNI"})
EMULATED = frozenset({"AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"})


def instruction_limit() -> tuple[str, str]:
    """Return the variable that limits oneDNN and its value in capitals; two empty texts without one."""
    return next(((name, os.environ[name].upper()) for name in LIMITS if os.environ.get(name)), ("", ""))


def multiplies_bfloat16_itself() -> bool:
    """Return whether oneDNN may use the processor's bfloat16 products, if there are any."""
    return instruction_limit()[1] not in BELOW_AVX512 | EMULATED


def why_no_bfloat16(device: str) -> str:
    """Return what keeps an LSTM from training in bfloat16 on `device` (auto, cpu, cuda, mps); empty if nothing does."""
    elsewhere = device not in ("auto", "cpu") or (device == "auto" and any(path.exists() for path in GPU_DEVICES))
    if elsewhere or platform.machine() not in ("x86_64", "AMD64"):
        return ""
    variable, limit = instruction_limit()
    if limit in BELOW_AVX512:
        return f"{variable} = {limit} keeps oneDNN from AVX-512"
    flags = features()
    if not flags or "avx_ne_convert" in flags or flags >= AVX512:
        return ""
    return f"{CPUINFO} lists no {', '.join(sorted(AVX512 - flags))}"


def may_have_gpu() -> bool:
    """Return whether PyTorch may find a GPU here, without loading it."""
    return platform.system() == "Darwin" or any(path.exists() for path in GPU_DEVICES)


def features() -> frozenset[str]:
    """Return the processor's features in Linux's names; none on another system."""
    try:
        lines = CPUINFO.read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
