"""The colours: readable on both backgrounds, and apart for colour-blind readers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from volassets.models.registry import MODELS
from volassets.reporting.palette import DARK_BACKGROUND, LIGHT_BACKGROUND, look_of, model_order

# Machado, Oliveira and Fernandes (2009), full deficiency, on linear RGB.
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
DRAWN = (*MODELS, "buy_and_hold")


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def lab(rgb: np.ndarray) -> np.ndarray:
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.asarray(matrix) @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("background", [LIGHT_BACKGROUND, DARK_BACKGROUND])
@pytest.mark.parametrize("model", DRAWN)
def test_contrast_with_both_backgrounds(model: str, background: str) -> None:
    one, other = sorted((luminance(look_of(model).colour), luminance(background)))
    assert (other + 0.05) / (one + 0.05) >= 3.0


@pytest.mark.parametrize("deficiency", [np.eye(3), np.array(PROTANOPIA), np.array(DEUTERANOPIA)])
def test_models_differ_in_hue_dash_or_marker_for_everybody(deficiency: np.ndarray) -> None:
    for a, b in combinations(DRAWN, 2):
        one, other = look_of(a), look_of(b)
        distance = np.linalg.norm(lab(deficiency @ linear(one.colour)) - lab(deficiency @ linear(other.colour)))
        assert distance > 8 or (one.dash != other.dash and one.marker != other.marker), (a, b, distance)


def test_a_model_looks_the_same_every_time_and_a_new_one_gets_a_look() -> None:
    assert look_of("gjr") == look_of("gjr")
    assert look_of("some_new_model") == look_of("some_new_model")


def test_order_is_the_registry_s_with_others_last() -> None:
    assert model_order(["buy_and_hold", "log_har", "naive", "log_har"]) == ["naive", "log_har", "buy_and_hold"]
