"""The pool that a run's months go to: what it gives back, and what becomes of it when someone is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError, VolassetsError
from volassets.market.calendar import calendar_for
from volassets.pipeline import workers
from volassets.pipeline.cells import Partition
from volassets.pipeline.model_steps import fit_rows
from volassets.pipeline.step import Inputs, Output
from volassets.pipeline.workers import CellJob, Job, SharedFrames, compute_cells, run_jobs
from volassets.settings import Settings

MONTHS = [pd.Timestamp("2008-10-01"), pd.Timestamp("2008-11-01")]


def wait_for(file: str, answer: str) -> str:
    until = time.monotonic() + 180
    while not Path(file).exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    return answer


def refuse(text: str) -> None:
    raise InputError(text)


def refuse_gjr(inputs: Inputs) -> Output:
    if inputs.model.name == "gjr":
        raise InputError("no such thing")
    return Output({"names": pd.DataFrame({"name": [inputs.model.name]})})


def die(_job: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def threads(_job: object) -> tuple[str, list[int]]:
    from threadpoolctl import threadpool_info

    assert np.eye(50) @ np.eye(50) is not None
    return os.environ["OMP_NUM_THREADS"], [pool["num_threads"] for pool in threadpool_info()]


def column_sum(job) -> tuple[float, bool]:
    shared, name = job
    frame = shared.load()
    return float(frame[name].sum()), bool(frame[name].to_numpy().flags.writeable)


def answer(job: tuple[str, str]) -> str:
    return wait_for(*job) if job[1] == "late" else job[1].upper()


def test_results_come_as_they_are_ready(tmp_path):
    gate = tmp_path / "gate"
    found = []
    for _, result in run_jobs(iter([(str(gate), "late"), ("", "soon")]), answer, 2):
        found.append(result)
        gate.touch()
    assert found == ["SOON", "late"]


def write_name(file: str) -> None:
    Path(file).write_text("written")


def test_the_workers_have_their_first_jobs_before_the_first_result_is_asked_for(tmp_path):
    results = run_jobs(iter([str(tmp_path / "one"), str(tmp_path / "two")]), write_name, 2)
    wait_for(str(tmp_path / "one"), "")
    wait_for(str(tmp_path / "two"), "")
    assert sorted(Path(file).name for file, _ in results) == ["one", "two"]


def test_an_error_of_the_function_itself_ends_the_run():
    with pytest.raises(InputError, match="no such thing"):
        list(run_jobs(iter(["no such thing"]), refuse, 2))


def test_a_failed_cell_does_not_stop_the_others():
    cells = [("gjr", MONTHS[0], "stopped before"), ("gjr", MONTHS[1], ""), ("log_har_leverage", MONTHS[1], "")]
    stopped, wrong, right = compute_cells(cell_job({}, cells, refuse_gjr))
    assert (stopped.output, stopped.error) == (None, "stopped before")
    assert (wrong.output, wrong.error) == (None, "no such thing")
    assert right.error == ""
    assert right.output.tables["names"]["name"].tolist() == ["log_har_leverage"]
    (unforeseen,) = compute_cells(cell_job({}, [("gjr", MONTHS[0], "")]))
    assert unforeseen.output is None
    assert unforeseen.error.startswith("KeyError")


def test_a_failed_cell_of_a_worker_is_a_result_too():
    jobs = [cell_job({}, [(name, MONTHS[0], "")], refuse_gjr) for name in ("gjr", "log_har_leverage")]
    found = {result.model: result for _, results in run_jobs(iter(jobs), compute_cells, 2) for result in results}
    assert (found["gjr"].output, found["gjr"].error) == (None, "no such thing")
    assert found["log_har_leverage"].error == ""
    assert found["log_har_leverage"].output.tables["names"]["name"].tolist() == ["log_har_leverage"]


def test_nothing_to_do_starts_nothing():
    assert list(run_jobs(iter(()), answer, 2)) == []


def test_the_next_job_is_asked_for_when_there_is_room():
    asked = []

    def jobs():
        for number in range(40):
            asked.append(number)
            yield 0.001

    for _ in run_jobs(jobs(), time.sleep, 2):
        break
    assert len(asked) <= 8


def test_a_worker_has_one_thread():
    ((_, (variable, pools)),) = run_jobs(iter([0]), threads, 2)
    assert variable == "1"
    assert pools
    assert set(pools) == {1}


KEPT: list[np.ndarray] = []


def grow(megabytes: int) -> int:
    """Keep so much memory, as importing PyTorch does, and return the process."""
    KEPT.append(np.ones(megabytes * 2**17))
    # Longer than joblib waits between two looks at a worker's memory.
    time.sleep(1.1)
    return os.getpid()


def test_a_worker_that_has_grown_is_kept() -> None:
    pytest.importorskip("psutil", reason="joblib looks at memory only where psutil is installed")
    assert len({pid for _, pid in run_jobs(iter([1, 400, 1, 1]), grow, 1)}) == 1


def test_a_killed_worker_is_said_clearly_and_the_next_pool_works():
    with pytest.raises(VolassetsError, match=r"worker process died.*kept; run again with fewer --jobs"):
        list(run_jobs(iter([0]), die, 2))
    assert [result for _, result in run_jobs(iter([("", "a")]), answer, 2)] == ["A"]


def test_leaving_early_leaves_the_pool_usable():
    for _ in run_jobs(iter([0.01] * 20), time.sleep, 2):
        break
    assert [result for _, result in run_jobs(iter([("", "a")]), answer, 2)] == ["A"]


def test_workers_map_the_table_and_it_is_gone_afterwards():
    frame = pd.DataFrame({"a": [1.0, 2.0, np.nan], "b": [4.0, 5.0, 6.0]}, index=pd.bdate_range("2020-01-01", periods=3))
    with SharedFrames() as frames:
        shared = frames.put("AAA", frame)
        pd.testing.assert_frame_equal(shared.load(), frame, check_freq=False, check_exact=True)
        found = {job[1]: result for job, result in run_jobs(iter([(shared, n) for n in "ab"]), column_sum, 2)}
        folder = Path(shared.path).parent
    assert found == {"a": (3.0, False), "b": (15.0, False)}
    assert not folder.exists()


def cell_job(features, cells, compute=fit_rows) -> Job:
    settings = Settings(models=("gjr", "log_har_leverage", "elastic_net"))
    listed = [
        CellJob(Partition("^GSPC", month), settings.model(name), "0" * 16, {}, problem)
        for name, month, problem in cells
    ]
    calendars = {"^GSPC": calendar_for("^GSPC").name}
    return Job("^GSPC", compute, settings, listed, features, None, calendars, "")


def fit_everything(features: pd.DataFrame, workers: int) -> dict[object, dict[str, object]]:
    with SharedFrames() as frames:
        shared = {"^GSPC": frames.put("^GSPC", features)}
        names = ("gjr", "log_har_leverage", "elastic_net")
        jobs = [cell_job(shared, [(name, month, "")]) for month in MONTHS for name in names]
        results = [result for _, found in run_jobs(iter(jobs), compute_cells, workers) for result in found]
    assert [result.error for result in results] == [""] * len(jobs)
    rows = {}
    for result in results:
        (table,) = (table for name, table in result.output.tables.items() if name.endswith("_fits"))
        rows[result.model, result.partition] = {**table.iloc[0].to_dict(), "seconds": 0.0}
    return rows


def test_one_worker_and_two_give_the_same_bits(sp500_features):
    assert fit_everything(sp500_features, 1) == fit_everything(sp500_features, 2)


PARENT = """
import sys
from volassets.pipeline.workers import run_jobs
from volassets_tests.pipeline.test_workers import announce
folder = sys.argv[1]
list(run_jobs(iter([folder, folder]), announce, 2))
"""


def announce(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    time.sleep(120)


def work_and_end(sender: Connection) -> None:
    workers.IDLE_SECONDS = 100_000
    sender.send([pid for _, pid in run_jobs(iter([0]), process_of, 1)])


def process_of(_job: object) -> int:
    return os.getpid()


def test_a_process_of_multiprocessing_ends_with_its_workers_at_once_as_a_run_of_dagster() -> None:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work_and_end, args=(sender,))
    process.start()
    (worker,) = receiver.recv()
    process.join(180)
    ended = process.exitcode
    process.kill()
    assert ended == 0
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


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
