"""Which models take covariates as inputs, that these change their forecasts, and that nobody else sees them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.features.covariates import Covariate, names_in
from volassets.features.feature_table import build_features
from volassets.market.bundled import BundledSource
from volassets.market.calendar import calendar_for
from volassets.models.elastic_net import ElasticNet
from volassets.models.linear import LogHarLeverage
from volassets.models.lstm import Lstm
from volassets.models.lstm_reference import LstmReference
from volassets.models.pooled_boosting import PooledBoosting
from volassets.models.pooled_lstm import PooledLstm
from volassets.models.pooled_ridge import PooledRidge
from volassets.models.protocol import Model
from volassets.models.registry import MODELS
from volassets.models.transformer import Transformer
from volassets.models.window import make_window, month_selection

MONTH = pd.Timestamp("2018-03-01")
SMALL = {"epochs": 1, "seeds": 1, "device": "cpu"}
USING = (
    ElasticNet(folds=2),
    PooledRidge(folds=2),
    Lstm(units=4, **SMALL),
    Transformer(width=4, **SMALL),
    PooledLstm(units=4, **SMALL),
    LstmReference(hidden=4, epochs=1, window=300, sequence_length=5, device="cpu"),
)
OTHERS = (LogHarLeverage(), PooledBoosting(trees=5, leaf_rows=50))
NAMES = ["cov_vix_level", "cov_vix_change", "cov_vix_change_5"]


@pytest.fixture(scope="module")
def tables(sp500_bars: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The feature table of the S&P 500 from 2015 with VIX, and without."""
    bars, calendar = sp500_bars["2015":"2018-04"], calendar_for("^GSPC")
    vix = Covariate("^VIX", BundledSource().fetch("^VIX"), "XCBF")
    return {"with": build_features(bars, calendar, covariates=[vix]), "without": build_features(bars, calendar)}


def forecast(model: Model, table: pd.DataFrame) -> np.ndarray:
    selection = month_selection(MONTH, table, 0.95, "standardize") if model.uses_selection else None
    fit = model.fit(make_window("^GSPC", MONTH, table, (1, 5), selection))
    first = table.index.searchsorted(MONTH) - 1
    return model.forecast(fit, table, pd.DatetimeIndex(table.index[first : first + 10])).to_numpy()


def test_these_and_no_others_use_covariates() -> None:
    assert {model.name for model in USING} == {name for name, model in MODELS.items() if model.uses_covariates}


@pytest.mark.parametrize("model", USING, ids=lambda model: model.name)
def test_a_covariate_changes_the_forecasts(model: Model, tables: dict[str, pd.DataFrame]) -> None:
    found, plain = forecast(model, tables["with"]), forecast(model, tables["without"])
    assert np.isfinite(found).all()
    assert (found != plain).all()
    last = tables["with"].copy()
    last.loc[last.index >= MONTH, NAMES] = 0.0
    # Only the first origin is before the month.
    assert (forecast(model, last) != found).any(axis=1).tolist() == [False] + [True] * 9


@pytest.mark.parametrize("model", OTHERS, ids=lambda model: model.name)
def test_nobody_else_sees_it(model: Model, tables: dict[str, pd.DataFrame]) -> None:
    np.testing.assert_array_equal(forecast(model, tables["with"]), forecast(model, tables["without"]))


@pytest.mark.parametrize("model", [USING[1], USING[4]], ids=lambda model: model.name)
def test_a_member_of_a_pool_without_the_covariate_has_zeros(model: Model, tables: dict[str, pd.DataFrame]) -> None:
    zeros = tables["without"].assign(**dict.fromkeys(NAMES, 0.0))
    results = []
    for other in (tables["without"], zeros):
        windows = {"A": make_window("A", MONTH, tables["with"], (1,)), "B": make_window("B", MONTH, other, (1,))}
        fits = model.fit_pool(windows)
        days = pd.DatetimeIndex(other.index[-30:-20])
        results.append(
            [model.forecast(fits[name], windows[name].features, windows[name].features.index[-5:]) for name in "AB"]
        )
        assert model.forecast(fits["B"], other, days).notna().all(axis=None)
    for one, two in zip(*results, strict=True):
        pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_the_importance_of_a_covariate_is_measured(tables: dict[str, pd.DataFrame]) -> None:
    model, table = USING[2], tables["with"]
    fit = model.fit(make_window("^GSPC", MONTH, table, (1,)))
    assert fit.parameters["static"][-3:] == sorted(NAMES, key=list(names_in(table.columns)).index)
    probe = model.probe(fit, table, pd.DatetimeIndex(table.index[300:340]))
    shuffled = probe.forecast("static:cov_vix_level", np.arange(40)[::-1])
    assert (shuffled != probe.forecast()).any()
