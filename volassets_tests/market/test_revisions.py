"""What a vendor changes is recorded, what it merely rescales or rounds is not."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from volassets.market.bars import as_bars, total_return_factor
from volassets.market.revisions import update_bars

SEEN = datetime(2020, 5, 1, 12)


@pytest.fixture
def fetched(simulated_bars) -> pd.DataFrame:
    bars = as_bars(simulated_bars(120, 5))
    bars.loc[bars.index[:40], "adj_close"] *= 0.98
    return bars


def test_the_same_answer_changes_nothing(fetched: pd.DataFrame) -> None:
    update = update_bars("X", fetched, fetched.copy(), SEEN)
    assert update.changed.empty
    assert update.revisions.empty
    assert list(update.revisions) == ["ticker", "date", "column", "old", "new", "seen_at"]
    pd.testing.assert_frame_equal(update.bars, fetched, check_freq=False)


def test_new_rows_are_added_and_old_ones_keep_their_bits(fetched: pd.DataFrame) -> None:
    noisy = fetched * (1 + 1e-8)
    update = update_bars("X", fetched.head(100), noisy, SEEN)
    assert list(update.changed) == list(fetched.index[100:])
    assert update.bars.head(100).equals(fetched.head(100))
    assert len(update.bars) == 120
    assert update.revisions.empty


def test_first_answer_is_all_new(fetched: pd.DataFrame) -> None:
    update = update_bars("X", fetched.head(0), fetched, SEEN)
    assert len(update.changed) == len(update.bars) == 120
    assert update.revisions.empty


def test_every_changed_number_is_recorded(fetched: pd.DataFrame) -> None:
    revised = fetched.copy()
    revised.iloc[10, [1, 5]] *= 1.5
    revised.iloc[90, 3] *= 0.99
    update = update_bars("X", fetched.head(100), revised, SEEN)
    found = update.revisions
    assert found[["date", "column"]].to_numpy().tolist() == [
        [fetched.index[10], "high"], [fetched.index[10], "volume"], [fetched.index[90], "close"],
    ]  # fmt: skip
    np.testing.assert_array_equal(found["old"], [fetched.iloc[10, 1], fetched.iloc[10, 5], fetched.iloc[90, 3]])
    np.testing.assert_array_equal(found["new"], [revised.iloc[10, 1], revised.iloc[10, 5], revised.iloc[90, 3]])
    assert (found["ticker"] == "X").all()
    assert (found["seen_at"] == SEEN).all()
    assert list(update.changed) == [fetched.index[10], fetched.index[90], *fetched.index[100:]]
    pd.testing.assert_frame_equal(update.bars, revised, check_freq=False)


def test_withdrawn_rows_are_recorded_and_dropped(fetched: pd.DataFrame) -> None:
    update = update_bars("X", fetched, fetched.drop(fetched.index[50]), SEEN)
    assert len(update.revisions) == 6
    assert update.revisions["new"].isna().all()
    assert fetched.index[50] not in update.bars.index
    assert list(update.changed) == [fetched.index[50]]


def test_a_shorter_answer_withdraws_nothing(fetched: pd.DataFrame) -> None:
    update = update_bars("X", fetched, fetched.iloc[30:90], SEEN)
    assert update.revisions.empty
    assert len(update.bars) == 120


def test_a_dividend_rescales_and_is_no_revision(fetched: pd.DataFrame) -> None:
    stored = fetched.head(100)
    later = fetched.copy()
    later.loc[later.index[:110], "adj_close"] *= 0.99
    later["adj_close"] = later["adj_close"].round(6)
    update = update_bars("X", stored, later, SEEN)
    assert update.revisions.empty
    assert update.bars.head(100).equals(stored)
    expected = np.log(later["adj_close"]).diff()
    np.testing.assert_allclose(np.log(update.bars["adj_close"]).diff().dropna(), expected.dropna(), atol=2e-6)


def test_a_dividend_with_one_revised_close_is_one_revision(fetched: pd.DataFrame) -> None:
    later = fetched.copy()
    later.loc[later.index[:110], "adj_close"] *= 0.99
    later.iloc[20, [3, 4]] *= 1.01
    found = update_bars("X", fetched.head(100), later, SEEN).revisions
    assert found[["date", "column"]].to_numpy().tolist() == [
        [fetched.index[20], "close"],
        [fetched.index[20], "adj_close"],
    ]


def test_a_split_revises_every_old_row_and_no_return(fetched: pd.DataFrame) -> None:
    stored = fetched.head(100)
    later = fetched.copy()
    later[["open", "high", "low", "close", "adj_close"]] /= 4
    later["volume"] *= 4
    update = update_bars("X", stored, later, SEEN)
    assert len(update.revisions) == 600
    pd.testing.assert_frame_equal(update.bars, later, check_freq=False)
    np.testing.assert_allclose(total_return_factor(update.bars), total_return_factor(fetched), rtol=1e-12)


def test_a_split_changes_no_feature_dated_before_it(simulated_bars) -> None:
    from volassets.features.feature_table import build_features
    from volassets.market.calendar import named_calendar

    before, day = simulated_bars(900, 1), 700
    after = before.copy()
    after.iloc[day:, :5] /= 4
    after.iloc[:day, after.columns.get_loc("adj_close")] /= 4
    known_then = build_features(before.iloc[:day], named_calendar("XNYS"))
    known_now = build_features(after, named_calendar("XNYS")).iloc[:day]
    pd.testing.assert_frame_equal(known_now, known_then, rtol=1e-12, check_freq=False)
    # The day itself has an ordinary return: the factor is divided out within each day.
    unsplit = build_features(before, named_calendar("XNYS"))["return"]
    np.testing.assert_allclose(build_features(after, named_calendar("XNYS"))["return"], unsplit, rtol=1e-9)


def test_stored_dates_of_another_resolution(fetched: pd.DataFrame) -> None:
    stored = fetched.head(100).set_axis(fetched.index[:100].as_unit("us"))
    update = update_bars("X", stored, fetched, SEEN)
    assert update.bars.index.dtype == "datetime64[ns]"
    assert len(update.changed) == 20
    assert update_bars("X", stored.head(0), fetched, SEEN).bars.index.dtype == "datetime64[ns]"


def test_no_common_date_leaves_the_answer_as_it_is(fetched: pd.DataFrame) -> None:
    assert update_bars("X", fetched.head(50), fetched.tail(50), SEEN).revisions.empty


def test_later_rows_do_not_alter_the_verdict_on_earlier_ones(fetched: pd.DataFrame) -> None:
    revised = fetched.copy()
    revised.iloc[[10, 60], 1] *= 1.5
    whole = update_bars("X", fetched, revised, SEEN).revisions
    part = update_bars("X", fetched.head(50), revised.head(50), SEEN).revisions
    pd.testing.assert_frame_equal(part, whole.head(1))
