"""A coin in a home of 0.1.0, which annualised with 252 sessions: stale with that reason, and right after a run."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from volassets.cli import cli
from volassets.settings_sources import HOME_VARIABLE
from volassets_tests.conftest import simulate_bars

COIN, STOCK = "DOGE-USD", "ACME"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a coin and a stock from files."""
    prices = tmp_path / "prices"
    prices.mkdir()
    bars = simulate_bars(900, seed=8)
    bars.to_csv(prices / f"{STOCK}.csv", index_label="date")
    bars.set_axis(pd.date_range("2006-01-01", periods=900), axis=0).to_csv(prices / f"{COIN}.csv", index_label="date")
    place = tmp_path / "home"
    place.mkdir()
    (place / "volassets.toml").write_text(
        f'source = "csv"\ncsv_dir = "{prices}"\nmodels = ["ewma", "gjr"]\ntickers = ["{COIN}", "{STOCK}"]\njobs = 1\n'
    )
    monkeypatch.setenv(HOME_VARIABLE, str(place))
    return place


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def rows(home: Path, sql: str) -> pd.DataFrame:
    with duckdb.connect(str(home / "volassets.duckdb"), read_only=True) as connection:
        return connection.execute(sql).df()


@pytest.mark.slow
def test_a_coin_of_an_old_home_is_stale_with_the_reason_and_a_stock_is_not(home: Path) -> None:
    months = ("--from", "2008-04", "--to", "2008-05")
    assert call("run", "--ticker", COIN, *months).exit_code == 0
    assert call("run", "--ticker", STOCK, *months).exit_code == 0
    with duckdb.connect(str(home / "volassets.duckdb")) as connection:
        for table in ("benchmark_forecasts", "garch_forecasts"):
            connection.execute(f"UPDATE {table} SET volatility = sqrt(252 * variance), sessions_per_year = NULL")
            connection.execute(f"UPDATE {table} SET data_hash = 'of 0.1.0' WHERE ticker = '{COIN}'")
        connection.execute("UPDATE schema_version SET fingerprint = 'of 0.1.0'")
    status = call("status").output
    stale = [line for line in status.splitlines() if "forecasts: " in line]
    assert stale
    assert all("sessions a year 252 -> 365" in line and COIN in line for line in stale), status
    assert STOCK not in " ".join(stale)
    assert call("run", "--ticker", COIN, "--ticker", STOCK, *months).exit_code == 0
    found = rows(home, "FROM forecasts").set_index("ticker")
    for ticker, sessions in ((COIN, 365), (STOCK, 252)):
        own = found.loc[ticker]
        assert set(own["sessions_per_year"]) == {sessions}
        np.testing.assert_allclose(own["volatility"], np.sqrt(sessions * own["variance"]), rtol=1e-15)
    for table in ("leaderboard", "scores", "backtests"):
        stored = rows(home, f"SELECT DISTINCT ticker, sessions_per_year AS n FROM {table}")
        assert dict(zip(stored["ticker"], stored["n"], strict=True)) == {COIN: 365, STOCK: 252}
    page = (home / "reports" / f"{COIN}.html").read_text("utf-8")
    assert "annualised with 365 sessions a year" in page
    assert "sessions a year" not in call("status").output
    assert call("query", "SELECT * FROM latest_forecasts WHERE headline AND horizon = 1").exit_code == 0
