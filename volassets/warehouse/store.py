"""The store of a home: its interface and the choice of the back end by setting."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from volassets.warehouse.database_lock import PATIENCE_SECONDS, log_line
from volassets.warehouse.interface import Replacement, Upsert, Warehouse
from volassets.warehouse.write_checks import StoreError

if TYPE_CHECKING:
    from volassets.settings import Settings

__all__ = ["Replacement", "StoreError", "Upsert", "Warehouse", "open_warehouse"]


def open_warehouse(
    settings: Settings, *, patience: float = PATIENCE_SECONDS, say: Callable[[str], None] = log_line
) -> Warehouse:
    """Return the store of a home, as `warehouse` chooses it; no file is opened or created yet.

    `patience` is the seconds to wait for others that have the database open; `say` takes a line when a wait gets long.
    """
    if settings.warehouse == "duckdb":
        from volassets.warehouse.duckdb_store import DuckDBWarehouse

        return DuckDBWarehouse(settings, patience=patience, say=say)
    from volassets.warehouse.parquet_store import ParquetWarehouse

    return ParquetWarehouse(settings, settings.warehouse.removeprefix("parquet:"))
