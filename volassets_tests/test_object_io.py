"""Whole files: one kind of error whatever the client library raises, and no retry of what cannot change."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from volassets import object_io
from volassets.errors import InputError


class ClientLibraryError(Exception):
    """What a client library raises instead of OSError."""


def test_a_file_is_written_whole_and_read_back(tmp_path: Path) -> None:
    for place in (tmp_path / "a" / "b", f"memory://{tmp_path}/a/b"):
        object_io.write_whole(place, b"one")
        object_io.write_whole(place, b"two")
        assert object_io.read_whole(place) == b"two"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


KILLED = """
import os, sys
from pathlib import Path
from volassets.object_io import replacing
with replacing(Path(sys.argv[1])) as draft:
    draft.write_bytes(b"half")
    os._exit(0)
"""


@pytest.mark.parametrize(("hours", "left"), [(1, 3), (23, 3), (25, 0), (24 * 400, 0)])
def test_what_killed_writers_left_is_removed_after_a_day(tmp_path: Path, hours: int, left: int) -> None:
    cell, names = tmp_path / "lstm_forecasts" / "~5EGSPC", [".lock", ".gitignore", ".a.b", f".{'f' * 32}", "x.parquet"]
    object_io.write_whole(cell / "2018-12-01.parquet", b"whole")
    for name in names:
        (cell / name).write_bytes(b"of somebody else")
    for name in ("2018-11-01.parquet", "2018-12-01.parquet", "other.safetensors"):
        subprocess.run([sys.executable, "-c", KILLED, str(cell / name)], check=True, timeout=60)
    drafts = sorted(path for path in cell.iterdir() if path.name.startswith(".2018") or path.name.startswith(".other"))
    assert len(drafts) == 3
    written = datetime(2024, 2, 29, 12, tzinfo=UTC)
    for path in cell.iterdir():
        os.utime(path, (written.timestamp(), written.timestamp()))
    removed = object_io.remove_drafts(tmp_path, written + timedelta(hours=hours))
    assert sorted(removed) == (drafts if not left else [])
    assert sorted(path for path in cell.iterdir() if path in drafts) == (drafts if left else [])
    assert all((cell / name).exists() for name in names)
    assert object_io.read_whole(cell / "2018-12-01.parquet") == b"whole"


def test_a_file_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    for place in (tmp_path / "a", "memory://nowhere/a"):
        with pytest.raises(FileNotFoundError):
            object_io.read_whole(place)


def test_what_a_client_library_raises_is_an_os_error() -> None:
    with (
        pytest.raises(OSError, match=r"s3://b cannot be reached: ClientLibraryError: gone"),
        object_io.reaching("s3://b"),
    ):
        raise ClientLibraryError("gone")
    with pytest.raises(FileNotFoundError), object_io.reaching("s3://b"):
        raise FileNotFoundError("a")


def test_a_request_is_repeated_until_it_succeeds_or_cannot() -> None:
    asked: list[int] = []

    def ask() -> str:
        asked.append(1)
        if len(asked) < 3:
            raise ClientLibraryError("busy")
        return "done"

    assert object_io.attempts(remote=True)(ask) == "done"
    assert len(asked) == 3
    with pytest.raises(PermissionError):
        object_io.attempts(remote=True)(_refuse, asked)
    assert len(asked) == 4


def _refuse(asked: list[int]) -> None:
    asked.append(1)
    raise PermissionError("no")


def test_a_url_of_no_known_kind_is_wrong_input() -> None:
    with pytest.raises(InputError, match="nosuch://bucket"):
        object_io.file_system("nosuch://bucket")
