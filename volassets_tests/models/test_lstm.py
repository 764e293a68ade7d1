from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from volassets.errors import InputError
from volassets.features.targets import target
from volassets.models.lstm import Lstm
from volassets.models.protocol import Fit
from volassets.models.sequences import CHANNELS, STATIC, Scaler, build_inputs, build_labels, labelled_rows
from volassets_tests.models.windows import origins_after, window_of

SMALL = Lstm(epochs=2, seeds=2)
MONTH = "2004-01"


@pytest.fixture(scope="module")
def fit(sp500_features: pd.DataFrame) -> Fit:
    return SMALL.fit(window_of(sp500_features, MONTH))


def test_untrained_network_forecasts_the_anchored_level(sp500_features: pd.DataFrame) -> None:
    window = window_of(sp500_features, MONTH)
    still = Lstm(epochs=1, seeds=2, learning_rate=1e-30)
    fitted = still.fit(window)
    origins = origins_after(sp500_features, MONTH)
    forecast = still.forecast(fitted, sp500_features, origins)
    anchor = np.exp(sp500_features.loc[origins, "log_proxy_22"].to_numpy())
    for horizon, level in zip(window.horizons, fitted.parameters["level"], strict=True):
        ratio = (window.target(horizon) / np.exp(window.features["log_proxy_22"])).loc[fitted.train_start :]
        assert level == pytest.approx(np.log(ratio.mean()), rel=1e-9)
        np.testing.assert_allclose(forecast[horizon], anchor * np.exp(level), rtol=1e-9)


def test_inputs_are_the_recipes(sp500_features: pd.DataFrame) -> None:
    assert (len(CHANNELS), len(STATIC)) == (8, 17)
    inputs = build_inputs(sp500_features, 22)
    row = 300
    expected = sp500_features["log_proxy"].iloc[row - 21 : row + 1] - sp500_features["log_proxy_22"].iloc[row]
    np.testing.assert_array_equal(inputs.sequence[row, :, 0], expected)
    np.testing.assert_array_equal(inputs.sequence[row, :, 3], sp500_features["return_z"].abs().iloc[row - 21 : row + 1])
    assert inputs.static[row, 2] == sp500_features["log_proxy_66"].iloc[row] - sp500_features["log_proxy_22"].iloc[row]
    assert not inputs.usable[:60].any()
    assert inputs.usable[100:].all()


def test_inputs_do_not_see_later_rows(sp500_features: pd.DataFrame) -> None:
    whole, cut = build_inputs(sp500_features, 22), build_inputs(sp500_features.iloc[:700], 22)
    np.testing.assert_array_equal(whole.sequence[:700], cut.sequence)
    np.testing.assert_array_equal(whole.static[:700], cut.static)


def test_scaled_inputs_are_standard_and_clipped(sp500_features: pd.DataFrame) -> None:
    inputs = build_inputs(sp500_features, 22)
    inputs = inputs.take(inputs.usable)
    scaler = Scaler.of(inputs)
    sequence, static = scaler.apply(inputs)
    assert sequence.shape == (22, 8, len(inputs.usable))
    assert max(np.abs(sequence).max(), np.abs(static).max()) == 6.0
    np.testing.assert_allclose(np.median(static.std(axis=1)), 1.0, atol=0.05)
    again = Scaler.from_parameters(scaler.to_parameters())
    np.testing.assert_array_equal(again.apply(inputs)[0], sequence)


def test_labels_end_before_the_cut_off(sp500_features: pd.DataFrame) -> None:
    window = window_of(sp500_features, MONTH)
    inputs = build_inputs(window.features, 22)
    rows = labelled_rows(window, inputs.usable)
    labels = build_labels(window, inputs.anchor[rows], rows)
    assert rows[-1] == len(window.features) - 2
    assert (labels.realised == 0).sum(axis=1).tolist() == [0, 4, 21]
    assert labels.log_ratio.max() <= 6
    assert labels.log_ratio.min() >= -12
    week = target(window.features["proxy_variance"], 5, window.ratio).to_numpy()[rows[10]]
    assert labels.log_ratio[1, 10] == pytest.approx(np.log(week) - inputs.anchor[rows[10]] - labels.level[1])


def test_fit_is_a_function_of_its_window(sp500_features: pd.DataFrame, fit: Fit) -> None:
    torch.manual_seed(99)
    torch.rand(7)
    again = SMALL.fit(window_of(sp500_features, MONTH))
    for name, tensor in fit.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], tensor)
    assert again.parameters == fit.parameters
    other = SMALL.fit(window_of(sp500_features, "2004-02"))
    assert not np.array_equal(other.tensors["recurrent"], fit.tensors["recurrent"])
    assert torch.initial_seed() == 99


def test_fit_records_what_it_did(fit: Fit) -> None:
    assert fit.history is not None
    assert fit.history.groupby("seed").size().tolist() == [2, 2]
    assert fit.history["validation_loss"].isna().all()
    assert fit.parameters["channels"] == list(CHANNELS)
    assert fit.n_train == pytest.approx(1190, abs=10)
    assert sum(tensor[0].size for tensor in fit.tensors.values()) == pytest.approx(2500, abs=100)


def test_forecast_of_an_origin_depends_on_nothing_else(sp500_features: pd.DataFrame, fit: Fit) -> None:
    origins = origins_after(sp500_features, MONTH, before=500)
    whole = SMALL.forecast(fit, sp500_features, origins)
    assert np.isfinite(whole.to_numpy()).all()
    assert (whole.to_numpy() > 0).all()
    shuffled = origins[np.random.default_rng(0).permutation(len(origins))]
    pd.testing.assert_frame_equal(SMALL.forecast(fit, sp500_features, shuffled), whole.loc[shuffled], check_exact=True)
    for day in (origins[0], origins[77], origins[-1]):
        alone = SMALL.forecast(fit, sp500_features.loc[:day], pd.DatetimeIndex([day], name="date"))
        pd.testing.assert_frame_equal(alone, whole.loc[[day]], check_exact=True)


def test_warm_up_has_no_forecast(sp500_features: pd.DataFrame, fit: Fit) -> None:
    forecast = SMALL.forecast(fit, sp500_features, pd.DatetimeIndex(sp500_features.index[[10, 400]]))
    assert forecast.iloc[0].isna().all()
    assert forecast.iloc[1].notna().all()


def test_attention_sums_to_one_over_the_days(sp500_features: pd.DataFrame, fit: Fit) -> None:
    frame = SMALL.attention(fit, sp500_features, origins_after(sp500_features, MONTH))
    assert frame["lag_days"].tolist() == list(range(22))
    assert frame["weight"].sum() == pytest.approx(1)
    assert (frame["weight"] > 0).all()


def test_other_horizons_and_settings(sp500_features: pd.DataFrame) -> None:
    spec = Lstm(epochs=1, seeds=1, units=4, sequence_length=10, dropout=0.0, average=0.0, batch_size=32)
    fitted = spec.fit(window_of(sp500_features, MONTH, horizons=(2,)))
    forecast = spec.forecast(fitted, sp500_features, origins_after(sp500_features, MONTH))
    assert list(forecast.columns) == [2]
    assert forecast.notna().all(axis=None)


def test_default_recipe_beats_the_anchor(sp500_features: pd.DataFrame) -> None:
    window = window_of(sp500_features, "2006-01")
    spec = Lstm()
    fitted = spec.fit(window)
    origins = origins_after(sp500_features, "2006-01", count=250)
    outcome = target(sp500_features["proxy_variance"], 1, window.ratio).loc[origins].to_numpy()

    def qlike(forecast: np.ndarray) -> float:
        return float(np.mean(outcome / forecast - np.log(outcome / forecast) - 1))

    anchor = np.exp(sp500_features.loc[origins, "log_proxy_22"].to_numpy() + fitted.parameters["level"][0])
    assert qlike(spec.forecast(fitted, sp500_features, origins)[1].to_numpy()) < 0.9 * qlike(anchor)


def test_too_little_history_is_refused(sp500_features: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"usable rows before 1999-06-01.*later month"):
        SMALL.fit(window_of(sp500_features, "1999-06"))


def test_unknown_origin_is_refused(sp500_features: pd.DataFrame, fit: Fit) -> None:
    with pytest.raises(InputError, match="2004-01-03"):
        SMALL.forecast(fit, sp500_features, pd.DatetimeIndex(["2004-01-03"]))
