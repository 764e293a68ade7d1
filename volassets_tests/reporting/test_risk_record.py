"""The path of the value at risk and the live record: in the UI's pictures and in the report."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from volassets.orchestration import pictures
from volassets.pipeline.context import Context
from volassets.reporting.figures import PNG_LIMIT
from volassets.reporting.page_data import TickerData
from volassets.reporting.risk_record import FEWEST_LIVE_SESSIONS, live_record, risk_path
from volassets.reporting.sections import risk as section
from volassets.settings import Settings, load_settings
from volassets.warehouse.store import Replacement, Upsert, Warehouse, open_warehouse
from volassets_tests.reporting.conftest import FILE, TICKER

MODEL, LIMIT = "gjr", -0.01
CELL = {"ticker": TICKER, "refit_month": pd.Timestamp("2018-12-01"), "model": MODEL}


@pytest.fixture(scope="module")
def path_home(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of `home` with a flat value at risk of the headline model over 400 sessions, 70 of them issued."""
    place = tmp_path_factory.mktemp("risk_path")
    (place / "volassets.toml").write_text(FILE)
    (place / "volassets.duckdb").write_bytes((home / "volassets.duckdb").read_bytes())
    settings = load_settings(place)
    store = open_warehouse(settings)
    model = store.read("headline_models")["model"].item()
    days = store.read("raw_prices", ticker=TICKER)["date"].iloc[-401:].to_numpy()
    origins = pd.DataFrame({"origin_date": days[:-1], "target_date": days[1:]})
    rows = origins.assign(**CELL | {"model": model}, horizon=1, level=0.01, tail="lower", method="evt_conformal")
    rows = rows.assign(value_at_risk=LIMIT, expected_shortfall=1.5 * LIMIT, data_hash="h")
    with duckdb.connect(str(settings.database)) as connection:
        connection.execute("DELETE FROM risk_forecasts")
    store.write(Replacement("risk_forecasts", rows, rows[list(CELL)].drop_duplicates()))
    said = {"issued_at": pd.Timestamp("2018-12-31 22:00"), "code_version": "0.2.0", "bars_hash": "h"}
    issued = rows.drop(columns=["refit_month", "data_hash"]).assign(**said)
    # Two thirds of what is stored: what was said on the day decides.
    issued["value_at_risk"] *= 2 / 3
    store.write(Upsert("issued_risk", issued.iloc[-70:]))
    for name, count in (("ewma", FEWEST_LIVE_SESSIONS), ("naive", FEWEST_LIVE_SESSIONS - 1)):
        said |= {"ticker": TICKER, "model": name, "horizon": 1, "volatility": 0.16, "sessions_per_year": 252}
        forecasts = origins.iloc[-count:].assign(**said, variance=1e-4, lower=0.1, upper=0.3)
        store.write(Upsert("issued_forecasts", forecasts))
    return settings


def returns(store: Warehouse) -> pd.Series:
    close = store.read("raw_prices", ticker=TICKER).set_index("date")["adj_close"]
    return np.log(close).diff()


def test_the_path_sets_the_line_against_the_returns(path_home: Settings) -> None:
    store = open_warehouse(path_home)
    path = risk_path(TickerData(store, path_home, TICKER))
    assert path is not None
    expected = returns(store).iloc[-400:]
    np.testing.assert_allclose(path.rows["outcome"], expected)
    assert (path.rows["violation"].to_numpy() == (expected < LIMIT).to_numpy()).all()
    assert 5 < path.rows["violation"].sum() < 100


def test_the_ui_shows_the_line_and_the_traffic_light(path_home: Settings) -> None:
    found = pictures.risk(Context(path_home), TICKER)
    assert set(found) == {"returns_and_value_at_risk", "violations_and_traffic_light"}
    for value in found.values():
        assert value.md_str.startswith("![^GSPC: ")
        assert len(value.md_str) < PNG_LIMIT * 4 / 3 + 200
    assert pictures.risk(Context(path_home), "^IXIC") == {}


def test_the_live_record_counts_what_was_issued_once_there_is_enough(path_home: Settings) -> None:
    store = open_warehouse(path_home)
    live = live_record(TickerData(store, path_home, TICKER))
    assert live.forecasts["model"].tolist() == ["ewma"]
    assert live.forecasts["n"].tolist() == [FEWEST_LIVE_SESSIONS]
    (row,) = live.risk.to_dict("records")
    assert row["n"] == 70
    assert row["violations"] == int((returns(store).iloc[-70:] < LIMIT * 2 / 3).sum())
    text = section.value_at_risk(TickerData(store, path_home, TICKER)).body
    assert "Live record" in text


def test_without_anything_issued_there_is_no_live_record(settings: Settings, store: Warehouse) -> None:
    live = live_record(TickerData(store, settings, TICKER))
    assert live.forecasts.empty
    assert live.risk.empty
    assert "Live record" not in section.value_at_risk(TickerData(store, settings, TICKER)).body
