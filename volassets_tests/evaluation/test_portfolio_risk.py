from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.evaluation.portfolio_panel import ewma_variances, panel_of, sessions_a_year
from volassets.evaluation.portfolio_risk import month_origins, outcomes_of, portfolio_risk
from volassets.evaluation.portfolio_variance import assets_variance, book_returns, own_variances
from volassets.market.bundled import BundledSource

NAMES = ("AAPL", "IBM", "MSFT")
WEIGHTS = {"AAPL": 0.5, "IBM": 0.3, "MSFT": -0.2}
FIRST, LAST = "2004-11-30", "2006-02-10"


def bars_of(end: str = LAST) -> dict[str, pd.DataFrame]:
    return {name: BundledSource().fetch(name).loc[:end] for name in NAMES}


def forecasts_of(bars: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return exponentially weighted forecasts: known at each origin, cheap, and different from day to day."""
    frames = []
    for name, own in bars.items():
        returns = own["adj_close"].pct_change().to_numpy()[1:]
        days = own.index
        rows = {"ticker": name, "origin_date": days, "target_date": [*days[1:], days[-1] + pd.Timedelta(days=1)]}
        frame = pd.DataFrame({**rows, "variance": ewma_variances(returns)})
        frames += [frame[frame["origin_date"] >= FIRST].assign(horizon=h) for h in (1, 5)]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def bars() -> dict[str, pd.DataFrame]:
    return bars_of()


@pytest.fixture(scope="module")
def forecast(bars) -> pd.DataFrame:
    return portfolio_risk(forecasts_of(bars), bars, WEIGHTS)


@pytest.mark.parametrize(
    ("weights", "sigma", "contributions"),
    [
        ((0.5, 0.3, 0.2), 0.0131833228, (0.0037168171, 0.0051883733, 0.0042781324)),
        ((0.8, 0.5, -0.3), 0.0154983870, (0.0062974295, 0.0072265585, 0.0019743990)),
    ],
)
def test_contributions_are_eulers_and_sum_to_the_volatility(weights, sigma, contributions):
    correlation = np.array([[1, 0.6, 0.2], [0.6, 1, 0.4], [0.2, 0.4, 1]])
    variances = np.array([[0.01, 0.02, 0.03]]) ** 2
    total, shares = assets_variance(np.array(weights), variances, correlation[None])
    assert np.sqrt(total[0]) == pytest.approx(sigma, abs=1e-10)
    np.testing.assert_allclose(np.sqrt(total[0]) * shares[0], contributions, atol=1e-10)
    assert abs(shares.sum() - 1) < 1e-12


def test_the_forecast_is_the_mean_of_both_in_logs_and_changes_daily(forecast):
    assert set(forecast["horizon"]) == {1, 5}
    assert forecast.notna().drop(columns=["lower", "upper"]).all(axis=None)
    np.testing.assert_allclose(forecast["variance"], forecast["sigma_assets"] * forecast["sigma_own"], rtol=1e-12)
    one = forecast[forecast["horizon"] == 1]
    assert one["variance"].diff().iloc[1:].ne(0).all()
    assert (one["expected_shortfall_01"] < one["value_at_risk_01"]).all()
    assert (one["value_at_risk_01"] < one["value_at_risk_05"]).all()
    assert one["origin_date"].is_unique
    assert (one["target_date"].iloc[:-1].array == one["origin_date"].iloc[1:]).all()
    assert set(one["method"]) == {"evt_conformal, filled up", "evt_conformal"}


def test_one_day_is_the_sum_over_members_by_hand(bars, forecast):
    row = forecast[(forecast["horizon"] == 1)].iloc[37]
    moves = {name: own["adj_close"].pct_change()[row["target_date"]] for name, own in bars.items()}
    panel = panel_of({name: own["adj_close"] for name, own in bars.items()})
    place = int(np.searchsorted(panel.dates, np.datetime64(row["origin_date"])))
    held = np.tile(list(WEIGHTS.values()), (len(panel.dates), 1))
    total, square = outcomes_of(panel, held, 1)
    expected = sum(WEIGHTS[name] * moves[name] for name in NAMES)
    assert total[place] == pytest.approx(expected, rel=1e-12)
    assert square[place] == pytest.approx(expected**2)
    five, _ = outcomes_of(panel, held, 5)
    assert five[place] == pytest.approx(total[place : place + 5].sum())
    assert np.isnan(five[-5:]).all()


@pytest.mark.parametrize("replaced", [("IBM",), NAMES], ids=["one member", "all members"])
def test_the_future_of_members_moves_nothing_before_it(bars, forecast, replaced):
    cut = pd.Timestamp("2005-12-14")
    changed = {name: own.copy() for name, own in bars.items()}
    for number, name in enumerate(replaced):
        later = changed[name].index > cut
        moves = np.random.default_rng(number).normal(0, 0.05, later.sum())
        changed[name].loc[later, "adj_close"] = changed[name].loc[cut, "adj_close"] * np.exp(np.cumsum(moves))
    found = portfolio_risk(forecasts_of(changed), changed, WEIGHTS)
    old, new = (frame[frame["origin_date"] <= cut].reset_index(drop=True) for frame in (forecast, found))
    pd.testing.assert_frame_equal(old, new, check_exact=True)
    assert (found["variance"] != forecast["variance"]).any(), "the control must change"


def test_the_order_of_the_members_changes_no_bit(bars, forecast):
    backwards = {name: bars[name] for name in reversed(NAMES)}
    weights = {name: WEIGHTS[name] for name in reversed(NAMES)}
    rows = forecasts_of(bars).iloc[::-1]
    pd.testing.assert_frame_equal(portfolio_risk(rows, backwards, weights), forecast, check_exact=True)


def test_what_is_missing_is_named(bars):
    with pytest.raises(InputError, match=r"no bars of 'FB', which has a weight of 0\.1"):
        portfolio_risk(forecasts_of(bars), bars, {**WEIGHTS, "FB": 0.1})
    with pytest.raises(InputError, match="holds nothing"):
        portfolio_risk(forecasts_of(bars), bars, {"IBM": 0.0})
    with pytest.raises(InputError, match="weight of 'IBM' is nan"):
        portfolio_risk(forecasts_of(bars), bars, {"IBM": float("nan")})
    with pytest.raises(InputError, match="no forecasts of horizon 1"):
        portfolio_risk(forecasts_of(bars).query("horizon > 1"), bars, WEIGHTS)


def test_gains_are_of_all_closes_and_residuals_of_single_sessions():
    days = pd.date_range("2020-01-01", periods=8, freq="D")
    full = pd.Series([100.0, 101, 102, 101, 103, 104, 102, 105], days)
    gap = full.drop(days[3]) * 2
    panel = panel_of({"a": full, "b": gap, "c": full * 3})
    assert len(panel.dates) == 8
    held = np.array([0.0, 1.0, 0.0])
    gains = book_returns(panel.moves, held)
    assert gains[3] == 0
    assert gains[4] == pytest.approx(103 / 102 - 1)
    np.testing.assert_array_equal(panel.one_session[:, 1], [False, True, True, False, False, True, True, True])
    weekend = panel_of({"a": full, "b": full.drop(days[3]), "c": full.drop(days[3])})
    assert days[3].to_datetime64() not in weekend.dates, "most members had no close"
    assert weekend.moves[3, 0] == pytest.approx(103 / 102 - 1)
    assert not weekend.one_session[3, 0]


def test_a_fit_that_does_not_describe_its_window_is_not_believed():
    rng = np.random.default_rng(0)
    returns = 0.01 * rng.standard_normal(900)
    origins = list(range(799, 810))
    good, message = own_variances(returns, 800, origins, (1, 5))
    assert message == ""
    assert abs(np.sqrt(good[1].mean()) / 0.01 - 1) < 0.2
    ewma, message = own_variances(returns[700:], 100, [99, 100], (1, 5))
    assert message == "100 returns"
    np.testing.assert_allclose(ewma[5], ewma_variances(returns[700:801], start=100)[[100, 101]])
    # Nothing known at the cut-off is moved by what follows.
    assert own_variances(np.append(returns[:800], [0.5] * 10), 800, [799], (1,))[0][1] == good[1][0]


def test_the_sessions_of_a_book():
    assert sessions_a_year([252, 252, 365]) == 252
    assert sessions_a_year([252, 365]) == 365
    closes = {name: own["adj_close"] for name, own in bars_of().items()}
    panel = panel_of(closes)
    targets = np.append(panel.dates[1:], np.datetime64("NaT"))
    origins = month_origins(panel, targets, pd.Timestamp("2005-03-01"))
    assert pd.Timestamp(panel.dates[origins[0]]) == pd.Timestamp("2005-02-28")
    assert len(origins) == 22
    assert panel.before(pd.Timestamp("2005-03-01")) == origins[0] + 1
