"""`volassets export` and `volassets sql` on a small store."""

from __future__ import annotations

from pathlib import Path

import duckdb
import openpyxl
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from volassets.cli import cli
from volassets.settings import load_settings
from volassets.warehouse.store import Replacement, Upsert, open_warehouse
from volassets_tests.warehouse.frames import cells, forecast_rows


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulated_bars) -> Path:
    monkeypatch.setenv("VOLASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def filled(home: Path, simulated_bars) -> Path:
    store = open_warehouse(load_settings(home))
    bars = simulated_bars(30, 1, "2016-01-01").reset_index().assign(ticker="^GSPC", source="csv")
    rows = forecast_rows(n=5)
    board = pd.DataFrame(
        {
            "ticker": ["^GSPC"] * 2, "model": ["gjr", "naive"], "horizon": 1, "n": [120, 120], "qlike": [0.31, 0.52],
            "qlike_vs_gjr": [0.0, 0.68], "dm_p": [1.0, 0.0004], "mcs_p": [1.0, 0.01], "coverage_90": [0.91, None],
        }
    )  # fmt: skip
    store.write(
        Upsert("raw_prices", bars.assign(fetched_at=pd.Timestamp("2016-03-01"))),
        Replacement("garch_forecasts", rows, cells(rows)),
        Replacement("leaderboard", board, cells(board, "ticker")),
    )
    return home


def call(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(cli, list(arguments), input=typed)


def test_a_workbook_is_one_that_a_person_reads(filled: Path, tmp_path: Path) -> None:
    result = call("export", "--to", "out", "--format", "xlsx")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == "out/volassets.xlsx"
    book = openpyxl.load_workbook(tmp_path / "out" / "volassets.xlsx")
    assert book.sheetnames == ["Leaderboard", "Newest forecasts", "Risk", "Portfolios"]
    board = book["Leaderboard"]
    names = {cell.value: cell.column for cell in board[2]}
    assert [board.cell(row, names["model"]).value for row in (3, 4)] == ["gjr", "naive"]
    change = board.cell(4, names["qlike vs gjr"])
    assert (change.value, change.number_format) == (0.68, "0.0 %")
    assert board.cell(4, names["coverage 90"]).value is None
    assert board.freeze_panes == "A3"
    assert board.auto_filter.ref.startswith("A2:")
    newest = book["Newest forecasts"]
    day = newest.cell(3, {cell.value: cell.column for cell in newest[2]}["target date"])
    assert day.is_date
    assert day.number_format == "yyyy-mm-dd"
    assert "none yet" in book["Portfolios"]["A1"].value


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_files_hold_the_rows_of_the_tables(filled: Path, tmp_path: Path, kind: str) -> None:
    result = call("export", "--to", "out", "--format", kind)
    assert result.exit_code == 0, result.output
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {Path(line).name for line in result.stdout.splitlines()}
    assert {f"raw_prices.{kind}", f"forecasts.{kind}", f"leaderboard.{kind}"} <= written
    assert f"lstm_fits.{kind}" not in written
    (n, low) = duckdb.sql(f"SELECT count(*), min(close) FROM '{tmp_path}/out/raw_prices.{kind}'").fetchall()[0]
    stored = open_warehouse(load_settings(filled)).read("raw_prices")
    assert (n, low) == (30, stored["close"].min())


def test_an_empty_home_exports_nothing(home: Path, tmp_path: Path) -> None:
    result = call("export", "--to", "out")
    assert result.exit_code == 2
    assert "volassets run" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_directory_that_cannot_be_one_is_refused(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = call("export", "--to", "file/below")
    assert result.exit_code == 2
    assert "--to" in result.stderr


def test_the_prompt_answers_piped_statements_from_a_copy(filled: Path) -> None:
    typed = (
        "select model,\n  qlike from leaderboard\n order by qlike;\n.describe leaderboard\nnonsense;\nselect 1 as one"
    )
    before = (filled / "volassets.duckdb").read_bytes()
    result = call("sql", typed=typed)
    assert result.exit_code == 0, result.output
    assert "gjr,0.31\nnaive,0.52" in result.stdout
    assert "qlike_vs_gjr,DOUBLE" in result.stdout
    assert "error: Parser Error" in result.stderr
    assert result.stdout.rstrip().endswith("one\n1")
    assert (filled / "volassets.duckdb").read_bytes() == before


def test_the_prompt_changes_nothing_and_sees_new_rows_after_refresh(filled: Path) -> None:
    store = open_warehouse(load_settings(filled))
    asked = "delete from leaderboard;\nselect count(*) as n from leaderboard;\n.refresh\n.quit\n"
    result = call("sql", typed=asked)
    assert "read-only" in result.stderr
    assert "n\n2" in result.stdout
    assert len(store.read("leaderboard")) == 2


def test_without_a_store_the_prompt_says_so(home: Path) -> None:
    result = call("sql", typed="select 1;")
    assert result.exit_code != 0
    assert "nothing to back up" in result.stderr
