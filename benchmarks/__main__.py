"""`python -m benchmarks [NAME ...]`: run the benchmarks, print their tables, keep them under benchmarks/results/."""

from __future__ import annotations

import os
import platform
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmarks import devices, graph, networks, overhead, pooled, portfolios, risk, universe
from volassets.clock import utc_now

RESULTS = Path(__file__).parent / "results"
BENCHMARKS: dict[str, Callable[[], pd.DataFrame]] = {
    "garch": graph.garch,
    "lstm": networks.lstm,
    "transformer": networks.transformer,
    "lstm_reference": networks.lstm_reference,
    "devices": devices.devices,
    "pooled": pooled.pooled,
    "growth": graph.growth,
    "overhead": overhead.overhead,
    "portfolios": portfolios.portfolios,
    "portfolio_cost": portfolios.portfolio_cost,
    "risk": risk.risk,
    "universe": universe.universe,
    "universe_parts": universe.universe_parts,
}


def main(names: list[str]) -> int:
    """Run the named benchmarks, all without a name; return the exit code, 1 where one failed."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"unknown benchmark {unknown[0]!r}: choose from {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    parts = [f"# Benchmarks, {utc_now():%Y-%m-%d}", "", machine(), ""]
    file = RESULTS / f"{utc_now():%Y-%m-%d}.md"
    failed = False
    for name in names or BENCHMARKS:
        function = BENCHMARKS[name]
        summary = (function.__doc__ or "").splitlines()[0]
        try:
            table = function().to_string(index=False, float_format=lambda value: f"{value:.2f}")
        except Exception as error:
            traceback.print_exc()
            failed, table = True, f"failed: {type(error).__name__}: {error}"
        part = f"## {name}\n\n{summary}\n\n```\n{table}\n```\n"
        print(part, flush=True)
        parts.append(part)
        # Written after each, so that what was measured is there however the rest ends.
        if not names:
            RESULTS.mkdir(exist_ok=True)
            file.write_text("\n".join(parts), encoding="utf-8")
    print("not kept: only whole runs are" if names else f"kept in {file}")
    return int(failed)


def machine() -> str:
    """Return one line about the machine: processor, cores, memory, versions."""
    import torch

    processor = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB, load {load:.1f} at the start; Python "
        f"{platform.python_version()}, torch {torch.__version__}, CUDA {torch.cuda.is_available()}. The machine was "
        "shared: compare ratios, not seconds."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
