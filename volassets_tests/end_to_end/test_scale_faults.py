"""The object store answers 503 for a while, the network pauses, and the store sits it out or says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pytest

from volassets import object_io
from volassets.settings import load_settings
from volassets.warehouse.store import Replacement, StoreError, Warehouse, open_warehouse
from volassets_tests.end_to_end.proxy import Proxy
from volassets_tests.end_to_end.servers import ObjectStore, object_store
from volassets_tests.warehouse.frames import cells, fit_rows

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """An object store."""
    with object_store(tmp_path_factory.mktemp("objects")) as store:
        yield store


@pytest.fixture
def proxy(objects: ObjectStore) -> Iterator[Proxy]:
    """What stands between this process and the object store."""
    import fsspec

    with Proxy(objects.port) as standing, objects.client(standing.port):
        # Without the client library's own repetitions, which take half a minute before ours begin.
        fsspec.config.conf["s3"]["config_kwargs"] = {"retries": {"max_attempts": 0}}
        yield standing


@pytest.fixture
def warehouse(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """An empty store behind the proxy."""
    monkeypatch.delenv("VOLASSETS_HOME", raising=False)
    url = f"parquet:s3://{ObjectStore.BUCKET}/{uuid4().hex}"
    return open_warehouse(load_settings(tmp_path, {"warehouse": url}))


def write(warehouse: Warehouse, data_hash: str, months: int = 6) -> None:
    """Write the fits of some months, one call each, as a run does."""
    for month in pd.date_range("2016-01-01", periods=months, freq="MS"):
        fit = fit_rows(month=str(month.date()), data_hash=data_hash)
        warehouse.write(Replacement("garch_fits", fit, cells(fit)))


def hashes(warehouse: Warehouse) -> list[str]:
    return warehouse.read("fits")["data_hash"].tolist()


def during(work: threading.Thread, seconds: float) -> None:
    """Start `work` and wait so long, or until it is done."""
    work.start()
    work.join(seconds)


@pytest.mark.parametrize("fault", ["busy", "paused"])
@pytest.mark.parametrize("asked", ["write", "read"])
def test_a_fault_of_some_seconds_is_waited_out(warehouse: Warehouse, proxy: Proxy, fault: str, asked: str) -> None:
    write(warehouse, "h1")
    answers: list[list[str]] = []

    def ask() -> None:
        if asked == "write":
            write(warehouse, "h2")
        answers.append(hashes(warehouse))

    work = threading.Thread(target=ask)
    with getattr(proxy, fault)():
        during(work, 3.0)
        assert work.is_alive(), "it cannot have been done yet"
    work.join(60)
    assert answers == [["h2" if asked == "write" else "h1"] * 6]
    assert hashes(warehouse) == answers[0]
    assert fault != "busy" or proxy.refused > 0


def test_a_fault_that_lasts_is_said_and_the_old_rows_stay(
    warehouse: Warehouse, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(warehouse, "h1", months=1)
    monkeypatch.setattr(object_io, "REMOTE_SECONDS", 2.0)
    start = time.monotonic()
    with proxy.busy():
        with pytest.raises(StoreError, match=r"could not be written: .*The old rows of this cell are as they were"):
            write(warehouse, "h2", months=1)
        with pytest.raises(StoreError, match=r"could not be read: .*busy\. Correct the cause and run this again"):
            hashes(warehouse)
    assert time.monotonic() - start < 45
    assert hashes(warehouse) == ["h1"]
