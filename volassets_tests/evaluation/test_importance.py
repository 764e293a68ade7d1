from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from volassets.errors import InputError
from volassets.evaluation.importance import feature_importance
from volassets.models.benchmark import Naive
from volassets.models.lstm import Lstm
from volassets.models.lstm_reference import LstmReference
from volassets.models.network_inference import load_weights
from volassets.models.protocol import Fit, Window
from volassets.models.sequences import CHANNELS, STATIC
from volassets.models.transformer import Transformer
from volassets_tests.models.windows import selecting_window

SMALL = Lstm(epochs=3, seeds=2)


@pytest.fixture(scope="module")
def window(sp500_features: pd.DataFrame) -> Window:
    return selecting_window(sp500_features, "2006-01")


@pytest.fixture(scope="module")
def fit(window: Window) -> Fit:
    return SMALL.fit(window)


def test_every_input_is_shuffled_and_the_order_is_by_rise(fit: Fit, window: Window) -> None:
    frame = feature_importance(SMALL, fit, window, repeats=2)
    assert list(frame.columns) == ["feature", "delta_qlike", "std_error"]
    expected = {f"sequence:{name}" for name in CHANNELS} | {f"static:{name}" for name in STATIC}
    assert set(frame["feature"]) == expected
    assert frame["delta_qlike"].is_monotonic_decreasing
    assert (frame["std_error"] >= 0).all()
    assert frame["delta_qlike"].iloc[0] > 0


@pytest.mark.parametrize("model", [SMALL, Transformer(epochs=1, seeds=2)])
def test_a_shuffled_input_gives_what_the_whole_network_gives(window: Window, model: Lstm | Transformer) -> None:
    fit = model.fit(window)
    origins = pd.DatetimeIndex(window.features.index[-40:])
    probe = model.probe(fit, window.features, origins)
    network = load_weights(model.network(len(fit.horizons)), fit.tensors)
    order = np.random.default_rng(0).permutation(len(origins))
    rest = probe.forecast()
    for name in ("sequence:return_z", "static:return_z", "sequence:log_proxy"):
        arrays = [array.copy() for array in probe.arrays]
        number, where = probe.places[name]
        arrays[number][where] = arrays[number][where][..., order]
        with torch.no_grad():
            difference = network(*map(torch.tensor, arrays)) - network(*map(torch.tensor, probe.arrays))
        moved = probe.forecast(name, order) - rest
        np.testing.assert_allclose(moved, difference.double().mean(dim=0).numpy(), atol=1e-6)
        assert np.abs(moved).max() > 1e-4


def test_same_fit_gives_the_same_numbers(fit: Fit, window: Window) -> None:
    frames = [feature_importance(SMALL, fit, window, repeats=2) for _ in range(2)]
    pd.testing.assert_frame_equal(*frames, check_exact=True)


def test_input_without_weights_does_not_matter(fit: Fit, window: Window) -> None:
    tensors = {name: tensor.copy() for name, tensor in fit.tensors.items()}
    number = CHANNELS.index("volume_surprise")
    tensors["recurrent"][:, :, number] = 0
    frame = feature_importance(SMALL, dataclasses.replace(fit, tensors=tensors), window, repeats=2).set_index("feature")
    assert frame.loc["sequence:volume_surprise", "delta_qlike"] == 0
    assert frame.loc["sequence:volume_surprise", "std_error"] == 0
    assert frame.loc["sequence:log_proxy", "delta_qlike"] != 0


def test_input_that_decides_comes_first(fit: Fit, window: Window) -> None:
    tensors = {name: np.zeros_like(tensor) for name, tensor in fit.tensors.items()}
    place = tensors["hidden"].shape[2] - len(STATIC) + STATIC.index("return_z_negative")
    tensors["hidden"][:, 0, place] = 1
    tensors["output"][:, :, 0] = -1
    frame = feature_importance(SMALL, dataclasses.replace(fit, tensors=tensors), window)
    assert frame["feature"].iloc[0] == "static:return_z_negative"
    assert (frame["delta_qlike"].iloc[1:] == 0).all()


def test_reference_is_judged_on_its_validation_rows(window: Window) -> None:
    spec = LstmReference(hidden=8, window=300, epochs=2, sequence_length=10)
    reference = spec.fit(window)
    frame = feature_importance(spec, reference, window, repeats=2)
    assert set(frame["feature"]) == set(reference.parameters["features"])
    days = window.features.index[-1 - reference.parameters["n_validation"] : -1]
    changed = window.features.copy()
    earlier = changed.index < days[0] - pd.Timedelta(days=60)
    changed.loc[earlier] *= 2.0
    again = feature_importance(spec, reference, dataclasses.replace(window, features=changed), repeats=2)
    pd.testing.assert_frame_equal(again, frame, check_exact=True)


def test_models_without_inputs_are_refused(fit: Fit, window: Window) -> None:
    with pytest.raises(InputError, match="no inputs to shuffle"):
        feature_importance(Naive(), Naive().fit(window), window)
    with pytest.raises(InputError, match="2 repeats"):
        feature_importance(SMALL, fit, window, repeats=1)
