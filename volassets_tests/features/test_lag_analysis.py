"""Lag analysis: the lags found, past data only, the verdict."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from volassets.errors import InputError
from volassets.features.feature_table import build_features
from volassets.features.lag_analysis import LAG_COLUMNS, analyse_lags, lag_verdict
from volassets.market.calendar import calendar_for

CONFIGURED = (1, 2, 6, 11, 16)


@pytest.fixture(scope="module")
def log_proxies(sp500_bars, nasdaq_bars) -> dict[str, pd.Series]:
    calendar = calendar_for("^GSPC")
    return {
        name: build_features(bars, calendar)["log_proxy"]
        for name, bars in (("sp500", sp500_bars), ("nasdaq", nasdaq_bars))
    }


@pytest.mark.parametrize("name", ["sp500", "nasdaq"])
def test_the_first_three_lags_are_stable_and_the_recipes_long_ones_are_not(log_proxies, name):
    frame = analyse_lags(log_proxies[name], CONFIGURED)
    assert tuple(frame) == LAG_COLUMNS
    assert list(frame["lag"]) == list(range(1, 31))
    blocks = frame.set_index("lag")["stable_blocks"]
    assert (blocks[[1, 2, 3]] == 4).all()
    selected = set(frame["lag"][frame["selected"]])
    assert {1, 2, 3} <= selected
    assert not {6, 11, 16} & selected
    assert set(frame["lag"][frame["configured"]]) == set(CONFIGURED)
    assert frame["pacf"].iloc[0] > 10 * frame["bound"].iloc[0]


def test_returns_have_no_stable_lag(sp500_bars):
    returns = np.log(sp500_bars["close"]).diff()
    assert not analyse_lags(returns)["selected"].any()


def test_overlapping_sums_of_noise_show_the_recipes_lags():
    """Why the analysis is not run on the recipe's own 5-day target."""
    noise = pd.Series(np.random.default_rng(0).standard_normal(8000))
    overlapping = analyse_lags(noise.rolling(5).sum())
    significant = overlapping["pacf"].abs() > overlapping["bound"]
    assert {1, 6, 11, 16} <= set(overlapping["lag"][significant])
    plain = analyse_lags(noise)
    assert not (plain["pacf"].abs() > plain["bound"]).any()
    assert not plain["selected"].any()


def test_lags_of_a_known_process_are_found():
    rng = np.random.default_rng(3)
    values = np.zeros(5000)
    for i in range(7, 5000):
        values[i] = 0.5 * values[i - 1] + 0.3 * values[i - 7] + rng.standard_normal()
    frame = analyse_lags(pd.Series(values)).set_index("lag")
    assert list(frame.index[frame["selected"]]) == [1, 7]
    assert frame.loc[1, "lasso"] == pytest.approx(0.5, abs=0.05)
    assert frame.loc[7, "lasso"] == pytest.approx(0.3, abs=0.05)


def test_the_gram_form_equals_the_lasso_on_the_rows(log_proxies):
    from sklearn.linear_model import LinearRegression, lars_path

    values = log_proxies["sp500"].dropna().to_numpy()
    y = values[30:]
    x = np.column_stack([values[30 - lag : -lag] for lag in range(1, 31)])
    x, y = x - x.mean(axis=0), y - y.mean()
    weights = np.abs(LinearRegression().fit(x, y).coef_)
    path = lars_path(x * weights, y, method="lasso")[2] * weights[:, None]
    rss = ((y[:, None] - x @ path) ** 2).sum(axis=0)
    bic = len(y) * np.log(rss / len(y)) + np.log(len(y)) * (path != 0).sum(axis=0)
    # the blocks' rows overlap by the lags alone, so all rows together are the whole history's
    np.testing.assert_allclose(analyse_lags(log_proxies["sp500"])["lasso"], path[:, bic.argmin()], atol=1e-8)


def test_the_result_is_bound_to_the_past_and_to_no_number_of_threads(log_proxies):
    past = log_proxies["nasdaq"].loc[:"2007"]
    expected = analyse_lags(past, CONFIGURED)
    pd.testing.assert_frame_equal(analyse_lags(past.dropna(), CONFIGURED), expected, check_exact=True)
    for threads in (1, 2):
        with threadpool_limits(threads):
            pd.testing.assert_frame_equal(analyse_lags(past, CONFIGURED), expected, check_exact=True)


def test_one_refit_takes_a_fraction_of_a_second(log_proxies):
    analyse_lags(log_proxies["sp500"])
    start = time.process_time()
    analyse_lags(log_proxies["sp500"])
    assert time.process_time() - start < 0.15


def test_a_constant_series_has_no_lag():
    frame = analyse_lags(pd.Series(np.full(400, -9.5)))
    assert not frame["selected"].any()
    assert (frame[["pacf", "lasso"]] == 0).all(axis=None)


def test_a_short_history_is_refused_with_the_number_needed():
    with pytest.raises(InputError, match=r"269 days.*need 270"):
        analyse_lags(pd.Series(np.random.default_rng(1).standard_normal(269)))
    analyse_lags(pd.Series(np.random.default_rng(1).standard_normal(270)))


def test_the_verdict_names_every_configured_lag(log_proxies):
    frame = analyse_lags(log_proxies["sp500"], CONFIGURED)
    verdict = lag_verdict(frame, (1, 2, 6, 60))
    assert verdict == (
        "Lags 1, 2, 3, 4 of the log variance are stable in at least 3 of 4 blocks. "
        "Configured 1, 2, 6, 60: 1, 2 confirmed; 6 not (kept in 1 blocks); 60 not examined; 3, 4 missing from the list."
    )
    nothing = frame.assign(selected=False, stable_blocks=0)
    assert lag_verdict(nothing, (1,)) == (
        "No lag of the log variance is stable in at least 3 of 4 blocks. "
        "Configured 1: none confirmed; 1 not (kept in 0 blocks)."
    )
