"""What value at risk costs beside the forecasts that it comes from: `python -m benchmarks risk`."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import duckdb
import pandas as pd

from benchmarks.graph import timed_run
from volassets.timing import months_between, refit_month

TICKER, FIRST, LAST = "^GSPC", "2004-01", "2018-12"
MODELS = ("ewma", "har", "log_har", "log_har_leverage", "gjr")
# As many models as a home with the networks and the benchmarks has.
ALL_MODELS = 14


def risk() -> pd.DataFrame:
    """Processor seconds of one ticker's value at risk: 180 months, and the month of a new session.

    Returns
    -------
    DataFrame
        Columns what, models, cpu_seconds, a_model, of_14_models. All processes count, and loading, storing and the
        workers' start are in it; the forecasts are there before.
    """
    months = months_between(refit_month(FIRST), refit_month(LAST))
    kinds = (
        ("one ticker's 180 months", months, True),
        ("the same in place of stored ones", months, False),
        ("the month of a new session", months[-1:], False),
    )
    rows = []
    with tempfile.TemporaryDirectory() as home:
        timed_run(home, "bundled", [TICKER], FIRST, LAST, ",".join(MODELS))
        for what, asked, cleared in kinds:
            spent = [_seconds(Path(home), models, asked, cleared) for models in (MODELS[:1], MODELS)]
            own = (spent[1] - spent[0]) / (len(MODELS) - 1)
            rows.append((what, len(MODELS), spent[1], own, spent[0] + own * (ALL_MODELS - 1)))
    return pd.DataFrame(rows, columns=["what", "models", "cpu_seconds", "a_model", "of_14_models"])


def _seconds(home: Path, models: tuple[str, ...], months: list[pd.Timestamp], cleared: bool) -> float:
    """Return the processor seconds of computing the months, of this process and of its one worker.

    `cleared` takes what is stored of value at risk away first.
    """
    from joblib.externals.loky import get_reusable_executor

    from volassets.pipeline.cells import Partition
    from volassets.pipeline.context import Context
    from volassets.pipeline.executor import Executor
    from volassets.pipeline.state import State
    from volassets.pipeline.steps import steps
    from volassets.settings import load_settings

    settings = load_settings(home, {"models": models, "jobs": 1})
    if cleared:
        with duckdb.connect(str(home / "volassets.duckdb")) as store:
            for table in ("risk_forecasts", "risk_steering"):
                store.execute(f"DELETE FROM {table}")
    before = _spent()
    with Context(settings) as context:
        listed = [step for step in steps(settings) if step.name == "risk_forecasts"]
        asked = {"risk_forecasts": [Partition(TICKER, month) for month in months]}
        done = Executor(State(context), force=True).run(listed, asked)
        failures = [text for item in done for text in item.failures.values()]
    if failures:
        raise RuntimeError(failures[0])
    # A worker's seconds are counted when it has ended.
    get_reusable_executor().shutdown(wait=True)
    return _spent() - before


def _spent() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
