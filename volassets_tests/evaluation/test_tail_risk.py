"""Tails against scipy, closed forms and Hosking and Wallis's estimator written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import genpareto
from scipy.stats import t as student

from volassets.errors import InputError
from volassets.evaluation.tail_risk import (
    EmpiricalTail,
    ParetoTail,
    StudentTail,
    fit_pareto,
    fit_student,
    horizon_returns,
    standardised,
)


@pytest.mark.parametrize("shape", [-0.25, 0.0, 0.2, 0.45])
@pytest.mark.parametrize("probability", [0.001, 0.01, 0.05, 0.1])
def test_a_pareto_tail_is_that_of_scipy(shape, probability):
    tail = ParetoTail(threshold=1.4, shape=shape, scale=0.6, share=0.1)
    law = genpareto(shape, loc=1.4, scale=0.6)
    assert tail.quantile(probability) == pytest.approx(law.isf(probability / 0.1), rel=1e-12)
    beyond = quad(lambda p: float(law.isf(p / 0.1)), 0.0, probability)[0] / probability
    assert tail.shortfall(probability) == pytest.approx(beyond, rel=1e-6)


@pytest.mark.parametrize("shape", [1.0, 1.3])
def test_an_expected_shortfall_that_does_not_exist_is_not_a_number(shape):
    tail = ParetoTail(threshold=1.4, shape=shape, scale=0.6, share=0.1)
    assert np.isnan(tail.shortfall(0.01))
    assert tail.quantile(0.01) > 1.4


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.2])
def test_the_fit_finds_the_tail_that_made_the_losses(shape):
    rng = np.random.default_rng(3)
    body = rng.uniform(-1.0, 1.4, 90_000)
    losses = np.concatenate([body, genpareto(shape, loc=1.4, scale=0.6).rvs(10_000, random_state=rng)])
    tail = fit_pareto(losses)
    assert tail.threshold == pytest.approx(1.4, abs=0.01)
    assert (tail.shape, tail.scale) == pytest.approx((shape, 0.6), abs=0.04)
    assert tail.share == pytest.approx(0.1, abs=1e-5)


def test_the_fit_is_that_of_hosking_and_wallis():
    """Their a_r = mean of x_j ((1 - p_j))^r with unbiased weights, xi = 2 - a0 / (a0 - 2 a1), on twelve excesses."""
    excess = np.array([0.02, 0.05, 0.08, 0.11, 0.17, 0.2, 0.31, 0.36, 0.5, 0.61, 0.9, 1.7])
    losses = np.concatenate([np.linspace(-1.0, 0.0, 108), excess])
    n = len(excess)
    a0 = sum(excess) / n
    a1 = sum((n - j) / (n - 1) * x for j, x in enumerate(excess, 1)) / n
    tail = fit_pareto(losses, share=12 / 120)
    # The 90 % quantile lies between the last of the body and the first excess.
    shift = tail.threshold
    a0, a1 = a0 - shift, a1 - shift / 2
    assert tail.shape == pytest.approx(2.0 - a0 / (a0 - 2.0 * a1), rel=1e-9)
    assert tail.scale == pytest.approx(2.0 * a0 * a1 / (a0 - 2.0 * a1), rel=1e-9)


def test_one_enormous_loss_leaves_a_finite_tail():
    losses = np.abs(np.random.default_rng(0).standard_normal(500))
    tail = fit_pareto(np.append(losses, 10 * losses.max()))
    assert tail.shape <= 0.5
    assert 0 < tail.quantile(0.01) < tail.shortfall(0.01) < 20 * losses.max()


def test_losses_that_do_not_vary_have_a_tail_of_nothing():
    tail = fit_pareto(np.zeros(300))
    assert (tail.quantile(0.01), tail.shortfall(0.01)) == (0.0, 0.0)


@pytest.mark.parametrize("losses", [np.ones(99), np.append(np.ones(200), np.nan)])
def test_a_tail_needs_a_hundred_finite_residuals(losses):
    with pytest.raises(InputError, match="100 finite residuals"):
        fit_pareto(losses)


@pytest.mark.parametrize("degrees", [3.0, 6.0, 40.0])
def test_a_student_tail_is_that_of_scipy(degrees):
    tail, law = StudentTail(degrees), student(degrees, scale=np.sqrt((degrees - 2) / degrees))
    assert tail.quantile(0.01) == pytest.approx(law.isf(0.01), rel=1e-12)
    beyond = law.expect(lambda x: x, lb=law.isf(0.01)) / 0.01
    assert tail.shortfall(0.01) == pytest.approx(beyond, rel=1e-6)
    sample = law.rvs(40_000, random_state=np.random.default_rng(1))
    assert 1 / fit_student(sample).degrees == pytest.approx(1 / degrees, abs=0.012)


def test_the_empirical_tail_is_numpys_quantile():
    losses = np.sort(np.random.default_rng(2).standard_normal(997))
    tail = EmpiricalTail(losses)
    assert tail.quantile(0.025) == pytest.approx(np.quantile(losses, 0.975), rel=1e-12)
    assert tail.shortfall(0.025) == pytest.approx(losses[losses >= np.quantile(losses, 0.975)].mean(), rel=1e-12)


def test_outcomes_are_sums_over_the_sessions_ahead():
    returns = np.array([np.nan, 0.01, -0.02, 0.03, 0.005])
    assert horizon_returns(returns, 1)[:-1] == pytest.approx(returns[1:], abs=1e-15)
    assert horizon_returns(returns, 3)[:2] == pytest.approx([0.02, 0.015], abs=1e-15)
    assert np.isnan(horizon_returns(returns, 3)[2:]).all()
    assert np.isnan(horizon_returns(returns, 9)).all()


def test_a_forecast_that_is_not_positive_has_no_residual():
    found = standardised(np.array([0.02, 0.02, np.nan]), np.array([1e-4, 0.0, 1e-4]), 4)
    assert found[0] == pytest.approx(1.0)
    assert np.isnan(found[1:]).all()
