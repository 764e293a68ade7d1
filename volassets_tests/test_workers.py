"""The pool that a run's months go to: what it gives back, and what becomes of it when someone is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError, VolassetsError
from volassets.models.registry import MODELS
from volassets.orchestration import tasks
from volassets.orchestration.workers import run_tasks, shared_frame

MONTHS = [pd.Timestamp("2008-10-01"), pd.Timestamp("2008-11-01")]


def wait_for(file: str, answer: str) -> str:
    until = time.monotonic() + 180
    while not Path(file).exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    return answer


def refuse(text: str) -> None:
    raise InputError(text)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def threads() -> tuple[str, list[int]]:
    from threadpoolctl import threadpool_info

    assert np.eye(50) @ np.eye(50) is not None
    return os.environ["OMP_NUM_THREADS"], [pool["num_threads"] for pool in threadpool_info()]


def column_sum(shared, name: str) -> tuple[float, bool]:
    frame = shared.load()
    return float(frame[name].sum()), bool(frame[name].to_numpy().flags.writeable)


def test_results_come_as_they_are_ready_and_errors_are_results_too(tmp_path):
    gate = tmp_path / "gate"
    work = {
        "slow": (wait_for, (str(gate), "late")),
        "wrong": (refuse, ("no such thing",)),
        "fast": (str.upper, ("soon",)),
    }
    found = {}
    for key, result, error in run_tasks(work, 2):
        found[key] = (result, error)
        if {"wrong", "fast"} <= set(found):
            gate.touch()
    assert list(found)[-1] == "slow"
    assert found["slow"] == ("late", None)
    assert found["fast"] == ("SOON", None)
    result, error = found["wrong"]
    assert result is None
    assert isinstance(error, InputError)
    assert str(error) == "no such thing"


def test_nothing_to_do_starts_nothing():
    assert list(run_tasks({}, 2)) == []


def test_a_worker_has_one_thread():
    ((_, (variable, pools), error),) = run_tasks({"threads": (threads, ())}, 2)
    assert error is None
    assert variable == "1"
    assert pools
    assert set(pools) == {1}


def test_a_killed_worker_is_said_clearly_and_the_next_pool_works():
    with pytest.raises(VolassetsError, match=r"worker process died.*kept; run again with fewer --jobs"):
        list(run_tasks({"dead": (die, ())}, 2))
    assert [result for _, result, _ in run_tasks({"alive": (str.upper, ("a",))}, 2)] == ["A"]


def test_leaving_early_leaves_the_pool_usable():
    for _ in run_tasks(dict.fromkeys(range(20), (time.sleep, (0.01,))), 2):
        break
    assert [result for _, result, _ in run_tasks({"alive": (str.upper, ("a",))}, 2)] == ["A"]


def test_workers_map_the_table_and_it_is_gone_afterwards():
    frame = pd.DataFrame({"a": [1.0, 2.0, np.nan], "b": [4.0, 5.0, 6.0]}, index=pd.bdate_range("2020-01-01", periods=3))
    with shared_frame(frame) as shared:
        pd.testing.assert_frame_equal(shared.load(), frame, check_freq=False, check_exact=True)
        found = {key: result for key, result, _ in run_tasks({n: (column_sum, (shared, n)) for n in "ab"}, 2)}
        folder = Path(shared.path).parent
    assert found == {"a": (3.0, False), "b": (15.0, False)}
    assert not folder.exists()


def fit_everything(features: pd.DataFrame, workers: int) -> dict[object, dict[str, object]]:
    with shared_frame(features) as shared:
        work = {
            (name, month): (
                tasks.fit,
                (shared, tasks.WindowRequest("^GSPC", month, (1, 5, 22), None), MODELS[name](), "0" * 16, "", False),
            )
            for month in MONTHS
            for name in ("gjr", "log_har_leverage", "elastic_net")
        }
        found = {key: (result, error) for key, result, error in run_tasks(work, workers)}
    assert [error for _, error in found.values()] == [None] * len(work)
    return {key: {**result.row, "seconds": 0.0} for key, (result, _) in found.items()}


def test_one_worker_and_two_give_the_same_bits(sp500_features):
    assert fit_everything(sp500_features, 1) == fit_everything(sp500_features, 2)


PARENT = """
import sys
from volassets.orchestration.workers import run_tasks
from volassets_tests.test_workers import announce
folder = sys.argv[1]
list(run_tasks({number: (announce, (folder,)) for number in range(2)}, 2))
"""


def announce(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    time.sleep(120)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    parent = subprocess.Popen([sys.executable, "-W", "ignore", "-c", PARENT, str(tmp_path)])
    try:
        workers = until(lambda: sorted(int(file.name) for file in tmp_path.iterdir()), lambda found: len(found) == 2)
        assert all(is_running(worker) for worker in workers)
    finally:
        parent.kill()
        parent.wait()
    assert until(lambda: [worker for worker in workers if is_running(worker)], lambda left: not left) == []


def until(ask, enough, seconds: float = 180):
    end = time.monotonic() + seconds
    while not enough(found := ask()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
