"""What holds for any valid bars."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from volassets.features.catalogue import catalogue, longest_warm_up
from volassets.features.feature_table import build_features
from volassets.market.calendar import calendar_for

CALENDAR = calendar_for("^GSPC")
LEVELS = {feature.name: feature.unit for feature in catalogue() if feature.unit in ("price", "shares")}


@st.composite
def valid_bars(draw: st.DrawFn, n: int = 140) -> pd.DataFrame:
    """Bars with any mix of zero ranges, stale opens and closes, empty volume and violent days."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    deviation = draw(st.sampled_from([1e-6, 1e-3, 0.02, 0.2]))
    quiet, stale, untraded = (draw(st.sampled_from([0.0, 0.1, 0.7, 1.0])) for _ in range(3))
    moves = deviation * rng.standard_t(3, size=(n, 4)).clip(-20, 20) * rng.choice([0.1, 1.0, 5.0], size=(n, 1))
    moves[rng.random(n) < quiet, 1:] = 0.0
    moves[rng.random(n) < stale, 0] = 0.0
    close = np.log(draw(st.sampled_from([0.01, 100.0, 5e4]))) + (moves[:, 0] + moves[:, 1]).cumsum()
    opening = close - moves[:, 1]
    high, low = np.maximum(opening, close) + np.abs(moves[:, 2]), np.minimum(opening, close) - np.abs(moves[:, 3])
    volume = np.where(rng.random(n) < untraded, 0.0, np.round(np.exp(rng.normal(10, 2, n))))
    paid = np.exp(-0.01 * (rng.random(n) < 0.02)).cumprod()[::-1]
    columns = {"open": opening, "high": high, "low": low, "close": close}
    bars = pd.DataFrame({name: np.exp(values) for name, values in columns.items()})
    bars["high"], bars["low"] = bars.max(axis=1), bars.min(axis=1)
    bars["adj_close"], bars["volume"] = bars["close"] * paid, volume
    bars.index = pd.bdate_range("2010-01-04", periods=n, name="date")
    return bars


@settings(max_examples=60, deadline=None, derandomize=True)
@given(valid_bars(), st.sampled_from(["gk_overnight", "squared_return"]), st.integers(1, 139))
def test_finite_after_the_warm_up_and_blind_to_later_bars(bars, proxy, cut):
    table = build_features(bars, CALENDAR, proxy=proxy)
    assert np.isfinite(table.iloc[longest_warm_up() :].to_numpy()).all()
    assert not np.isinf(table.to_numpy()).any()
    assert (table["proxy_variance"].iloc[1:] > 0).all()
    truncated = build_features(bars.iloc[:cut], CALENDAR, proxy=proxy)
    assert truncated.to_numpy().tobytes() == table.iloc[:cut].to_numpy().tobytes()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(valid_bars(), st.integers(-6, 6), st.integers(-6, 6))
def test_only_levels_feel_a_split(bars, price, shares):
    # powers of two: other factors turn an unchanged price into a change of the last bit
    factor = {"price": 2.0**price, "shares": 2.0**shares}
    split = bars.copy()
    split[["open", "high", "low", "close", "adj_close"]] *= factor["price"]
    split["volume"] *= factor["shares"]
    before, after = build_features(bars, CALENDAR), build_features(split, CALENDAR)
    for name in before:
        expected = before[name] * factor[LEVELS[name]] if name in LEVELS else before[name]
        np.testing.assert_allclose(after[name], expected, rtol=1e-9, atol=1e-12, err_msg=name)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(valid_bars())
def test_bounded_features_keep_their_bounds(bars):
    table = build_features(bars, CALENDAR).iloc[longest_warm_up() :]
    for name, low, high in (
        ("rsi_14", 0, 100),
        ("rsi_14_wilder", 0, 100),
        ("close_location", -0.5, 0.5),
        ("negative_share_22", 0, 1),
        ("return_z", -8, 8),
        ("return_z_22", -6, 6),
        ("volume_surprise", -2, 2),
        ("drawdown_66", -1, 0),
    ):
        assert table[name].between(low, high).all(), name
    for feature in catalogue():
        if feature.unit.startswith("annualised"):
            assert (table[feature.name] >= 0).all(), feature.name
