from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from volassets.evaluation import accuracy_tests
from volassets.evaluation.losses import with_losses
from volassets_tests.evaluation.forecasts import scored_forecasts


def test_identical_forecasts_are_equal():
    test = accuracy_tests.diebold_mariano(np.zeros(100), 5)
    assert (test.statistic, test.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("horizon", [1, 3, 22])
def test_below_twenty_windows_without_overlap_there_is_no_test(horizon):
    rng = np.random.default_rng(horizon)
    for n, tested in ((20 * horizon - 1, False), (20 * horizon, True)):
        losses = pd.DataFrame(rng.gamma(1, 1, (n, 2)), columns=["a", "b"])
        difference, y, f = (losses["a"] - losses["b"]).to_numpy(), *rng.gamma(2, 1, (2, n))
        assert np.isfinite(accuracy_tests.equal_accuracy(difference, horizon).p_value) == tested
        assert np.isfinite(accuracy_tests.mincer_zarnowitz(y, f, horizon).p_value) == tested
        assert accuracy_tests.model_confidence_set(losses, horizon).notna().all() == tested
    assert np.isnan(accuracy_tests.mincer_zarnowitz(np.ones(9), np.arange(9.0), 1).slope)


def test_a_constant_differential_has_no_statistic():
    test = accuracy_tests.diebold_mariano(np.full(64, -0.5), 1)
    assert np.isnan(test.statistic)
    assert np.isnan(test.p_value)


@pytest.mark.parametrize("horizon", [1, 5, 22])
def test_size_under_overlap(horizon):
    """Equal models with the autocorrelation of h-session losses: 5 % tests reject about 5 % of the time."""
    rng = np.random.default_rng(horizon)
    kernel = np.ones(horizon) / horizon
    rejected = [
        accuracy_tests.diebold_mariano(
            np.convolve(rng.standard_normal(1000 + horizon - 1), kernel, "valid"), horizon
        ).p_value
        < 0.05
        for _ in range(400)
    ]
    assert 0.02 <= np.mean(rejected) <= 0.105


def test_lag_covers_the_overlap():
    for horizon in (1, 5, 22):
        assert accuracy_tests.hac_lag(3774, horizon) >= horizon - 1
    assert accuracy_tests.hac_lag(5, 22) == 4


def test_pairs_are_antisymmetric_on_their_own_common_days():
    frame = scored_forecasts({"a": 0.1, "b": 0.3, "c": 0.8})
    frame = frame.drop(index=frame[(frame["model"] == "c")].index[:100])
    table = accuracy_tests.compare_pairs(with_losses(frame))
    assert list(table.columns) == list(accuracy_tests.COMPARISON_COLUMNS)
    assert len(table) == 3 * 6
    cell = table[table["loss"] == "qlike"].set_index(["model_a", "model_b"])
    assert cell.loc[("a", "b"), "n"] == 400
    assert cell.loc[("a", "c"), "n"] == 300
    assert cell.loc[("a", "c"), "dm"] == -cell.loc[("c", "a"), "dm"] < -5
    assert cell.loc[("a", "c"), "p_value"] == cell.loc[("c", "a"), "p_value"] < 0.001


def test_confidence_set_ignores_the_order_and_survives_twins():
    losses = accuracy_tests.loss_matrix(with_losses(scored_forecasts({"a": 0.1, "b": 0.12, "c": 1.0})), "qlike")
    p = accuracy_tests.model_confidence_set(losses, 1)
    reordered = accuracy_tests.model_confidence_set(losses[["c", "a", "b"]], 1)
    pd.testing.assert_series_equal(reordered[p.index], p, check_names=False)
    twins = accuracy_tests.model_confidence_set(losses.assign(twin=losses["a"]), 1)
    assert twins["twin"] == twins["a"]
    assert p["c"] < 0.01
    assert accuracy_tests.model_confidence_set(losses[["a"]], 1).tolist() == [1.0]


def test_thirteen_models_on_fifteen_years_take_seconds():
    rng = np.random.default_rng(0)
    losses = pd.DataFrame(
        rng.gamma(1, 1, (3774, 1)) + 0.5 * rng.standard_normal((3774, 13)), columns=[f"m{i}" for i in range(13)]
    )
    start = time.perf_counter()
    accuracy_tests.model_confidence_set(losses, 22)
    assert time.perf_counter() - start < 8
