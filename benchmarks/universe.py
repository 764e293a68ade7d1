"""Processor time and memory of a run over many tickers: growth to 200 tickers, and where the time goes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.computing import COMPARED, PRICES, compute
from volassets.market.bundled import BundledSource
from volassets.timing import months_between, refit_month

MODELS = ("naive", "rolling_20", "ewma", "gjr", "log_har")
BARS = 2700
SIZES = ((24, 12), (24, 1), (50, 1), (100, 1), (200, 1))
LAST = "2018-12"


def universe() -> pd.DataFrame:
    """Run five quick models over up to 200 tickers: processor seconds, growth, a second run, peak memory.

    Returns
    -------
    DataFrame
        Columns tickers, months, seconds (wall), cpu_seconds (all processes), cpu_per_ticker, again_cpu_seconds (a
        second run, nothing to do), peak_mib (proportional set size of all processes of the run, sampled).
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        names = write_prices(Path(folder, "prices"), max(tickers for tickers, _ in SIZES))
        for tickers, months in SIZES:
            home = Path(folder, f"home-{tickers}-{months}")
            first = f"{refit_month(LAST) - pd.DateOffset(months=months - 1):%Y-%m}"
            command = _command(Path(folder, "prices"), names[:tickers], first)
            seconds, cpu, peak = _measured(command, home)
            _, again, _ = _measured(command, home)
            rows.append((tickers, months, seconds, cpu, cpu / tickers, again, peak))
    names = ["tickers", "months", "seconds", "cpu_seconds", "cpu_per_ticker", "again_cpu_seconds", "peak_mib"]
    return pd.DataFrame(rows, columns=names)


def universe_parts() -> pd.DataFrame:
    """Take 24 tickers x 12 months apart: the workers, the main process, Dagster's share.

    Returns
    -------
    DataFrame
        Columns what, cpu_seconds. Dagster's share is a whole run less the same steps without Dagster.
    """
    tickers, months = SIZES[0]
    first = f"{refit_month(LAST) - pd.DateOffset(months=months - 1):%Y-%m}"
    with tempfile.TemporaryDirectory() as folder:
        names = write_prices(Path(folder, "prices"), tickers)
        _, whole, _ = _measured(_command(Path(folder, "prices"), names, first), Path(folder, "whole"))
        here = [sys.executable, "-m", "benchmarks.universe", folder, first, *names]
        printed = subprocess.run(here, check=True, capture_output=True, text=True).stdout.split()
    ours, workers = map(float, printed[-2:])
    rows = [
        ("features, fits, forecasts, comparisons in the workers", workers),
        ("planning, checks and storing in the main process", ours),
        ("Dagster: its import, definitions, events, record", whole - workers - ours),
        ("all", whole),
    ]
    return pd.DataFrame(rows, columns=["what", "cpu_seconds"])


def write_prices(folder: Path, count: int) -> list[str]:
    """Write `count` price files, the bundled S&P 500 times a random walk each, and return their names."""
    bars = BundledSource().fetch("^GSPC").iloc[-BARS:]
    generator = np.random.default_rng(0)
    prices = [column for column in bars if column != "volume"]
    folder.mkdir(parents=True)
    names = [f"T{number:03d}" for number in range(count)]
    for name in names:
        factor = np.exp(np.cumsum(generator.normal(0, 0.01, len(bars))))
        bars.assign(**{column: bars[column] * factor for column in prices}).to_csv(folder / f"{name}.csv")
    return names


def _command(prices: Path, tickers: list[str], first: str) -> list[str]:
    chosen = [part for ticker in tickers for part in ("--ticker", ticker)]
    command = [sys.executable, "-m", "volassets", "run", "--source", "csv", "--csv-dir", str(prices), *chosen]
    return [*command, "--from", first, "--to", LAST, "--models", ",".join(MODELS), "--jobs", "2"]


def _measured(command: list[str], home: Path) -> tuple[float, float, float]:
    """Return wall seconds, processor seconds and peak MiB of a command and its children."""
    before, start, peak = _cpu(), time.perf_counter(), 0.0
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "VOLASSETS_HOME": str(home)}
    )
    while process.poll() is None:
        peak = max(peak, _proportional_set_size(process.pid))
        time.sleep(0.5)
    if process.returncode:
        raise RuntimeError(process.stderr.read().decode() if process.stderr else "")
    return time.perf_counter() - start, _cpu() - before, peak


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _proportional_set_size(pid: int) -> float:
    """Return the MiB of a process and its children; a page that n processes share counts 1/n in each."""
    total, waiting = 0.0, [pid]
    while waiting:
        process = waiting.pop()
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
            total += next(float(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024
            for task in Path(f"/proc/{process}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:  # ended meanwhile
            continue
    return total


def _without_dagster(folder: str, first: str, names: list[str]) -> tuple[float, float]:
    """Return the processor seconds of the main process and of the workers, without Dagster."""
    from joblib.externals.loky import get_reusable_executor

    from volassets.pipeline.context import Context
    from volassets.settings import load_settings

    months = months_between(refit_month(first), refit_month(LAST))
    options = {"models": MODELS, "tickers": tuple(names), "source": "csv", "csv_dir": f"{folder}/prices", "jobs": 2}
    start = time.process_time()
    with Context(load_settings(Path(folder, "plain"), options)) as context:
        requested = dict.fromkeys(names, months)
        compute(context, requested, PRICES)
        compute(context, requested)
        compute(context, requested, COMPARED)
    ours = time.process_time() - start
    get_reusable_executor().shutdown()
    return ours, _cpu()


if __name__ == "__main__":
    print(*_without_dagster(sys.argv[1], sys.argv[2], sys.argv[3:]))
