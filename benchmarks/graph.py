"""Seconds of whole runs: the GARCH family, growth over months and tickers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from volassets.market.bundled import BundledSource
from volassets.market.calendar import calendar_for
from volassets.models.garch import Egarch, Garch, Gjr
from volassets.timing import months_between

TICKER = "^GSPC"
QUICK_MODELS = "naive,garch,gjr,log_har"


def garch(processes: int = 2) -> pd.DataFrame:
    """Time the three GARCH models over 180 months on one and on `processes` workers.

    Returns
    -------
    DataFrame
        Columns processes, fits, seconds, milliseconds_per_fit (wall).
    """
    from volassets.features.feature_table import build_features
    from volassets.pipeline.cells import Partition
    from volassets.pipeline.steps import steps
    from volassets.pipeline.workers import CellJob, Job, SharedFrames, compute_cells, run_jobs
    from volassets.settings import load_settings

    calendar = calendar_for(TICKER, {})
    features = build_features(BundledSource().fetch(TICKER), calendar)
    months = months_between(pd.Timestamp(2004, 1, 1), pd.Timestamp(2018, 12, 1))
    rows = []
    with tempfile.TemporaryDirectory() as home, SharedFrames() as frames:
        settings, shared = load_settings(Path(home)), frames.put(TICKER, features)
        (step,) = (step for step in steps(settings, (Garch(), Gjr(), Egarch())) if step.name == "garch_fits")
        assert step.compute is not None
        jobs = [
            Job(
                lock=TICKER,
                compute=step.compute,
                settings=settings,
                cells=[CellJob(Partition(TICKER, month), model, "", {})],
                features={TICKER: shared},
                bars=None,
                calendars={TICKER: calendar.name},
                files=settings.files,
            )
            for month in months
            for model in step.models
        ]
        for count in dict.fromkeys((1, processes)):
            # The first call starts the workers and imports what they need; it is not what a fit costs.
            list(run_jobs(iter(jobs[: 3 * count]), compute_cells, count))
            start = time.perf_counter()
            errors = [
                one.error for _, found in run_jobs(iter(jobs), compute_cells, count) for one in found if one.error
            ]
            if errors:
                raise RuntimeError(errors[0])
            seconds = time.perf_counter() - start
            rows.append((count, len(jobs), seconds, 1000 * seconds / len(jobs)))
    return pd.DataFrame(rows, columns=["processes", "fits", "seconds", "milliseconds_per_fit"])


def growth() -> pd.DataFrame:
    """Time `volassets run` with four quick models over 60, 120, 180 months and 1, 2, 4 tickers.

    Returns
    -------
    DataFrame
        Columns tickers, months, seconds, cells (ticker x month), milliseconds_per_cell.
    """
    rows = []
    for tickers, first, months in ((1, 2014, 60), (1, 2009, 120), (1, 2004, 180), (2, 2014, 60), (4, 2014, 60)):
        seconds = _run(tickers, f"{first}-01", "2018-12", QUICK_MODELS)
        rows.append((tickers, months, seconds, tickers * months, 1000 * seconds / (tickers * months)))
    return pd.DataFrame(rows, columns=["tickers", "months", "seconds", "cells", "milliseconds_per_cell"])


def _run(tickers: int, first: str, last: str, models: str) -> float:
    """Return the seconds of a run over copies of the bundled S&P 500 in a fresh home."""
    bars = BundledSource().fetch(TICKER)
    with tempfile.TemporaryDirectory() as folder:
        names = [f"COPY{number}" for number in range(tickers)]
        prices = Path(folder, "prices")
        prices.mkdir()
        for name in names:
            bars.to_csv(prices / f"{name}.csv")
        os.environ["VOLASSETS_CSV_DIR"] = str(prices)
        try:
            return timed_run(str(Path(folder, "home")), "csv", names, first, last, models)
        finally:
            del os.environ["VOLASSETS_CSV_DIR"]


def timed_run(home: str, source: str, tickers: list[str], first: str, last: str, models: str) -> float:
    """Return the seconds of `volassets run`, process and all."""
    chosen = [part for ticker in tickers for part in ("--ticker", ticker)]
    command = [sys.executable, "-m", "volassets", "run", "--source", source, *chosen]
    command += ["--from", first, "--to", last, "--models", models]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "VOLASSETS_HOME": home})
    return time.perf_counter() - start
