"""What a cell was computed from: the hash moves with it, and with nothing else."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volassets.market.calendar import calendar_for
from volassets.models.registry import MODELS
from volassets.pipeline.fingerprints import Fingerprints, ModelHashes, PrefixHashes, digest
from volassets.settings import Settings
from volassets.timing import months_between
from volassets_tests.conftest import simulate_bars

MONTHS = months_between(pd.Timestamp("2007-01-01"), pd.Timestamp("2008-12-01"))
CALENDAR = calendar_for("^GSPC")
STAGES = ("lag_analysis", "selected_features", "fit", "forecast")
Hashes = dict[tuple[str, str, pd.Timestamp], str]
"""(stage, model, month) to hash; the model is empty in a stage without models."""


@pytest.fixture(scope="module")
def bars(sp500_bars: pd.DataFrame) -> pd.DataFrame:
    return sp500_bars.loc["2004":"2008-10-15"]


def hashes_of(
    bars: pd.DataFrame, settings: Settings | None = None, months: list[pd.Timestamp] = MONTHS, ticker: str = "^GSPC"
) -> Hashes:
    settings = settings or Settings()
    prints = Fingerprints(ModelHashes(settings), ticker, bars, CALENDAR)
    found: Hashes = {}
    for month in months:
        found["lag_analysis", "", month] = prints.lag_analysis(month)
        found["selected_features", "", month] = prints.selected_features(month)
        for name in MODELS:
            found["fit", name, month] = prints.fit(settings.model(name), month)
            found["forecast", name, month] = prints.forecast(settings.model(name), month)
    return found


def changed(before: Hashes, after: Hashes) -> set[tuple[str, str, pd.Timestamp]]:
    assert set(before) == set(after)
    return {key for key in before if before[key] != after[key]}


def test_histories_under_other_rules_have_other_hashes_from_that_day_on(bars):
    wrong = bars.copy()
    wrong.iloc[1000, wrong.columns.get_loc("low")] /= 3
    prints = [Fingerprints(ModelHashes(Settings()), "^GSPC", history, CALENDAR) for history in (bars, wrong)]
    assert prints[1]._rows_of_first_rules == 1000
    assert prints[0]._rows_of_first_rules == len(bars)
    assert prints[0]._features_of(1000) == prints[1]._features_of(1000)


def test_appended_bars_change_only_the_running_months_forecasts(bars, sp500_bars):
    later = sp500_bars.loc["2004":"2008-10-20"]
    running = pd.Timestamp("2008-10-01")
    until_then = [month for month in MONTHS if month <= running]
    moved = changed(hashes_of(bars, months=until_then), hashes_of(later, months=until_then))
    assert moved == {("forecast", name, running) for name in MODELS}


def test_bars_of_a_month_that_is_over_add_nothing_to_it(bars, sp500_bars):
    over = [month for month in MONTHS if month <= pd.Timestamp("2008-09-01")]
    whole = sp500_bars.loc["2004":]
    assert not changed(hashes_of(bars, months=over), hashes_of(whole, months=over))


def test_the_months_last_close_belongs_to_the_next_month(sp500_bars):
    months = [pd.Timestamp("2008-09-01")]
    before_last, last = (sp500_bars.loc["2004":end] for end in ("2008-09-29", "2008-09-30"))
    assert not changed(hashes_of(before_last, months=months), hashes_of(last, months=months))


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "adj_close", "volume"])
def test_a_revised_bar_changes_every_month_after_it_and_none_before(bars, column):
    revised = bars.copy()
    revised.loc["2007-06-14", column] = np.nextafter(revised.loc["2007-06-14", column], np.inf)
    moved = changed(hashes_of(bars), hashes_of(revised))
    june = pd.Timestamp("2007-06-01")
    expected = {key for key in hashes_of(bars) if key[2] > june}
    # In its own month the fit was made before the bar; the forecasts after it see it.
    expected |= {("forecast", name, june) for name in MODELS}
    assert moved == expected


def test_a_bar_that_goes_missing_changes_every_month_after_it(bars):
    moved = changed(hashes_of(bars), hashes_of(bars.drop(pd.Timestamp("2007-06-14"))))
    assert {key[2] for key in moved} == {month for month in MONTHS if month >= pd.Timestamp("2007-06-01")}


def test_a_date_alone_counts(bars):
    moved = bars.rename(index={pd.Timestamp("2004-01-02"): pd.Timestamp("2004-01-01")})
    assert len(changed(hashes_of(bars), hashes_of(moved))) == len(hashes_of(bars))


@pytest.mark.parametrize(
    ("name", "section"),
    [("gjr", {"window": 1000}), ("lstm", {"seeds": 2}), ("ewma", {"decay": 0.9}), ("combination", {"loss_days": 250})],
)
def test_the_settings_of_a_model_change_only_its_cells_and_its_combinations(bars, name, section):
    settings = Settings(model_sections={name: section})
    users = {name} | {other for other, model in MODELS.items() if name in model().member_names}
    moved = changed(hashes_of(bars), hashes_of(bars, settings))
    assert {key[1] for key in moved} == users
    assert len(moved) == 2 * len(users) * len(MONTHS)


def test_a_models_code_version_changes_only_its_cells_and_its_combinations(bars, monkeypatch):
    before = hashes_of(bars)
    monkeypatch.setattr(MODELS["gjr"], "code_version", "next")
    assert {key[1] for key in changed(before, hashes_of(bars))} == {"gjr", "combination"}


def test_garch_of_prices_in_ticks_is_fitted_by_rules_of_its_own(bars, monkeypatch):
    still = bars.copy()
    still.loc[still.index >= "2006", "close"] = still["close"].iloc[0]
    before, after = hashes_of(bars), hashes_of(still)
    monkeypatch.setattr(MODELS["garch"], "coarse_version", "")
    assert hashes_of(bars) == before
    moved = changed(after, hashes_of(still))
    users = {"garch", "gjr", "egarch"}
    assert {key[1] for key in moved} == users | {other for other, m in MODELS.items() if users & {*m().member_names}}
    assert {key[2] for key in moved} == set(MONTHS)


def selecting() -> set[str]:
    return {name for name, model in MODELS.items() if getattr(model, "uses_selection", False)}


@pytest.mark.parametrize("setting", [{"correlation_threshold": 0.9}, {"scaling": "minmax"}])
def test_a_setting_of_the_selection_changes_what_uses_it(bars, setting):
    moved = changed(hashes_of(bars), hashes_of(bars, Settings(**setting)))
    users = selecting() | {name for name, model in MODELS.items() if selecting() & set(model().member_names)}
    assert selecting()
    assert {key[:2] for key in moved} == {("selected_features", "")} | {
        (stage, name) for stage in ("fit", "forecast") for name in users
    }


def test_the_interval_level_changes_forecasts_only(bars):
    moved = changed(hashes_of(bars), hashes_of(bars, Settings(interval_level=0.8)))
    assert moved == {key for key in hashes_of(bars) if key[0] == "forecast"}


@pytest.mark.parametrize("setting", [{"lags": (1, 2)}, {"proxy": "squared_return"}])
def test_a_setting_of_the_features_changes_every_cell(bars, setting):
    before, after = hashes_of(bars), hashes_of(bars, Settings(**setting))
    assert changed(before, after) == set(before)


def test_the_horizons_change_every_model_but_no_selection(bars):
    moved = changed(hashes_of(bars), hashes_of(bars, Settings(horizons=(1, 5))))
    assert moved == {key for key in hashes_of(bars) if key[1]}


@pytest.mark.parametrize(
    "setting",
    [{"jobs": 1}, {"tickers": ("A",)}, {"models": ("gjr",)}, {"source": "csv"}, {"start_month": "2006-01"},
     {"target_volatility": 0.2}, {"timezone": "UTC"}, {"importance": "never"}, {"home": "elsewhere"}],
    ids=lambda setting: next(iter(setting)),
)  # fmt: skip
def test_what_no_cell_is_made_of_changes_none(bars, setting):
    assert not changed(hashes_of(bars), hashes_of(bars, Settings(**setting)))


def test_a_ticker_has_its_own_hashes(bars):
    before, after = hashes_of(bars), hashes_of(bars, ticker="^IXIC")
    assert changed(before, after) == set(before)


def test_a_calendar_has_its_own_hashes(bars):
    month, model = MONTHS[0], Settings().model("gjr")
    here, there = (Fingerprints(ModelHashes(Settings()), "A", bars, calendar_for(name)) for name in ("^GSPC", "SAP.DE"))
    assert here.fit(model, month) != there.fit(model, month)


def test_no_two_cells_share_a_hash(bars):
    # The selection of one month and the forecasts of a family's members are cells of different tables.
    found = hashes_of(bars, months=MONTHS[:22])
    assert len(set(found.values())) == len(found)


def test_the_order_of_the_questions_does_not_count(bars):
    backwards = hashes_of(bars, months=MONTHS[::-1])
    one_by_one: Hashes = {}
    for month in MONTHS[::5]:
        one_by_one |= hashes_of(bars, months=[month])
    everything = hashes_of(bars)
    assert backwards == everything
    assert one_by_one == {key: everything[key] for key in one_by_one}


PROCESS = """
from volassets_tests.pipeline.test_fingerprints import MONTHS, digest, hashes_of, sorted_values
from volassets_tests.conftest import simulate_bars
print(digest(sorted_values(hashes_of(simulate_bars(900, 3), months=MONTHS[:3]))))
"""


def sorted_values(found: Hashes) -> list[str]:
    return [found[key] for key in sorted(found)]


@pytest.mark.parametrize("seed", ["0", "12345"])
def test_another_process_finds_the_same_hashes(seed):
    here = digest(sorted_values(hashes_of(simulate_bars(900, 3), months=MONTHS[:3])))
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    there = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROCESS], env=environment, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here


@given(st.lists(st.integers(0, 40), max_size=30))
def test_prefix_hashes_are_those_of_the_rows(asked):
    values = np.arange(80.0).reshape(40, 2)
    prefix = PrefixHashes(values)
    for rows in asked:
        assert prefix(rows) == hashlib.sha256(values[:rows].tobytes()).hexdigest()[:16]


def test_the_stored_types_do_not_count(bars):
    """What comes back from the store has another resolution and other blocks, and the same numbers."""
    stored = bars[bars.columns[::-1]].copy()
    stored.index = stored.index.as_unit("ns")
    fetched = bars.copy()
    fetched.index = fetched.index.as_unit("ns")
    there, here = (Fingerprints(ModelHashes(Settings()), "A", frame, CALENDAR) for frame in (stored, fetched))
    assert there.features() == here.features()
