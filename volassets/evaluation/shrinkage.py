"""Correlation matrices that stay usable: nonlinear shrinkage, and eigenvalues that are not below a floor."""

from __future__ import annotations

import numpy as np

EIGENVALUE_FLOOR = 1e-4
_ROOT5 = np.sqrt(5.0)


def analytical_shrinkage(sample: np.ndarray, n: int) -> np.ndarray:
    """Return the nonlinear shrinkage of a covariance matrix (Ledoit and Wolf 2020, analytical formula).

    The eigenvectors stay; each eigenvalue is moved by a kernel estimate of the limiting spectral density and its
    Hilbert transform, which also holds where there are more assets than days.

    Parameters
    ----------
    sample : ndarray, shape (p, p)
        Second moments about zero of `n` days.
    n : int
        Days; at least 12, for which the authors have shown the formula to work.

    Returns
    -------
    ndarray, shape (p, p)
        Positive definite.
    """
    p = len(sample)
    values, vectors = np.linalg.eigh(sample)
    kept = np.maximum(values[max(0, p - n) :], np.finfo(float).tiny)
    bandwidth = n ** (-1.0 / 3.0)
    width = bandwidth * kept
    x = (kept[:, None] - kept[None, :]) / width[None, :]
    density = (0.75 / _ROOT5 * np.maximum(1.0 - x**2 / 5.0, 0.0) / width[None, :]).mean(axis=1)
    hilbert = (_hilbert(x) / width[None, :]).mean(axis=1)
    if p <= n:
        ratio = p / n
        shrunk = kept / ((np.pi * ratio * kept * density) ** 2 + (1.0 - ratio - np.pi * ratio * kept * hilbert) ** 2)
    else:
        log_term = np.log((1.0 + _ROOT5 * bandwidth) / (1.0 - _ROOT5 * bandwidth))
        at_zero = 0.3 / bandwidth**2 + 0.75 / _ROOT5 / bandwidth * (1.0 - 0.2 / bandwidth**2) * log_term
        null = 1.0 / (np.pi * (p - n) / n * (at_zero / np.pi * (1.0 / kept).mean()))
        rest = kept / (np.pi**2 * kept**2 * (density**2 + hilbert**2))
        shrunk = np.concatenate([np.full(p - n, null), rest])
    return np.asarray((vectors * shrunk) @ vectors.T)


def _hilbert(x: np.ndarray) -> np.ndarray:
    """Return the Hilbert transform of Epanechnikov's kernel."""
    at_edge = np.abs(np.abs(x) - _ROOT5) < 1e-12
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = 0.75 / _ROOT5 / np.pi * (1.0 - x**2 / 5.0) * np.log(np.abs((_ROOT5 - x) / (_ROOT5 + x)))
    return np.asarray(-0.3 / np.pi * x + np.where(at_edge, 0.0, inner))


def as_correlation(matrix: np.ndarray) -> np.ndarray:
    """Return a covariance matrix scaled to a unit diagonal, exactly symmetric."""
    deviation = np.sqrt(np.diagonal(matrix, axis1=-2, axis2=-1))
    scaled = matrix / (deviation[..., :, None] * deviation[..., None, :])
    scaled = 0.5 * (scaled + np.swapaxes(scaled, -1, -2))
    diagonal = np.arange(matrix.shape[-1])
    scaled[..., diagonal, diagonal] = 1.0
    return np.asarray(scaled)


def with_floor(correlation: np.ndarray, floor: float = EIGENVALUE_FLOOR) -> np.ndarray:
    """Return a correlation matrix, or a stack of them, whose eigenvalues below `floor` were raised to it."""
    values, vectors = np.linalg.eigh(correlation)
    if values.min() >= floor:
        return correlation
    raised = (vectors * np.maximum(values, floor)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return as_correlation(raised)
