"""Estimates on the whole S&P 500 history against arch 8.0, to four digits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.models.garch_estimation import Distribution, Kind, estimate


@pytest.fixture(scope="module")
def percent_changes(sp500_bars: pd.DataFrame) -> np.ndarray:
    changes = 100 * sp500_bars["adj_close"].pct_change().dropna().to_numpy()
    assert len(changes) == 5030
    return changes


@pytest.mark.parametrize(
    ("kind", "distribution", "likelihood", "values"),
    [
        ("garch", "normal", -6936.718, {"mu": 0.05635, "omega": 0.01751, "alpha": 0.10215, "beta": 0.88521}),
        ("gjr", "normal", -6822.883, {"gamma": 0.18307, "beta": 0.89224}),
        ("garch", "t", -6834.736, {}),
        ("egarch", "t", -6729.213, {}),
    ],
)
def test_estimates(
    percent_changes: np.ndarray, kind: Kind, distribution: Distribution, likelihood: float, values: dict[str, float]
) -> None:
    found = estimate(kind, percent_changes, distribution)
    assert found.converged
    assert found.log_likelihood == pytest.approx(likelihood, abs=6e-4)
    assert {name: found.params[name] for name in values} == pytest.approx(values, abs=1e-5)


def test_the_oracle_itself_has_not_moved(percent_changes: np.ndarray) -> None:
    from arch import arch_model

    oracle = arch_model(percent_changes, p=1, o=1, q=1, power=1.0, dist="t").fit(disp="off")
    assert oracle.loglikelihood == pytest.approx(-6722.151, abs=6e-4)
    assert oracle.params["nu"] == pytest.approx(7.955, abs=2e-3)
