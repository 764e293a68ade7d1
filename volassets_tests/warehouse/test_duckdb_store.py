"""What only the embedded back end has: one file, its lock, its migration, strangers at the door."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import duckdb
import pytest

from volassets.settings import Settings
from volassets.warehouse import database_lock
from volassets.warehouse.duckdb_store import DuckDBWarehouse
from volassets.warehouse.store import Replacement, StoreError, Upsert
from volassets_tests.warehouse.frames import cells, fit_rows, forecast_rows, price_rows

STRANGER = """
import duckdb, sys, time
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read")
print("open", flush=True)
time.sleep(float(sys.argv[3]))
sys.stdin.readline()
connection.close()
"""


@pytest.fixture
def settings(settings_for: Callable[..., Settings]) -> Settings:
    return settings_for("duckdb")


def store(settings: Settings, data_hash: str = "h1") -> DuckDBWarehouse:
    """Return a store with one fit."""
    warehouse = DuckDBWarehouse(settings, patience=30)
    write_fit(warehouse, data_hash)
    return warehouse


def write_fit(warehouse: DuckDBWarehouse, data_hash: str) -> None:
    warehouse.write(Replacement("garch_fits", fit_rows(data_hash=data_hash), cells(fit_rows())))


def stored_hash(warehouse: DuckDBWarehouse) -> list[str]:
    return warehouse.read("garch_fits")["data_hash"].tolist()


def stranger(path: Path, how: str, seconds: float, until_closed: bool = False) -> subprocess.Popen[str]:
    """Start another program that has the database open for a while, and with `until_closed` until its input is."""
    command = [sys.executable, "-c", STRANGER, str(path), how, str(seconds)]
    stdin = subprocess.PIPE if until_closed else subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_every_new_database_of_a_process_is_its_own_and_like_the_first(
    settings: Settings, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    files = [tmp_path / f"{name}.duckdb" for name in "abc"]
    others = settings_for("duckdb", lags=(1, 2, 3, 30))
    for file, chosen in zip(files, (settings, settings, others), strict=True):
        DuckDBWarehouse(chosen, path=file).write(Replacement("garch_fits", fit_rows(), cells(fit_rows())))
    write_fit(DuckDBWarehouse(settings, path=files[1]), "h2")
    described, columns = [], []
    for file in files:
        with duckdb.connect(str(file), read_only=True) as connection:
            sql = "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() ORDER BY ALL"
            described.append(connection.execute(sql).fetchall())
            columns.append({row[:2] for row in described[-1]})
    assert described[0] == described[1]
    assert len(described[0]) > 500
    assert columns[2] - columns[0]
    assert [stored_hash(DuckDBWarehouse(settings, path=file)) for file in files[:2]] == [["h1"], ["h2"]]


def test_nothing_is_created_by_reading(settings: Settings) -> None:
    warehouse = DuckDBWarehouse(settings)
    warehouse.read("fits")
    warehouse.query("SHOW TABLES")
    assert not settings.home.exists()


def test_readers_go_on_while_a_stranger_reads_and_a_writer_waits_and_says_so(settings: Settings) -> None:
    said: list[str] = []
    store(settings)
    warehouse = DuckDBWarehouse(settings, patience=100, say=said.append)
    process = stranger(settings.database, "read", 0, until_closed=True)
    writer = threading.Thread(target=write_fit, args=(warehouse, "h2"))
    writer.start()
    try:
        while not any("another program" in line for line in said):
            time.sleep(0.05)
            assert writer.is_alive()
        assert [stored_hash(warehouse) for _ in range(3)] == [["h1"]] * 3
    finally:
        process.communicate()
        writer.join()
    assert stored_hash(warehouse) == ["h2"]
    assert any(f"PID {process.pid}" in line for line in said)


def test_readers_and_writers_wait_for_a_stranger_that_writes(settings: Settings) -> None:
    warehouse = store(settings)
    process = stranger(settings.database, "write", 1.0)
    assert stored_hash(warehouse) == ["h1"]
    assert process.wait() == 0
    process = stranger(settings.database, "write", 1.0)
    write_fit(warehouse, "h2")
    assert process.wait() == 0
    assert stored_hash(warehouse) == ["h2"]


def test_a_wait_has_a_deadline_and_says_what_to_do(settings: Settings) -> None:
    store(settings)
    process = stranger(settings.database, "read", 30.0)
    try:
        with pytest.raises(
            StoreError, match=r"not free for 1 s: waited for another program, .*PID.*Close what holds it"
        ):
            write_fit(DuckDBWarehouse(settings, patience=1), "h2")
    finally:
        process.kill()
        process.wait()
    assert stored_hash(DuckDBWarehouse(settings)) == ["h1"]


def test_a_connection_of_this_process_is_in_the_way_too(settings: Settings) -> None:
    store(settings)
    with duckdb.connect(str(settings.database), read_only=True), pytest.raises(StoreError, match="this very process"):
        write_fit(DuckDBWarehouse(settings, patience=0.3), "h2")


def test_the_wait_for_one_of_ours_is_said_after_a_moment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_lock, "LOG_AFTER_SECONDS", 0.1)
    store(settings)
    said: list[str] = []
    free = threading.Event()

    def hold() -> None:
        with database_lock.locked(settings.database, True, database_lock.Patience(settings.database, 5, said.append)):
            held.set()
            free.wait(5)

    held = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(5)
    with pytest.raises(StoreError, match="not free for 0 s"):
        DuckDBWarehouse(settings, patience=0.3, say=said.append).read("fits")
    free.set()
    holder.join()
    assert said
    assert "waiting for a writer" in said[0]


def test_a_stream_of_readers_does_not_keep_a_writer_out(settings: Settings) -> None:
    warehouse = store(settings)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            with database_lock.locked(settings.database, False, database_lock.Patience(settings.database, 20, print)):
                time.sleep(0.1)

    readers = [threading.Thread(target=read) for _ in range(6)]
    for thread in readers:
        thread.start()
    try:
        # StoreError where it is kept out for as long as its patience lasts.
        write_fit(warehouse, "h2")
        assert all(thread.is_alive() for thread in readers)
    finally:
        stop.set()
        for thread in readers:
            thread.join()
    assert stored_hash(warehouse) == ["h2"]


@pytest.mark.parametrize("content", [b"", b"price,date\n" * 900, b"\0" * 12288])
def test_what_is_no_database_is_refused_and_not_touched(settings: Settings, content: bytes) -> None:
    settings.home.mkdir(parents=True)
    settings.database.write_bytes(content)
    warehouse = DuckDBWarehouse(settings, patience=1)
    for ask in (lambda: write_fit(warehouse, "h"), lambda: warehouse.read("fits")):
        with pytest.raises(StoreError, match=r"not a DuckDB database, or is damaged.*not touched"):
            ask()
    assert settings.database.read_bytes() == content


def test_a_truncated_database_is_refused_and_not_touched(settings: Settings) -> None:
    store(settings)
    half = settings.database.read_bytes()[: settings.database.stat().st_size // 2]
    settings.database.write_bytes(half)
    with pytest.raises(StoreError):
        write_fit(DuckDBWarehouse(settings, patience=1), "h2")
    assert settings.database.read_bytes() == half


@pytest.mark.parametrize("sql", ["CREATE TABLE orders(id INTEGER)", "CREATE TABLE schema_version(name TEXT)"])
def test_another_programs_database_is_refused_and_not_touched(settings: Settings, sql: str) -> None:
    settings.home.mkdir(parents=True)
    with duckdb.connect(str(settings.database)) as connection:
        connection.execute(sql)
    content = settings.database.read_bytes()
    warehouse = DuckDBWarehouse(settings)
    for ask in (lambda: write_fit(warehouse, "h"), lambda: warehouse.read("fits")):
        with pytest.raises(StoreError, match="not one of volassets"):
            ask()
    assert settings.database.read_bytes() == content


def test_a_database_of_a_later_release_is_refused(settings: Settings) -> None:
    warehouse = store(settings)
    with duckdb.connect(str(settings.database)) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(StoreError, match="schema version 99"):
        warehouse.read("fits")
    with pytest.raises(StoreError, match="schema version 99"):
        write_fit(warehouse, "h2")


def make_older(path: Path) -> None:
    """Take from a database what a later release has brought: a table, two columns, a view."""
    with duckdb.connect(str(path)) as connection:
        for view in ("latest_forecasts", "forecast_losses", "forecasts", "fits", "realized"):
            connection.execute(f"DROP VIEW {view}")
        connection.execute("DROP TABLE attention")
        connection.execute("CREATE TABLE older AS SELECT * EXCLUDE (lower, upper), 'x' AS retired FROM garch_forecasts")
        connection.execute("DROP TABLE garch_forecasts")
        connection.execute("ALTER TABLE older ALTER COLUMN retired SET NOT NULL")
        connection.execute("ALTER TABLE older ADD PRIMARY KEY (ticker, refit_month, model, origin_date, horizon)")
        connection.execute("ALTER TABLE older RENAME TO garch_forecasts")
        connection.execute("UPDATE schema_version SET version = 0, fingerprint = 'older'")


@pytest.mark.parametrize("first", ["read", "write"])
def test_an_older_database_is_migrated_in_place_and_keeps_its_rows(settings: Settings, first: str) -> None:
    warehouse = store(settings)
    warehouse.write(Replacement("garch_forecasts", forecast_rows(), cells(forecast_rows())))
    make_older(settings.database)
    if first == "write":
        frame = forecast_rows("A").assign(lower=0.1)
        DuckDBWarehouse(settings).write(Replacement("garch_forecasts", frame, cells(frame)))
    stored = DuckDBWarehouse(settings).read("garch_forecasts", ticker="^GSPC")
    assert len(stored) == 5
    assert stored["lower"].isna().all()
    assert warehouse.read("attention").empty
    assert stored_hash(warehouse) == ["h1"]
    assert warehouse.query("SELECT DISTINCT retired FROM garch_forecasts WHERE ticker = '^GSPC'")[
        "retired"
    ].tolist() == ["x"]
    comments = warehouse.query("SELECT comment FROM duckdb_columns() WHERE column_name = 'lower'")
    assert comments["comment"].notna().all()


def test_a_killed_migration_leaves_the_old_rows(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    store(settings)
    make_older(settings.database)
    with monkeypatch.context() as patched:
        patched.setattr("volassets.warehouse.migration.SCHEMA_VERSION", "no number")
        with pytest.raises((StoreError, TypeError)):
            DuckDBWarehouse(settings).read("fits")
    assert stored_hash(DuckDBWarehouse(settings)) == ["h1"]


def test_backup_and_restore(settings: Settings, tmp_path: Path) -> None:
    warehouse = store(settings)
    file = tmp_path / "backup.duckdb"
    warehouse.backup(file)
    write_fit(warehouse, "h2")
    warehouse.restore(file)
    assert stored_hash(warehouse) == ["h1"]
    write_fit(warehouse, "h3")
    assert stored_hash(warehouse) == ["h3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.duckdb", "home"]


def test_a_backup_holds_what_a_killed_writer_had_committed(settings: Settings, tmp_path: Path) -> None:
    warehouse = store(settings)
    update = "UPDATE garch_fits SET data_hash = 'late'"
    killed = f'import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); c.execute("{update}"); os._exit(9)'
    subprocess.run([sys.executable, "-c", killed, str(settings.database)], check=False)
    assert Path(f"{settings.database}.wal").exists()
    warehouse.backup(tmp_path / "b.duckdb")
    with duckdb.connect(str(tmp_path / "b.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT data_hash FROM fits").fetchall() == [("late",)]


def test_restore_repairs_a_damaged_database(settings: Settings, tmp_path: Path) -> None:
    warehouse = store(settings)
    warehouse.backup(tmp_path / "b.duckdb")
    settings.database.write_bytes(b"damaged" * 3000)
    warehouse.restore(tmp_path / "b.duckdb")
    assert stored_hash(warehouse) == ["h1"]


def test_restore_refuses_what_is_no_backup(settings: Settings, tmp_path: Path) -> None:
    warehouse = store(settings)
    text, foreign, empty = tmp_path / "text", tmp_path / "foreign", tmp_path / "empty"
    text.write_text("no database")
    duckdb.connect(str(empty)).close()
    with duckdb.connect(str(foreign)) as connection:
        connection.execute("CREATE TABLE orders(id INTEGER)")
    for file in (text, foreign, empty, tmp_path / "missing", tmp_path):
        with pytest.raises(StoreError):
            warehouse.restore(file)
    assert stored_hash(warehouse) == ["h1"]


def test_backup_of_nothing_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing to back up"):
        DuckDBWarehouse(settings).backup(tmp_path / "b.duckdb")


def test_a_home_that_cannot_be_written_is_named(settings_for: Callable[..., Settings], tmp_path: Path) -> None:
    settings = settings_for("duckdb")
    tmp_path.joinpath("home").write_text("a file where the directory should be")
    warehouse = DuckDBWarehouse(settings)
    with pytest.raises(StoreError, match=r"cannot be created.*choose another home"):
        warehouse.write(Upsert("raw_prices", price_rows()))


def test_reads_in_a_block_share_a_connection_of_their_thread(settings: Settings) -> None:
    warehouse, opened = store(settings), []
    open_file = warehouse._open

    def count(*given: Any) -> Any:
        opened.append(1)
        return open_file(*given)

    warehouse._open = count  # type: ignore[assignment, method-assign]
    with warehouse.reading() as outer, warehouse.reading() as inner:
        assert outer is inner is warehouse
        assert stored_hash(warehouse) == stored_hash(warehouse) == ["h1"]
        assert len(opened) == 1
        other = threading.Thread(target=stored_hash, args=(warehouse,))
        other.start()
        other.join()
        assert len(opened) == 2
        with pytest.raises(RuntimeError, match="after the block"):
            write_fit(warehouse, "h2")
    write_fit(warehouse, "h2")
    assert stored_hash(warehouse) == ["h2"]


class Stopped(BaseException):
    """What a signal handler may raise instead of KeyboardInterrupt, as Dagster's does."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Stopped])
@pytest.mark.parametrize("in_a_block", [False, True])
def test_a_signal_within_a_query_is_the_interruption_that_it_is(
    settings: Settings, kind: type[BaseException], in_a_block: bool
) -> None:
    def stop(*_: object) -> None:
        raise kind

    warehouse = store(settings)
    before = signal.signal(signal.SIGINT, stop)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    long = "SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b WHERE a.range * b.range % 7 = 3"
    try:
        timer.start()
        with pytest.raises(kind), warehouse.reading() if in_a_block else nullcontext(warehouse) as asked:
            asked.query(long)
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    assert stored_hash(warehouse) == ["h1"]
