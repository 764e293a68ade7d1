"""Where a cell's Parquet file lies, and how it gets there whole. All access goes through fsspec."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from volassets.errors import InputError
from volassets.object_io import attempts, file_system, reaching, write_whole
from volassets.warehouse.declarations import Table
from volassets.warehouse.write_checks import StoreError

if TYPE_CHECKING:
    from tenacity import Retrying

SUFFIX = ".parquet"
WHOLE_TABLE = "all"
COPIED_AT_ONCE = 1000


def encoded(value: Any) -> str:
    """Return a cell's value as one path segment, the same on every system; different values differ.

    Letters, digits and ``- _ .`` stay, a leading dot does not, and every other byte becomes ~XX.
    """
    text = f"{value:%Y-%m-%d}" if isinstance(value, pd.Timestamp) else str(value)
    safe = re.sub(r"[^A-Za-z0-9_.-]", lambda found: "".join(f"~{byte:02X}" for byte in found[0].encode()), text)
    return "~2E" + safe[1:] if safe.startswith(".") else safe


class CellFiles:
    """The files of all cells below one URL.

    `url` is a directory or what fsspec knows; its options come from fsspec's configuration
    (``FSSPEC_S3_ENDPOINT_URL`` and so on).
    """

    def __init__(self, url: str) -> None:
        try:
            import pyarrow
        except ImportError as error:
            raise InputError(f'warehouse = parquet needs {error.name}: pip install "volassets[scale]".') from None
        del pyarrow
        self.url = url
        self.fs, root = file_system(url)
        self.root = root.rstrip("/")
        self.is_local = "file" in ((self.fs.protocol,) if isinstance(self.fs.protocol, str) else self.fs.protocol)

    def path(self, table: Table, cell: Sequence[Any], part: str = "") -> str:
        """Return the path of a cell's file; a log's cell is a folder of `part` files."""
        segments = [encoded(value) for value in cell] or [WHOLE_TABLE]
        return "/".join([self.root, table.was or table.name, *segments, *([part] if part else [])]) + SUFFIX

    def listed(self, table: Table, equals: Mapping[str, Any] | None = None) -> list[str]:
        """Return the paths of the table's files, in order; only of cells that can match `equals`."""
        known: list[str] = []
        for name in table.cell:
            value = (equals or {}).get(name)
            if value is None:
                break
            if isinstance(value, list | tuple | set | pd.Index):
                each = sorted(set(map(str, value))) if name == "ticker" else []
                if not each:
                    break
                return [path for ticker in each for path in self.listed(table, {**(equals or {}), name: ticker})]
            known.append(encoded(pd.Timestamp(value) if table.column(name).type == "DATE" else value))
        folder = "/".join([self.root, table.was or table.name, *known])
        with reaching(self.url):
            if known and len(known) == len(table.cell) and not table.append_only:
                return [folder + SUFFIX] if self.fs.exists(folder + SUFFIX) else []
            try:
                return sorted(path for path in self.fs.find(folder) if path.endswith(SUFFIX))
            except FileNotFoundError:
                return []

    def put(self, path: str, rows: pd.DataFrame, table: Table) -> None:
        """Write a cell's file whole; StoreError if it cannot be written, the old file stays."""
        try:
            # One request replaces an object as a whole.
            self.attempts(write_whole if self.is_local else self.fs.pipe_file, path, _parquet(rows, table))
        except Exception as error:
            raise StoreError(
                f"{path} could not be written: {error}. The old rows of this cell are as they were; free some space or "
                "correct the cause and run this again."
            ) from None

    @property
    def attempts(self) -> Retrying:
        """How often a request is made; see `volassets.object_io.attempts`."""
        return attempts(remote=not self.is_local)

    def remove(self, path: str) -> None:
        """Remove a cell's file."""
        self.fs.rm_file(path)

    @contextmanager
    def readable(self) -> Iterator[Callable[[Sequence[str]], list[str]]]:
        """Give a function from paths to files that DuckDB can open, there as long as the block.

        An object is copied whole by one request, many of them at once: a cell is small, and DuckDB
        would make several requests for each, one after another.
        """
        if self.is_local:
            yield list
            return
        with tempfile.TemporaryDirectory(prefix="volassets-") as folder:
            yield partial(self._copies, Path(folder))

    def _copies(self, folder: Path, paths: Sequence[str]) -> list[str]:
        copies = [folder / path.removeprefix(self.root).lstrip("/") for path in paths]
        for start in range(0, len(paths), COPIED_AT_ONCE):
            stop = start + COPIED_AT_ONCE
            with reaching(self.url):
                contents = self.fs.cat(list(paths[start:stop]))
            for path, copy in zip(paths[start:stop], copies[start:stop], strict=True):
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(contents[path])
        return [str(copy) for copy in copies]


def _parquet(rows: pd.DataFrame, table: Table) -> bytes:
    """Return the rows as a Parquet file; the same rows give the same bytes."""
    import pyarrow as pa
    from pyarrow import parquet

    types = {
        "VARCHAR": pa.string(),
        "JSON": pa.string(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us"),
        "DOUBLE": pa.float64(),
        "INTEGER": pa.int32(),
        "BOOLEAN": pa.bool_(),
    }
    schema = pa.schema([pa.field(c.name, types[c.type], c.nullable) for c in table.columns])
    arrow = pa.Table.from_pandas(rows, schema=schema, preserve_index=False).replace_schema_metadata(None)
    sink = io.BytesIO()
    parquet.write_table(arrow, sink, compression="zstd")
    return sink.getvalue()
