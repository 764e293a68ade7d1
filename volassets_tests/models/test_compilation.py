"""The compiled loops of the networks against the one in PyTorch, and where its compiled code is kept."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from volassets.models import compilation, compiled_descent, lstm_kernels
from volassets.models.compilation import cache_folder, compiled_epoch
from volassets.models.compiled_descent import CompiledDescent, descent_for
from volassets.models.ensemble import EnsembleModel
from volassets.models.lstm import Lstm
from volassets.models.networks import ReferenceLstm, Stacked, StackedLstm, StackedTransformer
from volassets.models.training import Descent, Hyperparameters, Rows, Trainer
from volassets.models.transformer import Transformer
from volassets.pipeline.workers import run_jobs
from volassets_tests.models.windows import origins_after, window_of

DAYS = 5
NUMBERS = {"epochs": 1, "batch_size": 7, "last_batch_size": 7, "learning_rate": 1e-2, "clip": 1e9, "weight_decay": 0.0}


def network(
    stack: int = 2, units: int = 16, head: int = 6, horizons: int = 3, dropout: float = 0.2, heads: int = 0
) -> Stacked:
    """An LSTM, or a Transformer with heads, whose output layer is not at zero: every weight has a gradient."""
    drawn: Stacked = StackedLstm(stack, 4, 3, horizons, units, head, dropout)
    if heads:
        drawn = StackedTransformer(stack, 4, 3, horizons, units, heads, DAYS, head, dropout)
    drawn.start(range(stack))
    with torch.no_grad():
        drawn.output.copy_(torch.linspace(-0.3, 0.3, drawn.output.numel()).view_as(drawn.output))
    return drawn


def rows(n: int, horizons: int = 3) -> Rows:
    """Rows with labels that are not realised, as the last ones of a window, and weights of a ticker."""
    generator = torch.Generator().manual_seed(5)
    shapes = ((DAYS, 4, n), (3, n), (horizons, n))
    sequence, static, log_ratio = (torch.randn(*shape, generator=generator) for shape in shapes)
    weights = torch.where(torch.rand(horizons, n, generator=generator) < 0.1, 0.0, 1.3)
    return sequence, static, log_ratio / 2, weights


def numbers(**changes: float) -> Hyperparameters:
    return Hyperparameters(**{**NUMBERS, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        (150, {}),
        (64, {"stack": 1}),
        (7, {"units": 3, "head": 1, "horizons": 1, "dropout": 0.0}),
        (150, {"heads": 2}),
        (16, {"heads": 3, "units": 15, "stack": 1}),
        (7, {"heads": 1, "units": 3, "head": 1, "horizons": 1, "dropout": 0.0}),
    ],
)
def test_gradient_is_autograds(size: int, shape: dict[str, int]) -> None:
    """Batches above, at and below a block; the reference is autograd in float64."""
    ours, exact = network(**shape), network(**shape)
    given = rows(size, shape.get("horizons", 3))
    noise = ours.noise(size, [torch.Generator().manual_seed(seed) for seed in range(ours.stack)])
    descent = CompiledDescent(ours, numbers(), size)
    losses = descent.epoch(size, given, noise)
    loss = exact.double().loss(tuple(part.double() for part in given), tuple(part.double() for part in noise))
    assert losses == pytest.approx(loss.tolist(), rel=1e-6)
    parts = torch.autograd.grad(loss.sum(), list(exact.parameters()))
    expected = torch.cat([part.reshape(exact.stack, -1) for part in parts], dim=1).numpy()
    # After one step AdamW's first moment is a tenth of the gradient.
    np.testing.assert_allclose(10 * descent._moments[0], expected, rtol=0, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize(("heads", "rate"), [(0, 0.03), (4, 0.005)])
def test_a_whole_descent_is_that_of_pytorch(heads: int, rate: float) -> None:
    """Growing batches with a rest, clip, decay, average, an early stop: the same epochs, weights to 1e-4."""
    given, validation = rows(700), rows(90)
    settings = numbers(
        epochs=30, batch_size=32, last_batch_size=128, learning_rate=rate, final_rate=0.1, weight_decay=0.01, clip=0.3,
        average=0.9, patience=4,
    )  # fmt: skip
    trained = {
        kind: Trainer(network(heads=heads), settings, [1, 2], "cpu", lambda *_, kind=kind: kind).fit(given, validation)
        for kind in (Descent, CompiledDescent)
    }
    plain, compiled = trained[Descent], trained[CompiledDescent]
    assert 1 < plain.best_epoch == compiled.best_epoch < len(plain.history) == len(compiled.history) < 30
    np.testing.assert_allclose(compiled.history_frame(), plain.history_frame(), rtol=1e-4)
    for name, expected in plain.network.state_dict().items():
        found = compiled.network.state_dict()[name]
        if name == "mix_bias":
            # A softmax is the same whatever all keys have in common: AdamW follows the rounding of their bias.
            found, expected = (torch.cat([each[..., :16], each[..., 32:]], dim=-1) for each in (found, expected))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert compiled.computed_on == f"{plain.computed_on} numba"


@pytest.mark.parametrize("model", [Lstm(seeds=2, device="cpu"), Transformer(seeds=2, device="cpu")])
def test_forecasts_of_both_loops_agree(
    model: EnsembleModel, sp500_features: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = window_of(sp500_features, "2004-01")
    origins = origins_after(sp500_features, "2004-01")

    def forecast() -> pd.DataFrame:
        return model.forecast(model.fit(window), sp500_features, origins)

    compiled = forecast()
    monkeypatch.setattr(compiled_descent, "compiled_epoch", lambda _: None)
    plain = forecast()
    assert not plain.equals(compiled)
    np.testing.assert_allclose(compiled, plain, rtol=1e-4)


def test_it_serves_finite_float32_with_adamw_alone() -> None:
    given = rows(8)
    assert descent_for(network(), numbers(), given) is CompiledDescent
    assert descent_for(network(heads=2), numbers(), given) is CompiledDescent
    assert descent_for(network().double(), numbers(), given) is Descent
    assert descent_for(network(), numbers(decoupled=False), given) is Descent
    broken = (given[0].clone(), *given[1:])
    broken[0][2, 1, 4] = torch.nan
    assert descent_for(network(), numbers(), broken) is Descent
    other = ReferenceLstm(4, 3, 8, 1, DAYS, 0.0, "qlike", short=False)
    assert descent_for(other, numbers(), given) is Descent


def fitted(task: tuple[int, int]) -> list[np.ndarray]:
    """Train in a worker; return its weights."""
    seed, heads = task
    trainer = Trainer(
        network(heads=heads), numbers(epochs=3, batch_size=64, last_batch_size=64), [seed, seed + 1], "cpu", descent_for
    )
    return [parameter.detach().numpy() for parameter in trainer.fit(rows(300)).network.parameters()]


@pytest.mark.slow
def test_bits_do_not_depend_on_the_number_of_workers() -> None:
    tasks = [(seed, heads) for seed in range(3) for heads in (0, 2)]
    one, two = (dict(run_jobs(iter(tasks), fitted, workers)) for workers in (1, 2))
    here = {task: fitted(task) for task in tasks}
    for task in tasks:
        for alone, together, own in zip(one[task], two[task], here[task], strict=True):
            np.testing.assert_array_equal(alone, together)
            np.testing.assert_array_equal(alone, own)


def short_epoch(space, rest, rows, factors, size, weights, averaged, moments, schedule, numbers):  # type: ignore[no-untyped-def]
    """What is compiled in the tests of where it is kept: the same arguments, and compiled in half a second."""
    return np.zeros(weights.shape[0])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory for compiled code; a process's own is forgotten before and after."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(lstm_kernels, "train_epoch", short_epoch)
    compiled_epoch.cache_clear()
    yield tmp_path / "cache"
    compiled_epoch.cache_clear()


def hits() -> tuple[int, int]:
    """Return how often the compiled function was read and was compiled, in a process that has none yet."""
    compiled_epoch.cache_clear()
    function = compiled_epoch("lstm_kernels")
    assert function is not None
    assert function(*lstm_kernels.smallest_arguments()).tolist() == [0.0]
    stats = function.stats  # type: ignore[attr-defined]
    return sum(stats.cache_hits.values()), sum(stats.cache_misses.values())


def test_the_first_process_compiles_and_the_next_one_reads(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert hits() == (0, 1)
    assert cache_folder("lstm_kernels").parent == folder
    assert hits() == (1, 0)
    assert not caplog.records


def test_what_is_damaged_is_compiled_again_with_a_line(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for pattern, content in (("*.nbi", b"not an index"), ("*.nbc", b""), ("*.nbc", b"\x80garbage")):
        assert sum(hits()) == 1
        for file in cache_folder("lstm_kernels").rglob(pattern):
            file.write_bytes(content)
        caplog.clear()
        assert hits() == (0, 1)
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert "cannot be read" in record.getMessage()
        assert hits() == (1, 0)


def test_where_nothing_can_be_kept_it_compiles_in_memory_with_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("a file where the directory would be")
    assert hits() == (0, 1)
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    assert hits() == (0, 1)
    assert len(caplog.records) == 2
    assert all("compiling in memory" in record.getMessage() for record in caplog.records)


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Rights of an ordinary user inside the test: root may write to any directory."""
    before, nobody = os.geteuid(), 65534
    if before == 0:
        os.seteuid(nobody)
    yield
    os.seteuid(before)


def test_a_directory_without_the_right_to_write_is_no_obstacle(
    folder: Path, ordinary_user: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert hits() == (0, 1)
    assert "compiling in memory" in caplog.text


def test_without_numba_pytorch_trains(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "numba", None)
    assert descent_for(network(), numbers(), rows(8)) is Descent
    assert "numba cannot be loaded" in caplog.text


def test_what_does_not_compile_leaves_the_work_to_pytorch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lstm_kernels, "train_epoch", lambda *arguments: open("no compiled code opens files"))  # noqa: SIM115
    assert descent_for(network(), numbers(), rows(8)) is Descent
    assert "does not compile" in caplog.text


def test_other_sources_and_another_instruction_set_have_a_directory_of_their_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cache_folder("lstm_kernels")
    assert cache_folder("lstm_kernels") == first
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx2")
    second = cache_folder("lstm_kernels")
    monkeypatch.setattr(compilation, "SOURCES", compilation.SOURCES[:1])
    assert len({first, second, cache_folder("lstm_kernels"), cache_folder("transformer_kernels")}) == 4
