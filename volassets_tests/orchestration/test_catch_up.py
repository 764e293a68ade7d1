"""Which months a tick asks for."""

from __future__ import annotations

import dagster as dg
import pandas as pd

from volassets.orchestration.catch_up import missing_months, months_to_update
from volassets.orchestration.graph import dimension_tags
from volassets.orchestration.recorded import recorded_months
from volassets.timing import months_between


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


def test_what_is_recorded_is_sorted_by_ticker_and_asset(instance: dg.DagsterInstance) -> None:
    for key in ("2026-01-01|A=X", "2026-02-01|^B", "2026-02-01|GONE"):
        event = dg.AssetMaterialization("fits", partition=key, tags=dimension_tags(key))
        instance.report_runless_asset_event(event)
    assert recorded_months(instance, ["fits", "lags"], ["A=X", "^B", "NEW"]) == {
        "A=X": {"fits": {pd.Timestamp("2026-01-01")}, "lags": set()},
        "^B": {"fits": {pd.Timestamp("2026-02-01")}, "lags": set()},
        "NEW": {"fits": set(), "lags": set()},
    }
