"""The timing convention on days where an off-by-one would show."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.market.calendar import calendar_for
from volassets.timing import (
    contiguous,
    first_possible_month,
    last_possible_month,
    months_between,
    origins_of_month,
    refit_month,
    training_length,
)

CALENDAR = calendar_for("^GSPC")


def month(text: str) -> pd.Timestamp:
    return pd.Timestamp(f"{text}-01")


def days(*texts: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(texts)


@pytest.mark.parametrize(
    "value", ["2016-02", "2016-02-01", "2016-02-29", date(2016, 2, 29), pd.Timestamp("2016-02-29 23:59")]
)
def test_a_refit_month_is_its_first_day(value):
    assert refit_month(value) == pd.Timestamp(2016, 2, 1)


@pytest.mark.parametrize("value", ["", "2016", "2016-2", "2016-13", "2016-00", "01-2016", "2016/01", "2016-02-30", "x"])
def test_a_text_that_is_no_month_is_refused_with_an_example(value):
    with pytest.raises(InputError, match=r"is not a month: write it as YYYY-MM"):
        refit_month(value)


def test_months_between_includes_both_ends():
    assert months_between(month("2015-11"), month("2016-02")) == [
        month("2015-11"), month("2015-12"), month("2016-01"), month("2016-02"),
    ]  # fmt: skip
    assert months_between(month("2016-01"), month("2016-01")) == [month("2016-01")]
    assert months_between(month("2016-02"), month("2016-01")) == []


def test_a_bar_on_the_cut_off_is_not_trained_on():
    index = days("2018-09-27", "2018-09-28", "2018-10-01", "2018-10-02")
    assert training_length(index, month("2018-10")) == 2
    assert training_length(index, month("2018-11")) == 4
    assert training_length(index, month("2018-01")) == 0


def test_the_origins_of_a_month_are_the_sessions_before_its_targets(sp500_bars):
    index = pd.DatetimeIndex(sp500_bars.index)
    found = origins_of_month(index, month("2018-10"), CALENDAR)
    assert found[0] == pd.Timestamp("2018-09-28")
    assert found[-1] == pd.Timestamp("2018-10-30")
    targets = index[index.get_indexer(found) + 1]
    october = index[(index >= "2018-10-01") & (index < "2018-11-01")]
    assert list(targets) == list(october)


def test_the_months_share_no_origin_and_leave_none_out(sp500_bars):
    index = pd.DatetimeIndex(sp500_bars.index)
    months = months_between(month("2010-01"), month("2018-12"))
    parts = [origins_of_month(index, each, CALENDAR) for each in months]
    joined = [day for part in parts for day in part]
    inside = index[(index >= "2009-12-31") & (index < "2018-12-31")]
    assert joined == list(inside)


def test_the_last_close_of_a_month_belongs_to_the_next_month(sp500_bars):
    index = pd.DatetimeIndex(sp500_bars.index)
    new_year = origins_of_month(index, month("2019-01"), CALENDAR)
    assert list(new_year) == [pd.Timestamp("2018-12-31")]
    assert last_possible_month(index, CALENDAR) == month("2019-01")
    assert last_possible_month(index[:-1], CALENDAR) == month("2018-12")


def test_the_running_month_includes_the_next_session(sp500_bars):
    index = pd.DatetimeIndex(sp500_bars.index)
    until = index[index <= "2018-10-10"]
    full, running = (origins_of_month(rows, month("2018-10"), CALENDAR) for rows in (index, until))
    assert running[-1] == pd.Timestamp("2018-10-10")
    assert list(running) == list(full[: len(running)])


def test_a_holiday_moves_the_first_target_of_a_month():
    # 2018-01-01 is a holiday, so the origin 2017-12-29 has its target on 2018-01-02.
    index = days("2017-12-28", "2017-12-29", "2018-01-02")
    assert list(origins_of_month(index, month("2018-01"), CALENDAR)) == [index[1], index[2]]
    assert list(origins_of_month(index, month("2017-12"), CALENDAR)) == [index[0]]


def test_no_bar_before_the_month_gives_no_origin_before_it():
    index = days("2018-10-01", "2018-10-02")
    assert list(origins_of_month(index, month("2018-10"), CALENDAR)) == list(index)
    assert len(origins_of_month(index, month("2018-09"), CALENDAR)) == 0
    assert len(origins_of_month(index, month("2018-12"), CALENDAR)) == 0


def test_the_first_possible_month_has_the_bars_before_it(sp500_bars):
    index = pd.DatetimeIndex(sp500_bars.index)
    first = first_possible_month(index, 756)
    assert first is not None
    assert training_length(index, first) >= 756
    assert training_length(index, first - pd.offsets.MonthBegin(1)) < 756
    assert first_possible_month(index, len(index) + 1) is None
    assert first_possible_month(index, len(index)) == month("2019-01")


def test_the_first_possible_month_after_a_full_month():
    index = pd.DatetimeIndex(pd.bdate_range("2018-01-01", "2018-01-31"))
    assert first_possible_month(index, len(index)) == month("2018-02")
    assert first_possible_month(index, 1) == month("2018-02")


def test_contiguous_splits_at_gaps_whatever_the_order():
    months = [month(text) for text in ("2016-03", "2015-12", "2016-01", "2016-01", "2017-01")]
    assert contiguous(months) == [
        (month("2015-12"), month("2016-01")),
        (month("2016-03"), month("2016-03")),
        (month("2017-01"), month("2017-01")),
    ]
    assert contiguous([]) == []
