"""The declarations: complete, unique, honoured by the code and equal to the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from volassets.features import feature_docs
from volassets.features.catalogue import OUTCOMES, RECIPE, catalogue, longest_warm_up, outcomes
from volassets.features.feature_table import build_features
from volassets.market.calendar import calendar_for

SEED_RECIPE = [
    "returns", "log_returns", "ret_lag_1", "ret_lag_2", "ret_lag_6", "ret_lag_11", "ret_lag_16", "returns_sq",
    "returns_abs", "vol_5d", "vol_10d", "vol_20d", "vol_60d", "gk_vol", "gk_vol_5d", "gk_vol_10d", "gk_vol_20d",
    "parkinson", "volume", "volume_chg", "vwap", "price_to_vwap", "volume_norm", "high_low_range", "close_open_chg",
    "rsi_14", "price_to_ma10", "price_to_ma20", "price_to_ma50", "trend_20", "ewma_vol_5", "ewma_vol_10",
    "ewma_vol_20", "rv",
]  # fmt: skip
NETWORK_INPUTS = [
    "log_proxy", "log_proxy_5", "log_proxy_22", "log_proxy_66", "log_gk", "log_gk_5", "log_proxy_level", "return_z",
    "overnight_z", "return_z_negative", "return_z_5", "return_z_5_negative", "return_z_22", "return_z_22_negative",
    "volume_surprise", "volume_surprise_5", "close_location", "next_monday", "next_friday",
]  # fmt: skip


def test_the_recipe_comes_first_in_its_own_order():
    names = [feature.name for feature in catalogue()]
    assert list(RECIPE) == SEED_RECIPE == names[: len(RECIPE)]
    assert set(NETWORK_INPUTS) < set(names)
    assert len(names) == len(set(names)) >= 40
    assert OUTCOMES == ("proxy_variance", "return", "ratio")
    assert not set(OUTCOMES) & set(names)


def test_the_lags_name_their_columns():
    assert [f.name for f in catalogue((3, 40)) if f.name.startswith("ret_lag")] == ["ret_lag_3", "ret_lag_40"]
    assert longest_warm_up() == 66
    assert longest_warm_up((252,)) == 253


@pytest.mark.parametrize("feature", [*catalogue(), *outcomes()], ids=lambda feature: feature.name)
def test_every_declaration_is_complete(feature):
    for text in (feature.formula, feature.unit, feature.source, feature.group, feature.timing, feature.rows):
        assert text
        assert text == text.strip()
    assert feature.formula in feature.comment
    assert feature.window >= 0
    assert 0 <= feature.warm_up <= 66


def test_the_page_is_generated_from_the_declarations():
    page = Path(feature_docs.__file__).parents[2] / "docs" / "features.md"
    assert page.read_text(encoding="utf-8") == feature_docs.markdown()


@pytest.mark.parametrize("proxy", ["gk_overnight", "squared_return"])
def test_no_value_reaches_back_further_than_its_window(simulated_bars, proxy):
    bars, other = simulated_bars(400, 1), simulated_bars(400, 2)
    changed = 200
    spliced = bars.copy()
    spliced.iloc[:changed] = other.iloc[:changed]
    calendar = calendar_for("^GSPC")
    before, after = (build_features(table, calendar, proxy=proxy) for table in (bars, spliced))
    for feature in (*catalogue(), *outcomes()):
        first = changed + feature.window - 1
        if feature.window:
            np.testing.assert_allclose(
                before[feature.name].iloc[first:], after[feature.name].iloc[first:], rtol=1e-7, atol=1e-11
            )
