"""The networks. Rows are the last dimension of inputs and outputs; weights of a stack the first.

A stack holds the same network several times, once per seed. All read the same rows, so one batched product per layer
serves them all: on a CPU the number of operations costs, not that of flops, and on a GPU even more so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from volassets.models.recurrent import LastAndPooled, LstmStates, Workspace, day_shares
from volassets.models.training import Network, Rows


def uniform(stack: int, *shape: int, fan_in: int) -> nn.Parameter:
    """Return a parameter of shape (stack, *shape) to be drawn from +-1/sqrt(fan_in) by `Stacked.start`."""
    parameter = nn.Parameter(torch.zeros(stack, *shape))
    parameter.bound = 1 / math.sqrt(fan_in)  # type: ignore[attr-defined]
    return parameter


def dropout_factors(share: float, shape: tuple[int, ...], generators: Sequence[torch.Generator]) -> Tensor:
    """Return 0 for the dropped `share` and 1 / (1 - share) for the rest, shape (generators, *shape).

    The share is rounded to 1/256: one draw then serves eight entries, and drawing is the costly part.
    """
    threshold = min(round(share * 256), 255)
    count = math.prod(shape)
    draws = [torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None, generator=g) for g in generators]
    octets = torch.stack(draws).view(torch.uint8)[:, :count]
    return (octets >= threshold).float().mul_(256 / (256 - threshold)).view(len(generators), *shape)


class Stacked(Network):
    """Encoder -> [encoding, static] -> dropout -> SiLU layer -> dropout -> one log correction per horizon.

    The output layer starts at zero, so an untrained network forecasts the anchored level. `rows_at_once` are encoded
    fastest without gradients.
    """

    rows_at_once = 1024

    def __init__(self, stack: int, encoding: int, static: int, head: int, horizons: int, dropout: float) -> None:
        super().__init__()
        self.stack = stack
        self.dropout = dropout
        self.dropped = (encoding + static, head)
        self.hidden = uniform(stack, head, encoding + static, fan_in=encoding + static)
        self.hidden_bias = uniform(stack, head, 1, fan_in=encoding + static)
        self.output = nn.Parameter(torch.zeros(stack, horizons, head))
        self.output_bias = nn.Parameter(torch.zeros(stack, horizons, 1))

    def start(self, seeds: Sequence[int]) -> None:
        """Draw the weights of every network of the stack from its own seed; zeros and ones stay."""
        with torch.no_grad():
            for number, seed in enumerate(seeds):
                generator = torch.Generator().manual_seed(seed)
                for parameter in self.parameters():
                    bound = getattr(parameter, "bound", 0.0)
                    if bound:
                        parameter[number].uniform_(-bound, bound, generator=generator)

    def encode(self, sequence: Tensor) -> Tensor:
        """Return the encoding (stack, encoding, n) of a sequence (days, channels, n)."""
        raise NotImplementedError

    def attention(self, sequence: Tensor) -> Tensor:
        """Return the weight of every day, shape (days, stack, n); the days of a row sum to 1."""
        raise NotImplementedError

    def noise(self, n_rows: int, generators: Sequence[torch.Generator]) -> Rows:
        """Return the dropout factors of an epoch, shape (stack, dropped, n_rows)."""
        if not self.dropout:
            return ()
        return (dropout_factors(self.dropout, (sum(self.dropped), n_rows), generators).to(self.output.device),)

    def forward(self, sequence: Tensor, static: Tensor, factors: Tensor | None = None) -> Tensor:
        """Return o in ln f = anchor + k + o, shape (stack, horizons, n)."""
        return self.corrections(self.encode(sequence), static, factors)

    def corrections(self, encoding: Tensor, static: Tensor, factors: Tensor | None = None) -> Tensor:
        """Return what `forward` does, from an encoding (stack, encoding, n)."""
        merged = torch.cat([encoding, static.expand(self.stack, *static.shape)], dim=1)
        if factors is not None:
            before, after = factors.split(self.dropped, dim=1)
            merged = merged * before
        hidden = functional.silu(torch.baddbmm(self.hidden_bias, self.hidden, merged))
        if factors is not None:
            hidden = hidden * after
        return torch.baddbmm(self.output_bias, self.output, hidden)

    def loss(self, rows: Rows, noise: Rows) -> Tensor:
        """Return the mean QLIKE over rows and horizons, unrealised labels left out, shape (stack,)."""
        sequence, static, log_ratio, realised = rows
        error = log_ratio - self(sequence, static, *noise)
        qlike = (error.exp() - error - 1) * realised
        return (qlike.sum(dim=2) / realised.sum(dim=1).clamp(min=1)).mean(dim=1)


class StackedLstm(Stacked):
    """One LSTM layer; the encoding is its last state and an attention pool over all states."""

    prefers_cpu = True

    def __init__(
        self, stack: int, channels: int, static: int, horizons: int, units: int, head: int, dropout: float
    ) -> None:
        super().__init__(stack, 2 * units, static, head, horizons, dropout)
        self.units = units
        self.recurrent = uniform(stack, 4 * units, channels + 1 + units, fan_in=units)
        self.query = uniform(stack, units, 1, fan_in=units)
        self._space: Workspace | None = None

    def start(self, seeds: Sequence[int]) -> None:
        """Draw the weights; the forget bias starts at 1."""
        super().start(seeds)
        with torch.no_grad():
            self.recurrent[:, self.units : 2 * self.units, -self.units - 1] = 1.0

    def states(self, sequence: Tensor) -> Tensor:
        """Return the states, shape (days, stack, units, n)."""
        if self._space is None or not self._space.fits(self.recurrent, sequence):
            self._space = Workspace(self.recurrent, sequence)
        return LstmStates.apply(sequence, self.recurrent, self._space)

    def encode(self, sequence: Tensor) -> Tensor:
        """See `Stacked.encode`."""
        return LastAndPooled.apply(self.states(sequence), self.query)

    def attention(self, sequence: Tensor) -> Tensor:
        """See `Stacked.attention`."""
        return day_shares(self.states(sequence), self.query)


class StackedTransformer(Stacked):
    """One pre-norm block with learned positions; the encoding is its last token and the mean of all tokens."""

    # Their tokens and scores stay in a core's cache.
    rows_at_once = 32

    def __init__(
        self, stack: int, channels: int, static: int, horizons: int,
        width: int, heads: int, days: int, head: int, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__(stack, 2 * width, static, head, horizons, dropout)
        self.width, self.heads = width, heads
        self.embed = uniform(stack, channels, width, fan_in=channels)
        self.position = uniform(stack, days, width, fan_in=width)
        self.mix = uniform(stack, width, 3 * width, fan_in=width)
        self.mix_bias = uniform(stack, 1, 3 * width, fan_in=width)
        self.unmix = uniform(stack, width, width, fan_in=width)
        self.widen = uniform(stack, width, 2 * width, fan_in=width)
        self.widen_bias = uniform(stack, 1, 2 * width, fan_in=width)
        self.narrow = uniform(stack, 2 * width, width, fan_in=2 * width)
        self.narrow_bias = uniform(stack, 1, width, fan_in=2 * width)

    def queries_keys_values(self, sequence: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return tokens (stack, n * days, width) and queries, keys, values (stack * n * heads, days, width / heads)."""
        days, channels, n = sequence.shape
        flat = sequence.permute(2, 0, 1).reshape(1, n * days, channels).expand(self.stack, -1, -1)
        tokens = torch.bmm(flat, self.embed).unflatten(1, (n, days)) + self.position.unsqueeze(1)
        tokens = tokens.flatten(1, 2)
        mixed = torch.baddbmm(self.mix_bias, normalised(tokens), self.mix)
        split = mixed.view(self.stack * n, days, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return tokens, split.flatten(1, 2).unbind(0)

    def encode(self, sequence: Tensor) -> Tensor:
        """See `Stacked.encode`."""
        days, _, n = sequence.shape
        tokens, (queries, keys, values) = self.queries_keys_values(sequence)
        # Keys before queries: a softmax over the middle dimension is faster.
        scores = torch.bmm(keys / math.sqrt(keys.shape[2]), queries.transpose(1, 2))
        seen = torch.bmm(values.transpose(1, 2), scores.softmax(dim=1))
        seen = seen.view(self.stack * n, -1, days).transpose(1, 2).reshape(self.stack, n * days, -1)
        tokens = torch.baddbmm(tokens, seen, self.unmix)
        wide = functional.silu(torch.baddbmm(self.widen_bias, normalised(tokens), self.widen))
        tokens = tokens + torch.baddbmm(self.narrow_bias, wide, self.narrow)
        tokens = normalised(tokens).view(self.stack, n, days, -1)
        return torch.cat([tokens[:, :, -1], tokens.mean(dim=2)], dim=2).transpose(1, 2)

    def attention(self, sequence: Tensor) -> Tensor:
        """See `Stacked.attention`; that of the last token, mean over heads."""
        days, _, n = sequence.shape
        _, (queries, keys, _) = self.queries_keys_values(sequence)
        scores = (queries[:, -1:] * keys).sum(dim=2) / math.sqrt(keys.shape[2])
        return scores.softmax(dim=1).view(self.stack, n, self.heads, days).mean(dim=2).permute(2, 0, 1)


def normalised(tokens: Tensor) -> Tensor:
    """Layer normalisation; the linear layer after it has the scale and the shift."""
    return functional.layer_norm(tokens, tokens.shape[-1:])


class ReferenceLstm(Network):
    """LSTM layers -> last state -> dropout -> linear -> softplus: one annualised volatility per horizon.

    With `short` the steps of the training multiply in bfloat16, weights and forecasts stay float32.
    """

    stack = 1

    def __init__(
        self, inputs: int, horizons: int, hidden: int, layers: int, days: int, dropout: float, loss: str, short: bool
    ) -> None:
        super().__init__()
        self.days = days
        self.dropout = dropout
        self.short = short
        self.recurrent = nn.ModuleList(nn.LSTM(hidden if layer else inputs, hidden) for layer in range(layers))
        self.output = nn.Linear(hidden, horizons)
        self.row_loss: Callable[[Tensor, Tensor], Tensor] = {"qlike": qlike_of_volatility, "mse": squared_error}[loss]

    def noise(self, n_rows: int, generators: Sequence[torch.Generator]) -> Rows:
        """Return the dropout factors of an epoch: between the layers per day, and of the last state."""
        if not self.dropout:
            return ()
        hidden, device = self.output.in_features, self.output.weight.device
        shapes = [(n_rows, self.days, hidden)] * (len(self.recurrent) - 1) + [(n_rows, hidden)]
        drawn = (dropout_factors(self.dropout, shape, generators)[0].to(device) for shape in shapes)
        # Rows last for the loop, units contiguous in memory for the product with the states.
        return tuple(factors.movedim(0, -1) for factors in drawn)

    def forward(self, sequence: Tensor, *factors: Tensor) -> Tensor:
        """Return volatilities (1, horizons, n) of a sequence (days, inputs, n)."""
        states = sequence.transpose(1, 2).contiguous()
        with torch.autocast(sequence.device.type, torch.bfloat16, enabled=self.short and self.training):
            for number, layer in enumerate(self.recurrent):
                if number and factors:
                    states = states * factors[number - 1].transpose(1, 2)
                states, _ = layer(states)
        last = states[-1].float()
        if factors:
            last = last * factors[-1].T
        return functional.softplus(self.output(last)).T.unsqueeze(0)

    def loss(self, rows: Rows, noise: Rows) -> Tensor:
        """Return the mean loss over rows and horizons, unrealised labels left out, shape (1,)."""
        sequence, volatility, realised = rows
        loss = self.row_loss(volatility, self(sequence, *noise)) * realised
        return (loss.sum(dim=2) / realised.sum(dim=1).clamp(min=1)).mean(dim=1)


def qlike_of_volatility(outcome: Tensor, forecast: Tensor) -> Tensor:
    """Return ln f^2 + y^2 / f^2 for volatilities f and y."""
    squared = forecast.square().clamp(min=1e-8)
    return squared.log() + outcome.square() / squared


def squared_error(outcome: Tensor, forecast: Tensor) -> Tensor:
    """Return (y - f)^2."""
    return (outcome - forecast).square()
