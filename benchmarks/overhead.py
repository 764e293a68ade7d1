"""What Dagster, the daemon and the start of a process add to the computing: 100 months of one ticker, three ways."""

from __future__ import annotations

import os
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.computing import COMPARED, PRICES, compute
from benchmarks.graph import timed_run
from volassets.clock import utc_now

TICKER = "^GSPC"
FIRST, LAST, MONTHS = "2010-09", "2018-12", 100
MODELS = ("naive", "garch", "gjr", "log_har")
FAMILIES = ("garch", "linear")
RUN_TIMES = """
query($filter: RunsFilter) { runsOrError(filter: $filter) { ... on Runs { results {
  runId status creationTime startTime endTime } } } }
"""


def overhead() -> pd.DataFrame:
    """Time 100 months of one ticker: the computing alone, through `volassets run`, through the daemon.

    Returns
    -------
    DataFrame
        Columns what, seconds, beyond_computing. The computing is the same work without Dagster in one
        process, its workers' start included: of the months with their pictures, which is what the backfill
        computes, or of the whole run from bars to reports.
    """
    with get_context("spawn").Pool(1) as pool:
        months, whole = pool.apply(computing)
    with tempfile.TemporaryDirectory() as home:
        first, second = (timed_run(home, "bundled", [TICKER], FIRST, LAST, ",".join(MODELS)) for _ in range(2))
    launched, run = _backfill()
    rows = [
        ("the computing alone: the months", months, 0.0),
        ("the computing alone: bars, months, comparison, reports", whole, 0.0),
        ("volassets run, fresh home", first, first - whole),
        ("volassets run again, nothing to do", second, second),
        ("backfill: the run, from its process's start", run, run - months),
        ("backfill: from the click to its end", launched, launched - months),
    ]
    return pd.DataFrame(rows, columns=["what", "seconds", "beyond_computing"])


def computing() -> tuple[float, float]:
    """Return the seconds of the months' steps and pictures, and of everything from bars to reports."""
    from joblib.externals.loky import get_reusable_executor

    from volassets.orchestration import pictures
    from volassets.pipeline.context import Context
    from volassets.reporting.report_files import write_report
    from volassets.settings import load_settings
    from volassets.timing import months_between, refit_month

    months = {TICKER: months_between(refit_month(FIRST), refit_month(LAST))}
    with tempfile.TemporaryDirectory() as home:
        settings = load_settings(Path(home), {"models": MODELS, "tickers": (TICKER,)})
        with Context(settings) as context:
            compute(context, months, PRICES)
            # A backfill is a process of its own and starts its own workers.
            get_reusable_executor().shutdown()
            start = time.perf_counter()
            compute(context, months)
            pictures.selection(context, TICKER)
            pictures.lags(context, TICKER)
            of_months = time.perf_counter() - start
    get_reusable_executor().shutdown()
    with tempfile.TemporaryDirectory() as home:
        settings = load_settings(Path(home), {"models": MODELS, "tickers": (TICKER,)})
        start = time.perf_counter()
        with Context(settings) as context:
            compute(context, months, PRICES)
            compute(context, months)
            compute(context, months, COMPARED)
            for page in (TICKER, None):
                write_report(context.warehouse, settings, page)
        whole = time.perf_counter() - start
    get_reusable_executor().shutdown()
    return of_months, whole


def _backfill() -> tuple[float, float]:
    """Return the seconds of a backfill of the months, from the request and of its one run."""
    from volassets_tests.end_to_end.local import machine
    from volassets_tests.end_to_end.servers import wait_until

    assets = ["lag_analysis", "selected_features", "benchmark_forecasts"]
    assets += [f"{family}_{part}" for family in FAMILIES for part in ("fits", "forecasts")]
    keys = [f"{month:%Y-%m-%d}|{TICKER}" for month in pd.date_range(FIRST, periods=MONTHS, freq="MS")]
    tags = {f"dagster/asset_partition_range_{end}": TICKER for end in ("start", "end")}
    with tempfile.TemporaryDirectory() as folder, machine(Path(folder, "home"), MODELS, jobs=os.cpu_count()) as ours:
        prices = ours.launch(PRICES, tags)
        assert ours.wait_run(prices, 300) == "SUCCESS", ours.failures(prices)
        start = utc_now().timestamp()
        asked = ours.backfill(assetSelection=[{"path": [asset]} for asset in assets], partitionNames=keys)
        wait_until(lambda: ours.backfill_status(asked).startswith("COMPLETED"), 600, "the backfill", pause=0.5)
        (run,) = _timed_runs(ours, asked)
        assert run["status"] == "SUCCESS", ours.failures(run["runId"])
        return run["endTime"] - start, run["endTime"] - run["creationTime"]


def _timed_runs(ours: Any, backfill: str) -> list[dict[str, Any]]:
    tags = [{"key": "dagster/backfill", "value": backfill}]
    return list(ours.graphql(RUN_TIMES, filter={"tags": tags})["runsOrError"]["results"])


if __name__ == "__main__":
    print(overhead().round(1).to_string(index=False))
