"""Homes of the orchestration tests: small models, simulated or cut bars in CSV files."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from volassets.settings import Settings, load_settings

MODELS = ("naive", "garch")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("VOLASSETS_") or name == "DAGSTER_HOME":
            monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[[str, pd.DataFrame], Path]:
    """Write the bars of a ticker as CSV and return the directory."""
    folder = tmp_path / "prices"
    folder.mkdir()

    def write(ticker: str, bars: pd.DataFrame) -> Path:
        bars.rename_axis("date").to_csv(folder / f"{ticker}.csv", date_format="%Y-%m-%d")
        return folder

    return write


@pytest.fixture
def csv_settings(home: Path, tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a home whose bars come from the CSV files."""

    def make(*tickers: str, **overrides: object) -> Settings:
        values = {
            "source": "csv",
            "csv_dir": str(tmp_path / "prices"),
            "tickers": tickers,
            "models": MODELS,
            "minimum_history": 400,
            "jobs": 1,
            "start_month": "2006-01",
        }
        return load_settings(home, {**values, **overrides})

    return make


@pytest.fixture(scope="session")
def unused_instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a Dagster instance without runs, to be copied: Dagster takes half a second to make one."""
    folder = tmp_path_factory.mktemp("dagster")
    dg.DagsterInstance.local_temp(str(folder)).dispose()
    return folder


@pytest.fixture
def instance(tmp_path: Path, unused_instance: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of its own."""
    folder = tmp_path / "dagster"
    shutil.copytree(unused_instance, folder)
    with dg.DagsterInstance.local_temp(str(folder)) as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A loopback HTTP server: its URL, and the messages that it got."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", got
    server.shutdown()
    server.server_close()
