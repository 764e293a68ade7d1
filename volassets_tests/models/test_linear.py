from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.linear_model import ElasticNet as SklearnElasticNet
from sklearn.linear_model import ElasticNetCV
from sklearn.model_selection import TimeSeriesSplit

from volassets.models.elastic_net import ElasticNet, choose_and_fit
from volassets.models.linear import Har, LogHar, LogHarLeverage, least_squares, weighted
from volassets.models.protocol import Fit
from volassets_tests.models.windows import forecast, origins_after, window_of

MODELS = (Har(), LogHar(), LogHarLeverage(), ElasticNet())
by_name = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


@pytest.fixture(scope="module")
def fits(sp500_features: pd.DataFrame) -> dict[str, Fit]:
    window = window_of(sp500_features)
    return {model.name: model.fit(window) for model in MODELS}


def test_least_squares_equals_numpy() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((400, 3)) * [1e-4, 1.0, 50.0] + [1e-4, -8.0, 3.0]
    label = 2.0 + (inputs * [3e3, -0.5, 0.01]).sum(axis=1) + rng.standard_normal(400)
    intercept, slopes = least_squares(inputs, label)
    expected = np.linalg.lstsq(np.column_stack([np.ones(400), inputs]), label, rcond=None)[0]
    np.testing.assert_allclose([intercept, *slopes], expected, rtol=1e-8)


def test_a_constant_input_gets_no_weight() -> None:
    rng = np.random.default_rng(0)
    inputs = np.column_stack([rng.standard_normal(300), np.full(300, 7.0)])
    intercept, slopes = least_squares(inputs, 1.0 + 2.0 * inputs[:, 0])
    np.testing.assert_allclose([intercept, *slopes], [1.0, 2.0, 0.0], atol=1e-10)


@pytest.mark.parametrize("horizon", [1, 22])
def test_elastic_net_equals_a_plain_search_with_scikit_learn(horizon: int) -> None:
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((600, 8))
    label = 0.5 * inputs[:, 0] - 0.2 * inputs[:, 3] + rng.standard_normal(600) - 9.0
    ours = choose_and_fit(inputs, label, horizon, 0.5, 5, 12, 1e-3)
    largest = ElasticNetCV(l1_ratio=0.5, alphas=2, eps=0.5).fit(inputs, label).alphas_[0]
    errors = []
    for penalty in largest * np.geomspace(1, 1e-3, 12):
        plain = SklearnElasticNet(alpha=penalty, l1_ratio=0.5, tol=1e-8)
        losses = []
        for train, block in TimeSeriesSplit(5, gap=horizon - 1).split(inputs):
            predicted = plain.fit(inputs[train], label[train]).predict(inputs[block])
            losses.append(((label[block] - predicted) ** 2).mean())
        errors.append((np.mean(losses), penalty))
    assert ours.penalty == pytest.approx(min(errors)[1])
    plain = SklearnElasticNet(alpha=ours.penalty, l1_ratio=0.5, tol=1e-10).fit(inputs, label)
    assert ours.intercept == pytest.approx(plain.intercept_, abs=1e-3)
    np.testing.assert_allclose(ours.slopes, plain.coef_, atol=1e-3)


@by_name
def test_forecasts_are_positive_and_later_rows_change_no_bit(
    model: Har, fits: dict[str, Fit], sp500_features: pd.DataFrame
) -> None:
    fit = fits[model.name]
    origins = origins_after(sp500_features, before=500)
    whole = forecast(fit, sp500_features, origins)
    assert list(whole.columns) == [1, 5, 22]
    assert np.isfinite(whole).all(axis=None)
    assert (whole > 0).all(axis=None)
    for at in (0, 250, 505, 519):
        part = forecast(fit, sp500_features[: origins[at]], origins[[at]])
        pd.testing.assert_frame_equal(part, whole.iloc[[at]], check_exact=True)


@by_name
def test_fit_sees_nothing_after_the_cut_off_and_repeats_bit_for_bit(
    model: Har, fits: dict[str, Fit], sp500_features: pd.DataFrame
) -> None:
    assert model.fit(window_of(sp500_features[:"2008-09"])).parameters == fits[model.name].parameters


@by_name
def test_an_unrealised_label_is_not_used(model: Har, sp500_features: pd.DataFrame, fits: dict[str, Fit]) -> None:
    """The inputs of the last h rows have no label yet, so noise in them must not move the equation."""
    window = window_of(sp500_features)
    inputs = [name for name in window.features if name != "proxy_variance"]
    for horizon in (1, 5, 22):
        noisy = window.features.copy()
        noisy.iloc[-horizon:, [noisy.columns.get_loc(name) for name in inputs]] *= 1.5
        # HAR's first input is the proxy itself, of which the labels are made; its last h rows stay.
        refitted = model.fit(dataclasses.replace(window, features=noisy)).parameters["equations"]
        expected = fits[model.name].parameters["equations"]
        for h in ("1", "5", "22"):
            assert (refitted[h] == expected[h]) == (int(h) >= horizon)


@pytest.mark.parametrize("model", MODELS[1:], ids=lambda model: model.name)
def test_bias_correction_makes_the_mean_ratio_one_on_training_rows(
    model: Har, fits: dict[str, Fit], sp500_features: pd.DataFrame
) -> None:
    window = window_of(sp500_features)
    fit = fits[model.name]
    forecasts = forecast(fit, window.features, pd.DatetimeIndex(window.features.index))
    for horizon in (1, 5, 22):
        assert (window.target(horizon) / forecasts[horizon]).mean() == pytest.approx(1.0, abs=1e-9)


def test_har_is_floored_at_the_smallest_label(fits: dict[str, Fit], sp500_features: pd.DataFrame) -> None:
    equations = json.loads(json.dumps(fits["har"].parameters["equations"]))
    for equation in equations.values():
        equation["intercept"] = -1.0
    sunk = dataclasses.replace(fits["har"], parameters={"equations": equations})
    forecasts = forecast(sunk, sp500_features, origins_after(sp500_features))
    window = window_of(sp500_features)
    realised = window.target(22)[sp500_features["proxy_mean_22"].notna()]
    assert (forecasts[22] == realised.min()).all()


def test_elastic_net_takes_lags_and_static_features(fits: dict[str, Fit]) -> None:
    inputs = fits["elastic_net"].parameters["inputs"]
    assert len(inputs) == 22 + 18
    assert "return_z_22_negative" in inputs
    with pytest.raises(ValidationError):
        ElasticNet(l1_ratio=0.0)


def test_volume_that_is_always_zero_is_no_obstacle(sp500_features: pd.DataFrame) -> None:
    flat = sp500_features.assign(volume_surprise=0.0, volume_surprise_5=0.0)
    fit = ElasticNet().fit(window_of(flat))
    assert np.isfinite(forecast(fit, flat, origins_after(flat))).all(axis=None)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("columns", [1, 3, 6, 40])
def test_a_weighted_row_has_the_same_bits_whichever_rows_are_beside_it(order: str, columns: int) -> None:
    generator = np.random.default_rng(columns)
    inputs, slopes = np.asarray(generator.normal(size=(64, columns)), order=order), generator.normal(size=columns)
    whole = weighted(inputs, slopes)
    for start in (0, 1, 5, 40):
        for count in (1, 2, 3, 4, 7, 21):
            part = inputs[start : start + count]
            for given in (part, np.asarray(part, order="C"), np.asarray(part, order="F")):
                np.testing.assert_array_equal(weighted(given, slopes), whole[start : start + count])
