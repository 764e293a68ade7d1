"""`volassets export`: the stored results as files that other programs read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from volassets.commands.store_group import open_store
from volassets.errors import InputError
from volassets.object_io import replacing, write_whole
from volassets.warehouse.declarations import literal
from volassets.warehouse.interface import Warehouse

WORKBOOK = "volassets.xlsx"
OPTIONS = {"parquet": "FORMAT parquet, COMPRESSION zstd", "csv": "FORMAT csv, HEADER true"}


def export_command(directory: str, kind: str) -> Iterator[Path]:
    """Write the results below `directory`; yield each file that is written, tables without rows left out.

    Raises
    ------
    InputError
        If nothing is stored, or the directory cannot be written.
    """
    store, folder = open_store(), Path(directory).expanduser()
    if store.query("SELECT count(*) AS n FROM raw_prices")["n"].iloc[0] == 0:
        raise InputError(f"{store.place} holds no results: `volassets run` computes them. Nothing was written.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield from (_workbook(store, folder) if kind == "xlsx" else _files(store, folder, kind))
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error}. Choose another directory with --to.") from None


def _workbook(store: Warehouse, folder: Path) -> Iterator[Path]:
    from volassets.reporting.workbook import workbook

    write_whole(folder / WORKBOOK, workbook(store))
    yield folder / WORKBOOK


def _files(store: Warehouse, folder: Path, kind: str) -> Iterator[Path]:
    import duckdb

    with duckdb.connect(":memory:") as connection:
        for name in (*store.schema.tables, *store.schema.views):
            rows = store.read(name)
            if rows.empty:
                continue
            connection.register("given", rows)
            file = folder / f"{name}.{kind}"
            with replacing(file) as draft:
                connection.execute(f"COPY given TO {literal(str(draft))} ({OPTIONS[kind]})")
            connection.unregister("given")
            yield file
