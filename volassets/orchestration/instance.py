"""Dagster's own home, below the project's home: run history, schedules, logs."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from volassets.errors import InputError
from volassets.file_lock import FileLock
from volassets.object_io import write_whole

# What a new home gets; the project's own dagster.yaml says the same of ./data.
INSTANCE_FILE = Path(__file__).with_name("dagster.yaml")
# Where the graph is loaded from, under the one name that the state of schedules and sensors is kept by.
WORKSPACE_FILE = Path(__file__).with_name("workspace.yaml")
# Dagster's databases below its home, and what is lost with the folder of each.
HISTORY = "the list of past runs and their logs; `volassets status` says how stored cells are recorded again"
DATABASES = {
    "history/runs.db": HISTORY,
    "history/runs/index.db": HISTORY,
    "schedules/schedules.db": "which schedules and sensors were switched on or off by hand, and their past ticks",
}
UNSET = "not set"


def prepare_instance(home: Path) -> Path:
    """Create Dagster's home with its databases below `home` where they are missing, and return it.

    Raises
    ------
    InputError
        If it cannot be written, or one of its databases is damaged.
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
            _require_readable(folder)
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


def _require_readable(folder: Path) -> None:
    for name, lost in DATABASES.items():
        file, problem = folder / name, ""
        if not file.exists():
            continue
        try:
            with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    problem = "it has no tables"
        except sqlite3.OperationalError:
            continue  # in use, or in a directory that may only be read
        except sqlite3.DatabaseError as error:
            problem = str(error)
        if problem:
            part = folder / Path(name).parts[0]
            raise InputError(
                f"{file} is damaged ({problem}). It is Dagster's own record, no result is in it: move it away with "
                f"`mv {part} {part}.damaged` and run this again. Lost with it: {lost}."
            )


def instance_differences(home: Path) -> list[str]:
    """Return where the home's dagster.yaml differs from this version's, one setting a line; none without a file."""
    file = home / "dagster" / "dagster.yaml"
    if not file.exists() or file.read_bytes() == INSTANCE_FILE.read_bytes():
        return []
    try:
        here, ours = (dict(_flat(yaml.safe_load(path.read_text("utf-8")) or {})) for path in (file, INSTANCE_FILE))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return [f"it cannot be read: {' '.join(str(error).split())}"]
    return [
        f"{key}: {here.get(key, UNSET)} here, {ours.get(key, UNSET)} in this version"
        for key in sorted(here | ours)
        if here.get(key, UNSET) != ours.get(key, UNSET)
    ]


def refresh_instance(home: Path) -> Path | None:
    """Put this version's dagster.yaml in the place of the home's; return where the old one is kept."""
    if not instance_differences(home):
        return None
    file = home / "dagster" / "dagster.yaml"
    kept = file.with_name("dagster.yaml.old")
    write_whole(kept, file.read_bytes())
    write_whole(file, INSTANCE_FILE.read_bytes())
    return kept


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


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
