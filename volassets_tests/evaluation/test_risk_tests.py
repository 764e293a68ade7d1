"""Against published tables and independent implementations, named at each test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, chi2_contingency, genpareto, norm, ttest_1samp

from volassets.evaluation.risk_backtest import risk_backtests
from volassets.evaluation.risk_tests import (
    christoffersen,
    conditional_coverage,
    dynamic_quantile,
    fz_loss,
    kupiec,
    quantile_loss,
    shortfall_test,
    traffic_light,
)


@pytest.mark.parametrize(
    ("level", "n", "fewest", "most"),
    [
        (0.01, 255, 0, 6),
        (0.01, 510, 2, 10),
        (0.01, 1000, 5, 16),
        (0.025, 255, 3, 11),
        (0.025, 510, 7, 20),
        (0.025, 1000, 16, 35),
        (0.05, 255, 7, 20),
        (0.05, 510, 17, 35),
        (0.05, 1000, 38, 64),
    ],
)
def test_kupiec_has_the_published_regions(level, n, fewest, most):
    """Numbers of violations that are not rejected at 95 %: Kupiec (1995), table 3, as printed by Jorion (2007)."""
    kept = [v for v in range(n + 1) if kupiec(v, n, level).statistic < 3.841]
    # The table prints "less than 7" for 255 days; none at all is rejected by the ratio, too.
    assert kept[0] == max(fewest, 1)
    assert kept[-1] == most
    assert kept == list(range(kept[0], most + 1))


def test_kupiec_at_the_ends():
    for violations in (0, 250):
        assert 0.0 <= kupiec(violations, 250, 0.01).p_value < 0.05
    assert np.isnan(kupiec(0, 0, 0.01).p_value)


@pytest.mark.parametrize("seed", range(5))
def test_christoffersen_is_scipys_likelihood_ratio_of_the_transitions(seed):
    hits = np.random.default_rng(seed).random(800) < 0.1
    table = [[int((~a & (hits[1:] == b)).sum()) for b in (False, True)] for a in (hits[:-1], ~hits[:-1])]
    expected = chi2_contingency(np.array(table), correction=False, lambda_="log-likelihood")
    test = christoffersen(hits)
    assert test.statistic == pytest.approx(expected.statistic, rel=1e-9)
    assert test.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    joint = conditional_coverage(kupiec(int(hits.sum()), 800, 0.1), test)
    assert joint.statistic == pytest.approx(kupiec(int(hits.sum()), 800, 0.1).statistic + test.statistic)


@pytest.mark.parametrize("level", [0.01, 0.05])
def test_the_dynamic_quantile_test_is_the_wald_test_of_statsmodels(level):
    """Engle and Manganelli's statistic is b' X'X b / (level (1 - level)) with b of ordinary least squares."""
    import statsmodels.api as sm

    rng = np.random.default_rng(5)
    limits = -0.02 * np.exp(0.3 * rng.standard_normal(1500))
    hits = rng.random(1500) < level
    y = hits - level
    design = sm.add_constant(np.column_stack([*(y[4 - k : -k] for k in range(1, 5)), limits[4:]]))
    fitted = sm.OLS(y[4:], design).fit()
    expected = fitted.params @ (design.T @ design) @ fitted.params / (level * (1 - level))
    assert dynamic_quantile(hits, limits, level).statistic == pytest.approx(expected, rel=1e-8)


def test_the_dynamic_quantile_test_has_its_size_and_sees_clusters():
    rng = np.random.default_rng(6)
    limits = -0.02 * np.exp(0.3 * rng.standard_normal((400, 1000)))
    rejected = [dynamic_quantile(rng.random(1000) < 0.05, row, 0.05).p_value < 0.05 for row in limits]
    assert 0.02 < np.mean(rejected) < 0.12
    clustered = np.repeat(rng.random(200) < 0.05, 5)
    assert dynamic_quantile(clustered, limits[0], 0.05).p_value < 1e-6
    assert dynamic_quantile(clustered, np.full(1000, -0.02), 0.05).p_value < 1e-6
    assert np.isnan(dynamic_quantile(clustered[:9], limits[0][:9], 0.05).p_value)


def test_the_shortfall_test_against_the_t_test():
    """With many violations the bootstrap has the p-values of the one-sided t test, from scipy."""
    rng = np.random.default_rng(7)
    returns = rng.standard_normal(40_000)
    limits, shortfall = np.full(40_000, norm.ppf(0.05)), -norm.pdf(norm.ppf(0.05)) / 0.05
    for scale in (0.99, 1.0, 1.01):
        shortfalls = np.full(40_000, scale * shortfall)
        beyond = (returns[returns < limits] - scale * shortfall) / (scale * -shortfall)
        expected = ttest_1samp(beyond, 0.0, alternative="less")
        test = shortfall_test(returns, limits, shortfalls)
        assert test.statistic == pytest.approx(expected.statistic, rel=1e-9)
        assert test.p_value == pytest.approx(expected.pvalue, abs=0.04)
    assert shortfall_test(returns, limits, np.full(40_000, 0.9 * shortfall)).p_value < 0.01
    assert np.isnan(shortfall_test(returns, np.full(40_000, -9.0), shortfalls).p_value)


def test_the_losses_are_least_at_the_true_values():
    """FZ0 and the quantile loss of a normal law, in closed form at its own quantile and shortfall."""
    level = 0.05
    v = norm.ppf(level)
    e = -norm.pdf(v) / level
    returns = norm.ppf((np.arange(200_000) + 0.5) / 200_000)

    def mean_fz(a: float, b: float) -> float:
        return float(fz_loss(returns, np.full(len(returns), a), np.full(len(returns), b), level).mean())

    # E FZ0 at the truth is ln(-e): the other terms sum to zero.
    assert mean_fz(v, e) == pytest.approx(np.log(-e), abs=1e-4)
    assert all(mean_fz(v, e) < mean_fz(a, b) for a, b in ((1.1 * v, e), (v, 1.1 * e), (0.9 * v, 0.9 * e)))
    # Of the quantile loss the mean at the truth is level (-e) ... that of the tail beyond the quantile.
    loss = quantile_loss(returns, np.full(len(returns), v), level).mean()
    assert loss == pytest.approx(norm.pdf(v), abs=1e-4)
    assert fz_loss(np.array([-3.0]), np.array([-2.0]), np.array([-2.5]), 0.05)[0] == pytest.approx(
        1 / (0.05 * 2.5) + 0.8 + np.log(2.5) - 1
    )
    assert np.isnan(fz_loss(returns[:1], np.array([-1.0]), np.array([0.0]), level))[0]


@pytest.mark.parametrize(("violations", "light"), [(4, "green"), (5, "yellow"), (9, "yellow"), (10, "red")])
def test_the_traffic_light_of_basel(violations, light):
    hits = np.zeros(400, bool)
    hits[:90] = True
    hits[150 : 150 + violations] = True
    assert traffic_light(hits) == light
    assert traffic_light(hits[:249]) == ""


def test_the_bands_of_the_traffic_light_have_basels_probabilities():
    """Cumulative probabilities 89.22 % at 4 and 99.97 % at 9 violations: Basel Committee (1996), table 2."""
    assert binom(250, 0.01).cdf(4) == pytest.approx(0.8922, abs=5e-5)
    assert binom(250, 0.01).cdf(9) == pytest.approx(0.9997, abs=5e-5)


def record(n: int, seed: int = 0) -> pd.DataFrame:
    """Return value at risk of two models for one law: `right` knows it, `gjr` is half a deviation too calm."""
    rng = np.random.default_rng(seed)
    dates = pd.bdate_range("2010-01-04", periods=n)
    deviation = 0.01 * np.exp(0.4 * rng.standard_normal(n))
    outcome = deviation * rng.standard_normal(n)
    parts = []
    for level in (0.01, 0.05):
        v = norm.ppf(level)
        for name, factor in (("right", 1.0), ("gjr", 0.6)):
            for tail, sign in (("lower", 1.0), ("upper", -1.0)):
                parts.append(
                    pd.DataFrame(
                        {
                            "model": name,
                            "horizon": 1,
                            "level": level,
                            "tail": tail,
                            "origin_date": dates,
                            "value_at_risk": sign * factor * deviation * v,
                            "expected_shortfall": -sign * factor * deviation * norm.pdf(v) / level,
                            "outcome": outcome,
                        }
                    )
                )
    return pd.concat(parts, ignore_index=True)


def test_a_right_model_passes_and_a_calm_one_does_not():
    table = risk_backtests(record(3000)).set_index(["model", "level", "tail"])
    assert (table["n"] == 3000).all()
    for tail in ("lower", "upper"):
        for level in (0.01, 0.05):
            right, calm = table.loc["right", level, tail], table.loc["gjr", level, tail]
            tests = ["kupiec_p", "christoffersen_p", "conditional_coverage_p", "dynamic_quantile_p", "es_p"]
            assert (right[tests].astype(float) > 0.01).all()
            assert calm["kupiec_p"] < 1e-4
            assert right["quantile_score"] < calm["quantile_score"]
            assert right["dm_fz"] < -3
            assert np.isnan(calm["dm_fz_p"])
        assert table.loc["right", 0.01, tail]["traffic_light"] == "green"
        assert table.loc["gjr", 0.01, tail]["traffic_light"] in ("yellow", "red")
        assert pd.isna(table.loc["right", 0.05, tail]["traffic_light"])


@pytest.mark.parametrize("n", [0, 1, 249])
def test_with_few_sessions_nothing_is_judged(n):
    rows = record(300)
    rows.loc[rows.groupby(["model", "level", "tail"]).cumcount() >= n, "value_at_risk"] = np.nan
    table = risk_backtests(rows)
    assert len(table) == 8
    assert (table["n"] == n).all()
    tests = ["kupiec_p", "christoffersen_p", "conditional_coverage_p", "dynamic_quantile_p", "es_p", "dm_fz_p"]
    assert table[[*tests, "traffic_light"]].isna().all(axis=None)


def test_a_horizon_without_outcome_is_a_row_of_nothing():
    rows = record(300).assign(horizon=22, outcome=np.nan)
    table = risk_backtests(rows)
    assert (table["n"] == 0).all()
    assert table["violation_rate"].isna().all()


def test_overlapping_outcomes_are_tested_apart():
    """A fall that is in five outcomes in a row is one violation to the tests, and five in the count."""
    rows = record(1500)
    rows = rows[(rows["model"] == "right") & (rows["tail"] == "lower") & (rows["level"] == 0.05)].assign(horizon=5)
    calm = rows.assign(outcome=0.0)
    for start in range(100, 1500, 100):
        calm.iloc[start : start + 5, calm.columns.get_loc("outcome")] = -0.5
    (row,) = risk_backtests(calm).to_dict("records")
    assert row["violations"] == 70
    assert row["kupiec_p"] == pytest.approx(kupiec(14, 300, 0.05).p_value)
    assert row["christoffersen_p"] > 0.1


def test_the_shortfall_test_holds_its_size_with_few_violations_of_a_heavy_tail():
    rng = np.random.default_rng(8)
    shape, n = 0.3, 400
    law = genpareto(shape)
    rejected = []
    for _ in range(200):
        returns = -law.rvs(n, random_state=rng)
        limit = -law.isf(0.05)
        shortfall = (limit - 1.0) / (1.0 - shape)
        rejected.append(shortfall_test(returns, np.full(n, limit), np.full(n, shortfall)).p_value < 0.05)
    assert np.mean(rejected) < 0.2
