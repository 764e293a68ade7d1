"""Processor seconds and memory of a month's fit over all tickers, for pools of 2 to 500."""

from __future__ import annotations

import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd

from volassets.features.feature_table import build_features
from volassets.market.bundled import BundledSource
from volassets.market.calendar import calendar_for
from volassets.models.lstm import Lstm
from volassets.models.pooled_boosting import PooledBoosting
from volassets.models.pooled_lstm import PooledLstm
from volassets.models.pooled_ridge import PooledRidge
from volassets.models.protocol import PooledModel, Window
from volassets.models.window import make_window

# The largest is beyond `maximum_rows` of every model.
SIZES = (2, 6, 24, 96, 500)
MONTH = pd.Timestamp("2010-01-01")
HORIZONS = (1, 5, 22)
MODELS: dict[str, PooledModel] = {model.name: model for model in (PooledRidge(), PooledBoosting(), PooledLstm())}


def pooled(sizes: tuple[int, ...] = SIZES) -> pd.DataFrame:
    """Fit the pooled models for one month on 2 to 500 copies, with noise, of 11 years of the S&P 500.

    Returns
    -------
    DataFrame
        Columns model, tickers, rows (of all windows), rows_used (after the cap of `maximum_rows`), cpu_seconds,
        one_by_one (processor seconds of `lstm` on as many tickers, one alone times their number) and megabytes (largest
        resident size of the process, the feature tables included). Each row is a process of its own.
    """
    rows = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        alone = processes.submit(_alone).result()
        for name in MODELS:
            for size in sizes:
                measured = processes.submit(_measured, name, size).result()
                rows.append({"model": name, "tickers": size, **measured, "one_by_one": alone * size})
    return pd.DataFrame(rows)


def _measured(name: str, size: int) -> dict[str, Any]:
    windows = _windows(size)
    # A first fit imports what a run has imported long ago.
    MODELS[name].fit_pool(dict(list(windows.items())[:1]))
    start = time.process_time()
    fits = MODELS[name].fit_pool(windows)
    return {
        "rows": sum(len(window.features) for window in windows.values()),
        "rows_used": sum(fit.n_train for fit in fits.values()),
        "cpu_seconds": time.process_time() - start,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _alone() -> float:
    (window,) = _windows(1).values()
    Lstm().fit(window)
    start = time.process_time()
    Lstm().fit(window)
    return time.process_time() - start


def _windows(size: int) -> dict[str, Window]:
    bars = BundledSource().fetch("^GSPC").loc[:MONTH]
    features, rng = build_features(bars, calendar_for("^GSPC")), np.random.default_rng(0)
    windows = {}
    for number in range(size):
        noise = 0.2 * rng.standard_normal(features.shape)
        # Inputs and variances of a copy differ by noise; where there is nothing, it stays so.
        copy = features * np.exp(noise)
        windows[f"C{number:03d}"] = make_window(f"C{number:03d}", MONTH, copy, HORIZONS)
    return windows


if __name__ == "__main__":
    print(pooled().round(2).to_string(index=False), flush=True)
