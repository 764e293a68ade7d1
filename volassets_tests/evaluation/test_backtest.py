from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.evaluation import backtest as bt
from volassets.evaluation.verdict import backtest_verdict
from volassets_tests.evaluation.forecasts import scored_forecasts

RETURNS = [0.01, -0.02, 0.03, 0.0, -0.01, 0.02, 0.01, -0.03, 0.0, 0.02]
WANTED = [0.5, 0.5, 1.0, 2.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.5]
COST = 0.0006


def _by_hand(band: float) -> tuple[list[float], list[float], float]:
    """The ten days written out as money: cash, a position, and a broker's bill."""
    position, cash, equity = 0.0, 1.0, 1.0
    weights, equities, traded = [], [], 0.0
    for wanted, day_return in zip(WANTED, RETURNS, strict=True):
        held = position / equity
        trades = held == 0 or abs(held - wanted) > band * wanted
        bought = wanted * equity - position if trades else 0.0
        bill = COST * abs(bought)
        traded += abs(bought) / equity
        position += bought
        cash -= bought
        weights.append(position / equity)
        gross_equity = cash + position * (1 + day_return)
        # The bill is paid from the equity and leaves the weight that the market made.
        share = position * (1 + day_return) / gross_equity
        equity = gross_equity - bill
        position, cash = share * equity, (1 - share) * equity
        equities.append(equity)
    return weights, equities, traded


@pytest.mark.parametrize("band", [0.0, 0.15])
def test_ten_days_by_hand(band):
    path = bt.simulate(np.array(WANTED), np.array(RETURNS), COST, band)
    weights, equities, traded = _by_hand(band)
    assert path["weight"].to_numpy() == pytest.approx(weights, rel=1e-12)
    assert path["equity"].to_numpy() == pytest.approx(equities, rel=1e-12)
    assert np.abs(path["trade"]).sum() == pytest.approx(traded, rel=1e-12)


def test_the_first_three_days_in_figures():
    path = bt.simulate(np.array(WANTED[:3]), np.array(RETURNS[:3]), COST)
    # .5 x 1 % less 6 bps on .5; then back from .505/1.005 to .5; then from .49/.99 to 1
    assert path["net_return"].tolist() == pytest.approx(
        [0.005 - 0.0003, -0.01 - 0.0006 * (0.505 / 1.005 - 0.5), 0.03 - 0.0006 * (1 - 0.49 / 0.99)], rel=1e-12
    )
    assert path["gross_return"].tolist() == pytest.approx([0.005, -0.01, 0.03])


def test_the_weight_is_capped_and_ignores_missing_forecasts():
    weights = bt.target_weights(pd.Series([0.2, 0.04, np.nan]), bt.Rules())
    assert weights.tolist()[:2] == [0.5, 2.0]
    path = bt.simulate(np.array([0.5, np.nan, np.nan]), np.array([0.0, 0.1, 0.0]), COST)
    assert path["trade"].tolist() == [0.5, 0.0, 0.0]
    assert path["weight"].tolist() == pytest.approx([0.5, 0.5, 0.55 / 1.05])


def test_ruin_ends_the_strategy():
    path = bt.simulate(np.array([2.0, 2.0]), np.array([-0.6, 0.1]), COST)
    assert path["equity"].tolist() == [0.0, 0.0]


@pytest.fixture(scope="module")
def result() -> tuple[bt.Backtest, pd.DataFrame, pd.Series]:
    frame = scored_forecasts({"gjr": 0.5, "lstm": 0.2}, n=500)
    rng = np.random.default_rng(2)
    realized = frame.loc[frame["model"] == "gjr"].set_index("origin_date")["realized_variance"]
    dates = realized.index.append(pd.DatetimeIndex([realized.index[-1] + pd.offsets.BDay(1)]))
    returns = pd.Series([0.0, *(np.sqrt(realized.to_numpy()) * rng.standard_normal(500))], index=dates)
    return bt.backtest(frame, returns, bt.Rules()), frame, returns


def test_table_and_paths(result):
    backtest, frame, returns = result
    table = backtest.table
    assert len(table) == 2 * 3 + 1
    assert not table.isna().any(axis=None)
    assert (table["sharpe_low"] < table["sharpe_net"]).all()
    assert (table["sharpe_net"] < table["sharpe_high"]).all()
    assert (table["sharpe_net"] <= table["sharpe_gross"]).all()
    hold = table[table["strategy"] == bt.HOLD].iloc[0]
    assert hold["turnover"] == pytest.approx(252 / 500)
    assert hold[list(bt.DIFFERENCE_COLUMNS)].tolist() == [0.0, 0.0, 0.0]
    lstm = table[table["strategy"] == "lstm"].set_index("smoothing")
    assert lstm.loc["daily", "turnover"] > lstm.loc["band_15", "turnover"] > lstm.loc["smoothed_5", "turnover"] / 2
    path = backtest.paths.query("strategy == 'lstm' and smoothing == 'daily'").set_index("date")
    assert len(path) == 500
    assert path.index[0] == returns.index[1]
    first = frame[frame["model"] == "lstm"].iloc[0]
    assert path["weight"].iloc[0] == pytest.approx(min(2.0, 0.1 / np.sqrt(252 * first["variance"])))
    assert path["gross_return"].iloc[0] == pytest.approx(path["weight"].iloc[0] * np.expm1(returns.iloc[1]))
    daily = backtest.table.query("strategy == 'lstm' and smoothing == 'daily'").iloc[0]
    assert daily["annual_return"] == pytest.approx(path["equity"].iloc[-1] ** (252 / 500) - 1)
    assert "no" in backtest_verdict(table).lower() or "differ" in backtest_verdict(table)


def test_utility_is_that_of_the_forecast_where_the_cap_does_not_bind(result):
    backtest, frame, _ = result
    own = frame[frame["model"] == "lstm"]
    ratio = own["realized_variance"] / np.maximum(own["variance"], (0.1 / 2.0) ** 2 / 252)
    expected = (0.08 * np.sqrt(ratio) - 0.04 * ratio).mean()
    daily = backtest.table.query("strategy == 'lstm' and smoothing == 'daily'").iloc[0]
    assert daily["utility"] == pytest.approx(expected)


@pytest.mark.parametrize("smoothing", ["daily", "smoothed_5", "band_15"])
def test_weights_use_nothing_after_their_origin(result, smoothing):
    backtest, frame, returns = result
    cut = 300
    rng = np.random.default_rng(3)
    later = frame["origin_date"] > returns.index[cut]
    changed = frame.assign(variance=np.where(later, 1e-4 * rng.gamma(2, 1, len(frame)), frame["variance"]))
    other_returns = returns.where(returns.index <= returns.index[cut], 0.01)
    again = bt.backtest(changed, other_returns, bt.Rules()).paths
    for paths in (backtest.paths, again):
        assert len(paths) == 500 * 7
    # The weight of the session after the cut is decided at the cut.
    known = returns.index[cut + 1]
    before, after = (
        p.loc[(p["strategy"] == "lstm") & (p["smoothing"] == smoothing) & (p["date"] <= known), "weight"].to_numpy()
        for p in (backtest.paths, again)
    )
    assert len(before) == cut + 1
    np.testing.assert_array_equal(before, after)


def test_a_short_model_has_its_own_period(result):
    _, frame, returns = result
    short = frame.drop(index=frame[frame["model"] == "lstm"].index[:200])
    third = pd.concat([short, frame[frame["model"] == "gjr"].assign(model="garch")])
    table = bt.backtest(third, returns, bt.Rules()).table.set_index(["strategy", "smoothing"])
    assert table.loc[("lstm", "daily"), "n"] == 300
    assert table.loc[("gjr", "daily"), "n"] == 500
    assert table.loc[("lstm", "daily"), "start"] == returns.index[201]
    assert table.index.get_level_values(0).tolist().count(bt.HOLD) == 1


@pytest.mark.parametrize("sessions", [252, 260, 365])
def test_a_year_of_steady_gains_returns_their_product(sessions):
    dates = pd.date_range("2021-01-01", periods=sessions + 1)
    frame = scored_forecasts({"gjr": 0.5}, n=sessions).assign(origin_date=dates[:-1], sessions_per_year=sessions)
    returns = pd.Series(np.log(1.01), index=dates)
    table = bt.backtest(frame, returns, bt.Rules(cost=0.0)).table.set_index("strategy")
    assert table.loc[bt.HOLD, "annual_return"] == pytest.approx(1.01**sessions - 1, rel=1e-9)


def test_ratios_and_targets_are_annualised_with_the_calendars_sessions(result):
    _, frame, returns = result
    exchange, coin = (
        bt.backtest(frame.assign(sessions_per_year=s), returns, bt.Rules()).table.set_index(["strategy", "smoothing"])
        for s in (252, 365)
    )
    hold, ratio = (bt.HOLD, "none"), np.sqrt(365 / 252)
    for name in ("sharpe_net", "sharpe_low", "sharpe_high", "annual_volatility"):
        assert coin.loc[hold, name] == pytest.approx(exchange.loc[hold, name] * ratio)
    assert coin.loc[hold, "turnover"] == pytest.approx(365 / 500)
    # The same daily variances are a higher volatility a year, so that less is bought for the same target.
    assert coin.loc[("lstm", "daily"), "turnover"] < exchange.loc[("lstm", "daily"), "turnover"] * ratio**2
    pd.testing.assert_frame_equal(
        exchange, bt.backtest(frame, returns, bt.Rules()).table.set_index(exchange.index.names)
    )


def test_a_few_sessions_have_no_interval(result):
    _, frame, returns = result
    few = frame[frame["origin_date"] < frame["origin_date"].iloc[30]]
    table = bt.backtest(few, returns, bt.Rules()).table
    assert table["sharpe_low"].isna().all()
    assert backtest_verdict(table).startswith("Too few days")
    assert bt.backtest(few.iloc[:0], returns, bt.Rules()).table.empty
