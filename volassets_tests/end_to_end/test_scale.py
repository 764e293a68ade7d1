"""Several machines: a worker is killed in the middle of a backfill, and every cell ends up right."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.planner import partitions_of
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import load_settings
from volassets.timing import months_between, refit_month
from volassets.warehouse.store import Warehouse
from volassets_tests.end_to_end.cluster import Cluster, cluster
from volassets_tests.end_to_end.servers import LONGEST_WAIT, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

TICKERS = ("^GSPC", "^IXIC")
MODELS = ("naive", "garch", "gjr")
FIRST, LAST = "2017-01", "2018-12"
PRICES = ("raw_prices", "realized_vol_features")
GRID = ("lag_analysis", "selected_features", "garch_fits", "garch_forecasts", "benchmark_forecasts")
# How long a fit took and when a bar was fetched is of one run.
OF_ONE_RUN = ("seconds", "fetched_at")


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Cluster]:
    """A deployment without its daemon and workers."""
    with cluster(tmp_path, TICKERS, MODELS) as started:
        yield started


class Reader:
    """A SQL client that reads all the time and keeps what it saw."""

    QUERIES = (
        "SELECT ticker, count(*) AS n FROM garch_forecasts GROUP BY ticker",
        # A forecast in sight always has its fit in sight, made from the same inputs.
        "SELECT count(*) AS orphans FROM garch_forecasts LEFT JOIN garch_fits USING (ticker, refit_month, model) "
        "WHERE garch_fits.model IS NULL",
    )

    def __init__(self, warehouse: Warehouse) -> None:
        self.answers = 0
        self.orphans = 0
        self.slowest = 0.0
        self.errors: list[str] = []
        self._warehouse = warehouse
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        while not self._stop.wait(1.0):
            for sql in self.QUERIES:
                start = time.monotonic()
                try:
                    answer = self._warehouse.query(sql)
                except Exception as error:
                    self.errors.append(f"{type(error).__name__}: {error}")
                    continue
                self.slowest = max(self.slowest, time.monotonic() - start)
                self.answers += 1
                if "orphans" in answer:
                    self.orphans += int(answer["orphans"][0])

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)


def undisturbed(home: Path) -> Warehouse:
    """Compute the same cells in this process into the embedded store, and return it."""
    settings = load_settings(home, {"tickers": TICKERS, "models": MODELS, "jobs": 2})
    months = dict.fromkeys(TICKERS, months_between(refit_month(FIRST), refit_month(LAST)))
    asked = [step for step in steps(settings) if step.name in (*PRICES, *GRID)]
    with Context(settings) as context:
        done = list(Executor(State(context)).run(asked, {step.name: partitions_of(step, months) for step in asked}))
        assert not [item.failures for item in done if item.failures]
        return context.warehouse


def rows(warehouse: Warehouse, table: str) -> pd.DataFrame:
    """Return a table's rows in the order of their keys, without what differs from run to run."""
    frame = warehouse.read(table).drop(
        columns=[name for name in OF_ONE_RUN if name in warehouse.table(table).column_names]
    )
    return frame.sort_values(list(warehouse.table(table).key), ignore_index=True)


def kill_one_in_the_middle(deployment: Cluster, warehouse: Warehouse) -> int:
    """Kill a worker with everything it started once a month is fitted; return how many forecasts were stored."""
    wait_until(
        lambda: warehouse.query("SELECT count(*) AS n FROM garch_fits")["n"][0] > 0,
        LONGEST_WAIT,
        "the first fit",
        pause=0.5,
    )
    deployment.workers[0].kill()
    return len(warehouse.query("SELECT DISTINCT ticker, refit_month, model FROM garch_forecasts"))


def test_a_killed_worker_loses_nothing_and_a_reader_never_fails(deployment: Cluster, tmp_path: Path) -> None:
    for name in ("one", "two"):
        deployment.worker(name).start()
    warehouse = deployment.warehouse()
    keys = (f"{FIRST}-01|{TICKERS[0]}", f"{LAST}-01|{TICKERS[-1]}")
    prices = dict.fromkeys(PRICES, TICKERS)
    backfill = deployment.backfill({**prices, **dict.fromkeys(GRID, keys)})
    deployment.daemon.start()
    with Reader(warehouse) as reader:
        stored = kill_one_in_the_middle(deployment, warehouse)
        expected = undisturbed(tmp_path / "undisturbed")
        wait_until(
            lambda: deployment.backfill_status(backfill).startswith(("COMPLETED", "FAILED")),
            LONGEST_WAIT,
            "the backfill",
            pause=2.0,
        )
    status = deployment.backfill_status(backfill)
    assert status == "COMPLETED_SUCCESS", f"{status}\n{deployment.logs()}"
    assert stored < 2 * 2 * 24, "the worker was killed after the last forecast"
    assert not reader.errors
    assert reader.answers > 10
    assert reader.orphans == 0
    failed = [run for run in deployment.runs() if run["status"] == "FAILURE"]
    assert len(failed) == 1, "one run was killed, and one run only"
    for table in (*PRICES, *GRID):
        assert_frame_equal(rows(warehouse, table), rows(expected, table), check_exact=True, obj=table)
    homes = [path for name in ("one", "two") for path in (deployment.folder / name).iterdir()]
    # A comparison that follows the forecasts writes its pages where it runs.
    kept = {path.name for path in homes} - {"reports"}
    assert kept <= {"dagster", "tmp", "locks"}, "a worker kept something for itself"
