from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from volassets.models.networks import StackedLstm, StackedTransformer, dropout_factors
from volassets.models.recurrent import LastAndPooled, LstmStates, Workspace
from volassets.models.training import Hyperparameters, Network, Rows, Trainer, choose_device, flatten, one_thread


class Lines(Network):
    """A stack of straight lines, slope and intercept."""

    def __init__(self, stack: int = 2) -> None:
        super().__init__()
        self.stack = stack
        self.slope = nn.Parameter(torch.zeros(stack, 1))
        self.intercept = nn.Parameter(torch.zeros(stack, 1))

    def noise(self, n_rows: int, generators: Sequence[torch.Generator]) -> Rows:
        return ()

    def forward(self, x: Tensor) -> Tensor:
        return self.slope * x + self.intercept

    def loss(self, rows: Rows, noise: Rows) -> Tensor:
        x, y = rows
        return (self(x) - y).square().mean(dim=1)


def numbers(**changes: float) -> Hyperparameters:
    plain = {
        "epochs": 30,
        "batch_size": 16,
        "last_batch_size": 16,
        "learning_rate": 0.05,
        "weight_decay": 0.0,
        "clip": 10.0,
    }
    return Hyperparameters(**{**plain, **changes})  # type: ignore[arg-type]


def line(n: int = 160) -> Rows:
    x = torch.linspace(-1, 1, n)
    return x, 2 * x + 1


def test_loop_finds_the_line_and_keeps_its_history() -> None:
    trainer = Trainer(Lines(), numbers(), [1, 2], "cpu").fit(line())
    assert trainer.predict(torch.tensor([0.5]))[0].item() == pytest.approx(2.0, abs=0.05)
    frame = trainer.history_frame()
    assert list(frame.columns) == ["seed", "epoch", "train_loss", "validation_loss", "learning_rate"]
    assert len(frame) == 2 * 30
    assert frame["validation_loss"].isna().all()
    assert trainer.best_epoch == 30


def test_cosine_ends_at_the_share_of_the_first_rate() -> None:
    trainer = Trainer(Lines(), numbers(final_rate=0.1), [1, 2], "cpu").fit(line())
    rates = [epoch.learning_rate for epoch in trainer.history]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.005, rel=0.02)


def test_batches_grow_in_multiples_and_never_exceed_the_rows() -> None:
    growing = numbers(epochs=5, batch_size=64, last_batch_size=256)
    assert [growing.batch_of_epoch(epoch, 1000) for epoch in range(5)] == [64, 64, 128, 192, 256]
    assert growing.batch_of_epoch(4, 100) == 100


def test_early_stop_restores_the_weights_of_the_best_epoch() -> None:
    x, y = line()
    against = (x, -y)
    trainer = Trainer(Lines(1), numbers(patience=4), [1], "cpu").fit((x, y), against)
    losses = [epoch.validation_loss[0] for epoch in trainer.history]
    assert len(losses) == trainer.best_epoch + 4
    assert trainer.best_epoch == losses.index(min(losses)) + 1
    assert trainer.validate(against)[0] == min(losses)


def test_plateau_lowers_the_rate_after_its_patience() -> None:
    x, y = line()
    trainer = Trainer(Lines(1), numbers(epochs=6, rate_factor=0.5, rate_patience=1), [1], "cpu").fit((x, y), (x, -y))
    assert [epoch.learning_rate for epoch in trainer.history] == [0.05, 0.05, 0.05, 0.025, 0.025, 0.0125]


def test_average_forgets_the_drawn_weights() -> None:
    still = Trainer(Lines(1), numbers(epochs=1, average=0.999, learning_rate=1e-12), [1], "cpu")
    still.network.intercept.data.fill_(3.0)
    assert still.fit(line()).network.intercept.item() == pytest.approx(3.0)
    moving = Trainer(Lines(1), numbers(epochs=20, average=0.99), [1], "cpu").fit(line()).network.intercept.item()
    assert 0.8 < moving < 1.05


def test_networks_of_a_stack_do_not_touch_each_other() -> None:
    together, other = Lines(), Lines()
    other.slope.data[1] = 50.0
    for network in (together, other):
        Trainer(network, numbers(clip=0.5), [1, 2], "cpu").fit(line())
    assert torch.equal(together.slope[0], other.slope[0])
    assert torch.equal(together.slope[0], together.slope[1])


def test_flat_weights_are_the_parameters() -> None:
    network = Lines()
    weights, gradient = flatten(network)
    with torch.no_grad():
        weights.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert network.slope.tolist() == [[1.0], [3.0]]
    assert network.intercept.tolist() == [[2.0], [4.0]]
    assert weights.grad is gradient


def test_written_out_lstm_is_pytorchs_with_its_gradient() -> None:
    torch.manual_seed(0)
    stack, units, channels, days, n = 3, 4, 5, 7, 6
    layers = [nn.LSTM(channels, units).double() for _ in range(stack)]

    def own(name: str) -> Tensor:
        """PyTorch orders input, forget, candidate, output."""
        blocks = [getattr(layer, name).unflatten(0, (4, units))[[0, 1, 3, 2]].flatten(0, 1) for layer in layers]
        return torch.stack([block.detach() for block in blocks])

    bias = (own("bias_ih_l0") + own("bias_hh_l0")).unsqueeze(2)
    weights = torch.cat([own("weight_ih_l0"), bias, own("weight_hh_l0")], dim=2).requires_grad_()
    sequence = torch.randn(days, channels, n, dtype=torch.float64)
    states = LstmStates.apply(sequence, weights, Workspace(weights, sequence))
    expected = torch.stack([layer(sequence.transpose(1, 2))[0].transpose(1, 2) for layer in layers], dim=1)
    torch.testing.assert_close(states, expected, rtol=1e-12, atol=1e-12)

    mask = torch.randn_like(states)
    (states * mask).sum().backward()
    (expected * mask).sum().backward()
    for name, part in (
        ("weight_ih_l0", weights.grad[:, :, :channels]),
        ("bias_ih_l0", weights.grad[:, :, channels]),
        ("weight_hh_l0", weights.grad[:, :, channels + 1 :]),
    ):
        gradient = torch.stack(
            [getattr(la, name).grad.unflatten(0, (4, units))[[0, 1, 3, 2]].flatten(0, 1) for la in layers]
        )
        torch.testing.assert_close(part, gradient, rtol=1e-10, atol=1e-12)


def test_written_out_pool_is_autograds() -> None:
    torch.manual_seed(0)
    states = torch.randn(7, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    query = torch.randn(3, 4, 1, dtype=torch.float64, requires_grad=True)
    share = (states * query).sum(dim=2).softmax(dim=0)
    expected = torch.cat([states[-1], (states * share.unsqueeze(2)).sum(dim=0)], dim=1)
    encoding = LastAndPooled.apply(states, query)
    torch.testing.assert_close(encoding, expected, rtol=1e-12, atol=1e-12)
    mask = torch.randn_like(expected)
    ours = torch.autograd.grad((encoding * mask).sum(), (states, query))
    torch.testing.assert_close(ours, torch.autograd.grad((expected * mask).sum(), (states, query)))


def test_a_backward_pass_after_another_forward_pass_is_refused() -> None:
    sequence, weights = torch.randn(5, 2, 6), torch.randn(3, 16, 7, requires_grad=True)
    space = Workspace(weights, sequence)
    first = LstmStates.apply(sequence, weights, space)
    LstmStates.apply(sequence + 1, weights, space)
    with pytest.raises(RuntimeError, match="another forward pass"):
        first.sum().backward()
    assert space.fits(weights, sequence)
    assert not space.fits(weights, sequence[..., :5])


def test_dropout_keeps_the_mean_and_follows_its_generator_alone() -> None:
    def factors(*seeds: int) -> Tensor:
        return dropout_factors(0.2, (33, 1001), [torch.Generator().manual_seed(seed) for seed in seeds])

    both = factors(1, 2)
    assert both.shape == (2, 33, 1001)
    assert both.unique().tolist() == pytest.approx([0.0, 256 / 205])
    assert both.mean().item() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(both[1], factors(2)[0])


def test_forget_bias_starts_at_one_and_seeds_draw_alone() -> None:
    def drawn(*seeds: int) -> StackedLstm:
        network = StackedLstm(len(seeds), 8, 17, 3, units=4, head=4, dropout=0.2)
        network.start(seeds)
        return network

    both = drawn(1, 2)
    assert (both.recurrent[:, 4:8, 8] == 1).all()
    assert torch.equal(both.recurrent[1], drawn(2).recurrent[0])


def test_auto_keeps_an_lstm_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    network = StackedLstm(1, 8, 17, 3, units=4, head=4, dropout=0.2)
    assert Trainer(network, numbers(epochs=1), [1]).device.type == "cpu"
    assert choose_device("cuda", network.prefers_cpu).type == "cuda"
    assert choose_device("auto", StackedTransformer.prefers_cpu).type == "cuda"


def test_device_and_threads() -> None:
    assert choose_device("cpu").type == "cpu"
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    assert math.isnan(Trainer(Lines(), numbers(epochs=1), [1, 2], "cpu").fit(line()).history[0].validation_loss[0])
