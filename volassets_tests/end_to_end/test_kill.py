"""A run that is killed and run again ends with the rows of an undisturbed one; queries answer all the while."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from volassets.settings import load_settings
from volassets.warehouse.store import Warehouse, open_warehouse
from volassets_tests.end_to_end.local import environment
from volassets_tests.end_to_end.servers import LONGEST_WAIT, Program, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

MODELS = ("naive", "garch", "gjr")
ARGUMENTS = ["run", "--ticker", "^GSPC", "--from", "2018-07", "--to", "2018-12"]
# How long a fit took and when a bar was fetched is of one run.
OF_ONE_RUN = ("seconds", "fetched_at", "seen_at")


@pytest.fixture(autouse=True)
def _own_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "volassets", *arguments]


def _run(home: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        _command(*ARGUMENTS), env=environment(home, MODELS), capture_output=True, text=True, timeout=LONGEST_WAIT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def _store(home: Path) -> Warehouse:
    return open_warehouse(load_settings(home, {"models": MODELS}))


def _rows(home: Path) -> dict[str, pd.DataFrame]:
    store = _store(home)
    tables = {name: store.read(name) for name in store.schema.tables if name != "schema_version"}
    return {name: rows.drop(columns=[c for c in OF_ONE_RUN if c in rows]) for name, rows in tables.items()}


def _count(home: Path, table: str) -> int:
    if not (home / "volassets.duckdb").exists():
        return 0
    return int(_store(home).query(f"SELECT count(*) AS n FROM {table}")["n"].iloc[0])


def test_kill_minus_nine_twice_and_run_again(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    _run(undisturbed)
    slowest = 0.0
    for table in ("realized_vol_features", "garch_fits"):
        program = Program(_command(*ARGUMENTS), tmp_path / "run.log", environment(killed, MODELS))
        program.start()

        def seen(name: str = table) -> bool:
            # The query is the one of a user beside the run: it answers, and quickly.
            nonlocal slowest
            start = time.monotonic()
            found = _count(killed, name) > 0
            slowest = max(slowest, time.monotonic() - start)
            return found

        wait_until(seen, LONGEST_WAIT, f"rows of {table}", pause=0.05)
        program.signal(signal.SIGKILL)
        program.kill()
    assert slowest < 30
    again = _run(killed)
    assert "forced" not in again.stdout
    expected, found = _rows(undisturbed), _rows(killed)
    assert expected.keys() == found.keys()
    for name, rows in expected.items():
        pd.testing.assert_frame_equal(found[name], rows, check_exact=True, obj=name)
    for table in ("garch_forecasts", "benchmark_forecasts"):
        assert len(expected[table])
    # Dagster's record follows, the killed runs are closed, and there is nothing left to do.
    status = subprocess.run(
        _command("status"), env=environment(killed, MODELS), capture_output=True, text=True, timeout=LONGEST_WAIT
    )
    assert "Dagster's record and the tables agree." in status.stdout, status.stdout + status.stderr
    assert "killed" not in status.stdout.replace(str(killed), "")
    assert "nothing to do" in _run(killed).stdout


def test_two_runs_at_once_share_the_work(tmp_path: Path) -> None:
    home = tmp_path / "home"
    programs = [Program(_command(*ARGUMENTS), tmp_path / f"{n}.log", environment(home, MODELS)) for n in range(2)]
    for program in programs:
        program.start()
    wait_until(lambda: not any(program.alive for program in programs), LONGEST_WAIT, "two runs")
    for n in range(2):
        assert "failed" not in (tmp_path / f"{n}.log").read_text()
    fits = _store(home).query("SELECT refit_month, model, count(*) AS n FROM garch_fits GROUP BY ALL")
    assert len(fits) == 12
    assert set(fits["n"]) == {1}
