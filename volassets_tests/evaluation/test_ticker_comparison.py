from __future__ import annotations

import time

import numpy as np
import pandas as pd

from volassets.evaluation.backtest import Rules
from volassets.evaluation.ticker_comparison import compare_ticker
from volassets_tests.evaluation.forecasts import scored_forecasts


def _inputs(n: int, models: dict[str, float], horizons: tuple[int, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = scored_forecasts(models, n=n, horizons=horizons)
    proxy = frame[(frame["model"] == "gjr") & (frame["horizon"] == 1)].set_index("origin_date")["realized_variance"]
    dates = proxy.index.append(pd.DatetimeIndex([proxy.index[-1] + pd.offsets.BDay(1)]))
    values = np.concatenate([[1e-4], proxy.to_numpy()])
    returns = np.sqrt(values) * np.random.default_rng(0).standard_normal(n + 1)
    return frame, pd.DataFrame({"return": returns, "proxy_variance": values}, index=dates)


def test_every_table_is_filled():
    frame, features = _inputs(700, {"gjr": 0.5, "lstm": 0.2, "naive": 1.0}, (1, 5))
    tables = compare_ticker(frame, features, Rules())
    for name, table in tables.items():
        assert len(table), name
        assert (table["ticker"] == "AAA").all(), name
        assert not table.isna().any(axis=None), name
    scores = tables["scores"]
    assert set(scores["slice_kind"]) == {"all", "year", "regime"}
    assert set(scores["target"]) == {"proxy", "squared_return"}
    assert tables["verdicts"]["topic"].tolist() == ["leaderboard", "leaderboard", "backtests", "value_at_risk"]
    whole = scores.query("slice_kind == 'all' and target == 'proxy' and horizon == 1").set_index("model")["qlike"]
    board = tables["leaderboard"].query("horizon == 1").set_index("model")["qlike"]
    pd.testing.assert_series_equal(whole, board, check_like=True)


def test_thirteen_models_fifteen_years_three_horizons_end_in_seconds():
    frame, features = _inputs(3774, {"gjr": 0.5} | {f"m{i}": 0.2 + 0.05 * i for i in range(12)}, (1, 5, 22))
    start = time.perf_counter()
    compare_ticker(frame, features, Rules())
    assert time.perf_counter() - start < 60
