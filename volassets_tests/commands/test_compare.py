"""`volassets compare`: which settings differ, the scores of both homes, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from volassets.cli import cli
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import load_settings
from volassets.warehouse.store import open_warehouse

MONTHS = [pd.Timestamp("2006-10-01"), pd.Timestamp("2006-11-01")]
TOML = """
tickers = ["AAA"]
models = [{models}]
source = "csv"
csv_dir = "{prices}"
minimum_history = 400
start_month = "2006-01"
jobs = 1
[ewma]
decay = {decay}
"""


@pytest.fixture(scope="module")
def homes(tmp_path_factory, simulated_bars):
    """Two homes of one ticker, whose EWMA differ, and whose first has a model more."""
    place = tmp_path_factory.mktemp("homes")
    simulated_bars(520, 2).to_csv(place / "AAA.csv", date_format="%Y-%m-%d")
    for name, decay, models in (("one", 0.94, '"naive", "ewma", "har"'), ("two", 0.7, '"naive", "ewma"')):
        home = place / name
        home.mkdir()
        (home / "volassets.toml").write_text(TOML.format(prices=place, decay=decay, models=models))
        settings = load_settings(home, environment={})
        places = {
            Scope.TICKER: [Partition("AAA")],
            Scope.TICKER_MONTH: [Partition("AAA", month) for month in MONTHS],
        }
        with Context(settings) as context:
            listed = [step for step in steps(settings) if step.scope in places and not step.has_page]
            for item in Executor(State(context)).run(listed, {step.name: places[step.scope] for step in listed}):
                assert not item.failures, item.failures
    return place


def call(*arguments):
    return CliRunner().invoke(cli, ["compare", *map(str, arguments)])


def test_settings_and_scores_are_set_side_by_side(homes, monkeypatch):
    # What the caller's variables say would make both homes the same.
    monkeypatch.setenv("VOLASSETS_EWMA_DECAY", "0.5")
    result = call(homes / "one", homes / "two")
    assert result.exit_code == 0, result.output
    assert "setting   [ewma] decay: 0.94 -> 0.7" in result.output
    assert "setting   models: ('naive', 'ewma', 'har') -> ('naive', 'ewma')" in result.output
    assert "only in the first: har of AAA" in result.output
    assert "in 3 they are the same, bit for bit" in result.output
    rows = pd.DataFrame(json.loads(call(homes / "one", homes / "two", "--format", "json").stdout))
    assert set(rows["model"]) == {"naive", "ewma"}
    naive, ewma = (rows[rows["model"] == name].set_index("horizon") for name in ("naive", "ewma"))
    assert (naive["same"] == naive["n"]).all()
    assert (naive["dm_p"].dropna() == 1).all()
    assert (ewma["same"] == 0).all()
    for place, column in (("one", "qlike_a"), ("two", "qlike_b")):
        store = open_warehouse(load_settings(homes / place, environment={}))
        scored = "FROM forecast_losses WHERE model = 'ewma' AND horizon = 1"
        losses = store.query(f"SELECT avg(qlike) AS q, count(*) AS n {scored}")
        assert ewma[column][1] == pytest.approx(losses["q"].iloc[0])
        assert ewma["n"][1] == losses["n"].iloc[0]
    assert np.isfinite(ewma["dm_p"][1])


def test_what_cannot_be_compared_is_refused(homes, tmp_path):
    for other, part in ((tmp_path, "is not a home"), (tmp_path / "nowhere", "is not a home")):
        result = call(homes / "one", other)
        assert result.exit_code == 2
        assert part in result.stderr
        assert result.stdout == ""
    (tmp_path / "volassets.toml").write_text("jobs = 1\n")
    result = call(homes / "one", tmp_path)
    assert result.exit_code == 2
    assert "no scored forecast" in result.stderr
    assert not (tmp_path / "volassets.duckdb").exists()
