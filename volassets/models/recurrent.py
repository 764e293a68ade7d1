"""A stack of LSTM layers and its attention pool, with their backward passes written out.

PyTorch's LSTM cannot be stacked, and autograd through a loop over days costs several times the
arithmetic. Rows are the last dimension of every tensor, networks of the stack the second, days the first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

sigmoid_backward = torch.ops.aten.sigmoid_backward
tanh_backward = torch.ops.aten.tanh_backward


class Workspace:
    """The arrays of one pass and their views of each day, kept from batch to batch.

    Taking hundreds of views costs as much as a tenth of a small batch. A forward pass overwrites the one before it, so
    a backward pass must come first; `passes` counts them.

    Parameters
    ----------
    weights : Tensor, shape (stack, 4 * units, channels + 1 + units)
    sequence : Tensor, shape (days, channels, n)
    """

    def __init__(self, weights: Tensor, sequence: Tensor) -> None:
        days, channels, n = sequence.shape
        stack, gate_units, columns = weights.shape
        units = columns - channels - 1
        self._like = _like(weights, sequence)
        self.passes = 0
        # Per day its input, a one for the bias and the state before it: a day is one product.
        self.inputs = weights.new_zeros(days + 1, stack, columns, n)
        self.sequence = self.inputs[:days, :, :channels]
        self.inputs[:, :, channels] = 1
        self.states = self.inputs[1:, :, channels + 1 :]
        gates = weights.new_empty(days, stack, gate_units, n)
        cells = weights.new_zeros(days + 1, stack, units, n)
        squashed = weights.new_empty(days, stack, units, n)
        self.d_gate = weights.new_empty(stack, gate_units, n)
        self.d_cell, self.through_output = weights.new_empty(2, stack, units, n)
        used = (gates.narrow(2, 0, 3 * units), *gates.split(units, dim=2), cells[:days])
        self.forward_days = _by_day(self.inputs[:days], gates, *used, cells[1:], squashed, self.states)
        self.backward_days = _by_day(self.inputs[:days].transpose(2, 3), *used, squashed)[::-1]

    def fits(self, weights: Tensor, sequence: Tensor) -> bool:
        """Return whether it serves these weights and this sequence."""
        return self._like == _like(weights, sequence)


def _by_day(*arrays: Tensor) -> list[tuple[Tensor, ...]]:
    return list(zip(*(array.unbind(0) for array in arrays), strict=True))


def _like(weights: Tensor, sequence: Tensor) -> tuple[Any, ...]:
    return weights.shape, sequence.shape, weights.dtype, weights.device


class LstmStates(torch.autograd.Function):
    """All states of a stack of LSTM layers; gates are ordered input, forget, output, candidate."""

    @staticmethod
    def forward(ctx: Any, sequence: Tensor, weights: Tensor, space: Workspace) -> Tensor:
        """Return the states, shape (days, stack, units, n), in the memory of `space`; shapes as there."""
        space.passes += 1
        space.sequence.copy_(sequence.unsqueeze(1))
        for given, gate, sigmoids, enter, keep, show, candidate, before, cell, squash, state in space.forward_days:
            torch.bmm(weights, given, out=gate)
            sigmoids.sigmoid_()
            candidate.tanh_()
            torch.mul(keep, before, out=cell)
            cell.addcmul_(enter, candidate)
            torch.tanh(cell, out=squash)
            torch.mul(show, squash, out=state)
        ctx.save_for_backward(weights)
        ctx.space, ctx.number = space, space.passes
        return space.states.detach()

    @staticmethod
    def backward(ctx: Any, d_states: Tensor) -> tuple[None, Tensor, None]:
        """Return the gradient of the weights; the sequence has none."""
        (weights,) = ctx.saved_tensors
        space: Workspace = ctx.space
        if space.passes != ctx.number:
            raise RuntimeError("another forward pass came before this backward pass: give each a workspace of its own.")
        units = d_states.shape[2]
        recurrent = weights[:, :, -units:].transpose(1, 2).contiguous()
        d_weights = torch.zeros_like(weights)
        d_gate, d_cell, through_output = space.d_gate.zero_(), space.d_cell.zero_(), space.through_output
        d_sigmoids, (d_enter, d_keep, d_show, d_candidate) = d_gate.narrow(1, 0, 3 * units), d_gate.split(units, dim=1)
        days = zip(d_states.unbind(0)[::-1], space.backward_days, strict=True)
        for d_state, (given, sigmoids, enter, keep, show, candidate, before, squash) in days:
            d_state = torch.baddbmm(d_state, recurrent, d_gate)
            torch.mul(d_state, show, out=through_output)
            d_cell += tanh_backward(through_output, squash)
            torch.mul(d_state, squash, out=d_show)
            torch.mul(d_cell, candidate, out=d_enter)
            torch.mul(d_cell, before, out=d_keep)
            torch.mul(d_cell, enter, out=d_candidate)
            d_cell *= keep
            sigmoid_backward(d_sigmoids, sigmoids, grad_input=d_sigmoids)
            tanh_backward(d_candidate, candidate, grad_input=d_candidate)
            d_weights.baddbmm_(d_gate, given)
        return None, d_weights, None


class LastAndPooled(torch.autograd.Function):
    """The last state and an attention pool over all states, with the backward pass written out.

    Autograd would pass over an array of all states nine times, here it is five.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, query: Tensor) -> Tensor:
        """Return the encoding (stack, 2 * units, n) of states (days, stack, units, n) by queries (stack, units, 1)."""
        share = day_shares(states, query)
        ctx.save_for_backward(states, query, share)
        return torch.cat([states[-1], (states * share.unsqueeze(2)).sum(dim=0)], dim=1)

    @staticmethod
    def backward(ctx: Any, d_encoding: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the states and of the query."""
        states, query, share = ctx.saved_tensors
        d_last, d_pooled = d_encoding.chunk(2, dim=1)
        work = states * d_pooled
        d_share = work.sum(dim=2)
        d_score = (share * (d_share - (share * d_share).sum(dim=0))).unsqueeze(2)
        d_query = torch.mul(states, d_score, out=work).sum(dim=(0, 3)).unsqueeze(2)
        d_states = torch.mul(share.unsqueeze(2), d_pooled, out=work).addcmul_(d_score, query)
        d_states[-1] += d_last
        return d_states, d_query


def day_shares(states: Tensor, query: Tensor) -> Tensor:
    """Return the attention's weight of every day, shape (days, stack, n), of states (days, stack, units, n)."""
    return torch.matmul(query.transpose(1, 2), states).squeeze(2).softmax(dim=0)
