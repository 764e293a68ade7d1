"""A database file that DuckDB cannot read: what is wrong with it, and what its owner can do."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from volassets.warehouse.write_checks import StoreError

BACKUPS = "backups"
"""Directory below the home in which backups are looked for, beside those in the home itself."""
DAMAGED = (
    "not a valid DuckDB database file",
    "Could not read enough bytes from file",
    "Corrupt database file",
    "Failed to deserialize",
    "Failed to load metadata pointer",
    "database has been invalidated",
)
DAMAGED_LOG = ("replaying WAL file", "Corrupt WAL file")
OTHER_VERSION = "Trying to read a database file with version number"
# The main header: 8 bytes checksum, "DUCK", 8 bytes storage version, 32 bytes flags, the version that wrote it.
WRITER = slice(52, 84)


class Unreadable(StoreError):
    """The file is damaged, no DuckDB database, or of another version of DuckDB."""


def unreadable(path: Path, text: str, is_backup: Callable[[Path], bool]) -> Unreadable | None:
    """Return what DuckDB's error `text` about `path` means, with a remedy; None where the file is not the cause.

    `is_backup` tells whether a file can be restored.
    """
    reason = " ".join(text.split("\n\n")[0].split())
    if any(sign in text for sign in DAMAGED_LOG):
        log = f"{path}.wal"
        return Unreadable(
            f"{log}, the log of the last changes, is damaged ({reason}). It was not touched. Move it away: without it "
            f"{path} opens as it was before them, and `volassets run` computes again what they held."
        )
    if OTHER_VERSION in text:
        return Unreadable(
            f"{path} was written by another version of DuckDB ({reason}). It was not touched. {_install(path)}"
            f"{_restore(path, is_backup)}."
        )
    if any(sign in text for sign in DAMAGED):
        return Unreadable(
            f"{path} is not a DuckDB database, or is damaged ({reason}). It was not touched; "
            f"{_restore(path, is_backup)}."
        )
    return None


def _install(path: Path) -> str:
    with path.open("rb") as file:
        header = file.read(WRITER.stop)
    writer = header[WRITER].split(b"\0")[0].decode("ascii", "replace").removeprefix("v")
    return (
        f"`pip install 'duckdb=={writer}'` brings the one that wrote it; " if writer else "Install one that reads it; "
    )


def _restore(path: Path, is_backup: Callable[[Path], bool]) -> str:
    for file in _newest_first(path):
        if is_backup(file):
            written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
            return (
                f"`volassets restore {shlex.quote(str(file))}` puts the newest backup found, of "
                f"{written:%Y-%m-%d %H:%M} UTC, in its place"
            )
    return (
        f"no backup was found in {path.parent} or {path.parent / BACKUPS}. `volassets restore FILE` takes one from "
        "elsewhere; without one move the file away, and `volassets run` computes everything again from prices, all "
        "but the record of what a source has revised and when (`price_revisions`)"
    )


def _newest_first(path: Path) -> Iterator[Path]:
    found = [*path.parent.glob("*.duckdb"), *(path.parent / BACKUPS).glob("*.duckdb")]
    yield from sorted((file for file in found if file != path), key=lambda file: file.stat().st_mtime, reverse=True)
