"""Seconds of the networks' refits: `lstm` over the whole history, `lstm_reference` against the plain loop.

Every figure comes from refits spread evenly over 2004-01 .. 2018-12, so that the mean month stands for all 180.
Ratios within one run are what to compare; seconds belong to the machine that is named, and to its load.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing import get_context
from typing import Any

import pandas as pd

from volassets.models.lstm import Lstm
from volassets.models.lstm_reference import LstmReference
from volassets.models.protocol import Window
from volassets.models.transformer import Transformer
from volassets.models.window import make_window, month_selection
from volassets.settings import load_settings
from volassets.timing import months_between

TICKER = "^GSPC"
HORIZONS = (1, 5, 22)
MONTHS = months_between(pd.Timestamp(2004, 1, 1), pd.Timestamp(2018, 12, 1))
EPOCHS = 10


def lstm(refits: int = 12, processes: int = 2) -> pd.DataFrame:
    """Time the default `lstm` (5 seeds, expanding window) compiled, on 1 and on `processes` processes, and in PyTorch.

    Returns
    -------
    DataFrame
        Columns model, processes, refits, seconds, cpu_seconds (of all processes), seconds_180 (scaled to
        180 months), megabytes (largest worker), ``speed_up``: cpu_seconds of the loop in PyTorch over this row's.
    """
    return _compiled_and_not("lstm", _fit_lstm, refits, processes)


def transformer(refits: int = 6, processes: int = 2) -> pd.DataFrame:
    """Time the default `transformer` as `lstm` does."""
    return _compiled_and_not("transformer", _fit_transformer, refits, processes)


def _compiled_and_not(name: str, fit: Callable[[pd.Timestamp], None], refits: int, processes: int) -> pd.DataFrame:
    with _without_compiled_code():
        rows = [_timed(f"{name} in PyTorch", fit, refits, 1)]
    rows += [_timed(name, fit, refits, count) for count in _counts(processes)]
    frame = pd.DataFrame(rows)
    return frame.assign(speed_up=frame["cpu_seconds"].iloc[0] / frame["cpu_seconds"])


@contextmanager
def _without_compiled_code() -> Iterator[None]:
    """Have processes that start inside the block train in PyTorch."""
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    try:
        yield
    finally:
        del os.environ["NUMBA_DISABLE_JIT"]


def lstm_reference(refits: int = 6, processes: int = 2) -> pd.DataFrame:
    """Time `lstm_reference` and the plain loop on the same months, 10 epochs each, without an early stop.

    Returns
    -------
    DataFrame
        As `lstm`, and ``speed_up``: seconds of the plain loop on one process over this row's.
    """
    rows = [_timed("plain loop", _fit_plainly, refits, 1)]
    rows += [_timed("lstm_reference", _fit_reference, refits, count) for count in _counts(processes)]
    rows.insert(-1, _timed("lstm_reference, float32", _fit_reference_float32, refits, 1))
    frame = pd.DataFrame(rows)
    return frame.assign(speed_up=frame["seconds"].iloc[0] / frame["seconds"])


def _counts(processes: int) -> list[int]:
    return sorted({1, processes})


def _timed(name: str, fit: Callable[[pd.Timestamp], None], refits: int, processes: int) -> dict[str, Any]:
    step = len(MONTHS) / refits
    # Long months first: the last task of a pool should be a short one.
    months = [MONTHS[int((number + 0.5) * step)] for number in reversed(range(refits))]
    together = get_context("spawn").Barrier(processes)
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_join, initargs=(together,)
    ) as pool:
        list(pool.map(_warm, [fit] * processes, [months] * processes))
        start = time.perf_counter()
        results = list(pool.map(partial(_measured, fit), months))
        seconds = time.perf_counter() - start
    return {
        "model": name,
        "processes": processes,
        "refits": refits,
        "seconds": seconds,
        "seconds_180": seconds * len(MONTHS) / refits,
        "cpu_seconds": sum(cpu for cpu, _ in results),
        "megabytes": max(kilobytes for _, kilobytes in results) / 1024,
    }


def _measured(fit: Callable[[pd.Timestamp], None], month: pd.Timestamp) -> tuple[float, int]:
    """Return the processor's seconds of a fit and the process's largest resident size so far."""
    start = time.process_time()
    fit(month)
    return time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _join(barrier: Any) -> None:
    _BARRIER.append(barrier)


def _warm(fit: Callable[[pd.Timestamp], None], months: list[pd.Timestamp]) -> None:
    """Import, cut the windows and fit once, in every worker, so that only refits are timed."""
    fit(MONTHS[0])
    for month in months:
        window_of(month)
    _BARRIER[0].wait()


_BARRIER: list[Any] = []


@cache
def features_of_ticker() -> pd.DataFrame:
    from volassets.features.feature_table import build_features
    from volassets.market.calendar import calendar_for
    from volassets.market.price_source import make_source

    bars = make_source(load_settings()).fetch(TICKER)
    return build_features(bars, calendar_for(TICKER))


@cache
def window_of(month: pd.Timestamp) -> Window:
    features, settings = features_of_ticker(), load_settings()
    selection = month_selection(month, features, settings.correlation_threshold, settings.scaling)
    return make_window(TICKER, month, features, HORIZONS, selection)


def _fit_lstm(month: pd.Timestamp) -> None:
    Lstm().fit(window_of(month))


def _fit_transformer(month: pd.Timestamp) -> None:
    Transformer().fit(window_of(month))


def _fit_reference(month: pd.Timestamp) -> None:
    LstmReference(epochs=EPOCHS, patience=EPOCHS).fit(window_of(month))


def _fit_reference_float32(month: pd.Timestamp) -> None:
    LstmReference(epochs=EPOCHS, patience=EPOCHS, precision="float32").fit(window_of(month))


def _fit_plainly(month: pd.Timestamp) -> None:
    from benchmarks.reference_loop import train_plainly
    from volassets.models.training import one_thread

    # With PyTorch's default of a thread per core it would be slower still on a busy machine.
    with one_thread():
        train_plainly(LstmReference(epochs=EPOCHS, patience=EPOCHS), window_of(month))


if __name__ == "__main__":
    for table in (lstm(), transformer(), lstm_reference()):
        print(table.round(2).to_string(index=False), flush=True)
