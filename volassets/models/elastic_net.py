"""Elastic net along a path of penalties, the penalty chosen on expanding blocks in time.

Only sums of products over prefixes of the rows are needed, so every row is multiplied out once and
all folds share the result.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-5
ITERATIONS = 2000


@dataclass(frozen=True)
class Choice:
    """Intercept, slopes, shape (k,), and the penalty they were estimated with."""

    intercept: float
    slopes: np.ndarray
    penalty: float


def choose_and_fit(
    inputs: np.ndarray,
    label: np.ndarray,
    horizon: int,
    l1_ratio: float,
    folds: int,
    penalties: int,
    smallest: float,
) -> Choice:
    """Return the elastic net on all rows with the penalty of the smallest mean squared error on later blocks.

    Parameters
    ----------
    inputs : ndarray, shape (n, k)
        Standardised, in time order.
    label : ndarray, shape (n,)
    horizon : int
        Sessions that a label reaches ahead: that many rows less one are left out before a block,
        because their labels overlap it.
    l1_ratio : float
        Share of the absolute penalty.
    folds : int
        Blocks of scikit-learn's ``TimeSeriesSplit``: each is forecast from the rows before it.
    penalties : int
        Points of the geometric path.
    smallest : float
        Its end, as a share of the penalty that leaves no input.
    """
    from sklearn.model_selection import TimeSeriesSplit

    splits = list(TimeSeriesSplit(folds, gap=horizon - 1).split(inputs))
    ends = [len(train) for train, _ in splits] + [len(label)]
    prefixes = _prefix_moments(np.column_stack([inputs, label]), ends)
    *_, (full_gram, full_moment, _) = prefixes
    largest = np.abs(full_moment).max() / (len(label) * l1_ratio)
    path = largest * np.geomspace(1.0, smallest, penalties)
    errors = np.zeros(penalties)
    for (train, block), (gram, moment, means) in zip(splits, prefixes, strict=False):
        slopes = _path(inputs[train], label[train], gram, moment, path, l1_ratio)
        predicted = means[-1] + np.einsum("ij,ja->ia", inputs[block] - means[:-1], slopes)
        errors += ((label[block, None] - predicted) ** 2).mean(axis=0)
    best = int(errors.argmin())
    slopes = _path(inputs, label, full_gram, full_moment, path[: best + 1], l1_ratio)[:, -1]
    means = prefixes[-1][2]
    return Choice(float(means[-1] - (means[:-1] * slopes).sum()), slopes, float(path[best]))


def _prefix_moments(rows: np.ndarray, ends: list[int]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return (X'X, X'y, means) of the centred rows[:end] for each end; the last column is y."""
    products = np.zeros((rows.shape[1], rows.shape[1]))
    sums = np.zeros(rows.shape[1])
    found, start = [], 0
    for end in ends:
        block = np.ascontiguousarray(rows[start:end].T)
        products = products + np.einsum("ji,ki->jk", block, block)
        sums = sums + block.sum(axis=1)
        centred = products - np.outer(sums, sums) / end
        found.append((np.ascontiguousarray(centred[:-1, :-1]), centred[:-1, -1].copy(), sums / end))
        start = end
    return found


def _path(
    inputs: np.ndarray, label: np.ndarray, gram: np.ndarray, moment: np.ndarray, path: np.ndarray, l1_ratio: float
) -> np.ndarray:
    """Return the slopes, shape (k, len(path)), each started from the one before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import enet_path

    with warnings.catch_warnings():
        # The lags are nearly collinear: at the small end slopes still shift among neighbours, forecasts no more.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return enet_path(
            inputs, label - label.mean(), l1_ratio=l1_ratio, alphas=path, precompute=gram, Xy=moment,
            check_input=False, tol=TOLERANCE, max_iter=ITERATIONS,
        )[1]  # fmt: skip
