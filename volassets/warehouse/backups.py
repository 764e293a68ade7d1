"""The backups that a home keeps of itself: which are made, and how many stay."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from volassets.settings import Settings
from volassets.warehouse.damage import BACKUPS
from volassets.warehouse.interface import Warehouse

PATTERN = "volassets-????-??-??-????.duckdb"


def back_up(store: Warehouse, settings: Settings, now: datetime) -> Path:
    """Write a backup named by the minute of `now` into the home; keep the newest `backups_kept` of such.

    An older one goes only when the new one is whole; files of other names are left alone.
    """
    folder = settings.home / BACKUPS
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"volassets-{now:%Y-%m-%d-%H%M}.duckdb"
    store.backup(file)
    for old in superseded(settings):
        old.unlink()
    return file


def superseded(settings: Settings) -> list[Path]:
    """Return the backups of the home that are older than the newest `backups_kept`, the oldest first."""
    return sorted((settings.home / BACKUPS).glob(PATTERN))[: -settings.backups_kept]
