from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.evaluation.leaderboard import leaderboard
from volassets.evaluation.panel import PANEL_COLUMNS, panel_comparison, panel_verdict, pooled_scores
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
    board = leaderboard(scored_forecasts({"gjr": 0.5, "lstm": 0.2}, tickers=TICKERS))
    pooled = pooled_scores(board).set_index("model")
    assert pooled.loc["lstm", ["tickers", "n", "in_confidence_set"]].tolist() == [3, 1200, 3]
    assert np.isclose(pooled.loc["lstm", "qlike"], board.loc[board["model"] == "lstm", "qlike"].mean())
