from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.evaluation.leaderboard import leaderboard
from volassets.evaluation.panel import MEANS, PANEL_COLUMNS, panel_comparison, panel_verdict, pooled_scores
from volassets_tests.evaluation.forecasts import scored_forecasts

TICKERS = ("A", "B", "C")


def test_wins_over_tickers():
    frame = scored_forecasts({"gjr": 0.5, "lstm": 0.2, "naive": 1.0}, tickers=TICKERS, horizons=(1, 5))
    table = panel_comparison(frame)
    assert tuple(table.columns) == PANEL_COLUMNS
    cell = table.set_index(["model", "horizon"])
    assert cell.loc[("lstm", 1), ["tickers", "wins", "significant_wins", "significant_losses"]].tolist() == [3, 3, 3, 0]
    assert cell.loc[("naive", 5), ["wins", "significant_wins", "significant_losses"]].tolist() == [0, 0, 3]
    assert cell.loc[("lstm", 1), "dm_pooled"] < -5


def test_equal_tickers_are_no_more_evidence_than_one():
    one = scored_forecasts({"gjr": 0.5, "lstm": 0.45})
    three = pd.concat([one.assign(ticker=name) for name in TICKERS], ignore_index=True)
    single, pooled = panel_comparison(one).iloc[0], panel_comparison(three).iloc[0]
    assert np.isclose(pooled["p_pooled"], single["p_pooled"])
    assert pooled["tickers"] == 3


def test_the_verdict_counts_and_tests():
    frame = scored_forecasts({"gjr": 0.5, "lstm": 0.2, "elastic_net": 0.2}, tickers=TICKERS, seed=1)
    (text,) = panel_verdict(frame)
    best = "lstm" if text.startswith("Horizon 1: lstm") else "elastic_net"
    other = "elastic_net" if best == "lstm" else "lstm"
    assert text.startswith(
        f"Horizon 1: {best} beats gjr on 3 of 3 tickers, p < .001; against {other} no difference, p ="
    )


def test_a_model_on_some_tickers_only():
    frame = scored_forecasts({"gjr": 0.5, "lstm": 0.2}, tickers=TICKERS)
    frame = frame[~((frame["model"] == "lstm") & (frame["ticker"] == "C"))]
    assert panel_comparison(frame).iloc[0]["tickers"] == 2
    assert "on 2 of 2 tickers" in panel_verdict(frame)[0]


def test_pooled_scores():
    frame = scored_forecasts({"gjr": 0.5, "lstm": 0.2}, tickers=TICKERS)
    board = leaderboard(frame)
    pooled = pooled_scores(frame, board).set_index("model")
    assert pooled.loc["lstm", ["tickers", "n", "in_confidence_set"]].tolist() == [3, 1200, 3]
    assert pooled["complete"].all()
    own = board[board["model"] == "lstm"]
    for name in MEANS:
        assert pooled.loc["lstm", name] == own[name].mean()


def test_models_are_ranked_on_the_tickers_that_they_share():
    """On C, where only gjr and naive are, the days are so calm that a plain mean would put gjr first."""
    frame = scored_forecasts({"gjr": 0.3, "lstm": 0.2, "naive": 1.0}, tickers=TICKERS)
    frame = frame[~((frame["model"] == "lstm") & (frame["ticker"] == "C"))]
    calm = (frame["ticker"] == "C") & (frame["model"] == "gjr")
    frame.loc[calm, "variance"] = frame.loc[calm, "realized_variance"] * 1.01
    board = leaderboard(frame)
    plain = board.groupby("model")["qlike"].mean()
    assert plain["gjr"] < plain["lstm"]
    pooled = pooled_scores(frame, board)
    assert pooled["model"].tolist() == ["lstm", "gjr", "naive"]
    assert pooled["tickers"].tolist() == [2, 2, 2]
    assert (pooled["in_confidence_set"] <= 2).all()
    assert panel_verdict(frame)[0].startswith("Horizon 1: lstm beats gjr on 2 of 2 tickers")


def test_a_model_with_few_days_does_not_take_the_others_days():
    frame = scored_forecasts({"gjr": 0.5, "lstm": 0.1, "naive": 1.0}, tickers=TICKERS)
    late = frame["origin_date"] > frame["origin_date"].unique()[-50]
    frame = frame[(frame["model"] != "lstm") | late]
    pooled = pooled_scores(frame, leaderboard(frame))
    assert pooled["model"].tolist() == ["gjr", "naive", "lstm"]
    assert pooled["complete"].tolist() == [True, True, False]
    assert pooled["n"].tolist() == [1200, 1200, 147]


def test_models_on_tickers_of_their_own_have_no_common_ranking():
    frame = scored_forecasts({"gjr": 0.5, "lstm": 0.2}, tickers=TICKERS)
    frame = frame[(frame["model"] == "gjr") == (frame["ticker"] == "A")]
    pooled = pooled_scores(frame, leaderboard(frame))
    assert sorted(pooled["complete"]) == [False, True]
    assert panel_verdict(frame) == []


def test_few_windows_have_no_verdict():
    frame = scored_forecasts({"gjr": 0.5, "lstm": 0.2}, n=99, tickers=TICKERS, horizons=(1, 5))
    first, second = panel_verdict(frame)
    assert first.startswith("Horizon 1: lstm beats gjr")
    assert second == "Horizon 5: too few to tell."
    assert panel_comparison(frame).set_index("horizon")["p_pooled"].notna().to_dict() == {1: True, 5: False}
