from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.evaluation.accuracy_tests import compare_pairs
from volassets.evaluation.leaderboard import leaderboard
from volassets.evaluation.losses import with_losses
from volassets.evaluation.verdict import leaderboard_verdict
from volassets.warehouse.schema_reports import LEADERBOARD
from volassets_tests.evaluation.forecasts import scored_forecasts

MODELS = {"gjr": 0.5, "good": 0.2, "twin": 0.21, "bad": 1.0}


def test_every_column_is_filled_for_every_model_and_horizon():
    board = leaderboard(scored_forecasts(MODELS, tickers=("A", "B"), horizons=(1, 5)))
    assert set(board.columns) | {"data_hash", "sessions_per_year"} == set(LEADERBOARD.column_names)
    assert len(board) == 2 * 2 * 4
    assert not board.isna().any(axis=None)
    assert (board["n"] == 400).all()
    assert (board["n_common"] == 400).all()


def test_the_baseline_against_itself_is_zero_with_p_one():
    board = leaderboard(scored_forecasts(MODELS)).set_index("model")
    assert board.loc["gjr", ["qlike_vs_gjr", "dm_vs_gjr", "dm_p"]].tolist() == [0.0, 0.0, 1.0]


def test_signs_say_better_and_worse():
    board = leaderboard(scored_forecasts(MODELS)).set_index("model")
    assert board.loc["good", "qlike_vs_gjr"] < -0.1
    assert board.loc["good", "dm_vs_gjr"] < -3
    assert board.loc["bad", "qlike_vs_gjr"] > 0.1
    assert board.loc["bad", "dm_vs_gjr"] > 3
    assert board.loc["bad", "mcs_p"] < 0.01
    assert board["mcs_p"].max() == 1.0
    relative = board.loc["good", "qlike"] / board.loc["gjr", "qlike"] - 1
    assert board.loc["good", "qlike_vs_gjr"] == relative


def test_an_incomplete_model_is_flagged_scored_and_compared_on_shared_days():
    frame = scored_forecasts(MODELS)
    frame = frame.drop(index=frame[frame["model"] == "good"].index[50:])
    board = leaderboard(frame).set_index("model")
    assert not board.loc["good", "complete"]
    assert (board.loc["good", "n"], board.loc["good", "n_common"]) == (50, 400)
    assert (board.loc["bad", "n"], board.loc["bad", "complete"]) == (400, True)
    assert not board.isna().any(axis=None)
    shared = with_losses(frame[frame["origin_date"] <= frame["origin_date"].iloc[49]])
    means = shared.groupby("model")["qlike"].mean()
    assert np.isclose(board.loc["good", "qlike_vs_gjr"], means["good"] / means["gjr"] - 1)


def test_it_does_not_depend_on_the_order_of_rows_or_other_tickers():
    frame = scored_forecasts(MODELS, tickers=("A", "B"))
    alone = leaderboard(frame[frame["ticker"] == "B"])
    both = leaderboard(frame.sample(frac=1.0, random_state=1))
    of_b = both[both["ticker"] == "B"].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_b, alone, rtol=1e-12)


def test_a_few_days_and_no_baseline_give_missing_comparisons_not_errors():
    frame = scored_forecasts({"a": 0.1, "b": 0.2}, n=4)
    board = leaderboard(frame)
    assert board["qlike"].notna().all()
    assert board[["dm_vs_gjr", "mcs_p", "mz_slope"]].isna().all(axis=None)
    text = leaderboard_verdict(board, compare_pairs(with_losses(frame)))
    assert text == "AAA, 1 session ahead (4 origins): too few to tell."
    assert leaderboard(frame.iloc[:0]).empty


def test_the_verdict_follows_the_tests():
    frame = scored_forecasts(MODELS)
    board = leaderboard(frame)
    text = leaderboard_verdict(board, compare_pairs(with_losses(frame)))
    best = board.iloc[0]["model"]
    assert text.startswith(f"AAA, 1 session ahead (400 origins): {best} has the lowest QLIKE")
    assert "better, p < .001" in text
    assert "90 % confidence set" in text
    assert "bad" not in text
    same = frame.assign(variance=frame["realized_variance"] * 1.1)
    board = leaderboard(same)
    text = leaderboard_verdict(board, compare_pairs(with_losses(same)))
    assert "no difference, p = 1.00" in text
    assert text.endswith("No model leaves the 90 % confidence set.")
