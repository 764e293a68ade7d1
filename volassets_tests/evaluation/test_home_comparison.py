"""Forecasts of two homes side by side: by hand, on cut data, and what is not in common."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.evaluation.accuracy_tests import diebold_mariano
from volassets.evaluation.home_comparison import COLUMNS, compare_homes

DAYS = pd.bdate_range("2020-01-01", periods=300)


def forecasts(values: np.ndarray, model: str = "gjr", horizon: int = 1) -> pd.DataFrame:
    days = DAYS[: len(values)]
    return pd.DataFrame({"model": model, "horizon": horizon, "origin_date": days, "variance": values})


@pytest.fixture
def pair() -> tuple[pd.DataFrame, pd.DataFrame]:
    generator = np.random.default_rng(3)
    truth = np.exp(generator.normal(-9, 0.5, len(DAYS)))
    first = forecasts(truth * np.exp(generator.normal(0, 0.6, len(DAYS)))).assign(
        realized_variance=truth * generator.chisquare(5, len(DAYS)) / 5
    )
    return first, forecasts(truth * np.exp(generator.normal(0, 0.1, len(DAYS))))


def test_two_days_by_hand():
    first = forecasts(np.array([1.0, 2.0])).assign(realized_variance=[2.0, 2.0])
    (row,) = compare_homes(first, forecasts(np.array([2.0, 2.0]))).to_dict("records")
    assert (row["n"], row["same"]) == (2, 1)
    assert row["qlike_a"] == pytest.approx((2 - np.log(2) - 1) / 2)
    assert row["qlike_b"] == 0
    assert row["b_vs_a"] == -1
    assert row["rmse_b_vs_a"] == -1
    # Two days are no test.
    assert np.isnan(row["dm_p"])


def test_the_better_one_is_found_with_the_statistic_of_its_losses(pair):
    first, second = pair
    (row,) = compare_homes(first, second).to_dict("records")
    y, a, b = first["realized_variance"], first["variance"], second["variance"]
    losses = [y / f - np.log(y / f) - 1 for f in (a, b)]
    expected = diebold_mariano((losses[1] - losses[0]).to_numpy(), 1)
    assert row["dm"] == pytest.approx(expected.statistic)
    assert row["dm"] < 0
    assert row["dm_p"] == pytest.approx(expected.p_value)
    assert row["dm_p"] < 0.01
    assert row["b_vs_a"] == pytest.approx(losses[1].mean() / losses[0].mean() - 1)


def test_only_common_days_with_an_outcome_count(pair):
    first, second = pair
    # Later days of one home, days without an outcome, and a model of one alone change nothing.
    cut = compare_homes(first.iloc[:200], second.iloc[50:200])
    first.loc[200:, "realized_variance"] = np.nan
    both = pd.concat([second.iloc[50:], forecasts(np.ones(300), model="lstm")])
    pd.testing.assert_frame_equal(compare_homes(first, both), cut)
    assert cut["n"].tolist() == [150]


def test_the_same_forecasts_are_no_difference(pair):
    first, _ = pair
    (row,) = compare_homes(first, first.drop(columns="realized_variance")).to_dict("records")
    assert (row["same"], row["b_vs_a"], row["dm"], row["dm_p"]) == (300, 0, 0, 1)


def test_nothing_in_common_is_no_row(pair):
    first, second = pair
    found = compare_homes(first, second.assign(model="lstm"))
    assert found.empty
    assert tuple(found.columns) == COLUMNS
