"""The store's own suite once more, on a real S3-speaking server over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from volassets.settings import Settings, load_settings
from volassets.warehouse.store import Warehouse, open_warehouse
from volassets_tests.end_to_end.servers import ObjectStore, object_store
from volassets_tests.warehouse.test_store import *  # noqa: F403

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """An object store with an empty bucket."""
    with object_store(tmp_path_factory.mktemp("objects")) as store:
        yield store


@pytest.fixture
def settings_for(
    objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Settings]]:
    """The settings of an empty prefix of the object store, whatever back end is asked for."""
    monkeypatch.delenv("VOLASSETS_HOME", raising=False)

    def make(_back_end: str = "", home: Path | None = None, **overrides: object) -> Settings:
        url = f"s3://{objects.BUCKET}/{uuid4().hex}"
        return load_settings(home or tmp_path / "home", {"warehouse": f"parquet:{url}", **overrides})

    with objects.client():
        yield make


@pytest.fixture
def settings(settings_for: Callable[..., Settings]) -> Settings:
    """Settings of an empty prefix."""
    return settings_for()


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    """An empty store behind HTTP."""
    return open_warehouse(settings, patience=20)
