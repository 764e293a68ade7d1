"""Cheaper writing of Dagster's own history, where that is SQLite.

Dagster opens and closes the files for every event, a few for every cell of a range. Each commit and
each last close then waits for the disk, which costs more than everything else about the event.
A log in WAL mode stays consistent without that wait, also after kill -9; a power cut may lose
the last events, and `volassets status` names what the tables have and the record has not.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import Any

import dagster as dg

_open: dict[str, Any] = {}


def spare_the_disk(instance: dg.DagsterInstance, run_id: str = "") -> None:
    """Let this process write the history of `instance`, and the run's, without waiting for the disk."""
    # Imported here: they cost the command line's start, and another storage has no use for them.
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return
    _relax_commits()
    for shard in filter(None, (INDEX_SHARD_NAME, run_id)):
        url = storage.conn_string_for_shard(shard)
        if url not in _open:
            # While one connection stays open, closing another one does not rewrite the file.
            _open[url] = create_engine(url, poolclass=NullPool).connect()
            _open[url].execute(text("SELECT 1 FROM sqlite_master")).fetchall()
            _open[url].rollback()


def close_history() -> None:
    """Close what `spare_the_disk` has opened."""
    while _open:
        _open.popitem()[1].close()


@cache
def _relax_commits() -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def relax(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = NORMAL")
