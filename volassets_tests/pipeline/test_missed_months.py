"""Which months a tick asks for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from volassets.pipeline.cells import Partition
from volassets.pipeline.missed_months import missing_months, months_to_update, stored_months
from volassets.pipeline.steps import graph_steps
from volassets.pipeline.stored_hashes import StoredHashes
from volassets.settings import load_settings
from volassets.timing import months_between
from volassets.warehouse.store import open_warehouse


def _months(first: str, last: str) -> set[pd.Timestamp]:
    return set(months_between(pd.Timestamp(first), pd.Timestamp(last)))


NOW = pd.Timestamp("2026-03-01")


def test_new_ticker_starts_with_the_running_month() -> None:
    assert missing_months({"fits": set(), "forecasts": set()}, NOW) == [NOW]


def test_nothing_is_missing_when_everything_is_there() -> None:
    months = _months("2016-01", "2026-03")
    assert missing_months({"fits": months, "forecasts": months}, NOW) == []


def test_every_missed_tick_is_caught_up_whatever_their_number() -> None:
    months = _months("2016-01", "2022-06")
    missing = missing_months({"fits": months, "forecasts": months}, NOW)
    assert missing == months_between(pd.Timestamp("2022-07"), NOW)


def test_history_before_the_first_month_is_not_asked_for() -> None:
    months = _months("2026-01", "2026-03")
    assert missing_months({"fits": months, "forecasts": months}, NOW) == []


def test_an_unfinished_recent_month_is_asked_for_again_and_an_old_one_is_not() -> None:
    fits = _months("2016-01", "2026-03")
    forecasts = fits - {pd.Timestamp("2026-01-01"), pd.Timestamp("2019-05-01")}
    assert missing_months({"fits": fits, "forecasts": forecasts}, NOW) == [pd.Timestamp("2026-01-01")]


def test_a_new_model_family_is_asked_for_over_the_recent_year() -> None:
    months = _months("2016-01", "2026-03")
    assert missing_months({"fits": months, "lstm_fits": set()}, NOW) == months_between(pd.Timestamp("2025-04"), NOW)


def test_months_after_now_do_not_count() -> None:
    months = _months("2026-01", "2026-04")
    assert missing_months({"fits": months}, NOW) == []
    assert months_to_update({"fits": months}, NOW) == [pd.Timestamp("2026-02-01"), NOW]


def test_an_update_reaches_back_to_the_month_before_an_outage() -> None:
    months = _months("2025-01", "2025-11")
    assert months_to_update({"fits": months}, NOW) == [pd.Timestamp("2025-11-01")]
    assert months_to_update({"fits": set()}, NOW) == []


def _stored(home: Path, cells: list[tuple[str, str, str, str]], **overrides: object) -> dict:
    values = {"tickers": ("A=X", "^B", "NEW"), "models": ("naive", "garch"), **overrides}
    settings = load_settings(home, values)
    stored_hashes = StoredHashes(open_warehouse(settings))
    for table, ticker, month, model in cells:
        stored_hashes.put(table, Partition(ticker, pd.Timestamp(month)), model, "0" * 16)
    return stored_months(stored_hashes, graph_steps(settings), settings)


def test_what_is_stored_is_sorted_by_ticker_and_step(tmp_path: Path) -> None:
    cells = [
        ("lag_analysis", "A=X", "2026-01", ""),
        ("lag_analysis", "^B", "2026-02", ""),
        ("lag_analysis", "GONE", "2026-02", ""),
    ]
    months = ("lag_analysis", "selected_features", "benchmark_forecasts", "garch_fits", "garch_forecasts")
    grid = (*months, "risk_forecasts")
    empty = {name: set() for name in grid}
    assert _stored(tmp_path, cells) == {
        "A=X": {**empty, "lag_analysis": {pd.Timestamp("2026-01-01")}},
        "^B": {**empty, "lag_analysis": {pd.Timestamp("2026-02-01")}},
        "NEW": empty,
    }


def test_a_month_is_stored_with_all_of_the_homes_models_alone(tmp_path: Path) -> None:
    cells = [("garch_fits", "A=X", month, "garch") for month in ("2026-01", "2026-02")]
    cells += [("garch_fits", "A=X", "2026-02", "gjr"), ("garch_fits", "A=X", "2026-03", "gjr")]
    found = _stored(tmp_path, cells, models=("naive", "garch", "gjr"))
    assert found["A=X"]["garch_fits"] == {pd.Timestamp("2026-02-01")}


def test_a_month_that_the_settings_do_not_ask_for_is_not_missing(tmp_path: Path) -> None:
    cells = [("lag_analysis", "A=X", month, "") for month in ("2026-01", "2026-02")]
    found = _stored(tmp_path, cells, models=("lstm",))
    assert found["A=X"]["feature_importance"] == {pd.Timestamp("2026-02-01")}
