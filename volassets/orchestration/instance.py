"""Dagster's own home, below the project's home: run history, schedules, logs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from volassets.errors import InputError
from volassets.file_lock import alone

INSTANCE_YAML = """\
# Dagster's instance: `volassets run`, `make ui` and the daemon share it.
telemetry:
  enabled: false
# No dialogue about newsletters before the first look.
nux:
  enabled: false

# A run fits its months in parallel by itself; more runs at once only share the same cores.
concurrency:
  runs:
    max_concurrent_runs: 2
    # Scheduled runs of one ticker queue behind each other instead of waiting for its lock with a place taken.
    tag_concurrency_limits:
      - key: volassets/ticker
        value:
          applyLimitPerUniqueValue: true
        limit: 1

# Dagster's own five seconds are a long wait after a click.
run_queue:
  dequeue_interval_seconds: 1

# The daemon starts a failed run once more; an asset's own failures say that they need a person.
run_retries:
  enabled: true
  max_retries: 1
  retry_on_asset_or_op_failure: false

run_monitoring:
  enabled: true

# Dagster's SQLite with its files kept open: a few events per cell are written, thousands in a backfill.
event_log_storage:
  module: volassets.orchestration.event_log
  class: KeptSqliteEventLogStorage
  config:
    home:
      env: DAGSTER_HOME
"""


def prepare_instance(home: Path) -> Path:
    """Create Dagster's home with its databases below `home` where they are missing, and return it.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    folder = home / "dagster"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "dagster.yaml"
        if not file.exists():
            file.write_text(INSTANCE_YAML, encoding="utf-8")
        # Two at once leave a schema that Dagster cannot read.
        with alone(folder / ".lock"), _dagster_home(folder):
            if not (folder / "history" / "runs" / "index.db").exists():
                dg.DagsterInstance.from_config(str(folder)).dispose()
            return folder
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}): set VOLASSETS_HOME to a directory that you may write to."
        ) from None


def open_instance(home: Path) -> dg.DagsterInstance:
    """Return the instance kept below `home`; `$DAGSTER_HOME` wins where it is set."""
    if not os.environ.get("DAGSTER_HOME"):
        os.environ["DAGSTER_HOME"] = str(prepare_instance(home))
    return dg.DagsterInstance.get()


@contextmanager
def _dagster_home(folder: Path) -> Iterator[None]:
    """Let `dagster.yaml` find its own directory, for the block."""
    before = os.environ.get("DAGSTER_HOME")
    os.environ["DAGSTER_HOME"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("DAGSTER_HOME")
        if before is not None:
            os.environ["DAGSTER_HOME"] = before
