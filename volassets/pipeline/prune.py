"""What of a home nothing uses any more, and its removal: rows, checkpoints, reports, backups, drafts.

Bars of listed tickers and covariates, what was issued, the log of revisions and imported positions always stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

from volassets.errors import InputError
from volassets.names import covariate_names
from volassets.object_io import DRAFT_DAYS, StoredFile, drafts, is_url, remove_whole, stored_files
from volassets.pipeline.context import Context
from volassets.pipeline.locks import write_lock
from volassets.reporting.report_files import portfolio_report_path, report_path
from volassets.warehouse.backups import superseded
from volassets.warehouse.declarations import Table, quoted
from volassets.warehouse.interface import Warehouse

CHECKPOINTS, IMPORTED = "checkpoints", ("positions",)
# Rows of so many tickers go in one transaction, under the locks of all of them.
TICKERS_AT_ONCE = 100
UNLISTED = ("ticker", "model", "portfolio")


@dataclass(frozen=True)
class Unused:
    """Things of one kind that nothing uses: what they are, how many, and their bytes (rows in DuckDB: about)."""

    what: str
    name: str
    count: int
    bytes: int


@dataclass(frozen=True)
class Prunable:
    """What can be removed, nothing of it is yet.

    Attributes
    ----------
    cells : dict of str to DataFrame
        By table: the cells whose rows nothing uses, with `n` rows, and which of their columns is `unlisted`.
    checkpoints : list of str
        Paths below `Settings.files`.
    reports, backups, unfinished : list of Path
    summary : list of Unused
    """

    cells: Mapping[str, pd.DataFrame]
    checkpoints: list[str]
    reports: list[Path]
    backups: list[Path]
    unfinished: list[Path]
    summary: list[Unused] = field(default_factory=list)

    @property
    def files(self) -> int:
        """How many files go beside the rows."""
        return len(self.checkpoints) + len(self.reports) + len(self.backups) + len(self.unfinished)


def prunable(context: Context) -> Prunable:
    """Return what nothing uses at the context's moment; nothing is written.

    A checkpoint that no fit names is one only when it is older than a day, as long as a run may take to store its row.
    """
    settings, store, now = context.settings, context.warehouse, context.now
    files = [file for file in stored_files(settings.files, CHECKPOINTS) if not Path(file.path).name.startswith(".")]
    with store.reading():
        cells = _cells(context)
        checkpoints = _checkpoints(store, cells, files, now - timedelta(days=DRAFT_DAYS))
    folders = [settings.home, *([] if is_url(settings.files) else [Path(settings.files)])]
    gone = {reason for rows in cells.values() for reason in _reasons(rows)}
    pages = [report_path(settings, name) for kind, name in sorted(gone) if kind == "ticker"]
    pages += [portfolio_report_path(settings, name) for kind, name in sorted(gone) if kind == "portfolio"]
    reports = [page for page in pages if page.exists()]
    backups = [*superseded(settings), *sorted(settings.home.glob(f"{settings.database.name}.unreadable*"))]
    unfinished = sorted({file for folder in folders for file in drafts(folder, now)})
    sizes = {file.path: file.bytes for file in files}
    summary = [
        *_rows(store, cells),
        *_files("checkpoints that no fit uses", [sizes[path] for path in checkpoints]),
        *_files("reports of these", [page.stat().st_size for page in reports]),
        *_files("old backups and unreadable databases", [file.stat().st_size for file in backups]),
        *_files("files of killed writers", [file.stat().st_size for file in unfinished]),
    ]
    return Prunable(cells, checkpoints, reports, backups, unfinished, summary)


def prune(context: Context, found: Prunable) -> None:
    """Remove what was found: reports, then rows, then the files that no row names any more.

    Interrupted or killed, it leaves whole cells, and the next one finds the rest.

    Raises
    ------
    InputError
        A run is at work on one of the tickers; what was removed until then is gone, and nothing is half removed.
    """
    settings, store = context.settings, context.warehouse
    for page in found.reports:
        page.unlink(missing_ok=True)
    for names, cells in _batches(found.cells):
        with ExitStack() as held:
            for name in names:
                lock = held.enter_context(write_lock(settings.home, name))
                if not lock.take():
                    raise InputError(f"a run is at work on {name}: prune again when it is done.")
            store.remove(cells)
    for path in found.checkpoints:
        remove_whole(settings.files, path)
    for file in (*found.backups, *found.unfinished):
        file.unlink(missing_ok=True)


def _cells(context: Context) -> dict[str, pd.DataFrame]:
    settings, store = context.settings, context.warehouse
    # Without the bars of one of its tickers a fit over all of them would be another.
    models = [model for model in settings.chosen_models.values() if model.scope == "month"]
    pools = [pool for model in models for (name, _), pool in context.pools.stored(model).items() if name == model.name]
    pooled = {ticker for pool in pools for ticker in pool.tickers}
    listed = {
        "ticker": sorted({*settings.tickers, *settings.pool, *pooled, *covariate_names(settings.covariates)}),
        "model": sorted({*settings.models, settings.portfolio_model}),
        "portfolio": sorted(settings.portfolios),
    }
    found = {}
    for table in store.schema.tables.values():
        kinds = [kind for kind in UNLISTED if kind in table.cell]
        if not kinds or table.append_only or table.name in IMPORTED:
            continue
        names = ", ".join(map(quoted, table.cell))
        unlisted = " OR ".join(f"NOT list_contains($listed_{kind}, {kind})" for kind in kinds)
        sql = f"SELECT {names}, count(*) AS n FROM {quoted(table.name)} WHERE {unlisted} GROUP BY {names} ORDER BY ALL"
        rows = store.query(sql, {f"listed_{kind}": listed[kind] for kind in kinds})
        if len(rows):
            why = [next(kind for kind in kinds if row[kind] not in listed[kind]) for row in rows.to_dict("records")]
            found[table.name] = rows.assign(unlisted=why)
    return found


def _reasons(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Return for every cell what of it is not listed: ticker, model or portfolio, and its name."""
    return [(row["unlisted"], row[row["unlisted"]]) for row in rows.to_dict("records")]


def _checkpoints(
    store: Warehouse, cells: Mapping[str, pd.DataFrame], files: Sequence[StoredFile], limit: datetime
) -> list[str]:
    used: set[str] = set()
    freed: set[str] = set()
    for table in store.schema.tables.values():
        if "checkpoint" not in table.column_names or not files:
            continue
        rows = store.read(table.name, [*table.cell, "checkpoint"])
        going = _marked(table, cells, rows)
        used |= set(rows["checkpoint"][~going])
        freed |= set(rows["checkpoint"][going])
    return [f.path for f in files if f.path not in used and (f.path in freed or f.written < limit)]


def _marked(table: Table, cells: Mapping[str, pd.DataFrame], rows: pd.DataFrame) -> pd.Series:
    """Return which rows belong to cells that go."""
    names = list(table.cell)
    if table.name not in cells:
        return pd.Series(False, index=rows.index)
    going = set(cells[table.name][names].itertuples(index=False, name=None))
    return pd.Series([key in going for key in rows[names].itertuples(index=False, name=None)], index=rows.index)


def _batches(cells: Mapping[str, pd.DataFrame]) -> Iterator[tuple[list[str], dict[str, pd.DataFrame]]]:
    """Yield the locks to hold and the cells to remove under them, some tickers at a time, then what is of none."""
    owner = {name: "ticker" if "ticker" in rows else "" for name, rows in cells.items()}
    tickers = sorted({str(ticker) for name, rows in cells.items() if owner[name] for ticker in rows["ticker"]})
    for start in range(0, len(tickers), TICKERS_AT_ONCE):
        some = tickers[start : start + TICKERS_AT_ONCE]
        own = {name: rows[rows["ticker"].isin(some)] for name, rows in cells.items() if owner[name]}
        yield some, {name: rows for name, rows in own.items() if len(rows)}
    others = {name: rows for name, rows in cells.items() if not owner[name]}
    if others:
        months = {
            f"month-{month:%Y-%m}" for rows in others.values() if "model" in rows for month in rows["refit_month"]
        }
        books = {str(book) for rows in others.values() if "portfolio" in rows for book in rows["portfolio"]}
        yield sorted(months | books), others


def _rows(store: Warehouse, cells: Mapping[str, pd.DataFrame]) -> list[Unused]:
    counts: dict[tuple[str, str], int] = {}
    sizes: dict[tuple[str, str], int] = {}
    for reason in sorted({reason for rows in cells.values() for reason in _reasons(rows)}):
        own = {name: rows[[each == reason for each in _reasons(rows)]] for name, rows in cells.items()}
        own = {name: rows for name, rows in own.items() if len(rows)}
        counts[reason] = sum(int(rows["n"].sum()) for rows in own.values())
        sizes[reason] = sum(store.bytes_of(own).values())
    return [
        Unused(f"rows of a {kind} that is not listed", name, n, sizes[kind, name]) for (kind, name), n in counts.items()
    ]


def _files(what: str, sizes: Sequence[int]) -> list[Unused]:
    return [Unused(what, "", len(sizes), sum(sizes))] if sizes else []
