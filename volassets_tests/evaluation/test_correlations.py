from __future__ import annotations

import numpy as np
import pytest

from volassets.evaluation.correlations import (
    CorrelationFit,
    bounded,
    filter_state,
    fit_correlations,
    horizon_correlations,
    month_states,
    pair_loss,
)
from volassets.evaluation.portfolio_panel import ewma_variances
from volassets.evaluation.shrinkage import analytical_shrinkage, as_correlation, with_floor
from volassets.market.bundled import BundledSource

DAYS = np.array([(1, 0.5), (-1.5, -1), (0.2, -0.8), (2, 1), (-0.5, 0.3)])
LONG_RUN = np.array([[1, 0.4], [0.4, 1]])
NAMES = ("a", "b", "c", "d")


def fit_of(state: np.ndarray, long_run: np.ndarray = LONG_RUN, a: float = 0.05, b: float = 0.90) -> CorrelationFit:
    n = len(state)
    return CorrelationFit(NAMES[:n], a, b, 0.0, np.ones(n), long_run, state, np.zeros((n, n)), np.full(n, 5))


def simulated(days: int = 900, seed: int = 0, correlation: float = 0.42, n: int = 4) -> np.ndarray:
    matrix = np.full((n, n), correlation) + (1 - correlation) * np.eye(n)
    return np.random.default_rng(seed).multivariate_normal(np.zeros(n), matrix, days)


def test_the_recursion_is_the_published_one_worked_out_by_hand():
    states = month_states(fit_of(LONG_RUN), DAYS)
    expected = {
        (0, 1): [0.4, 0.405, 0.4595, 0.42555, 0.502995, 0.4651955],
        (0, 0): [1, 1, 1.0625, 1.00825, 1.157425, 1.1041825],
        (1, 1): [1, 0.9625, 0.96625, 0.951625, 0.9564625, 0.91531625],
    }
    for (i, j), values in expected.items():
        np.testing.assert_allclose(states[:, i, j], values, rtol=1e-12)
    daily = [0.4, 0.4128142251, 0.4534989573, 0.4344437544, 0.4780609443, 0.4627319519]
    np.testing.assert_allclose(as_correlation(states)[:, 0, 1], daily, atol=1e-10)
    last = fit_of(states[-1])
    for horizon, value in ((5, 0.4567646534), (22, 0.4385782374)):
        assert horizon_correlations(last, states[-1:], horizon)[0, 0, 1] == pytest.approx(value, abs=1e-10)
    assert pair_loss(0.05, 0.90, DAYS, 0.4) == pytest.approx(0.8063180965, abs=1e-10)


def test_three_stocks_have_the_correlations_computed_elsewhere():
    frames = {name: BundledSource().fetch(name)["adj_close"] for name in ("AAPL", "IBM", "MSFT")}
    moves = np.column_stack([s.pct_change().loc["2004-01-02":"2012-12-31"].to_numpy() for s in frames.values()])
    assert len(moves) == 2265
    residuals = np.column_stack([column / np.sqrt(ewma_variances(column)[:-1]) for column in moves.T])
    fit = fit_correlations(residuals, tuple(frames))
    upper = np.triu_indices(3, 1)
    np.testing.assert_allclose(fit.long_run[upper], [0.4028260, 0.3480584, 0.4675391], atol=1e-6)
    assert fit.likelihood == pytest.approx(0.8975263670, abs=1e-8)
    assert (fit.a, fit.b) == pytest.approx((0.0098394, 0.985), abs=3e-6), "b is held in its bounds"
    scaled = residuals / fit.scale
    state = filter_state(scaled, 0.0098394, 0.9887175, fit.long_run, fit.long_run)
    np.testing.assert_allclose(as_correlation(state)[upper], [0.3780791, 0.3111557, 0.4931172], atol=1e-6)


def test_the_month_is_an_independent_loop_over_days_and_pairs():
    residuals = simulated(600, seed=3)
    fit = fit_correlations(residuals[:580], NAMES)
    states = month_states(fit, residuals[580:])
    second = residuals[:580] ** 2
    for i in range(4):
        for j in range(4):
            scale_i, scale_j = second[:, i].mean() ** 0.5, second[:, j].mean() ** 0.5
            mean = (residuals[:580, i] * residuals[:580, j]).mean() / (scale_i * scale_j)
            q = mean
            for day in range(600):
                if day >= 580:
                    assert states[day - 580, i, j] == pytest.approx(q, rel=1e-9)
                news = residuals[day, i] * residuals[day, j] / (scale_i * scale_j)
                q = (1 - fit.a - fit.b) * mean + fit.a * news + fit.b * q
    rho, weight = as_correlation(states[:1])[0, 0, 1], np.mean([(fit.a + fit.b) ** k for k in range(5)])
    expected = fit.long_run[0, 1] + weight * (rho - fit.long_run[0, 1])
    assert horizon_correlations(fit, states[:1], 5)[0, 0, 1] == pytest.approx(expected, rel=1e-9)


def test_coefficients_stay_in_their_bounds():
    assert bounded(0.053, 0.68) == (0.05, 0.90)
    assert bounded(0.001, 0.998) == (0.005, 0.985)
    assert bounded(0.03, 0.99) == (0.03, pytest.approx(0.965))


def test_later_days_move_nothing_before_them():
    residuals = simulated(700, seed=5)
    fit = fit_correlations(residuals[:650], NAMES)
    changed = residuals.copy()
    changed[670:] = 9.0
    assert fit_correlations(changed[:650], NAMES).state.tobytes() == fit.state.tobytes()
    old, new = month_states(fit, residuals[650:]), month_states(fit, changed[650:])
    assert old[:21].tobytes() == new[:21].tobytes()
    assert (old[21:] != new[21:]).any()


def test_days_that_a_member_lacks_are_left_out_and_not_taken_for_calm_ones():
    true, found, zeros = [], [], []
    for seed in range(5):
        residuals = simulated(2000, seed)
        missing = np.random.default_rng(100 + seed).random(residuals.shape) < 0.10
        gaps = np.where(missing, np.nan, residuals)
        upper = np.triu_indices(4, 1)
        true.append(fit_correlations(residuals, NAMES).long_run[upper].mean())
        found.append(fit_correlations(gaps, NAMES).long_run[upper].mean())
        zeros.append(fit_correlations(np.nan_to_num(gaps), NAMES).long_run[upper].mean())
    assert abs(np.mean(found) - np.mean(true)) < 0.01
    assert np.mean(true) - np.mean(zeros) > 0.02
    fit = fit_correlations(gaps, NAMES)
    assert np.linalg.eigvalsh(as_correlation(fit.state)).min() > 0
    alone = np.array([[np.nan, 1.0, np.nan, np.nan]])
    before, after = month_states(fit, alone)
    assert (after != before).sum() == 1, "pairs learn from common days alone"
    assert after[1, 1] != before[1, 1]


def test_a_short_history_is_drawn_to_the_average_of_the_others():
    errors = {"own": [], "drawn": []}
    for seed in range(30):
        residuals = simulated(1000, seed)
        residuals[:980, 3] = np.nan
        fit = fit_correlations(residuals, NAMES)
        own = np.corrcoef(residuals[980:].T)[3, :3]
        errors["own"].append(((own - 0.42) ** 2).mean())
        errors["drawn"].append(((fit.long_run[3, :3] - 0.42) ** 2).mean())
    assert np.mean(errors["drawn"]) < 0.3 * np.mean(errors["own"])


def test_more_assets_than_days_stay_usable():
    from sklearn.covariance import ledoit_wolf

    rng = np.random.default_rng(1)
    n, days = 100, 60
    loading = rng.normal(0.5, 0.15, n)
    true = as_correlation(np.outer(loading, loading) + np.diag(rng.uniform(0.3, 1, n)))
    sample = rng.multivariate_normal(np.zeros(n), true, days)

    def stein(estimate: np.ndarray) -> float:
        ratio = np.linalg.solve(true, estimate)
        return (np.trace(np.linalg.inv(ratio)) + np.linalg.slogdet(ratio)[1] - n) / n

    nonlinear = analytical_shrinkage(sample.T @ sample / days, days)
    linear = ledoit_wolf(sample, assume_centered=True)[0]
    assert stein(nonlinear) < 0.2 * stein(linear)
    fit = fit_correlations(sample, [f"{i:03}" for i in range(n)])
    assert np.linalg.eigvalsh(fit.long_run).min() > 1e-3
    assert np.linalg.eigvalsh(as_correlation(fit.state)).min() > 1e-3


def test_near_duplicates_are_named_and_nothing_breaks():
    residuals = simulated(500)
    residuals[:, 3] = residuals[:, 0] * (1 + 1e-7)
    fit = fit_correlations(residuals, NAMES)
    ((first, second, value),) = fit.near_duplicates()
    assert (first, second) == ("a", "d")
    assert value > 0.99


def test_closing_at_different_hours_counts_beyond_one_day_alone():
    rng = np.random.default_rng(2)
    west = rng.standard_normal(3001)
    # The east closes before: most of a western day arrives the day after.
    east = 0.2 * west[1:] + 0.5 * west[:-1] + 0.8 * rng.standard_normal(3000)
    residuals = np.column_stack([east, west[1:]])
    differ = np.array([[False, True], [True, False]])
    fit = fit_correlations(residuals, ("e", "w"), differ)
    same = fit_correlations(residuals, ("e", "w"))
    states = month_states(fit, residuals[:0])
    assert horizon_correlations(fit, states, 1) == pytest.approx(horizon_correlations(same, states, 1))
    true = (0.2 + 0.8 * 0.5) / np.sqrt(0.2**2 + 0.5**2 + 0.8**2 + 2 * 0.8 * 0.2 * 0.5)
    found = [horizon_correlations(each, states, 5)[0, 0, 1] for each in (same, fit)]
    assert abs(found[1] - true) < 0.2 * abs(found[0] - true)
    assert not fit_correlations(simulated(3000, n=2), ("a", "b"), differ).lead_lag.any()


def test_an_impossible_matrix_gets_the_nearest_eigenvalues():
    impossible = np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]])
    repaired = with_floor(impossible)
    assert np.linalg.eigvalsh(impossible).min() < 0 < np.linalg.eigvalsh(repaired).min()
    np.testing.assert_array_equal(np.diag(repaired), 1.0)
