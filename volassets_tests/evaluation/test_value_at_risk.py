from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.evaluation import value_at_risk
from volassets.evaluation.verdict import risk_verdict


def _simulated(n: int = 3000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    variance = 1e-4 * np.where(np.arange(n) % 500 < 400, 1.0, 9.0)
    return np.sqrt(variance) * rng.standard_t(6, n) / np.sqrt(1.5), variance


def test_value_at_risk_is_known_before_its_session():
    returns, variance = _simulated(900)
    whole = value_at_risk.filtered_quantiles(returns, variance, 0.05)
    for cut in (260, 500, 899):
        later = returns.copy()
        later[cut:] = 0.5
        np.testing.assert_array_equal(
            value_at_risk.filtered_quantiles(later, variance, 0.05)[: cut + 1], whole[: cut + 1]
        )
    assert np.isnan(whole[:250]).all()
    assert (whole[250:] < 0).all()


def test_value_at_risk_by_hand():
    returns, variance = np.array([-0.02, 0.01, -0.01, 0.03, 0.0]), np.array([4.0, 1.0, 1.0, 9.0, 4.0]) * 1e-4
    limit = value_at_risk.filtered_quantiles(returns, variance, 0.5, fewest=3)
    assert np.isnan(limit[:3]).all()
    assert limit[3:] == pytest.approx([0.03 * -1.0, 0.02 * 0.0])


def test_a_correct_model_passes_and_a_constant_one_clusters():
    returns, variance = _simulated()
    dates = pd.bdate_range("2000-01-03", periods=3001)
    series = pd.Series(np.concatenate([[0.0], returns]), index=dates)
    frame = pd.concat(
        pd.DataFrame({"model": name, "horizon": 1, "origin_date": dates[:-1], "variance": values})
        for name, values in (("right", variance), ("frozen", np.full(3000, 1e-4)))
    )
    table = value_at_risk.value_at_risk(frame, series).set_index(["model", "level"])
    assert (table["n"] == 2750).all()
    assert table.loc[("right", 0.05), "kupiec_p"] > 0.05
    assert table.loc[("right", 0.05), "christoffersen_p"] > 0.05
    assert table.loc[("frozen", 0.05), "christoffersen_p"] < 0.01
    assert "Christoffersen's by" in risk_verdict(table.reset_index())


def test_the_last_origin_without_a_return_is_left_out_and_short_runs_say_nothing():
    dates = pd.bdate_range("2000-01-03", periods=30)
    frame = pd.DataFrame({"model": "m", "horizon": 1, "origin_date": dates, "variance": 1e-4})
    table = value_at_risk.value_at_risk(frame, pd.Series(0.01, index=dates))
    assert table["n"].tolist() == [0, 0]
    assert table["kupiec_p"].isna().all()
    assert risk_verdict(table) == "Too few days for a value at risk."
