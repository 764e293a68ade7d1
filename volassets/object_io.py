"""Whole files, in a directory or by URL on an object store; requests are repeated where that is safe."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from volassets.errors import InputError

if TYPE_CHECKING:
    from tenacity import Retrying

REMOTE_SECONDS = 60.0
DRAFT = re.compile(r"\..+\.[0-9a-f]{32}")
DRAFT_DAYS = 1
# Another try gives the same answer.
LASTING = (PermissionError, FileNotFoundError, NotADirectoryError, ValueError, TypeError)


def is_url(place: str | Path) -> bool:
    """Return whether `place` is for fsspec and not a path."""
    return isinstance(place, str) and "://" in place


def file_system(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of `url` and the path on it; InputError if it has none."""
    try:
        import fsspec

        # Others write too.
        return fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise InputError(f'{url} needs {error.name or error}: pip install "volassets[scale]".') from None
    except ValueError as error:
        raise InputError(f"{url} cannot be reached: {error}.") from None


@contextmanager
def reaching(place: str) -> Iterator[None]:
    """Turn what a client library raises when a place cannot be reached into OSError, so that callers know one kind."""
    try:
        yield
    except (OSError, ValueError, TypeError):
        raise
    except Exception as error:
        raise OSError(f"{place} cannot be reached: {type(error).__name__}: {error}") from error


def attempts(remote: bool) -> Retrying:
    """Return how often a request is made: three times on a directory, for a minute on an object store."""
    import tenacity

    return tenacity.Retrying(
        retry=tenacity.retry_if_not_exception_type(LASTING),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=5),
        stop=tenacity.stop_after_delay(REMOTE_SECONDS) if remote else tenacity.stop_after_attempt(3),
        reraise=True,
    )


def read_whole(place: str | Path) -> bytes:
    """Return a file's content; OSError if it cannot be read, after the attempts that its kind of place gets."""
    if not is_url(place):
        return Path(place).read_bytes()
    fs, path = file_system(str(place))
    with reaching(str(place)):
        content: bytes = attempts(remote=True)(fs.cat_file, path)
    return content


def write_whole(place: str | Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part; OSError if that fails."""
    if is_url(place):
        fs, path = file_system(str(place))
        # One request replaces an object as a whole.
        with reaching(str(place)):
            attempts(remote=True)(fs.pipe_file, path, content)
        return
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    with replacing(Path(place)) as draft:
        draft.write_bytes(content)


def drafts(folder: Path, now: datetime) -> list[Path]:
    """Return what killed writers have left below `folder` for a day and longer."""
    limit = (now - timedelta(days=DRAFT_DAYS)).timestamp()
    found = []
    for file in folder.rglob(".*"):
        with suppress(OSError):
            if DRAFT.fullmatch(file.name) and file.is_file() and file.stat().st_mtime < limit:
                found.append(file)
    return found


def remove_drafts(folder: Path, now: datetime) -> list[Path]:
    """Remove what killed writers have left below `folder` for a day and longer; return what is gone.

    A writer takes seconds; one that wakes up after a day finds its draft gone and fails, the old file stays.
    """
    removed = []
    for file in drafts(folder, now):
        with suppress(OSError):
            file.unlink()
            removed.append(file)
    return removed


@dataclass(frozen=True)
class StoredFile:
    """A file below a place: its path in there, its bytes, and when it was written, UTC."""

    path: str
    bytes: int
    written: datetime


def stored_files(place: str | Path, folder: str) -> list[StoredFile]:
    """Return the files below `folder` of a directory or URL, in order; OSError if it cannot be reached."""
    if not is_url(place):
        found = (file for file in Path(place, folder).rglob("*") if file.is_file())
        return sorted(
            (
                StoredFile(str(file.relative_to(place)), status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
                for file in found
                for status in [file.stat()]
            ),
            key=lambda file: file.path,
        )
    fs, root = file_system(str(place))
    root = root.rstrip("/")
    with reaching(str(place)):
        listed = fs.find(f"{root}/{folder}", detail=True)
    return [
        StoredFile(path.removeprefix(f"{root}/"), int(about["size"]), fs.modified(path).astimezone(UTC))
        for path, about in sorted(listed.items())
    ]


def remove_whole(place: str | Path, path: str) -> None:
    """Remove the file `path` below a directory or URL, where it is there; OSError if that fails."""
    if not is_url(place):
        Path(place, path).unlink(missing_ok=True)
        return
    fs, root = file_system(str(place))
    with reaching(str(place)), suppress(FileNotFoundError):
        fs.rm_file(f"{root.rstrip('/')}/{path}")


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give a path to write, and put what lies there in the place of `file` after the block, whole."""
    draft = file.with_name(f".{file.name}.{uuid4().hex}")
    try:
        yield draft
        with draft.open("rb+") as handle:
            os.fsync(handle.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
