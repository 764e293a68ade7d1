"""The event log that keeps its files open: what Dagster's own reads, whatever happens to the writer."""

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._daemon import controller
from dagster._daemon.backfill import execute_backfill_iteration_loop
from sqlalchemy import text

from volassets.orchestration.event_log import INTERVAL, KEPT_FILES, KeptSqliteEventLogStorage
from volassets.orchestration.instance import open_instance, prepare_instance

MONTHS = dg.StaticPartitionsDefinition([f"2018-{month:02}" for month in range(1, 13)])
FIRST, LAST = "2018-01", "2018-12"
RANGE = {"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": LAST}


@dg.asset(partitions_def=MONTHS, backfill_policy=dg.BackfillPolicy.single_run())
def cells(context: dg.AssetExecutionContext) -> None:
    if context.run.tags.get("die"):
        context.log.info("about to die")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(tmp_path / "home") as opened:
        yield opened
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


def materialize(instance: dg.DagsterInstance, **tags: str) -> str:
    return dg.materialize([cells], instance=instance, tags={**RANGE, **tags}).run_id


GRAPH = dg.Definitions([cells]).get_repository_def().asset_graph


@dg.asset
def explained() -> None:
    raise dg.Failure("2 cells failed")


@dg.asset
def broken() -> None:
    raise ZeroDivisionError


def test_a_failure_in_words_has_no_traceback_and_an_error_has(instance: dg.DagsterInstance) -> None:
    for asset, has_stack in ((explained, False), (broken, True)):
        run = dg.materialize([asset], instance=instance, raise_on_error=False).run_id
        stored = [entry.dagster_event for entry in instance.all_logs(run) if entry.dagster_event]
        (step,) = [event for event in stored if event.is_step_failure]
        (whole,) = [event for event in stored if event.is_job_failure]
        nested = whole.job_failure_data.first_step_failure_event
        assert nested is not None
        for error in (step.step_failure_data.error, whole.job_failure_data.error, nested.step_failure_data.error):
            assert error is not None
            assert ("Failure: 2 cells failed" in error.message) is not has_stack
            assert bool(error.stack) is has_stack


@pytest.mark.parametrize("end", ["report_run_failed", "report_run_canceled"])
def test_the_end_of_a_killed_run_has_no_data_and_is_stored(instance: dg.DagsterInstance, end: str) -> None:
    run = instance.create_run_for_job(dg.define_asset_job("job").resolve(asset_graph=GRAPH))
    getattr(instance, end)(run)
    assert instance.get_run_by_id(run.run_id).is_finished


def own_storage(instance: dg.DagsterInstance) -> KeptSqliteEventLogStorage:
    storage = instance.event_log_storage
    assert isinstance(storage, KeptSqliteEventLogStorage)
    return storage


def dagsters_own(instance: dg.DagsterInstance) -> SqliteEventLogStorage:
    return SqliteEventLogStorage(str(Path(instance.root_directory) / "history" / "runs"))


def test_dagsters_own_storage_reads_what_it_wrote(instance: dg.DagsterInstance) -> None:
    run = materialize(instance)
    theirs, ours = dagsters_own(instance), own_storage(instance)
    assert theirs.get_materialized_partitions(cells.key) == set(MONTHS.get_partition_keys())
    assert [e.message for e in theirs.get_logs_for_run(run)] == [e.message for e in ours.get_logs_for_run(run)]


def test_it_reads_what_dagsters_own_wrote_meanwhile(instance: dg.DagsterInstance) -> None:
    run = materialize(instance)
    event = own_storage(instance).get_logs_for_run(run)[0]
    before = len(own_storage(instance).get_logs_for_run(run))
    dagsters_own(instance).store_event(event)
    assert len(own_storage(instance).get_logs_for_run(run)) == before + 1


def made_of(file: Path) -> tuple[object, ...]:
    with closing(sqlite3.connect(file)) as connection:
        questions = (
            "SELECT type, name, sql FROM sqlite_master ORDER BY name",
            "SELECT * FROM alembic_version",
            "PRAGMA journal_mode",
            "SELECT count(*) FROM event_logs",
        )
        return tuple(connection.execute(question).fetchall() for question in questions)


def test_a_new_log_is_the_one_that_dagster_makes(tmp_path: Path) -> None:
    ours, theirs = KeptSqliteEventLogStorage(str(tmp_path / "ours")), SqliteEventLogStorage(str(tmp_path / "theirs"))
    for storage in (ours, theirs):
        for run in ("first", "second"):
            with storage.run_connection(run):
                pass
    ours.dispose()
    first, second = (made_of(tmp_path / "ours" / f"{run}.db") for run in ("first", "second"))
    assert first == second == made_of(tmp_path / "theirs" / "first.db")
    assert {file.suffix for file in (tmp_path / "ours").iterdir()} == {".db"}


@pytest.mark.parametrize("failing", [False, True], ids=["with links", "without links"])
def test_a_log_that_is_there_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: bool) -> None:
    def refused(_source: Path, _target: Path) -> None:
        raise PermissionError

    if failing:
        monkeypatch.setattr(os, "link", refused)
    for count in (1, 2):
        storage = KeptSqliteEventLogStorage(str(tmp_path))
        with storage.run_connection("run") as connection:
            connection.execute(text("INSERT INTO event_logs (run_id, event) VALUES ('run', '{}')"))
        storage.dispose()
        assert made_of(tmp_path / "run.db")[-1] == [(count,)]


def test_threads_that_begin_one_log_write_into_one(tmp_path: Path) -> None:
    storages = [KeptSqliteEventLogStorage(str(tmp_path)) for _ in range(8)]

    def write(storage: KeptSqliteEventLogStorage) -> None:
        with storage.run_connection("run") as connection:
            connection.execute(text("INSERT INTO event_logs (run_id, event) VALUES ('run', '{}')"))

    with ThreadPoolExecutor(len(storages)) as threads:
        list(threads.map(write, storages))
    assert made_of(tmp_path / "run.db")[-1] == [(len(storages),)]


def test_it_keeps_few_files_open(instance: dg.DagsterInstance) -> None:
    runs = [materialize(instance) for _ in range(KEPT_FILES + 2)]
    storage = own_storage(instance)
    assert all(storage.get_logs_for_run(run) for run in runs)
    held = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)}
    databases = {name for name in held if name.startswith(str(storage._base_dir)) and name.endswith(".db")}
    assert 0 < len(databases) <= KEPT_FILES
    storage.dispose()
    assert storage.get_logs_for_run(runs[0])


def _is_link(fd: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{fd}")


def test_a_killed_writer_leaves_what_it_had_written(instance: dg.DagsterInstance) -> None:
    home = Path(instance.root_directory).parent
    program = (
        "from pathlib import Path; from volassets.orchestration.instance import open_instance;"
        "from volassets_tests.orchestration.test_event_log import materialize;"
        f"materialize(open_instance(Path({str(home)!r})), die='yes')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL
    (run,) = instance.get_runs()
    messages = [entry.message for entry in own_storage(instance).get_logs_for_run(run.run_id)]
    assert any("about to die" in message for message in messages)
    assert materialize(instance)


def test_a_moved_home_keeps_its_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(tmp_path / "before") as instance:
        materialize(instance)
    shutil.move(tmp_path / "before", tmp_path / "after")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(tmp_path / "after") as instance:
        assert len(instance.get_materialized_partitions(cells.key)) == 12
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


def test_wiping_closes_the_files_first(instance: dg.DagsterInstance) -> None:
    run = materialize(instance)
    instance.wipe()
    assert not own_storage(instance).get_logs_for_run(run)
    materialize(instance)
    assert own_storage(instance).get_materialized_partitions(cells.key)


class _Pauses(Event):
    """An event whose waits end at once and are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        return False


@pytest.mark.parametrize("line", ["backfill_interval_seconds: 7", ""], ids=["its own", "a file of an earlier version"])
def test_the_daemon_looks_for_backfills_as_often_as_the_file_says(tmp_path: Path, monkeypatch, line: str) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setattr(controller, INTERVAL, 30)
    file = prepare_instance(tmp_path) / "dagster.yaml"
    assert file.read_text().count("backfill_interval_seconds: 5") == 1
    file.write_text(file.read_text().replace("backfill_interval_seconds: 5", line))
    pauses = _Pauses()
    with open_instance(tmp_path) as opened:
        workspace, log = SimpleNamespace(instance=opened), logging.getLogger("dagster")
        any(pauses.seconds for _ in execute_backfill_iteration_loop(workspace, log, pauses))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert max(pauses.seconds) == pytest.approx(7 if line else 5, abs=1)
