"""Homes of the orchestration tests: small models, simulated or cut bars in CSV files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

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


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of its own."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder)) as made:
        yield made
