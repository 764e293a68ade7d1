"""The embedded back end: one DuckDB file, opened for one call at a time under a side-car lock."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from volassets.object_io import replacing
from volassets.warehouse.compaction import copy_tables, row_bytes
from volassets.warehouse.damage import Unreadable, unreadable
from volassets.warehouse.database_lock import PATIENCE_SECONDS, Patience, locked, log_line
from volassets.warehouse.declarations import Table, cast, quoted
from volassets.warehouse.interface import CheckedChange, Warehouse
from volassets.warehouse.write_checks import StoreError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from volassets.settings import Settings

# What DuckDB says while another program has the file open, and what it says in the instant of a change.
HELD = ("Could not set lock on file", "different configuration")
PASSING = ("Could not read from file", "Cannot open file")
LASTING = ("Permission denied", "No such file", "Is a directory", "Read-only file system", "Not a directory")
PASSING_SECONDS = 5.0
# Databases without rows, by the fingerprint of their schema: to make one takes a quarter second.
_EMPTY: dict[str, DuckDBPyConnection] = {}


class _Held(threading.local):
    """The connection that a thread's reads share while it is inside `reading`."""

    connection: DuckDBPyConnection | None = None


class _Passing(Exception):
    """A stranger is in the way; try again."""


class DuckDBWarehouse(Warehouse):
    """`$VOLASSETS_HOME/volassets.duckdb`, or the file `path`; `patience` and `say` as in `open_warehouse`."""

    def __init__(
        self,
        settings: Settings,
        *,
        patience: float = PATIENCE_SECONDS,
        say: Callable[[str], None] = log_line,
        path: Path | None = None,
    ) -> None:
        self.path = path or settings.database
        super().__init__(settings, str(self.path))
        self._seconds = patience
        self._say = say
        self._held = _Held()

    def _write(self, checked: Sequence[CheckedChange]) -> int:
        changed = 0
        with self._writing() as connection:
            for change in checked:
                if change.cells is None:
                    changed += _upsert(connection, change)
                else:
                    _delete(connection, change.table, change.cells)
                    _insert(connection, change.table, change.rows)
        return changed

    def _remove(self, cells: Mapping[Table, pd.DataFrame]) -> None:
        with self._writing() as connection:
            for table, keys in cells.items():
                _delete(connection, table, keys)

    def bytes_of(self, rows: Mapping[str, pd.DataFrame]) -> dict[str, int]:
        """Return about how many bytes the rows of cells take."""
        if not self.path.exists():
            return dict.fromkeys(rows, 0)
        with self.connect(read_only=True) as connection:
            each = row_bytes(connection, list(self.schema.tables.values()))
        return {name: round(each[name] * int(frame["n"].sum())) for name, frame in rows.items()}

    def compact(self) -> int:
        """Write the file again without the blocks of deleted rows; return the bytes that it is smaller by.

        The new file takes the place of the old one as a whole, once nobody has that open.
        """
        import duckdb

        before = self.path.stat().st_size
        with self.connect(read_only=False) as connection:
            connection.execute("CHECKPOINT")
            try:
                with replacing(self.path) as draft:
                    self.schema.create(draft)
                    copy_tables(connection, draft, list(self.schema.tables))
                    connection.close()
            except (OSError, duckdb.Error) as error:
                raise StoreError(
                    f"{self.path} cannot be written again: {error}. It is as it was; its free blocks are used by later "
                    "rows. Free some space and run this again."
                ) from None
        return before - self.path.stat().st_size

    def _select(self, sql: str, parameters: Any, equals: Mapping[str, Any] | None = None) -> pd.DataFrame:
        import duckdb

        if self._held.connection is not None:
            try:
                return _answer(self._held.connection, sql, parameters)
            except duckdb.Error as error:
                raise self._unreadable(error) or error from None
        if not self.path.exists():
            with self._empty.cursor() as connection:
                return _answer(connection, sql, parameters)
        with self._reading() as connection:
            return _answer(connection, sql, parameters)

    @property
    def _empty(self) -> DuckDBPyConnection:
        """A database without rows, which answers for every file of this schema that is not there."""
        import duckdb

        if self.schema.fingerprint not in _EMPTY:
            connection = duckdb.connect(":memory:")
            self.schema.apply(connection)
            _EMPTY[self.schema.fingerprint] = connection
        return _EMPTY[self.schema.fingerprint]

    @contextmanager
    def reading(self) -> Iterator[Warehouse]:
        """Yield the store as of one moment: what this thread reads goes over one connection, and writers wait for it.

        A block inside another one reads over the outer one's.
        """
        # Opening the file is most of the cost of a small read.
        if self._held.connection is not None or not self.path.exists():
            yield self
            return
        with self._reading() as connection:
            # Many small reads in a row: threads cost an eighth more processor and save no time.
            connection.execute("SET threads = 1")
            self._held.connection = connection
            try:
                yield self
            finally:
                self._held.connection = None

    @contextmanager
    def _reading(self) -> Iterator[DuckDBPyConnection]:
        """Yield a connection that reads, on the current schema: an older file is brought up to it first."""
        with self.connect(read_only=True) as connection:
            if self.schema.is_current(connection, self.place):
                yield connection
                return
        with self._writing():
            pass
        with self._reading() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[DuckDBPyConnection]:
        """Yield a connection inside a transaction on the current schema; commit at the end, or nothing happened."""
        import duckdb

        if self._held.connection is not None:
            raise RuntimeError("a write inside `reading` would wait for itself: write after the block")
        self._create()
        try:
            with self.connect(read_only=False) as connection:
                if not self.schema.is_current(connection, self.place):
                    self.schema.apply(connection)
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
        except duckdb.Error as error:
            raise StoreError(
                f"{self.path} could not be written: {error}. The old rows are as they were; free some space or correct "
                "the cause and run this again."
            ) from None

    def _create(self) -> None:
        """Make a new database under another name and move it into place: no half-made file ever has the name."""
        import duckdb

        if self.path.exists():
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                if self.path.exists():
                    return
                with replacing(self.path) as new:
                    self.schema.create(new)
        except (OSError, duckdb.Error) as error:
            raise StoreError(
                f"{self.path} cannot be created: {error}. Make the directory writable, or choose another home with "
                "VOLASSETS_HOME. Nothing was written."
            ) from None

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self.path, True, Patience(self.path, self._seconds, self._say))

    @contextmanager
    def connect(self, *, read_only: bool) -> Iterator[DuckDBPyConnection]:
        """Yield a connection for one batch of statements, after waiting for whoever has the file open.

        While another program holds it, the side-car lock is released between the attempts, so that our
        readers go on beside a program that only reads.

        Raises
        ------
        StoreError
            The file is not a database, is damaged, cannot be opened, or was not free in time.
        """
        import duckdb
        import tenacity

        patience = Patience(self.path, self._seconds, self._say)
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            wait=tenacity.wait_random_exponential(multiplier=0.02, max=0.5),
            before_sleep=lambda state: patience.waited(str(state.outcome.exception() if state.outcome else "")),
        )
        connection, opened = attempts(self._open, read_only, patience)
        with opened:
            try:
                yield connection
            except duckdb.Error as error:
                raise self._unreadable(error) or error from None
            except RuntimeError as error:
                # After a signal DuckDB goes on with the statement, and would be waited for where it is closed.
                connection.interrupt()
                raise _interruption(error) or error from None

    def backup(self, file: Path) -> None:
        """Copy the database, as of one moment, to `file`."""
        if not self.path.exists():
            raise StoreError(f"{self.path} does not exist yet: there is nothing to back up.")
        while True:
            with self.connect(read_only=True) as connection:
                self.schema.is_current(connection, self.place)
                # A writer that was killed leaves committed rows beside the file, in the log.
                if not self._log.exists():
                    put_in_place(self.path, Path(file))
                    return
            with self.connect(read_only=False) as connection:
                connection.execute("CHECKPOINT")

    def restore(self, file: Path) -> None:
        """Put `file` in the place of the database, once nobody has it open."""
        self.require_ours(Path(file))
        self._create()
        try:
            with self.connect(read_only=False) as connection:
                connection.execute("CHECKPOINT")
                connection.close()
                put_in_place(Path(file), self.path)
        except Unreadable:
            kept = self.path.with_name(f"{self.path.name}.unreadable")
            with self._locked():
                put_in_place(Path(file), self.path, lambda: self._move_to(kept))
            self._say(f"what could not be read is kept as {kept}")

    def _move_to(self, place: Path) -> None:
        self.path.replace(place)
        if self._log.exists():
            self._log.replace(f"{place}.wal")

    @property
    def _log(self) -> Path:
        return self.path.with_name(f"{self.path.name}.wal")

    def require_ours(self, file: Path) -> None:
        """Refuse a file that is no database of volassets, with StoreError."""
        import duckdb

        if not file.is_file():
            raise StoreError(f"{file} is not a file: give a backup that `volassets backup` wrote.")
        try:
            with duckdb.connect(str(file), read_only=True) as connection:
                if not connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall()[0][0]:
                    raise StoreError(f"{file} has no table in it: give a backup that `volassets backup` wrote.")
                self.schema.is_current(connection, str(file))
        except duckdb.Error as error:
            raise StoreError(f"{file} cannot be restored: {error}. Nothing was changed.") from None

    def _open(self, read_only: bool, patience: Patience) -> tuple[DuckDBPyConnection, ExitStack]:
        import duckdb

        with ExitStack() as stack:
            stack.enter_context(locked(self.path, not read_only, patience))
            try:
                connection = duckdb.connect(str(self.path), read_only=read_only)
            except duckdb.Error as error:
                raise self._explained(error, patience) from None
            stack.callback(connection.close)
            hide_progress_bar(connection)
            return connection, stack.pop_all()

    def _explained(self, error: Exception, patience: Patience) -> Exception:
        text = str(error)
        if "different configuration" in text:
            return _Passing("a connection of this very process")
        if any(phrase in text for phrase in HELD):
            holder = re.search(r"lock is held in (.+?\(PID \d+\))", text)
            return _Passing(f"another program, {holder[1] if holder else 'which has it open'}")
        passing = any(phrase in text for phrase in PASSING) and not any(phrase in text for phrase in LASTING)
        if passing and patience.seconds < PASSING_SECONDS:
            return _Passing(f"a change of the file ({text})")
        return self._unreadable(error) or StoreError(f"{self.path} cannot be opened: {text}. It was not touched.")

    def _unreadable(self, error: Exception) -> Unreadable | None:
        return unreadable(self.path, str(error), self._is_ours)

    def _is_ours(self, file: Path) -> bool:
        try:
            self.require_ours(file)
        except StoreError:
            return False
        return True


def hide_progress_bar(connection: DuckDBPyConnection) -> None:
    """Keep DuckDB's bar off standard output, where it would stand among a command's answers."""
    import duckdb

    # In a notebook without ipywidgets there is no bar, and DuckDB refuses to switch it off.
    with suppress(duckdb.InvalidInputException):
        connection.execute("SET enable_progress_bar = false")


def _answer(connection: DuckDBPyConnection, sql: str, parameters: Any) -> pd.DataFrame:
    # Else a name that is no table would be looked up among the variables of this program.
    connection.execute("SET python_enable_replacements = false")
    return connection.execute(sql, parameters).df()


def _upsert(connection: DuckDBPyConnection, change: CheckedChange) -> int:
    """Write the rows that differ from what is stored; return how many, none for a log."""
    table = change.table
    if change.rows.empty:
        return 0
    pairs = (f"given.{quoted(name)} IS NOT DISTINCT FROM stored.{quoted(name)}" for name in table.compared)
    key = list(table.key)
    connection.register("given", change.rows)
    differing = connection.execute(
        f"SELECT {', '.join(f'given.{quoted(name)}' for name in key)} FROM given "
        f"ANTI JOIN {quoted(table.name)} AS stored ON {' AND '.join(pairs)}"
    ).df()
    connection.unregister("given")
    rows = change.rows.merge(differing, on=key) if len(differing) < len(change.rows) else change.rows
    if not table.append_only:
        _delete(connection, table, rows[key])
    _insert(connection, table, rows)
    return 0 if table.append_only else len(rows)


def _delete(connection: DuckDBPyConnection, table: Table, keys: pd.DataFrame) -> None:
    """Delete the rows of `table` that agree with a row of `keys` in all its columns; all rows where it has none."""
    if not len(keys.columns):
        connection.execute(f"DELETE FROM {quoted(table.name)}")
    elif len(keys):
        pairs = (f"given.{quoted(name)} = {quoted(table.name)}.{quoted(name)}" for name in keys.columns)
        connection.register("given", keys)
        connection.execute(f"DELETE FROM {quoted(table.name)} USING given WHERE {' AND '.join(pairs)}")
        connection.unregister("given")


def _insert(connection: DuckDBPyConnection, table: Table, rows: pd.DataFrame) -> None:
    if len(rows):
        connection.register("given", rows)
        connection.execute(f"INSERT INTO {quoted(table.name)} BY NAME SELECT {cast(table, 'given')} FROM given")
        connection.unregister("given")


def put_in_place(source: Path, destination: Path, before: Callable[[], None] = lambda: None) -> None:
    """Copy a file over `destination`, whole or not at all; StoreError if it cannot be written.

    `before` is called when only the renaming is left to do.
    """
    try:
        with replacing(destination) as draft:
            shutil.copyfile(source, draft)
            before()
    except OSError as error:
        raise StoreError(f"{destination} cannot be written: {error}. It is as it was.") from None


def _interruption(error: RuntimeError) -> BaseException | None:
    """Return what a signal raised while a statement ran, which DuckDB passes on as an error of its own."""
    cause = error.__cause__ or error.__context__
    return None if cause is None or isinstance(cause, Exception) else cause
