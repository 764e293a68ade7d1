"""The calibration ratios against skfolio's own, by hand, and on covariances of a known size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.evaluation.correlations import fit_correlations, horizon_correlations, month_states
from volassets.evaluation.covariance_calibration import bias_statistic, book_calibration, calibration_ratios
from volassets.evaluation.portfolio_panel import panel_of

WEIGHTS = np.array([0.5, 0.3, 0.2])


def forecasts_and_returns(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return a covariance per day that changes, and returns of the next day that have it."""
    rng = np.random.default_rng(5)
    correlation = np.array([[1, 0.6, 0.2], [0.6, 1, 0.4], [0.2, 0.4, 1]])
    deviation = 0.01 * np.exp(0.3 * rng.standard_normal((n, 3)))
    covariance = deviation[:, :, None] * correlation * deviation[:, None, :]
    moves = np.einsum("tij,tj->ti", np.linalg.cholesky(covariance), rng.standard_normal((n, 3)))
    return covariance, moves


@pytest.mark.parametrize("horizon", [1, 5])
def test_they_are_those_of_skfolio(horizon: int) -> None:
    """Its walk-forward evaluation of an estimator that has our covariance of the last day that it sees."""
    from skfolio.model_selection import covariance_forecast_evaluation
    from sklearn.base import BaseEstimator

    covariances, moves = forecasts_and_returns()

    class Given(BaseEstimator):  # type: ignore[misc]
        def fit(self, X: pd.DataFrame, y: None = None) -> Given:
            self.covariance_ = covariances[X.index[-1]]
            return self

    start = 20
    theirs = covariance_forecast_evaluation(
        Given(), pd.DataFrame(moves), train_size=start, test_size=horizon, portfolio_weights=WEIGHTS
    )
    sums = np.full(moves.shape, np.nan)
    sums[:-horizon] = [moves[t + 1 : t + 1 + horizon].sum(axis=0) for t in range(len(moves) - horizon)]
    mahalanobis, diagonal = calibration_ratios(sums, covariances, horizon)
    apart = slice(start - 1, -horizon, horizon)
    np.testing.assert_allclose(mahalanobis[apart], theirs.mahalanobis_calibration_ratio, rtol=1e-9)
    np.testing.assert_allclose(diagonal[apart], theirs.diagonal_calibration_ratio, rtol=1e-9)
    variances = np.einsum("i,tij,j->t", WEIGHTS, covariances, WEIGHTS)
    own = bias_statistic((sums @ WEIGHTS)[start - 1 : -horizon], variances[start - 1 : -horizon], horizon)
    assert own == pytest.approx(float(theirs.bias_statistic[0]), rel=1e-9)


def test_two_members_by_hand() -> None:
    """R = (2, 1) %, S with variances 1 and 4 (%^2) and covariance 1: R' S^-1 R = (16 - 4 + 1) / 3."""
    covariance = 1e-4 * np.array([[[1.0, 1.0], [1.0, 4.0]]] * 2)
    mahalanobis, diagonal = calibration_ratios(np.array([[0.02, 0.01], [np.nan, 0.01]]), covariance, 1)
    assert mahalanobis[0] == pytest.approx(13 / 3 / 2)
    assert diagonal[0] == pytest.approx((4 + 1 / 4) / 2)
    assert np.isnan([mahalanobis[1], diagonal[1]]).all()


def test_what_is_half_the_size_has_twice_the_ratio() -> None:
    covariances, moves = forecasts_and_returns(4000)
    right = [ratio.mean() for ratio in calibration_ratios(moves, covariances, 1)]
    halved = [ratio.mean() for ratio in calibration_ratios(moves, covariances / 2, 1)]
    assert right == pytest.approx([1.0, 1.0], abs=0.04)
    assert halved == pytest.approx([2 * value for value in right])


def test_a_matrix_that_cannot_be_inverted_has_no_mahalanobis_ratio() -> None:
    mahalanobis, diagonal = calibration_ratios(np.array([[0.01, -0.01]]), np.full((1, 2, 2), 1e-4), 1)
    assert np.isnan(mahalanobis[0])
    assert diagonal[0] == pytest.approx(1.0)


def test_a_record_of_one_window_has_no_bias() -> None:
    assert np.isnan(bias_statistic(np.array([0.01, 0.02]), np.full(2, 1e-4), 5))


def test_the_covariances_of_a_book_are_those_behind_its_forecasts() -> None:
    """Two months of three members: correlations filtered day by day, the outcome summed over the sessions after."""
    days = pd.date_range("2019-01-01", "2020-03-20", freq="B")
    rng = np.random.default_rng(0)
    closes = {name: pd.Series(100 * np.exp(np.cumsum(0.01 * rng.standard_normal(len(days)))), days) for name in "abc"}
    panel = panel_of(closes)
    variances = {h: 1e-4 * np.exp(0.2 * rng.standard_normal(panel.moves.shape)) for h in (1, 5)}
    residuals = panel.moves / 0.01
    months = (pd.Timestamp("2020-02-01"), pd.Timestamp("2020-03-01"))
    fits = {month: fit_correlations(residuals[1 : panel.before(month)], "abc") for month in months}
    ends = [panel.before(month) for month in months]
    origins = {months[0]: np.arange(ends[0] - 1, ends[1] - 1), months[1]: np.arange(ends[1] - 1, len(days))}
    found = book_calibration(panel, fits, variances, residuals, origins)
    assert found.groupby("horizon")["diagonal"].apply(lambda own: own.isna().sum()).to_dict() == {1: 1, 5: 5}
    place = ends[1] + 2
    row = found[(found["horizon"] == 5) & (found["origin_date"] == panel.dates[place])].iloc[0]
    states = month_states(fits[months[1]], residuals[ends[1] : place + 1])
    correlation = horizon_correlations(fits[months[1]], states, 5)[-1]
    deviation = np.sqrt(variances[5][place])
    moved = panel.moves[place + 1 : place + 6].sum(axis=0)
    expected = moved @ np.linalg.inv(5 * correlation * np.outer(deviation, deviation)) @ moved / 3
    assert row["mahalanobis"] == pytest.approx(expected, rel=1e-9)
    assert row["diagonal"] == pytest.approx((moved**2 / (5 * deviation**2)).mean(), rel=1e-12)
