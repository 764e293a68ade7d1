"""Dagster's own home, below the project's home: run history, schedules, logs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from volassets.errors import InputError
from volassets.file_lock import FileLock

# What a new home gets; the project's own dagster.yaml says the same of ./data.
INSTANCE_FILE = Path(__file__).with_name("dagster.yaml")
# Where the graph is loaded from, under the one name that the state of schedules and sensors is kept by.
WORKSPACE_FILE = Path(__file__).with_name("workspace.yaml")


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
            file.write_bytes(INSTANCE_FILE.read_bytes())
        # Two at once leave a schema that Dagster cannot read.
        with FileLock(folder / ".lock").wait(), _dagster_home(folder):
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
