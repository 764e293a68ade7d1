"""Inputs and labels of the networks on log variances (`lstm`, `transformer`).

An origin t has a sequence over the days t-T+1 .. t and static values at t. Levels of variance enter relative to the log
of the 22-day mean at t, so an input says how variance differs from its recent level, not how high it is. Row t uses
rows dated <= t only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from volassets.features.covariates import values_of
from volassets.models.protocol import Window

ANCHOR = "log_proxy_22"
LIMIT = 6.0
MINIMUM_ROWS = 100
LABEL_RANGE = (-12.0, 6.0)

RELATIVE_CHANNELS = ("log_proxy", "log_gk")
CHANNELS = (
    *RELATIVE_CHANNELS,
    "return_z",
    "absolute_return_z",
    "return_z_negative",
    "overnight_z",
    "volume_surprise",
    "close_location",
)
STATIC_COLUMNS = (
    "log_proxy_level",
    "return_z",
    "return_z_negative",
    "return_z_5",
    "return_z_5_negative",
    "return_z_22",
    "return_z_22_negative",
    "overnight_z",
    "volume_surprise",
    "volume_surprise_5",
    "next_monday",
    "next_friday",
)
STATIC_DIFFERENCES = (
    ("log_proxy", ANCHOR),
    ("log_proxy_5", ANCHOR),
    ("log_proxy_66", ANCHOR),
    ("log_gk", "log_proxy"),
    ("log_gk_5", "log_proxy_5"),
)
STATIC = (*(f"{a}-{b}" for a, b in STATIC_DIFFERENCES), *STATIC_COLUMNS)


@dataclass(frozen=True)
class Inputs:
    """Inputs of n origins, float64, not scaled.

    Attributes
    ----------
    sequence : ndarray, shape (n, length, channels)
        Oldest day first, in the order of `CHANNELS`.
    static : ndarray, shape (n, statics)
        In the order of `STATIC`, then the covariates.
    anchor : ndarray, shape (n,)
        Log of the 22-day mean proxy variance at the origin.
    usable : ndarray of bool, shape (n,)
        False where an input is NaN.
    """

    sequence: np.ndarray
    static: np.ndarray
    anchor: np.ndarray
    usable: np.ndarray

    def take(self, rows: np.ndarray) -> Inputs:
        """Return the inputs of `rows` (positions or mask)."""
        return Inputs(self.sequence[rows], self.static[rows], self.anchor[rows], self.usable[rows])

    @classmethod
    def joined(cls, parts: Sequence[Inputs]) -> Inputs:
        """Return the inputs of several tickers, one after the other."""
        return cls(*(np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])))


def build_inputs(features: pd.DataFrame, length: int, covariates: Sequence[str] = ()) -> Inputs:
    """Return the inputs of every row of `features` as an origin, with sequences of `length` days.

    The columns `covariates` are static inputs; one that the table lacks is 0.
    """
    columns = {name: features[name].to_numpy(np.float64) for name in features.columns}
    columns["absolute_return_z"] = np.abs(columns["return_z"])
    anchor = columns[ANCHOR]
    days = np.stack([columns[name] for name in CHANNELS], axis=1)
    padded = np.concatenate([np.full((length - 1, len(CHANNELS)), np.nan), days])
    sequence = sliding_window_view(padded, length, axis=0).transpose(0, 2, 1).copy()
    sequence[:, :, : len(RELATIVE_CHANNELS)] -= anchor[:, None, None]
    static = np.stack(
        [columns[a] - columns[b] for a, b in STATIC_DIFFERENCES] + [columns[name] for name in STATIC_COLUMNS], axis=1
    )
    if covariates:
        static = np.concatenate([static, values_of(features, covariates)], axis=1)
    usable = np.isfinite(sequence).all(axis=(1, 2)) & np.isfinite(static).all(axis=1) & np.isfinite(anchor)
    return Inputs(sequence, static, anchor, usable)


@dataclass(frozen=True)
class Scaler:
    """Means and standard deviations of the training rows, per channel and per static value."""

    sequence_center: np.ndarray
    sequence_scale: np.ndarray
    static_center: np.ndarray
    static_scale: np.ndarray

    @classmethod
    def of(cls, inputs: Inputs) -> Scaler:
        """Estimate on `inputs`; a constant input gets scale 1."""
        pairs = []
        for values in (inputs.sequence.reshape(-1, inputs.sequence.shape[2]), inputs.static):
            deviation = values.std(axis=0)
            pairs += [values.mean(axis=0), np.where(deviation > 1e-12, deviation, 1.0)]
        return cls(*pairs)

    @classmethod
    def from_parameters(cls, stored: dict[str, list[float]]) -> Scaler:
        """Read what `to_parameters` wrote."""
        return cls(**{name: np.asarray(values, np.float64) for name, values in stored.items()})

    def to_parameters(self) -> dict[str, Any]:
        """Return JSON types; floats survive a round trip exactly."""
        return {name: values.tolist() for name, values in vars(self).items()}

    def apply(self, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
        """Standardise, clip to +-6, put the rows last: float32 (length, channels, n) and (statics, n)."""
        sequence = np.clip((inputs.sequence - self.sequence_center) / self.sequence_scale, -LIMIT, LIMIT)
        static = np.clip((inputs.static - self.static_center) / self.static_scale, -LIMIT, LIMIT)
        return (
            np.ascontiguousarray(sequence.transpose(1, 2, 0), dtype=np.float32),
            np.ascontiguousarray(static.T, dtype=np.float32),
        )


@dataclass(frozen=True)
class Labels:
    """The log of the target over the anchored level e^(anchor + level_h).

    Attributes
    ----------
    level : ndarray, shape (horizons,)
        k_h = ln mean(y_h / e^anchor) over the realised training rows.
    log_ratio : ndarray, shape (horizons, n)
        ln(y_h / e^(anchor + k_h)), clipped to [-12, 6]; 0 where not realised.
    realised : ndarray, shape (horizons, n)
        1 where the label lies before the cut-off, else 0.
    """

    level: np.ndarray
    log_ratio: np.ndarray
    realised: np.ndarray

    def take(self, rows: np.ndarray) -> Labels:
        """Return the labels of `rows`, with the level of all."""
        return Labels(self.level, self.log_ratio[:, rows], self.realised[:, rows])


def build_labels(window: Window, anchor: np.ndarray, rows: np.ndarray) -> Labels:
    """Return the labels of `rows` (positions in ``window.features``), whose anchors are `anchor`."""
    targets = np.stack([window.target(horizon).to_numpy(np.float64)[rows] for horizon in window.horizons])
    realised = np.isfinite(targets)
    ratio = np.where(realised, targets, 0.0) / np.exp(anchor)
    level = np.log(ratio.sum(axis=1) / realised.sum(axis=1))
    floor = np.exp(LABEL_RANGE[0])
    log_ratio = np.log(np.maximum(ratio * np.exp(-level)[:, None], floor))
    return Labels(level, np.where(realised, np.minimum(log_ratio, LABEL_RANGE[1]), 0.0), realised.astype(np.float64))


def labelled_rows(window: Window, usable: np.ndarray) -> np.ndarray:
    """Return the positions of the training rows: usable, and at least the shortest label before the cut-off."""
    realised = np.isfinite(window.target(min(window.horizons)).to_numpy(np.float64))
    return np.flatnonzero(usable & realised)
