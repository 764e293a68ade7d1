"""The arithmetic of an epoch of `StackedLstm`, compiled by numba: forward, backward, clip, AdamW, weight average.

Rows are the last dimension of every array, so that every loop runs over neighbours in memory. A batch is cut into
blocks of `BLOCK` rows, whose arrays stay in a core's cache while one network of the stack passes over them; gradients
are summed over the blocks of a batch, in their order. `compilation` compiles `train_epoch`, and with it the rest;
`recurrent` and `networks` say the same in PyTorch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
from volassets.models.vector_loops import (
    ONE,
    ZERO,
    add,
    add_product,
    add_scaled,
    apply_sigmoid,
    apply_tanh,
    copy,
    dot,
    inline,
    inner,
    softmax,
    tanh,
)

FloatArray = NDArray[np.float32]

BLOCK = 64


class Space(NamedTuple):
    """The arrays of a block: what it reads, and what a network's forward pass keeps for its backward pass.

    Gates hold the layer's four gates of every day, then the gradients of their sums; `given` has per day its input, a
    one for the bias and the state before it.
    """

    given: FloatArray
    gates: FloatArray
    cells: FloatArray
    squashed: FloatArray
    d_state: FloatArray
    d_cell: FloatArray
    d_day: FloatArray
    share: FloatArray
    d_score: FloatArray
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
    def of(cls, days: int, channels: int, units: int, static: int, head: int, horizons: int, n: int) -> Space:
        """Return the arrays of `n` rows, all 0 but the ones for the bias."""
        columns, merged = channels + 1 + units, 2 * units + static
        shapes = {
            "given": (days + 1, columns), "gates": (days, 4 * units), "cells": (days + 1, units),
            "squashed": (days, units), "d_state": (units,), "d_cell": (units,), "share": (days,), "d_score": (days,),
            "static": (static,), "merged": (merged,), "d_merged": (merged,), "hidden": (head,), "slope": (head,),
            "d_hidden": (head,),
        }  # fmt: skip
        shapes |= dict.fromkeys(("log_ratio", "realised", "error", "d_output"), (horizons,))
        arrays = {name: np.zeros((*shape, n), np.float32) for name, shape in shapes.items()}
        arrays["given"][:, channels] = 1
        arrays["d_day"] = np.empty((4 * units, columns), np.float32)
        return cls(**arrays, powers=np.empty(max(days, horizons) * n, np.float32))


@inner
def next_cell(enter, keep, candidate, before, cell):
    """Put keep * before + enter * candidate into `cell`."""
    for j in range(cell.size):
        cell[j] = keep[j] * before[j] + enter[j] * candidate[j]


@inner
def next_state(show, cell, squashed, state):
    """Put tanh of `cell` into `squashed`, and its product with the output gate into `state`."""
    for j in range(state.size):
        squash = tanh(cell[j])
        squashed[j] = squash
        state[j] = show[j] * squash


@inner
def add_pooled(share, d_pooled, d_score, query, d_state):
    """Add to the gradient of a state what comes through the attention pool: its value and its score."""
    for j in range(d_state.size):
        d_state[j] += share[j] * d_pooled[j] + d_score[j] * query


@inner
def show_backward(d_state, squashed, show, d_cell):
    """Turn an output gate into the gradient of its sum; add to that of the cell."""
    for j in range(d_cell.size):
        gate, squash, d = show[j], squashed[j], d_state[j]
        d_cell[j] += d * gate * (ONE - squash * squash)
        show[j] = d * squash * gate * (ONE - gate)


@inner
def enter_backward(d_cell, enter, candidate):
    """Turn an input gate and a candidate into the gradients of their sums."""
    for j in range(d_cell.size):
        gate, value, d = enter[j], candidate[j], d_cell[j]
        enter[j] = d * value * gate * (ONE - gate)
        candidate[j] = d * gate * (ONE - value * value)


@inner
def keep_backward(before, keep, d_cell):
    """Turn a forget gate into the gradient of its sum, and the gradient of a cell into that of the day before."""
    for j in range(d_cell.size):
        gate, d = keep[j], d_cell[j]
        keep[j] = d * before[j] * gate * (ONE - gate)
        d_cell[j] = d * gate


@inner
def read_states(space, recurrent):
    """Run the layer over the days."""
    days, columns, n = space.given.shape[0] - 1, space.given.shape[1], space.given.shape[2]
    units = space.d_cell.shape[0]
    m = units * n
    for day in range(days):
        gate = space.gates[day]
        np.dot(recurrent, space.given[day], gate)
        flat = gate.reshape(4 * m)
        apply_sigmoid(flat[: 3 * m])
        apply_tanh(flat[3 * m :])
        cell = space.cells[day + 1].reshape(m)
        next_cell(flat[:m], flat[m : 2 * m], flat[3 * m :], space.cells[day].reshape(m), cell)
        state = space.given[day + 1, columns - units :].reshape(m)
        next_state(flat[2 * m : 3 * m], cell, space.squashed[day].reshape(m), state)


@inner
def read_back(space, turned, query, d_recurrent):
    """Take the gradient back through the days; `turned` is the transpose of the recurrent weights."""
    days, units, n = space.given.shape[0] - 1, space.d_cell.shape[0], space.given.shape[2]
    m = units * n
    d_state, d_cell = space.d_state.reshape(m), space.d_cell.reshape(m)
    copy(space.d_merged[:units].reshape(m), d_state)
    d_cell[:] = ZERO
    for day in range(days - 1, -1, -1):
        for u in range(units):
            add_pooled(space.share[day], space.d_merged[units + u], space.d_score[day], query[u], space.d_state[u])
        gate = space.gates[day]
        flat = gate.reshape(4 * m)
        show_backward(d_state, space.squashed[day].reshape(m), flat[2 * m : 3 * m], d_cell)
        enter_backward(d_cell, flat[:m], flat[3 * m :])
        keep_backward(space.cells[day].reshape(m), flat[m : 2 * m], d_cell)
        np.dot(gate, space.given[day].T, space.d_day)
        add(space.d_day.reshape(space.d_day.size), d_recurrent)
        if day:
            np.dot(turned, gate, space.d_state)


@inner
def parts_of(flat, space):
    """Return views of a network's parameters (or their gradient), in the order in which `StackedLstm` has them."""
    units, columns = space.d_cell.shape[0], space.given.shape[1]
    hidden, hidden_bias, output, output_bias, rest = head_parts_of(flat, space)
    e = 4 * units * columns
    return hidden, hidden_bias, output, output_bias, rest[:e].reshape(4 * units, columns), rest[e:]


@inner
def pool(space, query):
    """Put the days' shares into `share`, the last states and the pooled ones into `merged`."""
    days, units = space.share.shape[0], query.size
    first = space.given.shape[1] - units
    space.merged[units : 2 * units] = ZERO
    space.share[:] = ZERO
    for day in range(days):
        for u in range(units):
            add_scaled(space.given[day + 1, first + u], query[u], space.share[day])
    softmax(space.share, space.powers)
    for u in range(units):
        copy(space.given[days, first + u], space.merged[u])
    for day in range(days):
        for u in range(units):
            add_product(space.share[day], space.given[day + 1, first + u], space.merged[units + u])


@inner
def pool_backward(space, d_query):
    """Put the gradient of the scores into `d_score`, and add that of the query."""
    days, units, n = space.share.shape[0], d_query.size, space.share.shape[1]
    first = space.given.shape[1] - units
    mean = np.zeros(n, np.float32)
    space.d_score[:] = ZERO
    for day in range(days):
        for u in range(units):
            add_product(space.given[day + 1, first + u], space.d_merged[units + u], space.d_score[day])
        add_product(space.share[day], space.d_score[day], mean)
    for day in range(days):
        row, weight = space.d_score[day], space.share[day]
        for j in range(n):
            row[j] = weight[j] * (row[j] - mean[j])
        for u in range(units):
            d_query[u] += dot(space.given[day + 1, first + u], row)


@inline
def pass_block(space, weights, turned, gradient, factors, before, scale):
    """Take a network over a block and back: add to its `gradient`, return its part of the loss.

    `factors` are the network's dropout factors of the epoch, of which the block begins at column `before`.
    """
    hidden, hidden_bias, output, output_bias, recurrent, query = parts_of(weights, space)
    d_hidden, d_hidden_bias, d_output, d_output_bias, d_recurrent, d_query = parts_of(gradient, space)
    read_states(space, recurrent)
    pool(space, query)
    activate(space, factors, before, hidden, hidden_bias, output, output_bias)
    loss = qlike(space, scale)
    head_backward(space, factors, before, hidden, output, d_hidden, d_hidden_bias, d_output, d_output_bias)
    pool_backward(space, d_query)
    read_back(space, turned, query, d_recurrent.reshape(d_recurrent.size))
    return loss


@inner
def load(space, start, sequence, static, log_ratio, realised):
    """Copy the rows from `start` on into the block's arrays, which all networks of the stack read."""
    days, channels = sequence.shape[:2]
    end = start + space.share.shape[1]
    for day in range(days):
        for k in range(channels):
            copy(sequence[day, k, start:end], space.given[day, k])
    load_labels(space, start, static, log_ratio, realised)


@inline
def batch_gradient(space, rest, rows, factors, start, size, weights, turned, gradient):
    """Put the gradients of a batch's mean loss into `gradient`, shape (stack, parameters); return the losses."""
    sequence, static, log_ratio, realised = rows
    stack = weights.shape[0]
    losses, scale = np.zeros(stack), label_scales(realised, start, size)
    gradient[:] = ZERO
    units = space.d_cell.shape[0]
    for s in range(stack):
        recurrent = parts_of(weights[s], space)[4]
        for k in range(4 * units):
            for u in range(units):
                turned[s, u, k] = recurrent[k, recurrent.shape[1] - units + u]
    for before in range(start, start + size, space.share.shape[1]):
        block = space if before + space.share.shape[1] <= start + size else rest
        load(block, before, sequence, static, log_ratio, realised)
        for s in range(stack):
            losses[s] += pass_block(block, weights[s], turned[s], gradient[s], factors[s], before, scale)
    return losses


def train_epoch(space, rest, rows, factors, size, weights, averaged, moments, schedule, numbers):
    """Step through the rows, `size` at a time; return the mean loss of every network.

    Parameters
    ----------
    space, rest : Space
        Of a whole block and of what is left of a batch.
    rows : tuple of ndarray
        Sequences (days, channels, n), static values (statics, n), log ratios and labels' weights (horizons, n).
    factors : ndarray, shape (stack, merged + head, n)
        Dropout factors.
    weights, averaged : ndarray, shape (stack, parameters)
        Changed in place, as are the `moments`, shape (2, stack, parameters), of AdamW.
    schedule : ndarray, shape (steps, 2)
        Rate of every step, and the share of the new weights in the average after it.
    numbers : tuple of int, float, float
        Steps taken before this epoch, weight decay, largest norm of a gradient.
    """
    stack, parameters = weights.shape
    units = space.d_cell.shape[0]
    gradient, turned = np.empty((stack, parameters), np.float32), np.empty((stack, units, 4 * units), np.float32)
    taken, weight_decay, clip = numbers
    total = np.zeros(stack)
    for step in range(schedule.shape[0]):
        total += batch_gradient(space, rest, rows, factors, step * size, size, weights, turned, gradient)
        take_step(weights, gradient, averaged, moments, taken + step + 1, schedule[step], weight_decay, clip)
    return total / schedule.shape[0]


def smallest_arguments() -> tuple[Any, ...]:
    """Return arguments of `train_epoch` for one network of one unit, to compile it with."""
    space = Space.of(days=2, channels=1, units=1, static=1, head=1, horizons=1, n=1)
    return smallest_epoch(space, 4 * 3 + 1)
