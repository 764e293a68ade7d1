"""The arithmetic of an epoch of `StackedTransformer`, compiled by numba, as `lstm_kernels` is for the LSTM.

The arrays of a block have features first, then days and rows in one dimension, so that every loop runs over all days
and rows at once; `attention_loops` says how attention goes over the days. `networks` says the same in PyTorch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from volassets.models.attention_loops import (
    normalise,
    normalise_backward,
    order_by_key,
    products_by_shift,
    silu,
    softmax_backward,
    sums_over_shifts,
    write_twice,
)
from volassets.models.stacked_kernels import (
    activate,
    head_backward,
    head_parts_of,
    label_scales,
    load_labels,
    qlike,
    smallest_epoch,
    take_step,
)
from volassets.models.vector_loops import ONE, ZERO, add, copy, inline, inner, multiply, softmax

FloatArray = NDArray[np.float32]

# A quarter of the LSTM's: a row has more numbers, and they have to stay in a core's cache too.
BLOCK = 16
# Of queries, keys and values: the part of `Space.twice` with which their gradients are summed up.
SOURCES = (1, 0, 3)


class Space(NamedTuple):
    """The arrays of a block: what it reads, and what a network's forward pass keeps for its backward pass.

    `normal` has what each of the three layer normalisations returns, `scale` what it multiplies by; a one stands below
    for the bias of the layer after it, as in `wide`, the units of the feed-forward layer. `twice` has queries, keys,
    values and the gradient of what the heads return, each of all days twice in a row. `shares` are the weights of
    attention (heads, shifts, days and rows); `terms` has the gradients of a head's scores by shift, the same by key,
    and the shares by key. `update` is what a layer adds to the tokens, then its gradient.
    """

    given: FloatArray
    tokens: FloatArray
    scale: FloatArray
    normal: FloatArray
    mixed: FloatArray
    twice: FloatArray
    shares: FloatArray
    terms: FloatArray
    seen: FloatArray
    wide: FloatArray
    bend: FloatArray
    update: FloatArray
    d_tokens: FloatArray
    d_weights: FloatArray
    powers: FloatArray
    static: FloatArray
    merged: FloatArray
    d_merged: FloatArray
    hidden: FloatArray
    slope: FloatArray
    d_hidden: FloatArray
    log_ratio: FloatArray
    realised: FloatArray
    error: FloatArray
    d_output: FloatArray

    @classmethod
    def of(
        cls, days: int, channels: int, width: int, heads: int, static: int, head: int, horizons: int, n: int
    ) -> Space:
        """Return the arrays of `n` rows, all 0 but the ones for the bias."""
        m, merged = days * n, 2 * width + static
        shapes = {
            "given": (channels, m), "tokens": (width, m), "scale": (3, m), "normal": (3, width + 1, m),
            "mixed": (3 * width, m), "twice": (4 * width, 2 * m), "shares": (heads, days, m), "terms": (3, days, m),
            "seen": (width, m), "wide": (2 * width + 1, m), "bend": (2 * width, m), "update": (width, m),
            "d_tokens": (width, m), "d_weights": ((channels + days + 8 * width + 6) * width,),
            "powers": (max(days * m, 2 * m, horizons * n),), "static": (static, n), "merged": (merged, n),
            "d_merged": (merged, n), "hidden": (head, n), "slope": (head, n), "d_hidden": (head, n),
        }  # fmt: skip
        shapes |= dict.fromkeys(("log_ratio", "realised", "error", "d_output"), (horizons, n))
        arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        arrays["normal"][:, width] = 1
        arrays["wide"][2 * width] = 1
        return cls(**arrays)


@inner
def encoder_parts_of(flat, space):
    """Return views of the encoder's parameters (or their gradient), a layer's bias as the last row of its weights."""
    channels, width = space.given.shape[0], space.tokens.shape[0]
    days = space.terms.shape[1]
    a = channels * width
    b = a + days * width
    c = b + (width + 1) * 3 * width
    d = c + width * width
    e = d + (width + 1) * 2 * width
    return (
        flat[:a].reshape(channels, width), flat[a:b].reshape(days, width), flat[b:c].reshape(width + 1, 3 * width),
        flat[c:d].reshape(width, width), flat[d:e].reshape(width + 1, 2 * width),
        flat[e:].reshape(2 * width + 1, width),
    )  # fmt: skip


@inner
def attend(space, mix, unmix):
    """Put what the heads add to the tokens into `update`."""
    width, heads, m = space.tokens.shape[0], space.shares.shape[0], space.tokens.shape[1]
    n, size = m // space.terms.shape[1], width // heads
    np.dot(mix.T, space.normal[0], space.mixed)
    root = ONE / np.sqrt(np.float32(size))
    for k in range(3 * width):
        write_twice(space.mixed[k], root if k < width else ONE, space.twice[k])
    for h in range(heads):
        a, b = h * size, h * size + size
        products_by_shift(space.twice[a:b], space.twice[width + a : width + b], n, space.shares[h])
        softmax(space.shares[h], space.powers)
        sums_over_shifts(space.shares[h], space.twice[2 * width + a : 2 * width + b], n, space.seen[a:b])
    np.dot(unmix.T, space.seen, space.update)


@inner
def attend_backward(space, mix, unmix, d_mix, d_unmix):
    """Turn the gradient of the tokens into that of the first `normal`, in `update`."""
    width, heads, m = space.tokens.shape[0], space.shares.shape[0], space.tokens.shape[1]
    n, size = m // space.terms.shape[1], width // heads
    d_score = space.terms[0]
    np.dot(space.seen, space.d_tokens.T, d_unmix)
    np.dot(unmix, space.d_tokens, space.update)
    for k in range(width):
        write_twice(space.update[k], ONE, space.twice[3 * width + k])
    for h in range(heads):
        a, b = h * size, h * size + size
        products_by_shift(space.update[a:b], space.twice[2 * width + a : 2 * width + b], n, d_score)
        softmax_backward(space.shares[h], d_score, space.powers[:m])
        order_by_key(d_score, n, space.terms[1])
        order_by_key(space.shares[h], n, space.terms[2])
        for part in range(3):
            start, source = part * width, SOURCES[part] * width
            sums_over_shifts(
                space.terms[part], space.twice[source + a : source + b], n, space.mixed[start + a : start + b]
            )
    root = ONE / np.sqrt(np.float32(size))
    for k in range(width):
        row = space.mixed[k]
        for j in range(m):
            row[j] *= root
    np.dot(space.normal[0], space.mixed.T, d_mix)
    np.dot(mix[:width], space.mixed, space.update)


@inner
def feed_forward(space, widen, narrow):
    """Put what the feed-forward layer adds to the tokens into `update`."""
    wide = space.wide[: space.bend.shape[0]]
    np.dot(widen.T, space.normal[1], wide)
    silu(wide.reshape(wide.size), space.bend.reshape(wide.size))
    np.dot(narrow.T, space.wide, space.update)


@inner
def feed_forward_backward(space, widen, narrow, d_widen, d_narrow):
    """Turn the gradient of the tokens into that of the second `normal`, in `update`."""
    width = space.tokens.shape[0]
    d_wide = space.wide[: 2 * width]
    np.dot(space.wide, space.d_tokens.T, d_narrow)
    np.dot(narrow[: 2 * width], space.d_tokens, d_wide)
    multiply(space.bend.reshape(d_wide.size), d_wide.reshape(d_wide.size))
    np.dot(space.normal[1], d_wide.T, d_widen)
    np.dot(widen[:width], d_wide, space.update)


@inner
def encode(space, weights):
    """Run the block over the days: `given` to the encoding, the last token and the mean of all, in `merged`."""
    embed, position, mix, unmix, widen, narrow = encoder_parts_of(weights, space)
    (width, m), days = space.tokens.shape, space.terms.shape[1]
    n = m // days
    np.dot(embed.T, space.given, space.tokens)
    for k in range(width):
        for day in range(days):
            space.tokens[k][day * n : day * n + n] += position[day, k]
    for layer in range(3):
        if layer == 1:
            attend(space, mix, unmix)
        if layer == 2:
            feed_forward(space, widen, narrow)
        if layer:
            add(space.update.reshape(width * m), space.tokens.reshape(width * m))
        normalise(space.tokens, space.scale[layer], space.normal[layer])
    part = ONE / np.float32(days)
    for k in range(width):
        row, mean = space.normal[2][k], space.merged[width + k]
        copy(row[m - n :], space.merged[k])
        mean[:] = ZERO
        for day in range(days):
            add(row[day * n : day * n + n], mean)
        for j in range(n):
            mean[j] *= part


@inner
def encode_backward(space, weights, gradient):
    """Take the gradient back through the block; add those of the encoder's parameters to `gradient`."""
    _, _, mix, unmix, widen, narrow = encoder_parts_of(weights, space)
    d_embed, d_position, d_mix, d_unmix, d_widen, d_narrow = encoder_parts_of(space.d_weights, space)
    (width, m), days = space.tokens.shape, space.terms.shape[1]
    n, part = m // days, ONE / np.float32(days)
    for k in range(width):
        row, mean = space.update[k], space.d_merged[width + k]
        for day in range(days):
            day_row = row[day * n : day * n + n]
            for j in range(n):
                day_row[j] = mean[j] * part
        add(space.d_merged[k], row[m - n :])
    space.d_tokens[:] = ZERO
    for layer in range(2, -1, -1):
        normalise_backward(space.normal[layer], space.scale[layer], space.update, space.powers)
        add(space.update.reshape(width * m), space.d_tokens.reshape(width * m))
        if layer == 2:
            feed_forward_backward(space, widen, narrow, d_widen, d_narrow)
        if layer == 1:
            attend_backward(space, mix, unmix, d_mix, d_unmix)
    np.dot(space.given, space.d_tokens.T, d_embed)
    for k in range(width):
        for day in range(days):
            total, row = ZERO, space.d_tokens[k][day * n : day * n + n]
            for j in range(n):
                total += row[j]
            d_position[day, k] = total
    add(space.d_weights, gradient)


@inner
def load(space, start, sequence, static, log_ratio, realised):
    """Copy the rows from `start` on into the block's arrays, which all networks of the stack read."""
    (days, channels), n = sequence.shape[:2], space.hidden.shape[1]
    for day in range(days):
        for k in range(channels):
            copy(sequence[day, k, start : start + n], space.given[k][day * n : day * n + n])
    load_labels(space, start, static, log_ratio, realised)


@inline
def pass_block(space, weights, gradient, factors, before, scale):
    """Take a network over a block and back, as `lstm_kernels.pass_block`."""
    hidden, hidden_bias, output, output_bias, encoder = head_parts_of(weights, space)
    d_hidden, d_hidden_bias, d_output, d_output_bias, d_encoder = head_parts_of(gradient, space)
    encode(space, encoder)
    activate(space, factors, before, hidden, hidden_bias, output, output_bias)
    loss = qlike(space, scale)
    head_backward(space, factors, before, hidden, output, d_hidden, d_hidden_bias, d_output, d_output_bias)
    encode_backward(space, encoder, d_encoder)
    return loss


def train_epoch(space, rest, rows, factors, size, weights, averaged, moments, schedule, numbers):
    """Step through the rows, `size` at a time; return the mean loss of every network; see `lstm_kernels`."""
    sequence, static, log_ratio, realised = rows
    stack, n = weights.shape[0], space.hidden.shape[1]
    gradient, total = np.empty(weights.shape, np.float32), np.zeros(stack)
    taken, weight_decay, clip = numbers
    for step in range(schedule.shape[0]):
        scale = label_scales(realised, step * size, size)
        gradient[:] = ZERO
        for start in range(step * size, step * size + size, n):
            block = space if start + n <= step * size + size else rest
            load(block, start, sequence, static, log_ratio, realised)
            for s in range(stack):
                total[s] += pass_block(block, weights[s], gradient[s], factors[s], start, scale)
        take_step(weights, gradient, averaged, moments, taken + step + 1, schedule[step], weight_decay, clip)
    return total / schedule.shape[0]


def smallest_arguments() -> tuple[Any, ...]:
    """Return arguments of `train_epoch` for one network of width one, to compile it with."""
    space = Space.of(days=2, channels=1, width=1, heads=1, static=1, head=1, horizons=1, n=1)
    return smallest_epoch(space, space.d_weights.size)
