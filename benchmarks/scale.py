"""Unit costs of more than one machine, for docs/scale.md: `python -m benchmarks.scale [NAME ...]`.

Writers per back end, months per minute by Celery workers, and what a code location costs. The
servers are those of the tests: real PostgreSQL, redis and an S3-speaking server on 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.computing import PRICES, compute
from volassets.settings import load_settings
from volassets.warehouse.store import Replacement, open_warehouse
from volassets_tests.end_to_end.cluster import Cluster, cluster
from volassets_tests.end_to_end.servers import ObjectStore, object_store, wait_until

WRITERS = (1, 2, 4, 8)
WRITING_SECONDS = 6.0
TICKERS = (100, 1000)
GRID = ("lag_analysis", "selected_features", "garch_fits", "garch_forecasts", "benchmark_forecasts")
PAIR = ("^GSPC", "^IXIC")
MONTHS = ("2017-01-01", "2017-12-01")

LOAD = """
import json, resource, time
start = time.perf_counter()
from volassets.definitions import defs
built = defs()
built.get_repository_def()
loaded = time.perf_counter() - start
from volassets.orchestration.partitions import partitions_of
from volassets.pipeline.cells import Scope
from volassets.settings import load_settings
cells = len(partitions_of(load_settings(), Scope.TICKER_MONTH).get_partition_keys())
listed = time.perf_counter() - start - loaded
print(json.dumps([loaded, cells, listed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def forecasts(ticker: str, month: pd.Timestamp) -> pd.DataFrame:
    """Return a month of one model's forecasts at three horizons, as many rows as a real cell has."""
    days = pd.bdate_range(month, periods=22)
    frame = pd.DataFrame({"origin_date": np.repeat(days[:-1], 3), "target_date": np.repeat(days[1:], 3)})
    variance = np.random.default_rng(month.month).lognormal(-9, 0.5, len(frame))
    return frame.assign(
        ticker=ticker,
        refit_month=month,
        model="gjr",
        horizon=np.tile([1, 5, 22], len(days) - 1),
        variance=variance,
        volatility=np.sqrt(252 * variance),
        lower=0.5 * np.sqrt(252 * variance),
        upper=2.0 * np.sqrt(252 * variance),
        data_hash="0123456789abcdef",
    )


def _write(home: str, back_end: str, writer: int, ready: object, written: object) -> None:
    """Write cells of a ticker of one's own until the time is over."""
    warehouse = open_warehouse(load_settings(Path(home), {"warehouse": back_end}))
    months = [(m, forecasts(f"T{writer}", m)) for m in pd.date_range("2000-01-01", periods=240, freq="MS")]
    cell = pd.DataFrame({"ticker": [f"T{writer}"], "refit_month": [months[0][0]], "model": ["gjr"]})
    warehouse.write(Replacement("garch_forecasts", months[0][1], cell))
    ready.wait()  # type: ignore[attr-defined]
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < WRITING_SECONDS:
        month, rows = months[count % len(months)]
        warehouse.write(Replacement("garch_forecasts", rows, cell.assign(refit_month=month)))
        count += 1
    written.put(count / (time.perf_counter() - start))  # type: ignore[attr-defined]


@contextlib.contextmanager
def back_ends(folder: Path) -> Iterator[dict[str, str]]:
    """Give the settings' value of each back end, empty stores below `folder` and on an object store."""
    (folder / "objects").mkdir()
    with object_store(folder / "objects") as objects:
        os.environ.update(objects.environment())
        yield {
            "duckdb": "duckdb",
            "parquet, directory": f"parquet:{folder / 'cells'}",
            "parquet, S3 (moto)": f"parquet:s3://{ObjectStore.BUCKET}/cells",
        }


def writers() -> pd.DataFrame:
    """Cells written per second, one cell a call, by processes that write at the same time."""
    context = multiprocessing.get_context("spawn")
    results = []
    with tempfile.TemporaryDirectory() as name, back_ends(Path(name)) as kinds:
        for kind, back_end in kinds.items():
            row: dict[str, object] = {"back end": kind}
            for count in WRITERS:
                ready, written = context.Barrier(count), context.Queue()
                arguments = [(name, back_end, writer, ready, written) for writer in range(count)]
                processes = [context.Process(target=_write, args=each) for each in arguments]
                for process in processes:
                    process.start()
                row[f"{count}"] = sum(written.get(timeout=180) for _ in processes)
                for process in processes:
                    process.join()
            results.append(row)
    return pd.DataFrame(results)


def code_location() -> pd.DataFrame:
    """Seconds and memory to load the code location, in a process of its own."""
    results = []
    for count in TICKERS:
        with tempfile.TemporaryDirectory() as home:
            names = ",".join(f"T{number:05}" for number in range(count))
            environment = {**os.environ, "VOLASSETS_HOME": home, "VOLASSETS_TICKERS": names}
            done = subprocess.run(
                [sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=True
            )
            names_of = ("seconds to load", "cells", "seconds to list the cells", "peak MiB")
            values = json.loads(done.stdout.splitlines()[-1])
            results.append({"tickers": count, **dict(zip(names_of, values, strict=True))})
    return pd.DataFrame(results)


def workers() -> pd.DataFrame:
    """Refit months per minute of a backfill by Celery workers (naive, garch, gjr), first start to last end."""
    results = []
    for count in (1, 2):
        with tempfile.TemporaryDirectory() as name, cluster(Path(name), PAIR, ("naive", "garch", "gjr"), count) as ours:
            seconds, database = _backfill(ours, count)
            months = len(PAIR) * 12
            row = {"workers": count, "months": months, "seconds": seconds, "months/minute": 60 * months / seconds}
            results.append({**row, "PostgreSQL KiB/month": database / months})
    return pd.DataFrame(results)


def _backfill(ours: Cluster, count: int) -> tuple[float, float]:
    """Run the backfill; return the seconds of its grid runs and what PostgreSQL grew by, in KiB."""
    for number in range(count):
        ours.worker(f"worker{number}").start()
    prices = ours.backfill(dict.fromkeys(PRICES, PAIR))
    ours.daemon.start()
    wait_until(lambda: ours.backfill_status(prices).startswith("COMPLETED"), 600, "the prices", pause=1.0)
    before = _database_kib(ours)
    keys = (f"{MONTHS[0]}|{PAIR[0]}", f"{MONTHS[1]}|{PAIR[1]}")
    months = ours.backfill(dict.fromkeys(GRID, keys))
    wait_until(lambda: ours.backfill_status(months).startswith("COMPLETED"), 900, "the months", pause=1.0)
    asked = "query { runsOrError { ... on Runs { results { startTime endTime tags { key value } } } } }"
    runs = ours.graphql(asked)["runsOrError"]["results"]
    grid = [run for run in runs if {"key": "dagster/backfill", "value": months} in run["tags"]]
    seconds = max(run["endTime"] for run in grid) - min(run["startTime"] for run in grid)
    return seconds, _database_kib(ours) - before


def _database_kib(ours: Cluster) -> float:
    import sqlalchemy

    engine = sqlalchemy.create_engine(ours.cluster.url)
    with engine.connect() as connection:
        size = connection.execute(sqlalchemy.text("SELECT pg_database_size(current_database())")).scalar_one()
    engine.dispose()
    return float(size) / 1024


def cell_sizes() -> pd.DataFrame:
    """Files and bytes per ticker and month in a Parquet store of garch, har, log_har and elastic_net."""
    from volassets.pipeline.context import Context

    with tempfile.TemporaryDirectory() as name:
        chosen = ["naive", "garch", "gjr", "har", "log_har", "elastic_net"]
        settings = load_settings(Path(name), {"warehouse": f"parquet:{name}/cells", "models": chosen, "jobs": 2})
        months = {PAIR[0]: list(pd.date_range(*MONTHS, freq="MS"))}
        with Context(settings) as context:
            compute(context, months, PRICES)
            compute(context, months)
        files = [
            (p.relative_to(Path(name, "cells")).parts[0], p.stat().st_size)
            for p in Path(name, "cells").rglob("*.parquet")
        ]
    frame = pd.DataFrame(files, columns=["table", "bytes"])
    return frame.groupby("table", sort=False)["bytes"].agg(files="size", mean_bytes="mean").reset_index()


BENCHMARKS: dict[str, Callable[[], pd.DataFrame]] = {
    "writers": writers,
    "code_location": code_location,
    "workers": workers,
    "cell_sizes": cell_sizes,
}


def main(names: list[str]) -> int:
    """Run the named benchmarks, all without a name."""
    for name in names or BENCHMARKS:
        load = os.getloadavg()[0]
        print(f"{name}: {(BENCHMARKS[name].__doc__ or '').splitlines()[0]}  (load average before: {load:.1f})")
        print(BENCHMARKS[name]().to_string(index=False, float_format=lambda value: f"{value:.2f}"), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
