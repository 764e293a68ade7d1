"""Runs as Celery tasks whose worker is watched; named in ``deploy/dagster-celery.yaml``.

In the result backend, which the stock launcher asks, the task of a killed worker stays STARTED. This one asks the
workers: a started run that none has answered for during `missing_seconds` is failed, and the daemon's `run_retries`
start it again elsewhere. Its finished cells are in the store, so the new run computes the others only.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

ANSWER_SECONDS = 3.0


class WatchedCeleryRunLauncher(CeleryRunLauncher):
    """`CeleryRunLauncher` whose health check asks the workers.

    Parameters
    ----------
    missing_seconds : int
        How long no worker may answer for a started run before it is failed: longer than the network pauses to wait
        for. Shorter makes a run start twice, which is harmless.
    **config
        As of `CeleryRunLauncher`.
    """

    def __init__(self, missing_seconds: int = 60, **config: Any) -> None:
        super().__init__(**config)
        self._missing_seconds = missing_seconds
        self._answered: dict[str, float] = {}

    @classmethod
    def config_type(cls) -> Any:
        """Return the stock launcher's configuration and `missing_seconds`."""
        return {
            **cast("dict[str, Any]", super().config_type()),
            "missing_seconds": dg.Field(int, is_required=False, default_value=60),
        }

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> WatchedCeleryRunLauncher:
        """Return the launcher of a ``dagster.yaml``."""
        return cls(inst_data=inst_data, **config_value)

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return whether a live worker has the run; an unreachable broker raises, so that no run is failed for it."""
        now = time.monotonic()
        last = self._answered.setdefault(run.run_id, now)
        if run.tags.get(DAGSTER_CELERY_TASK_ID_TAG) in self._active_tasks():
            self._answered[run.run_id] = now
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if now - last < self._missing_seconds:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "no worker answers for this run at the moment")
        del self._answered[run.run_id]
        return CheckRunHealthResult(
            WorkerStatus.FAILED,
            f"no Celery worker has answered for this run for {now - last:.0f} s: its worker is gone. "
            "Finished cells are in the store; a retry computes the others.",
        )

    def _active_tasks(self) -> set[str]:
        answers = self.celery.control.inspect(timeout=ANSWER_SECONDS).active() or {}
        return {task["id"] for tasks in answers.values() for task in tasks}
