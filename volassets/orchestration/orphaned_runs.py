"""Runs whose process was killed: the kernel frees their lock, and Dagster's record is corrected.

Dagster itself notices only runs that its daemon launched; others would count as running and fill the queue's limit.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.storage.tags import WILL_RETRY_TAG

from volassets.file_lock import FileLock

_held: dict[str, FileLock] = {}
_UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]


def hold_run(home: Path, run_id: str) -> None:
    """Lock the run's file for as long as this process lives."""
    if run_id in _held:
        return
    lock = FileLock(_folder(home) / run_id, shared=True)
    lock.take()
    _held[run_id] = lock


def orphaned_runs(instance: dg.DagsterInstance, home: Path) -> list[str]:
    """Return the runs that Dagster shows as running and whose process on this machine is gone."""
    files = _folder(home)
    if not files.is_dir():
        return []
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
    return [run.run_id for run in runs if _is_free(files / run.run_id)]


def close_orphaned_runs(instance: dg.DagsterInstance, home: Path) -> list[str]:
    """Mark the runs of `orphaned_runs` as failed, forget files that nobody holds, and return the runs."""
    closed = []
    for run_id in orphaned_runs(instance, home):
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            _promise_retry(instance, run)
            instance.report_run_failed(run, "the run's process was killed: what it had finished is kept")
            closed.append(run_id)
    if _folder(home).is_dir():
        for file in _folder(home).iterdir():
            run = instance.get_run_by_id(file.name) if _is_free(file) else None
            if run is not None and run.is_finished:
                file.unlink(missing_ok=True)
    return closed


def _promise_retry(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Say whether a run will be retried before it counts as failed.

    Dagster itself does so just after: a backfill that looks at its runs in between ends for good, and then the run is
    not retried.
    """
    if instance.run_retries_enabled:
        failed = run.with_status(dg.DagsterRunStatus.FAILURE)
        retried = auto_reexecution_should_retry_run(instance, failed, None)
        instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: str(retried).lower()})


def _folder(home: Path) -> Path:
    return home / "locks" / "runs"


def _is_free(file: Path) -> bool:
    if not file.exists():
        return False
    with FileLock(file) as lock:
        return lock.take()
