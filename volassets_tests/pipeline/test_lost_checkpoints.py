"""A checkpoint that is missing, damaged or another cell's is fitted again in the run that needs it, which says so."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import load_settings
from volassets.warehouse.store import Replacement, open_warehouse

FROM, TO = pd.Timestamp("2006-09-01"), pd.Timestamp("2006-11-01")
TOML = """
models = ["elastic_net", "lstm", "combination"]
[lstm]
seeds = 1
epochs = 1
[combination]
members = ["elastic_net", "lstm"]
"""


def _missing(file: Path, other: Path) -> None:
    file.unlink()


def _truncated(file: Path, other: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _empty(file: Path, other: Path) -> None:
    file.write_bytes(b"")


def _changed(file: Path, other: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def _another(file: Path, other: Path) -> None:
    file.write_bytes(other.read_bytes())


FAULTS = {
    "there is no": _missing,
    "truncated or": _truncated,
    "corrupt": _empty,
    "digest": _changed,
    "made from data": _another,
}


@pytest.mark.slow
def test_lost_checkpoints_are_fitted_again_and_nothing_else_changes(tmp_path, simulated_bars):
    home = tmp_path / "home"
    home.mkdir()
    (home / "volassets.toml").write_text(TOML)
    for seed, ticker in enumerate(("AAA", "BBB")):
        simulated_bars(520, seed).to_csv(tmp_path / f"{ticker}.csv", date_format="%Y-%m-%d")
    values = {
        "source": "csv", "csv_dir": str(tmp_path), "tickers": ("AAA", "BBB"), "minimum_history": 400,
        "start_month": "2006-01", "jobs": 1,
    }  # fmt: skip
    said: list[str] = []

    def run() -> None:
        settings = load_settings(home, values)
        months = pd.date_range(FROM, TO, freq="MS")
        places = {
            Scope.TICKER: [Partition(ticker) for ticker in settings.tickers],
            Scope.TICKER_MONTH: [Partition(ticker, month) for ticker in settings.tickers for month in months],
        }
        listed = [step for step in steps(settings) if step.scope in places and not step.has_page]
        state = State(Context(settings, log=said.append), settings.tickers)
        for item in Executor(state).run(listed, {step.name: places[step.scope] for step in listed}):
            assert not item.failures, item

    run()
    store = open_warehouse(load_settings(home, values))
    tables = ("lstm_fits", "training_history", "lstm_forecasts", "combined_forecasts", "selected_features")
    before = {table: store.read(table) for table in tables}
    files = sorted(home.glob("checkpoints/AAA/*/lstm-*"))
    whole = {file: file.read_bytes() for file in files}
    assert len(files) == 3
    others = [next((home / "checkpoints" / "BBB" / file.parent.name).glob("lstm-*")) for file in files]
    said.clear()
    # More faults than files: every fault has its turn.
    for start in (0, 2):
        faults = list(FAULTS.items())[start : start + 3]
        for (_, damage), file, other in zip(faults, files, others, strict=True):
            damage(file, other)
        # A forecast is made from a checkpoint where its own hash is not the right one.
        stale = before["lstm_forecasts"].query("ticker == 'AAA'").assign(data_hash="0" * 16)
        store.write(Replacement("lstm_forecasts", stale, stale[["ticker", "refit_month", "model"]].drop_duplicates()))
        run()
        for sign, _ in faults:
            assert any(sign in line and "lstm of AAA" in line and "fitted again" in line for line in said), said
        assert {file: file.read_bytes() for file in files} == whole
        said.clear()
    for table in tables:
        pd.testing.assert_frame_equal(store.read(table), before[table])
    run()
    assert not [line for line in said if "again" in line]
