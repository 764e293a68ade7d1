"""One store per back end: everything asked of one is asked of all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from volassets.settings import Settings, load_settings
from volassets.warehouse.store import Warehouse, open_warehouse

# memory stands for an object store: no rename, and DuckDB reads it through fsspec.
BACK_ENDS = ("duckdb", "parquet", "memory")


@pytest.fixture
def settings_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """The settings of an empty home on a back end."""
    monkeypatch.delenv("VOLASSETS_HOME", raising=False)

    def make(back_end: str = "duckdb", home: Path | None = None, **overrides: object) -> Settings:
        home = home or tmp_path / "home"
        place = {"duckdb": "duckdb", "parquet": f"parquet:{home / 'cells'}", "memory": f"parquet:memory://{home}"}
        return load_settings(home, {"warehouse": place[back_end], **overrides})

    return make


@pytest.fixture(params=BACK_ENDS)
def settings(request: pytest.FixtureRequest, settings_for: Callable[..., Settings]) -> Settings:
    """Settings of an empty home, on each back end in turn."""
    return settings_for(request.param)


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    """An empty store, on each back end in turn."""
    return open_warehouse(settings, patience=20)
