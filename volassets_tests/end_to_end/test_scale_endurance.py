"""Everything breaks once during a backfill: broker, object store, PostgreSQL, a worker. Run by `make stress`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from volassets_tests.end_to_end.cluster import Cluster, cluster
from volassets_tests.end_to_end.proxy import Proxy
from volassets_tests.end_to_end.servers import LONGEST_WAIT, Program, wait_until
from volassets_tests.end_to_end.test_scale import (
    FIRST,
    GRID,
    LAST,
    MODELS,
    TICKERS,
    Reader,
    rows,
    undisturbed,
)

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.slow,
    pytest.mark.stress,
    pytest.mark.skipif(os.environ.get("STRESS") != "full", reason="takes some minutes: make stress"),
]

GONE_SECONDS = 5.0
BUSY_SECONDS = 15.0
# Longer than the launcher waits, so that the run is given to another worker while this one still has it.
FROZEN_SECONDS = 25.0


def restarted(server: Program, port: int) -> None:
    """Kill a server, and start it again after a while."""
    server.kill()
    time.sleep(GONE_SECONDS)
    server.start()
    server.wait_for(port)


def faults(deployment: Cluster, proxy: Proxy) -> dict[str, Callable[[], None]]:
    """Return what happens to the deployment, in order."""

    def busy() -> None:
        with proxy.busy():
            time.sleep(BUSY_SECONDS)

    def frozen() -> None:
        worker = deployment.workers[0]
        worker.signal(signal.SIGSTOP)
        time.sleep(FROZEN_SECONDS)
        worker.signal(signal.SIGCONT)

    return {
        "broker killed and started again": lambda: restarted(deployment.broker, deployment.broker_port),
        "object store answers 503": busy,
        "PostgreSQL killed and started again": lambda: restarted(deployment.postgres_server, deployment.cluster.port),
        "a worker frozen": frozen,
    }


def test_nothing_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    with cluster(tmp_path, TICKERS, MODELS) as deployment, Proxy(deployment.objects.port) as proxy:
        for name in ("one", "two"):
            deployment.worker(name, **deployment.objects.environment(proxy.port)).start()
        warehouse = deployment.warehouse()
        keys = (f"{FIRST}-01|{TICKERS[0]}", f"{LAST}-01|{TICKERS[-1]}")
        prices = dict.fromkeys(("raw_prices", "realized_vol_features"), TICKERS)
        started = time.monotonic()
        backfill = deployment.backfill({**prices, **dict.fromkeys(GRID, keys)})
        deployment.daemon.start()
        with Reader(warehouse) as reader:
            counted = "SELECT count(*) AS n FROM garch_fits"
            wait_until(lambda: warehouse.query(counted)["n"][0] > 0, LONGEST_WAIT, "the first fit", pause=1.0)
            for name, happen in faults(deployment, proxy).items():
                print(f"{time.monotonic() - started:6.0f} s {warehouse.query(counted)['n'][0]:3} fits: {name}")
                happen()
                time.sleep(3.0)
            wait_until(
                lambda: deployment.backfill_status(backfill).startswith("COMPLETED"),
                LONGEST_WAIT,
                "the backfill",
                pause=2.0,
            )
        print(f"{time.monotonic() - started:6.0f} s {deployment.backfill_status(backfill)}, {reader.answers} answers")
        for run in reversed(deployment.runs()):
            print(
                f"  {run['runId'][:8]} {run['status']:8} {run['tags'].get('dagster/asset_partition_range_start', '')}"
            )
        assert deployment.backfill_status(backfill) == "COMPLETED_SUCCESS", deployment.logs()
        assert not reader.errors
        assert reader.orphans == 0
        expected = undisturbed(tmp_path / "undisturbed")
        for table in ("raw_prices", "realized_vol_features", *GRID):
            assert_frame_equal(rows(warehouse, table), rows(expected, table), check_exact=True, obj=table)
