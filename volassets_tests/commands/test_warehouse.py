"""`volassets warehouse convert`: rows and checkpoints there and back, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from pandas.testing import assert_frame_equal

from volassets.cli import cli
from volassets.settings import load_settings
from volassets.warehouse.store import Replacement, Upsert, Warehouse, open_warehouse
from volassets_tests.warehouse.frames import cells, fit_rows, price_rows

CHECKPOINT = "checkpoints/^GSPC/2016-01/lstm-h1.safetensors"


def correlation_rows() -> pd.DataFrame:
    """One month of a table whose cells are of no ticker."""
    lists = dict.fromkeys(("members", "models", "days", "filled", "scale", "q", "long_run", "lead_lag"), "[]")
    month = pd.Timestamp("2016-01-01")
    return pd.DataFrame([{"refit_month": month, "a": 0.05, "b": 0.9, "n": 0, **lists, "data_hash": "h"}])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose embedded store has bars and a fit with a checkpoint."""
    folder = tmp_path / "home"
    monkeypatch.setenv("VOLASSETS_HOME", str(folder))
    warehouse = open_warehouse(load_settings())
    warehouse.write(Upsert("raw_prices", price_rows()))
    correlations = correlation_rows()
    warehouse.write(Replacement("correlation_fits", correlations, correlations[["refit_month"]]))
    fit = fit_rows(model="lstm").assign(checkpoint=CHECKPOINT)
    warehouse.write(Replacement("lstm_fits", fit, cells(fit)))
    (folder / CHECKPOINT).parent.mkdir(parents=True)
    (folder / CHECKPOINT).write_bytes(b"weights")
    return folder


def convert(source: str, destination: str) -> Result:
    return CliRunner().invoke(cli, ["warehouse", "convert", source, destination])


def opened(home: Path, back_end: str) -> Warehouse:
    return open_warehouse(load_settings(home, {"warehouse": back_end}))


def test_there_and_back(home: Path, tmp_path: Path) -> None:
    cells_url, back = f"parquet:{tmp_path / 'cells'}", tmp_path / "back"
    there = convert("duckdb", cells_url)
    assert there.exit_code == 0, there.output
    assert "lstm_fits: 1 rows" in there.output
    assert "checkpoints: 1 files" in there.output
    assert convert(cells_url, str(back / "volassets.duckdb")).exit_code == 0
    assert (tmp_path / "cells" / CHECKPOINT).read_bytes() == (back / CHECKPOINT).read_bytes() == b"weights"
    for table in ("raw_prices", "lstm_fits", "correlation_fits"):
        assert_frame_equal(opened(back, "duckdb").read(table), opened(home, "duckdb").read(table))
        assert_frame_equal(opened(home, cells_url).read(table), opened(home, "duckdb").read(table))


@pytest.mark.parametrize(
    ("source", "destination", "code", "message"),
    [
        ("duckdb", "duckdb", 2, "same store"),
        ("duckdb", "elsewhere", 2, "names no store"),
        ("/no/such/volassets.duckdb", "duckdb", 2, "does not exist"),
        ("duckdb", "parquet:nosuch://bucket", 2, "nosuch://bucket"),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_is_refused(source: str, destination: str, code: int, message: str) -> None:
    result = convert(source, destination)
    assert result.exit_code == code
    assert message in result.output


def test_a_store_with_rows_is_not_written_into(home: Path, tmp_path: Path) -> None:
    url = f"parquet:{tmp_path / 'cells'}"
    opened(home, url).write(Upsert("raw_prices", price_rows("A")))
    result = convert("duckdb", url)
    assert result.exit_code == 1
    assert "already has rows in raw_prices" in result.output
