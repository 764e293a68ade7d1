"""What the compiled epochs of `StackedLstm` and `StackedTransformer` have in common: the head, the loss and the step.

It is `networks.Stacked` and the step of `training.Descent` in compiled code. A `space` is either network's: of it are
used here `merged` (what the head reads: the encoding, then `static`), `hidden`, `slope`, `error`, `log_ratio`,
`realised`, their gradients and `powers`, all with the rows of a block last.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from volassets.models.vector_loops import (
    ONE,
    ZERO,
    add_rows,
    approach,
    copy,
    descend,
    exponentiate,
    inner,
    multiply,
    sigmoid,
)


@inner
def head_parts_of(flat, space):
    """Return views of the head's parameters (or their gradient) in the order of `Stacked`, then the encoder's."""
    head, merged, horizons = space.hidden.shape[0], space.merged.shape[0], space.log_ratio.shape[0]
    a = head * merged
    b = a + head
    c = b + horizons * head
    d = c + horizons
    return flat[:a].reshape(head, merged), flat[a:b], flat[b:c].reshape(horizons, head), flat[c:d], flat[d:]


@inner
def load_labels(space, start, static, log_ratio, realised):
    """Copy the static values and the labels of the rows from `start` on into the block's arrays."""
    end = start + space.hidden.shape[1]
    for k in range(static.shape[0]):
        copy(static[k, start:end], space.static[k])
    for h in range(log_ratio.shape[0]):
        copy(log_ratio[h, start:end], space.log_ratio[h])
        copy(realised[h, start:end], space.realised[h])


@inner
def label_scales(realised, start, size):
    """Return what turns every horizon's sum of losses over a batch into its part of the mean."""
    horizons = realised.shape[0]
    scale = np.empty(horizons, np.float32)
    for h in range(horizons):
        count = ZERO
        for j in range(start, start + size):
            count += realised[h, j]
        scale[h] = ONE / (max(count, ONE) * np.float32(horizons))
    return scale


@inner
def activate(space, factors, before, hidden, hidden_bias, output, output_bias):
    """Run the head: `merged` to `hidden` (after its dropout) and to the errors of every horizon."""
    encoding, (head, n) = space.merged.shape[0] - space.static.shape[0], space.hidden.shape
    for k in range(space.merged.shape[0]):
        if k >= encoding:
            copy(space.static[k - encoding], space.merged[k])
        multiply(factors[k, before : before + n], space.merged[k])
    np.dot(hidden, space.merged, space.hidden)
    for k in range(head):
        row, slope, bias, factor = space.hidden[k], space.slope[k], hidden_bias[k], factors[space.merged.shape[0] + k]
        dropped = factor[before : before + n]
        for j in range(n):
            x = row[j] + bias
            share = sigmoid(x)
            row[j] = x * share * dropped[j]
            slope[j] = share * (ONE + x * (ONE - share)) * dropped[j]
    np.dot(output, space.hidden, space.error)
    for h in range(output_bias.size):
        row, log_ratio, bias = space.error[h], space.log_ratio[h], output_bias[h]
        for j in range(n):
            row[j] = log_ratio[j] - row[j] - bias


@inner
def qlike(space, scale):
    """Return the sum of the losses, each horizon's times its `scale`; the gradient of the outputs goes to d_output."""
    horizons, n = space.error.shape
    total = 0.0
    copy(space.error.reshape(horizons * n), space.d_output.reshape(horizons * n))
    exponentiate(space.d_output.reshape(horizons * n), space.powers)
    for h in range(horizons):
        d_row, error, realised, factor, loss = space.d_output[h], space.error[h], space.realised[h], scale[h], ZERO
        for j in range(n):
            loss += (d_row[j] - error[j] - ONE) * realised[j]
            d_row[j] = (ONE - d_row[j]) * realised[j] * factor
        total += loss * factor
    return total


@inner
def head_backward(space, factors, before, hidden, output, d_hidden, d_hidden_bias, d_output, d_output_bias):
    """Take the gradient of the outputs back to the encoding, in `d_merged`; add those of the head's parameters."""
    encoding, n = space.merged.shape[0] - space.static.shape[0], space.hidden.shape[1]
    d_output += np.dot(space.d_output, space.hidden.T)
    add_rows(space.d_output, d_output_bias)
    np.dot(output.T, space.d_output, space.d_hidden)
    multiply(space.slope.reshape(space.slope.size), space.d_hidden.reshape(space.slope.size))
    d_hidden += np.dot(space.d_hidden, space.merged.T)
    add_rows(space.d_hidden, d_hidden_bias)
    np.dot(hidden.T, space.d_hidden, space.d_merged)
    for k in range(encoding):
        multiply(factors[k, before : before + n], space.d_merged[k])


@inner
def take_step(weights, gradient, averaged, moments, number, planned, weight_decay, clip):
    """Take AdamW's step with this number (from 1), its rate and share `planned`, of every network of a stack."""
    rate, share = planned[0], planned[1]
    for s in range(weights.shape[0]):
        descend(weights[s], gradient[s], moments[0, s], moments[1, s], number, rate, weight_decay, clip)
        if share:
            approach(averaged[s], weights[s], np.float32(share))


def smallest_epoch(space: Any, encoder: int) -> tuple[Any, ...]:
    """Return arguments of `train_epoch` for one network of one feature in all; `encoder` counts its parameters."""
    shapes = ((2, 1, 2), (1, 2), (1, 2), (1, 2))
    rows = tuple(np.zeros(shape, np.float32) for shape in shapes)
    parameters = 1 * 3 + 1 + 1 + 1 + encoder
    weights, averaged = np.zeros((2, 1, parameters), np.float32)
    moments, factors = np.zeros((2, 1, parameters), np.float32), np.ones((1, 4, 2), np.float32)
    return space, space, rows, factors, 1, weights, averaged, moments, np.full((2, 2), 0.5), (0, 0.0, 1.0)
