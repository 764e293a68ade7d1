"""Loops of layer normalisation and attention, compiled by numba: what `transformer_kernels` is made of.

Arrays have features first, then days and rows in one dimension. Attention is ordered by shift: with the keys of all
days written twice in a row, those that lie `s` days after each day's query, cyclically, are one piece of memory, and a
softmax over the shifts is one over the days.
"""

from __future__ import annotations

import numpy as np

from volassets.models.vector_loops import ONE, ZERO, add, add_product, add_products, copy, inner, multiply, sigmoid

EPSILON = np.float32(1e-5)


@inner
def center(source, mean, target, square):
    """Put `source` less `mean` into `target`, and add its square to `square`."""
    for j in range(target.size):
        x = source[j] - mean[j]
        target[j] = x
        square[j] += x * x


@inner
def normalise(tokens, scale, normal):
    """Put the tokens (width, m), of each column less its mean and over its deviation, into `normal`."""
    width, m = tokens.shape
    mean, part = normal[0], ONE / np.float32(width)
    copy(tokens[0], mean)
    for k in range(1, width):
        add(tokens[k], mean)
    for j in range(m):
        mean[j] *= part
        scale[j] = ZERO
    # The mean lies where the first feature goes, which is therefore the last one to be written.
    for k in range(width - 1, -1, -1):
        center(tokens[k], mean, normal[k], scale)
    for j in range(m):
        scale[j] = ONE / np.sqrt(scale[j] * part + EPSILON)
    for k in range(width):
        multiply(scale, normal[k])


@inner
def unscale(normal, scale, mean, product, d):
    """Turn the gradient of a normalised feature into that of the feature."""
    for j in range(d.size):
        d[j] = scale[j] * (d[j] - mean[j] - normal[j] * product[j])


@inner
def normalise_backward(normal, scale, d, work):
    """Turn the gradient of `normal` into that of the tokens, in place."""
    width, m = d.shape
    mean, product, part = work[:m], work[m : 2 * m], ONE / np.float32(width)
    work[: 2 * m] = ZERO
    for k in range(width):
        add(d[k], mean)
        add_product(d[k], normal[k], product)
    for j in range(2 * m):
        work[j] *= part
    for k in range(width):
        unscale(normal[k], scale, mean, product, d[k])


@inner
def write_twice(source, factor, target):
    """Put `source` times a number into both halves of `target`."""
    m = source.size
    first, second = target[:m], target[m:]
    for j in range(m):
        first[j] = source[j] * factor
    copy(first, second)


@inner
def products_by_shift(queries, keys, n, scores):
    """Put into scores[s] the product of each day's query with the key `s` days later; `keys` are written twice."""
    size = queries.shape[0]
    whole = size - size % 4
    for s in range(scores.shape[0]):
        score, at = scores[s], s * n
        score[:] = ZERO
        for k in range(0, whole, 4):
            add_products(
                queries[k], queries[k + 1], queries[k + 2], queries[k + 3],
                keys[k][at:], keys[k + 1][at:], keys[k + 2][at:], keys[k + 3][at:], score,
            )  # fmt: skip
        for k in range(whole, size):
            add_product(queries[k], keys[k][at:], score)


@inner
def sums_over_shifts(shares, values, n, sums):
    """Put into `sums`, of each day, all values by their shares by shift; `values` are written twice."""
    days = shares.shape[0]
    whole = days - days % 4
    for k in range(sums.shape[0]):
        value, total = values[k], sums[k]
        total[:] = ZERO
        for s in range(0, whole, 4):
            at = s * n
            add_products(
                shares[s], shares[s + 1], shares[s + 2], shares[s + 3],
                value[at:], value[at + n :], value[at + 2 * n :], value[at + 3 * n :], total,
            )  # fmt: skip
        for s in range(whole, days):
            add_product(shares[s], value[s * n :], total)


@inner
def order_by_key(by_shift, n, by_key):
    """Put what is of a day and a key `s` days later into by_key[days - s], of the key and the day so much later."""
    days, m = by_shift.shape
    for s in range(days):
        later = (days - s) % days
        split = later * n
        copy(by_shift[s][split:], by_key[later][: m - split])
        copy(by_shift[s][:split], by_key[later][m - split :])


@inner
def softmax_backward(share, d, mean):
    """Turn the gradient of the shares into that of their scores, in place."""
    mean[:] = ZERO
    for s in range(share.shape[0]):
        add_product(share[s], d[s], mean)
    for s in range(share.shape[0]):
        row, weight = d[s], share[s]
        for j in range(mean.size):
            row[j] = weight[j] * (row[j] - mean[j])


@inner
def silu(x, bend):
    """Replace x by x * sigmoid(x), and put its slope into `bend`."""
    for j in range(x.size):
        y = x[j]
        share = sigmoid(y)
        x[j] = y * share
        bend[j] = share * (ONE + y * (ONE - share))
