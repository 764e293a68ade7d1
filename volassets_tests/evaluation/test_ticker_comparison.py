from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from volassets.evaluation import ticker_comparison
from volassets.evaluation.backtest import Rules
from volassets.evaluation.row_checks import tables_not_computed
from volassets.evaluation.ticker_comparison import compare_ticker
from volassets.warehouse.schema_reports import REPORT_TABLES
from volassets.warehouse.write_checks import checked_rows
from volassets_tests.evaluation.forecasts import scored_forecasts

REPORTS = {table.name: table for table in REPORT_TABLES}
NO_RISK = pd.DataFrame(columns=["model", "level", "n", "violations", "kupiec_p", "christoffersen_p"])


def _inputs(n: int, models: dict[str, float], horizons: tuple[int, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = scored_forecasts(models, n=n, horizons=horizons)
    proxy = frame[(frame["model"] == "gjr") & (frame["horizon"] == 1)].set_index("origin_date")["realized_variance"]
    dates = proxy.index.append(pd.DatetimeIndex([proxy.index[-1] + pd.offsets.BDay(1)]))
    values = np.concatenate([[1e-4], proxy.to_numpy()])
    returns = np.sqrt(values) * np.random.default_rng(0).standard_normal(n + 1)
    return frame, pd.DataFrame({"return": returns, "proxy_variance": values}, index=dates)


def test_every_table_is_filled():
    frame, features = _inputs(700, {"gjr": 0.5, "lstm": 0.2, "naive": 1.0}, (1, 5))
    tables = compare_ticker(frame, features, Rules(), NO_RISK)
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


def _infinite(table: pd.DataFrame) -> bool:
    return bool(np.isinf(table.select_dtypes("number").to_numpy(np.float64)).any())


def test_an_unchanged_first_close_of_a_year_costs_no_table():
    """The one session of 2013 has an unchanged close: its squared return is 0 at the first horizon."""
    frame, features = _inputs(783, {"gjr": 0.5, "lstm": 0.2}, (1, 5))
    origins = pd.DatetimeIndex(frame["origin_date"])
    assert (origins.year == 2013).any()
    keep = (origins.year < 2013) | (origins == origins[origins.year == 2013].min())
    frame = frame[keep].assign(squared_return=np.where(origins[keep].year == 2013, 0.0, frame["squared_return"][keep]))
    tables = compare_ticker(frame, features, Rules(), NO_RISK)
    assert not any(map(_infinite, tables.values()))
    scores = tables["scores"].query("slice == '2013' and target == 'squared_return'")
    assert len(scores) == 4
    assert scores["bias"].isna().all()
    assert scores["qlike"].notna().all()
    assert len(tables["verdicts"]) == 4


@pytest.mark.parametrize("constant", ["realized_variance", "squared_return", "variance", "everything"])
def test_a_constant_series_leaves_undefined_numbers_empty(constant):
    frame, features = _inputs(400, {"gjr": 0.5, "lstm": 0.2}, (1, 5))
    if constant == "everything":
        frame, features = frame.assign(realized_variance=0.0, squared_return=0.0), features * 0.0
    else:
        frame = frame.assign(**{constant: 1e-4 if constant == "variance" else 0.0})
    tables = compare_ticker(frame, features, Rules(), NO_RISK)
    assert not any(map(_infinite, tables.values()))
    assert not tables["verdicts"]["text"].str.contains("could not").any()
    assert {name for name, table in tables.items() if table.empty} <= {"model_comparisons"}
    for name, table in tables.items():
        checked_rows(REPORTS[name], table)


def test_the_fault_of_one_table_leaves_the_others(monkeypatch):
    frame, features = _inputs(400, {"gjr": 0.5, "lstm": 0.2}, (1, 5))
    whole = compare_ticker(frame, features, Rules(), NO_RISK)
    assert tables_not_computed(whole["verdicts"]) == []

    def broken(*_args):
        raise np.linalg.LinAlgError("SVD did not converge")

    for name, table in (
        ("mincer_zarnowitz", "mincer_zarnowitz"),
        ("leaderboard", "leaderboard"),
        ("backtest", "backtests"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(ticker_comparison, name, broken)
            tables = compare_ticker(frame, features, Rules(), NO_RISK)
        lost = {"backtests", "backtest_paths"} if table == "backtests" else {table}
        assert {key for key, rows in tables.items() if rows.empty} == lost
        for key in set(whole) - lost - {"verdicts"}:
            pd.testing.assert_frame_equal(tables[key], whole[key])
        (text,) = tables["verdicts"].loc[tables["verdicts"]["text"].str.contains("could not"), "text"]
        assert text.startswith(f"{table} could not be computed (LinAlgError: SVD did not converge)")
        (finding,) = tables_not_computed(tables["verdicts"])
        assert (finding.severity, finding.message) == ("error", text)
        for key, rows in tables.items():
            checked_rows(REPORTS[key], rows)


def test_thirteen_models_fifteen_years_three_horizons_end_in_seconds():
    frame, features = _inputs(3774, {"gjr": 0.5} | {f"m{i}": 0.2 + 0.05 * i for i in range(12)}, (1, 5, 22))
    start = time.perf_counter()
    compare_ticker(frame, features, Rules(), NO_RISK)
    assert time.perf_counter() - start < 60
