from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.evaluation.validation import validation_scores
from volassets.features.catalogue import RECIPE
from volassets.models.lstm_reference import LstmReference, SelectedInputs
from volassets.models.protocol import TRADING_DAYS, Fit, Window
from volassets.models.training import lstm_in_bfloat16, multiplies_bfloat16
from volassets_tests.models.windows import origins_after, selecting_window, window_of

MONTH = "2004-01"
SMALL = LstmReference(hidden=8, window=300, epochs=6, patience=2, sequence_length=10)


@pytest.fixture(scope="module")
def window(sp500_features: pd.DataFrame) -> Window:
    return selecting_window(sp500_features, MONTH)


@pytest.fixture(scope="module")
def fit(window: Window) -> Fit:
    return SMALL.fit(window)


def test_inputs_are_the_selected_features_of_the_recipe(window: Window, fit: Fit) -> None:
    names = fit.parameters["features"]
    assert set(names) <= set(RECIPE)
    assert names == [
        name for name in window.selection.index if window.selection.loc[name, "selected"] and name in RECIPE
    ]
    sequence = SelectedInputs.of_window(window, 10).build(window.features)
    row, name = 500, names[3]
    scaled = (window.features[name] - window.selection.loc[name, "center"]) / window.selection.loc[name, "scale"]
    np.testing.assert_allclose(sequence[:, 3, row], scaled.iloc[row - 9 : row + 1], rtol=1e-5, atol=1e-6)


def test_early_stop_on_the_last_rows(fit: Fit) -> None:
    assert fit.history is not None
    losses = fit.history["validation_loss"]
    assert fit.parameters["best_epoch"] == losses.idxmin() + 1
    assert len(losses) <= 6
    assert fit.n_train == 300 - 9 - 1
    assert fit.parameters["n_validation"] == 58


def test_only_the_rolling_window_counts(sp500_features: pd.DataFrame, window: Window, fit: Fit) -> None:
    changed = window.features.copy()
    changed.iloc[:-300] *= 3.0
    again = SMALL.fit(dataclasses.replace(window, features=changed))
    for name, tensor in fit.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], tensor)


def test_bias_correction_is_the_mean_ratio_of_the_windows_rows(
    sp500_features: pd.DataFrame, window: Window, fit: Fit
) -> None:
    raw = dataclasses.replace(SMALL, bias_correction=False).fit(window)
    assert raw.parameters["bias"] == [1.0, 1.0]
    days = pd.DatetimeIndex(window.features.index[-291:-1])
    ratio = window.target(1).loc[days] / SMALL.forecast(raw, sp500_features, days)[1]
    assert fit.parameters["bias"][0] == pytest.approx(ratio.mean(), rel=1e-4)


def test_forecast_of_an_origin_depends_on_nothing_else(sp500_features: pd.DataFrame, fit: Fit) -> None:
    origins = origins_after(sp500_features, MONTH, before=150)
    whole = SMALL.forecast(fit, sp500_features, origins)
    volatility = np.sqrt(TRADING_DAYS * whole.to_numpy())
    assert ((volatility > 0.01) & (volatility < 2)).all()
    for day in (origins[3], origins[100], origins[-1]):
        alone = SMALL.forecast(fit, sp500_features.loc[:day], pd.DatetimeIndex([day], name="date"))
        pd.testing.assert_frame_equal(alone, whole.loc[[day]], check_exact=True)


@pytest.mark.parametrize("changes", [{"loss": "mse"}, {"layers": 1}, {"dropout": 0.0}])
def test_settings_change_the_fit(window: Window, changes: dict[str, object]) -> None:
    plain = dataclasses.replace(SMALL, epochs=1, precision="float32")
    base, other = plain.fit(window), dataclasses.replace(plain, **changes).fit(window)  # type: ignore[arg-type]
    assert not np.array_equal(other.tensors["output.weight"], base.tensors["output.weight"])
    assert np.isfinite(other.tensors["output.weight"]).all()


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_products_are_those_of_the_setting_or_refused(window: Window, precision: str) -> None:
    plain = dataclasses.replace(SMALL, epochs=1, precision="float32", device="cpu")
    asked = dataclasses.replace(plain, precision=precision)  # type: ignore[arg-type]
    if precision == "bfloat16" and not lstm_in_bfloat16("cpu"):
        with pytest.raises(InputError, match=r"lstm_reference\.precision = 'bfloat16'.*AVX-512.*\[lstm_reference\]"):
            asked.fit(window)
        return
    base, other = plain.fit(window), asked.fit(window)
    short = precision == "bfloat16" or multiplies_bfloat16("cpu")
    assert np.isfinite(other.tensors["output.weight"]).all()
    assert np.array_equal(other.tensors["output.weight"], base.tensors["output.weight"]) is not short


def test_a_fit_in_bfloat16_forecasts_on_every_machine(
    sp500_features: pd.DataFrame, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    origins = origins_after(sp500_features, MONTH)
    expected = SMALL.forecast(fit, sp500_features, origins)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    short = dataclasses.replace(SMALL, precision="bfloat16")
    pd.testing.assert_frame_equal(short.forecast(fit, sp500_features, origins), expected, check_exact=True)


def test_minmax_scaling_reaches_the_network(sp500_features: pd.DataFrame) -> None:
    window = selecting_window(sp500_features, MONTH, (1,), "minmax")
    sequence = SelectedInputs.of_window(window, 10).build(window.features)[..., 100:]
    assert sequence.min() >= -1e-6
    assert sequence.max() <= 1 + 1e-6


def test_no_feature_and_no_rows_are_refused(sp500_features: pd.DataFrame, window: Window) -> None:
    none = window.selection.assign(selected=False)
    with pytest.raises(InputError, match="0 selected features"):
        SMALL.fit(dataclasses.replace(window, selection=none))
    with pytest.raises(InputError, match="training and"):
        dataclasses.replace(SMALL, batch_size=500).fit(window)


def test_window_without_selection_is_refused(sp500_features: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="selection"):
        SMALL.fit(window_of(sp500_features, MONTH))


def test_validation_is_what_the_fit_forecasts_on_its_last_rows(window: Window, fit: Fit) -> None:
    """The rows end with the last realised label before the cut-off, and hold no outcome of it or later."""
    rows = fit.validation
    for horizon in window.horizons:
        own = rows[rows["horizon"] == horizon].set_index("origin_date")
        label = window.target(horizon)
        assert own.index[-1] == label.dropna().index[-1]
        assert len(own) == fit.parameters["n_validation"] - (horizon - 1)
        np.testing.assert_array_equal(own["realized_variance"], label[own.index])
        forecast = SMALL.forecast(fit, window.features, pd.DatetimeIndex(own.index))[horizon]
        np.testing.assert_allclose(own["variance"], forecast, rtol=1e-5)


def test_validation_scores_are_the_formulas(fit: Fit) -> None:
    found = validation_scores(fit.validation, 365).set_index("horizon")
    rows = fit.validation[fit.validation["horizon"] == 5]
    y, f = rows["realized_variance"].to_numpy(), rows["variance"].to_numpy()
    error = np.sqrt(365 * f) - np.sqrt(365 * y)
    assert found.loc[5, "n"] == len(rows)
    assert found.loc[5, "rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-12)
    assert found.loc[5, "mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-12)
    assert found.loc[5, "r2"] == pytest.approx(1 - np.sum(error**2) / (365 * np.var(np.sqrt(y)) * len(y)), rel=1e-12)
    assert found.loc[5, "qlike"] == pytest.approx(np.mean(y / f - np.log(y / f) - 1), rel=1e-12)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_number_of_parameters_is_the_networks(layers: int) -> None:
    model = LstmReference(hidden=5, layers=layers)
    assert model.n_parameters(7, 3) == sum(tensor.numel() for tensor in model.network(7, 3).parameters())
