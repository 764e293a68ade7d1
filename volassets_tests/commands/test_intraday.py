"""From intraday bars on the command line to forecasts of their realized variance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from volassets.cli import cli
from volassets.settings import load_settings
from volassets.warehouse.store import open_warehouse
from volassets_tests.market.test_intraday import intraday_bars


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VOLASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.slow
def test_intraday_bars_become_forecasts_of_their_realized_variance(home, tmp_path, monkeypatch):
    intraday_bars(30, start="2016-01-04", end="2018-04-13").to_parquet(tmp_path / "bars.parquet")
    (tmp_path / "prices").mkdir()
    prices = str(tmp_path / "prices")
    made = CliRunner().invoke(cli, ["intraday", str(tmp_path / "bars.parquet"), "--ticker", "SPY", "--to", prices])
    assert made.exit_code == 0, made.output
    for name, value in {"PROXY": "realized", "MINIMUM_HISTORY": "400", "MODELS": "naive,har", "JOBS": "1"}.items():
        monkeypatch.setenv(f"VOLASSETS_{name}", value)
    command = ["run", "--source", "csv", "--csv-dir", prices, "--ticker", "SPY", "--from", "2018-02", "--to", "2018-03"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    store, file = open_warehouse(load_settings()), pd.read_csv(f"{prices}/SPY.csv")
    features = store.read("realized_vol_features", ticker="SPY").sort_values("date")
    np.testing.assert_array_equal(features["proxy_variance"][1:], file["realized_variance"][1:])
    stored = store.read("raw_prices", ticker="SPY").sort_values("date")
    np.testing.assert_array_equal(stored["realized_variance"], file["realized_variance"])
    assert set(store.read("leaderboard")["model"]) == {"naive", "har"}
    again = CliRunner().invoke(cli, command)
    assert "nothing to do" in again.output


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--ticker", "A/B", "--to", "."], ("A/B",)),
        (["--ticker", "SPY", "--to", "nowhere"], ("nowhere", "is not a directory")),
        (["--ticker", "SPY", "--to", "."], ("bars.csv", "one bar")),
    ],
)
def test_wrong_arguments_write_nothing(home, tmp_path, arguments, parts):
    (tmp_path / "bars.csv").write_text("timestamp,open,high,low,close\n2020-01-02 09:30,1,1,1,1\n")
    result = CliRunner().invoke(cli, ["intraday", str(tmp_path / "bars.csv"), *arguments])
    assert result.exit_code == 2
    assert all(part in result.output for part in parts)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bars.csv"]
