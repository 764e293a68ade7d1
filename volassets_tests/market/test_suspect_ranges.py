"""Suspect days as seen from a cut-off: by earlier days alone, and never by later ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.market.suspect_ranges import NEIGHBOURS, suspect_ranges
from volassets_tests.conftest import simulate_bars


@pytest.fixture
def bars() -> pd.DataFrame:
    history = simulate_bars(600, seed=8)
    history.iloc[[120, 400], 2] /= 20
    history.iloc[250, 1] *= 1.6
    return history


def test_the_wrong_days_are_found(bars: pd.DataFrame) -> None:
    assert suspect_ranges(bars).before(len(bars)).tolist() == [120, 250, 400]


def test_a_cut_decides_by_the_days_before_it(bars: pd.DataFrame) -> None:
    days = suspect_ranges(bars)
    for cut in (1, 60, 120, 121, 122, 251, 260, 300, 401, 430, 599):
        assert days.before(cut).tolist() == suspect_ranges(bars.iloc[:cut]).before(cut).tolist()
    assert days.first_cut == 121


def test_later_days_may_acquit_a_day_but_change_nothing_before_they_come() -> None:
    bars = simulate_bars(300, seed=4)
    wild = bars.copy()
    # From day 150 every range is as wide as the first: the beginning of another regime, and no wrong price.
    wild.iloc[150:, 1] *= 1.5
    wild.iloc[150:, 2] /= 1.5
    days = suspect_ranges(wild)
    assert 150 in days.before(151)
    assert 150 not in days.before(150 + 1 + NEIGHBOURS)
    assert days.before(151).tolist() == suspect_ranges(wild.iloc[:151]).before(151).tolist()


def test_prices_that_mostly_stand_still_are_not_judged() -> None:
    bars = simulate_bars(300, seed=4)
    flat = np.arange(300) % 3 > 0
    bars.loc[flat, ["open", "high", "low", "close", "adj_close"]] = 100.0
    bars.iloc[150, 2] /= 20
    assert suspect_ranges(bars).before(300).tolist() == []


@pytest.mark.parametrize("name", ["sp500_bars", "nasdaq_bars"])
def test_twenty_years_of_indices_have_none(name: str, request: pytest.FixtureRequest) -> None:
    assert suspect_ranges(request.getfixturevalue(name)).first_cut == np.inf
