"""A database that cannot be read says what is wrong, is not touched, and the remedy that it names works as printed."""

from __future__ import annotations

import re
import shlex
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from volassets.cli import cli
from volassets.settings import Settings
from volassets.warehouse.damage import Unreadable
from volassets.warehouse.duckdb_store import DuckDBWarehouse
from volassets.warehouse.store import Replacement
from volassets_tests.warehouse.frames import cells, fit_rows

# Leaves committed rows in the log, as a killed writer does.
KILLED = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("SET checkpoint_threshold = '1GB'")
connection.execute("CREATE TABLE large AS SELECT range AS n, repeat('x', 50) AS text FROM range(3000)")
connection.execute("UPDATE garch_fits SET data_hash = 'h2'")
os._exit(0)
"""


@pytest.fixture
def settings(settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Settings:
    made = settings_for("duckdb")
    monkeypatch.setenv("VOLASSETS_HOME", str(made.home))
    return made


@pytest.fixture
def warehouse(settings: Settings) -> DuckDBWarehouse:
    made = DuckDBWarehouse(settings, patience=1)
    made.write(Replacement("garch_fits", fit_rows(data_hash="h1"), cells(fit_rows())))
    return made


def _cut(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(len(content) * share)]


def _overwritten(start: float, length: int) -> Callable[[bytes], bytes]:
    def overwrite(content: bytes) -> bytes:
        first = int(len(content) * start)
        return content[:first] + b"\7" * length + content[first + length :]

    return overwrite


def checksum(block: bytes) -> int:
    """Return DuckDB's checksum of a block, so that a header can be changed and still be right."""
    result = 5381
    for (number,) in struct.iter_unpack("<Q", block):
        result ^= (number * 0xBF58476D1CE4E5B9) % 2**64
    return result


def of_version(content: bytes, storage: int = 99, writer: bytes = b"v9.8.7") -> bytes:
    """Return the file with the header of another DuckDB."""
    header = bytearray(content[8:4096])
    header[4:12] = struct.pack("<Q", storage)
    header[44:76] = writer.ljust(32, b"\0")
    return struct.pack("<Q", checksum(bytes(header))) + bytes(header) + content[4096:]


FAULTS = {
    "empty": _cut(0),
    "a few bytes": _cut(0.0001),
    "a third": _cut(0.33),
    "all but the end": _cut(0.95),
    "headers": lambda content: content[:100] + b"\7" * 12_000 + content[12_100:],
    "tables": _overwritten(0.3, 600_000),
    "text": lambda _: b"price,date\n" * 900,
    "newer": of_version,
    "older": lambda content: of_version(content, 40, b""),
}


def _read_everything(warehouse: DuckDBWarehouse) -> None:
    for table in warehouse.schema.tables:
        warehouse.read(table)


@pytest.mark.parametrize("place", ["backups", "."])
@pytest.mark.parametrize("damage", FAULTS.values(), ids=FAULTS)
def test_the_newest_backup_is_named_and_can_be_restored(warehouse, settings, damage, place):
    folder = settings.home / place
    folder.mkdir(exist_ok=True)
    warehouse.backup(folder / "older one.duckdb")
    (folder / "no backup.duckdb").write_bytes(b"nothing")
    damaged = damage(settings.database.read_bytes())
    settings.database.write_bytes(damaged)
    with pytest.raises(Unreadable, match="not touched") as refused:
        _read_everything(warehouse)
    assert settings.database.read_bytes() == damaged
    (command,) = re.findall(r"`volassets (restore [^`]+)`", str(refused.value))
    done = CliRunner().invoke(cli, shlex.split(command))
    assert done.exit_code == 0, done.output
    assert warehouse.read("garch_fits")["data_hash"].tolist() == ["h1"]
    assert settings.database.with_name("volassets.duckdb.unreadable").read_bytes() == damaged


def test_without_a_backup_it_says_what_can_be_computed_again(warehouse, settings):
    settings.database.write_bytes(settings.database.read_bytes()[:9000])
    with pytest.raises(Unreadable, match=r"no backup was found.*move the file away.*volassets run.*price_revisions"):
        warehouse.read("fits")


def test_a_newer_database_names_the_version_that_reads_it(warehouse, settings):
    settings.database.write_bytes(of_version(settings.database.read_bytes(), 120, b"v7.1.0"))
    with pytest.raises(Unreadable, match=r"pip install 'duckdb==7\.1\.0'"):
        warehouse.read("fits")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_database_opens_without_its_damaged_log(warehouse, settings, share):
    subprocess.run([sys.executable, "-c", KILLED, str(settings.database)], check=True, timeout=60)
    log = Path(f"{settings.database}.wal")
    content = log.read_bytes()
    log.write_bytes(_overwritten(share, 300)(content))
    with pytest.raises(Unreadable, match=r"volassets\.duckdb\.wal.*not touched") as refused:
        warehouse.read("garch_fits")
    assert "move it away" in str(refused.value).lower()
    assert log.read_bytes() == _overwritten(share, 300)(content)
    log.rename(settings.home / "damaged.wal")
    assert warehouse.read("garch_fits")["data_hash"].tolist() == ["h1"]


def test_a_damaged_log_does_not_stop_a_restore(warehouse, settings, tmp_path):
    warehouse.backup(tmp_path / "b.duckdb")
    subprocess.run([sys.executable, "-c", KILLED, str(settings.database)], check=True, timeout=60)
    log = Path(f"{settings.database}.wal")
    log.write_bytes(_overwritten(0.5, 300)(log.read_bytes()))
    warehouse.restore(tmp_path / "b.duckdb")
    assert warehouse.read("garch_fits")["data_hash"].tolist() == ["h1"]
    assert not log.exists()
    with duckdb.connect(str(settings.database), read_only=True) as connection:
        assert not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'large'").fetchall()
