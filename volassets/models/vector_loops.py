"""Loops over neighbours in memory, compiled by numba: what the networks' kernels are made of.

numba's options, and why: without ``error_model="numpy"`` a division may raise, which no vectorised loop can;
``fastmath`` allows sums in another order and fused multiplications, but not that NaN or infinity be taken for
impossible. Each array is an argument of its own and has one dimension: loops over parts of a larger array are two to
four times slower.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

OPTIONS: dict[str, Any] = {"fastmath": {"reassoc", "contract", "nsz", "afn"}, "error_model": "numpy"}
# For what compiled code alone calls: an entry from Python is not compiled, and a call from there ends the process.
WITHOUT_ENTRY: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner: Any = njit(**OPTIONS, **WITHOUT_ENTRY, forceinline=True)
# For what is called once: written into its caller, which would else be optimised twice.
inline: Any = njit(**OPTIONS, inline="always")
# Of AdamW, as PyTorch has them.
EPSILON = 1e-8
BETAS = (0.9, 0.999)

# A literal would be a float64, and with it the whole loop.
ZERO, HALF, ONE, TINY = np.float32(0), np.float32(0.5), np.float32(1), np.float32(1e-6)
# tanh x = x P(x^2) / Q(x^2), a rational minimax approximation in float32 (as in Eigen); +-1 beyond the limit.
LIMIT = np.float32(7.90531110763549805)
P0, P1, P2 = np.float32(4.89352455891786e-03), np.float32(6.37261928875436e-04), np.float32(1.48572235717979e-05)
P3, P4, P5 = np.float32(5.12229709037114e-08), np.float32(-8.60467152213735e-11), np.float32(2.00018790482477e-13)
P6 = np.float32(-2.76076847742355e-16)
Q0, Q1, Q2 = np.float32(4.89352518554385e-03), np.float32(2.26843463243900e-03), np.float32(1.18534705686654e-04)
Q3 = np.float32(1.19825839466702e-06)
# exp x = 2^k e^r with |r| <= ln 2 / 2: Taylor's polynomial of degree 7, ln 2 in two parts.
LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
E2, E3, E4, E5 = np.float32(1 / 2), np.float32(1 / 6), np.float32(1 / 24), np.float32(1 / 120)
E6, E7 = np.float32(1 / 720), np.float32(1 / 5040)
EXP_LIMIT = np.float32(87.0)


@inner
def tanh(x):
    """Return tanh x to 4e-7."""
    x = LIMIT if x > LIMIT else x
    x = -LIMIT if x < -LIMIT else x
    y = x * x
    p = P0 + y * (P1 + y * (P2 + y * (P3 + y * (P4 + y * (P5 + y * P6)))))
    return x * p / (Q0 + y * (Q1 + y * (Q2 + y * Q3)))


@inner
def sigmoid(x):
    """Return 1 / (1 + exp -x)."""
    return HALF + HALF * tanh(HALF * x)


@inner
def exponentiate(x, powers):
    """Replace x by exp x; `powers` is memory of the same size for the powers of two."""
    exponents = powers[: x.size].view(np.int32)
    for j in range(x.size):
        value = EXP_LIMIT if x[j] > EXP_LIMIT else x[j]
        value = -EXP_LIMIT if value < -EXP_LIMIT else value
        k = np.floor(value * LOG2_E + HALF)
        r = (value - k * LN2_HIGH) - k * LN2_LOW
        exponents[j] = (np.int32(k) + np.int32(127)) << np.int32(23)
        x[j] = ONE + r * (ONE + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * (E6 + r * E7))))))
    for j in range(x.size):
        x[j] *= powers[j]


@inner
def apply_sigmoid(x):
    """Replace x by its sigmoid."""
    for j in range(x.size):
        x[j] = sigmoid(x[j])


@inner
def apply_tanh(x):
    """Replace x by its tanh."""
    for j in range(x.size):
        x[j] = tanh(x[j])


@inner
def copy(source, target):
    """Copy `source` into `target`."""
    for j in range(target.size):
        target[j] = source[j]


@inner
def add(source, target):
    """Add `source` to `target`."""
    for j in range(target.size):
        target[j] += source[j]


@inner
def multiply(source, target):
    """Multiply `target` by `source`."""
    for j in range(target.size):
        target[j] *= source[j]


@inner
def add_product(a, b, target):
    """Add a * b to `target`."""
    for j in range(target.size):
        target[j] += a[j] * b[j]


@inner
def add_products(a, b, c, d, w, x, y, z, target):
    """Add a * w + b * x + c * y + d * z to `target`, which is read and written once for all four."""
    for j in range(target.size):
        target[j] += a[j] * w[j] + b[j] * x[j] + c[j] * y[j] + d[j] * z[j]


@inner
def add_scaled(source, factor, target):
    """Add `source` times a number to `target`."""
    for j in range(target.size):
        target[j] += source[j] * factor


@inner
def dot(a, b):
    """Return the sum of a * b."""
    total = ZERO
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@inner
def add_rows(matrix, target):
    """Add the sum of every row of `matrix` to `target`."""
    for k in range(target.size):
        row, total = matrix[k], ZERO
        for j in range(row.size):
            total += row[j]
        target[k] += total


@inner
def softmax(score, powers):
    """Replace scores (days, n) by their shares over the days."""
    days, n = score.shape
    largest = score[0].copy()
    for day in range(1, days):
        row = score[day]
        for j in range(n):
            largest[j] = row[j] if row[j] > largest[j] else largest[j]
    for day in range(days):
        row = score[day]
        for j in range(n):
            row[j] -= largest[j]
    exponentiate(score.reshape(days * n), powers)
    largest[:] = ZERO
    for day in range(days):
        add(score[day], largest)
    for j in range(n):
        largest[j] = ONE / largest[j]
    for day in range(days):
        multiply(largest, score[day])


@inner
def descend(weights, gradient, first, second, step, rate, weight_decay, clip):
    """Take one step of AdamW with a clipped gradient; `step` counts from 1."""
    square = ZERO
    for j in range(gradient.size):
        square += gradient[j] * gradient[j]
    shrink = min(np.float32(clip / (np.sqrt(square) + TINY)), ONE)
    beta, gamma = np.float32(BETAS[0]), np.float32(BETAS[1])
    stride = np.float32(rate / (1 - BETAS[0] ** step))
    correction = np.float32(1 / np.sqrt(1 - BETAS[1] ** step))
    decay, epsilon = np.float32(1 - rate * weight_decay), np.float32(EPSILON)
    for j in range(gradient.size):
        d = gradient[j] * shrink
        first[j] = beta * first[j] + (ONE - beta) * d
        second[j] = gamma * second[j] + (ONE - gamma) * d * d
        weights[j] = weights[j] * decay - stride * first[j] / (np.sqrt(second[j]) * correction + epsilon)


@inner
def approach(averaged, weights, share):
    """Move the average by `share` of its way to `weights`."""
    for j in range(averaged.size):
        averaged[j] += share * (weights[j] - averaged[j])
