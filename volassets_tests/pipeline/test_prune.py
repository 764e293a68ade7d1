"""`volassets prune`: what it finds, what it leaves, and that a kill or a failure in the middle tears nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from volassets.cli import cli
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.locks import write_lock
from volassets.pipeline.planner import plan
from volassets.pipeline.prune import prunable
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import Settings, load_settings
from volassets.warehouse.store import Upsert, open_warehouse

MONTH = pd.Timestamp("2006-11-01")
LONG_AGO = pd.Timestamp("2020-01-01").timestamp()
TOML = """
tickers = {tickers}
models = {models}
source = "csv"
csv_dir = "{prices}"
minimum_history = 400
start_month = "2006-01"
jobs = 1
warehouse = "{warehouse}"
[lstm]
seeds = 1
epochs = 1
"""
# Kills itself in the middle: when so many cells or files have gone, before what removed them has ended.
KILLED = """
import os, signal, sys
from volassets.warehouse import cell_files, duckdb_store
left, count = [int(sys.argv[1])], (duckdb_store._delete, cell_files.CellFiles.remove)
def until(function):
    def call(*arguments):
        function(*arguments)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
    return call
duckdb_store._delete, cell_files.CellFiles.remove = map(until, count)
from volassets.cli import cli
cli(["prune", "--yes"])
"""


def written(home: Path, tickers: list[str], models: list[str], warehouse: str) -> Settings:
    """Write the settings of a home and return them."""
    place = "duckdb" if warehouse == "duckdb" else f"parquet:{home / 'cells'}"
    text = TOML.format(tickers=tickers, models=models, prices=home.parent, warehouse=place).replace("'", '"')
    (home / "volassets.toml").write_text(text)
    return load_settings(home, environment={})


def partitions(settings: Settings) -> dict[Scope, list[Partition]]:
    return {
        Scope.TICKER: [Partition(ticker) for ticker in settings.tickers],
        Scope.TICKER_MONTH: [Partition(ticker, MONTH) for ticker in settings.tickers],
    }


def issued(ticker: str) -> pd.DataFrame:
    """Return one row of what was issued."""
    day = pd.Timestamp("2006-11-10")
    row = {
        "ticker": ticker, "model": "lstm", "horizon": 1, "origin_date": day, "target_date": day + pd.Timedelta(days=3),
        "variance": 1e-4, "volatility": 0.16, "sessions_per_year": 252, "issued_at": day, "code_version": "0.2.0",
        "bars_hash": "b",
    }  # fmt: skip
    return pd.DataFrame([row])


@pytest.fixture(scope="module", params=["duckdb", "parquet"])
def made(request, tmp_path_factory, simulated_bars) -> Path:
    """A home in which AAA and BBB, the LSTM and a linear model were computed for a month."""
    place = tmp_path_factory.mktemp(request.param)
    home = place / "home"
    home.mkdir()
    for seed, ticker in enumerate(("AAA", "BBB")):
        simulated_bars(520, seed).to_csv(place / f"{ticker}.csv", date_format="%Y-%m-%d")
    settings = written(home, ["AAA", "BBB"], ["naive", "elastic_net", "lstm"], request.param)
    places = partitions(settings)
    with Context(settings) as context:
        listed = [step for step in steps(settings) if step.scope in places]
        for item in Executor(State(context)).run(listed, {step.name: places[step.scope] for step in listed}):
            assert not item.failures, item.failures
        context.warehouse.write(Upsert("issued_forecasts", issued("AAA")), Upsert("issued_forecasts", issued("BBB")))
    return home


@pytest.fixture
def home(made, tmp_path, monkeypatch) -> Path:
    """The home without BBB and the LSTM among its settings, with left-overs beside."""
    home = tmp_path / "home"
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    warehouse = "duckdb" if (home / "volassets.duckdb").exists() else "parquet"
    settings = written(home, ["AAA"], ["naive", "elastic_net"], warehouse)
    folder, reports = Path(settings.files) / "checkpoints" / "AAA" / "2006-10", home / "reports"
    folder.mkdir()
    for name in ("lstm-old.safetensors", "lstm-new.safetensors"):
        (folder / name).write_bytes(b"x" * 1000)
    os.utime(folder / "lstm-old.safetensors", (LONG_AGO, LONG_AGO))
    reports.mkdir(exist_ok=True)
    for name in ("AAA", "BBB", "mine"):
        (reports / f"{name}.html").write_text("a page")
    (home / "backups").mkdir()
    for day in range(1, 10):
        (home / "backups" / f"volassets-2026-01-0{day}-0000.duckdb").write_bytes(b"b" * 100)
    (home / "volassets.duckdb.unreadable").write_bytes(b"u" * 50)
    for name in [name for name in os.environ if name.startswith(("VOLASSETS_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VOLASSETS_HOME", str(home))
    return home


def rows(home: Path) -> dict[str, pd.DataFrame]:
    with open_warehouse(load_settings(home)).reading() as store:
        return {name: store.read(name) for name in store.schema.tables if name != "schema_version"}


def files(home: Path) -> set[str]:
    return {str(file.relative_to(home)) for file in home.rglob("*") if file.is_file() and "locks" not in file.parts}


def pruned(before: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return what should be left of the rows: of AAA and the listed models, and every log."""
    kept = {}
    for name, found in before.items():
        if name not in ("issued_forecasts", "issued_risk", "price_revisions"):
            found = found[found["ticker"] == "AAA"] if "ticker" in found else found
            in_cell = "model" in found and "refit_month" in found
            found = found[found["model"] != "lstm"] if in_cell else found
        kept[name] = found.reset_index(drop=True)
    return kept


def require_pruned(home: Path, before: dict[str, pd.DataFrame]) -> None:
    after = rows(home)
    for name, expected in pruned(before).items():
        pd.testing.assert_frame_equal(after[name], expected, check_dtype=bool(len(expected)))


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["prune", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_dry_run_says_what_and_how_much_and_removes_nothing(home):
    before, listed = rows(home), files(home)
    said = invoke()
    assert "rows of a ticker that is not listed" in said
    assert "rows of a model that is not listed" in said
    assert "nothing was removed; `volassets prune --yes`" in said
    with Context(load_settings(home)) as context:
        found = {(each.what, each.name): each for each in prunable(context).summary}
    known = sum(len(frame) for frame in before.values()) - sum(len(frame) for frame in pruned(before).values())
    of_rows = [each for each in found.values() if each.what.startswith("rows")]
    assert sum(each.count for each in of_rows) == known
    assert all(each.bytes > 0 for each in of_rows)
    # The LSTM's of both tickers, and the old one that no row names: the new one may be a run's that still writes.
    assert found["checkpoints that no fit uses", ""].count == 3
    assert found["checkpoints that no fit uses", ""].bytes > 1000
    assert (found["reports of these", ""].count, found["reports of these", ""].bytes) == (1, 6)
    assert found["old backups and unreadable databases", ""].bytes == 2 * 100 + 50
    assert files(home) == listed
    assert all(frame.equals(before[name]) for name, frame in rows(home).items())


def test_it_removes_what_it_said_and_what_is_listed_stays_current(home):
    before, listed = rows(home), files(home)
    size = (home / "volassets.duckdb").stat().st_size if (home / "volassets.duckdb").exists() else 0
    said = invoke("--yes")
    require_pruned(home, before)
    gone = {name for name in listed - files(home) if not name.endswith(".parquet")}
    checkpoints = {name for name in gone if name.endswith(".safetensors")}
    assert {Path(name).name.partition("-")[0] for name in checkpoints} == {"lstm"}
    assert len(checkpoints) == 3
    assert gone - checkpoints == {
        "reports/BBB.html", "backups/volassets-2026-01-01-0000.duckdb", "backups/volassets-2026-01-02-0000.duckdb",
        "volassets.duckdb.unreadable",
    }  # fmt: skip
    settings = load_settings(home)
    if size:
        assert "smaller" in said
        assert settings.database.stat().st_size < size
    with Context(settings) as context:
        own = [step for step in steps(settings) if step.scope is Scope.TICKER_MONTH]
        assert plan(State(context), own, {"AAA": [MONTH]}) == []
    assert "nothing to remove" in invoke("--yes")


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 4, 9])
def test_a_kill_in_the_middle_leaves_whole_cells_and_the_next_one_ends_it(home, after):
    before, kept = rows(home), pruned(rows(home))
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, str(after)], capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL
    middle = rows(home)
    for name, frame in middle.items():
        # A cell is there as it was, or it is gone; what is listed is there.
        key = list(frame.columns)
        assert len(frame.merge(before[name].astype(frame.dtypes), on=key)) == len(frame) or frame.equals(before[name])
        assert len(frame) >= len(kept[name])
    forecasts, fits = middle["lstm_forecasts"], middle["lstm_fits"]
    assert set(forecasts["ticker"]) <= set(fits["ticker"])
    assert len(middle["lstm_forecasts"]) in (len(before["lstm_forecasts"]), len(before["lstm_forecasts"]) // 2, 0)
    invoke("--yes")
    require_pruned(home, before)


def test_a_run_at_work_is_not_disturbed(home):
    before = rows(home)
    with write_lock(home, "BBB") as lock:
        assert lock.take()
        result = CliRunner().invoke(cli, ["prune", "--yes"])
    assert result.exit_code == 2
    assert "a run is at work on BBB: prune again when it is done" in result.output
    assert all(frame.equals(before[name]) for name, frame in rows(home).items())


def test_a_file_that_cannot_be_written_again_stays_as_it_was(home, monkeypatch):
    if not (home / "volassets.duckdb").exists():
        pytest.skip("a Parquet store has no file to write again")
    before = rows(home)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("volassets.warehouse.duckdb_store.copy_tables", full)
    result = CliRunner().invoke(cli, ["prune", "--yes"])
    assert result.exit_code != 0
    assert "cannot be written again" in result.output
    assert "It is as it was" in result.output
    assert not list(home.glob(".volassets.duckdb.*"))
    require_pruned(home, before)
