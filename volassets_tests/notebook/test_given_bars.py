"""Bars as notebooks have them, and what is said about wrong ones."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd
import pytest

import volassets as va
from volassets.errors import InputError
from volassets.notebook.given_bars import BarsWarning, checked, make_settings
from volassets.notebook.stored_tables import Home

SETTINGS = make_settings(["AAA"], None, Path("."))


@pytest.fixture
def bars(simulated_bars) -> pd.DataFrame:
    return simulated_bars(450, 1)


def taken(frame: pd.DataFrame) -> pd.DataFrame:
    return checked({"AAA": frame}, SETTINGS)["AAA"]


def test_names_of_yahoo_and_two_levels_of_columns_are_the_same_bars(bars):
    expected = taken(bars)
    yahoo = bars.rename(columns=lambda name: name.replace("_", " ").title())
    assert "Adj Close" in yahoo
    several = pd.concat({"BBB": yahoo * 2, "AAA": yahoo}, axis=1)
    for frame in (
        yahoo,
        several,
        several.swaplevel(axis=1),
        pd.concat({"X": yahoo}, axis=1),
        bars.tz_localize("Asia/Tokyo"),
    ):
        pd.testing.assert_frame_equal(taken(frame), expected, check_freq=False)
    pd.testing.assert_frame_equal(taken(bars.drop(columns=["adj_close"])), expected, check_freq=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda bars: bars.drop(columns="high"), "lack the column high"),
        (lambda bars: bars.reset_index(drop=True), "DatetimeIndex"),
        (lambda bars: bars.assign(close=-bars["close"]), "zero or below"),
        (lambda bars: bars.iloc[::-1], "backwards"),
        (lambda bars: pd.concat({"B": bars, "C": bars}, axis=1), "several tickers"),
        (lambda bars: bars.assign(Close=bars["close"]), "twice"),
        (lambda bars: bars.assign(open="x"), "numbers"),
    ],
)
def test_wrong_bars_are_refused_with_what_is_wrong(bars, change, words):
    with pytest.raises(InputError, match=words) as refusal:
        taken(change(bars))
    assert "stored" not in str(refusal.value)


def test_what_looks_odd_is_a_warning(bars):
    odd = bars.copy()
    odd.loc[odd.index[100], ["open", "high", "low", "close", "adj_close"]] *= 3.0
    said = []
    for frame in (bars, odd):
        with pytest.warns(BarsWarning) as caught:
            taken(frame)
        said.append({str(warning.message) for warning in caught})
    assert any("2005-05-23" in text for text in said[1] - said[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checked({"AAA": odd}, SETTINGS, say=False)


def test_impossible_requests_say_what_is_possible(bars):
    rules = {"minimum_history": 400}
    with pytest.raises(InputError, match="first possible month is 2006-08"):
        va.walk_forward(bars, ["ewma"], "2005-02", "2005-03", settings=rules)
    with pytest.raises(InputError, match="give the earlier one"):
        va.walk_forward(bars, ["ewma"], "2006-09", "2006-08", settings=rules)
    with pytest.raises(InputError, match="unknown model 'arima'"):
        va.walk_forward(bars, ["arima"], "2006-08", "2006-08", settings=rules)
    with pytest.raises(InputError, match="unknown setting minimum"):
        va.feature_table(bars, settings={"minimum": 400})
    with pytest.raises(InputError, match="seeds"):
        va.feature_table(bars, settings={"lstm": {"seeds": 0}})
    with pytest.raises(InputError, match="empty dict"):
        va.feature_table({})


def test_a_home_is_read_and_not_written(tmp_path):
    home = va.open(tmp_path)
    assert isinstance(home, Home)
    assert home.leaderboard.empty
    assert "latest_forecasts" in dir(home)
    assert not list(tmp_path.iterdir())
    with pytest.raises(AttributeError, match="leaderbord"):
        _ = home.leaderbord
    with pytest.raises(InputError, match="not a directory"):
        va.open(tmp_path / "none")
    with pytest.raises(InputError, match="reads"):
        home.query("delete from leaderboard")
