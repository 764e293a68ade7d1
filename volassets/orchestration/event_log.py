"""Dagster's event log in SQLite with its files kept open; `dagster.yaml` names it.

Dagster's own storage opens the files again for each of the few events per cell: a connection, every statement compiled
again, a wait for the disk at the commit and at the close. A log in WAL mode stays consistent without that wait, also
after kill -9; a power cut may lose the last events, and `volassets status` names what the tables have and the record
has not.

It is also the one class of ours that Dagster's daemon loads, so it carries how often the daemon looks for backfills.
"""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dagster import DagsterEventType, Field, Int, StringSource
from dagster._core.execution.plan.objects import ErrorSource
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS, create_db_conn_string
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine

if TYPE_CHECKING:
    from dagster import DagsterEvent, EventLogEntry
    from dagster._utils.error import SerializableErrorInfo

# The index and a few runs: the webserver reads the runs that its users look at, one file each.
KEPT_FILES = 4
# Dagster has 30 in a constant, without a setting: a wait of up to half a minute after a click.
BACKFILL_SECONDS = 5
DAEMON, INTERVAL = "dagster._daemon.controller", "DEFAULT_DAEMON_INTERVAL_SECONDS"


class KeptSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's SQLite event log in the files of `base_dir`, kept open."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._tables: set[str] = set()
        self._empty_log = b""
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Return what `dagster.yaml` gives: Dagster's home, so that a home may be moved, and an interval in seconds."""
        return {"home": StringSource, "backfill_interval_seconds": Field(Int, default_value=BACKFILL_SECONDS)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> KeptSqliteEventLogStorage:
        """Return the storage in the directory that Dagster's own would use."""
        look_for_backfills_every(config_value.get("backfill_interval_seconds", BACKFILL_SECONDS))
        return cls(os.path.join(config_value["home"], "history", "runs"), inst_data)

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event; a termination or a failure in our own words without the traceback that the UI would show."""
        super().store_event(_without_traceback(event))

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        """Make the file of a run's log as a copy of an empty one: Dagster reads all its migrations again for each."""
        # It is there, perhaps from an older Dagster, or the file system has no links: then Dagster's own way.
        with suppress(OSError):
            if not for_index_shard:
                self._copy_empty_log(Path(str(engine.url.database)))
                return
        super()._initdb(engine, for_index_shard)

    def _copy_empty_log(self, file: Path) -> None:
        if file.exists():
            raise FileExistsError
        with TemporaryDirectory(dir=file.parent, prefix=".empty-") as folder:
            draft = Path(folder, "empty.db")
            if not self._empty_log:
                engine = create_engine(create_db_conn_string(folder, "empty"))
                super()._initdb(engine)
                engine.dispose()
                self._empty_log = draft.read_bytes()
            draft.write_bytes(self._empty_log)
            # Appears whole, and never in the place of a file that another process has made meanwhile.
            os.link(draft, file)

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            self._engines[shard] = _relaxed(self.conn_string_for_shard(shard))
            if len(self._engines) > KEPT_FILES:
                self._engines.popitem(last=False)[1].dispose()
        self._engines.move_to_end(shard)
        return self._engines[shard]

    def has_table(self, table_name: str) -> bool:
        """Return whether the index has the table; every result of a check asks again."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def wipe(self) -> None:
        """Close the files before they are removed."""
        self.dispose()
        super().wipe()

    def dispose(self) -> None:
        """Close every file."""
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()
        super().dispose()


def look_for_backfills_every(seconds: int) -> None:
    """Let the daemon look for backfills every `seconds`, where this process is the daemon.

    Its thread reads the constant when it starts, which is after the instance is loaded. In another version of Dagster
    without the constant nothing happens, and the wait is Dagster's.
    """
    daemon = sys.modules.get(DAEMON)
    if daemon is not None and hasattr(daemon, INTERVAL):
        setattr(daemon, INTERVAL, max(1, seconds))


def _without_traceback(entry: EventLogEntry) -> EventLogEntry:
    """Return an entry of a log without the traceback of a termination or of a failure in our own words."""
    return entry if entry.dagster_event is None else entry._replace(dagster_event=_bare(entry.dagster_event))


def _bare(logged: DagsterEvent) -> DagsterEvent:
    if logged.event_specific_data is None:
        # The end of a run that was killed, as the next one or the daemon records it.
        return logged
    if logged.is_step_failure:
        failure = logged.step_failure_data
        if failure.user_failure_data is None and failure.error_source is not ErrorSource.INTERRUPT:
            return logged
        return logged._replace(event_specific_data=failure._replace(error=_without_stack(failure.error)))
    if logged.event_type is DagsterEventType.RUN_CANCELED:
        canceled = logged.job_canceled_data
        return logged._replace(event_specific_data=canceled._replace(error=_without_stack(canceled.error)))
    step = logged.job_failure_data.first_step_failure_event if logged.is_job_failure else None
    if step is None or (bare := _bare(step)) is step:
        return logged
    data = logged.job_failure_data
    data = data._replace(error=_without_stack(data.error), first_step_failure_event=bare)
    return logged._replace(event_specific_data=data)


def _without_stack(error: SerializableErrorInfo | None) -> SerializableErrorInfo | None:
    return error and error._replace(stack=[], cause=None, context=None)


def _relaxed(url: str) -> Engine:
    engine = create_engine(url, pool_size=1, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})

    @event.listens_for(engine, "connect")
    def relax(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")

    return engine
