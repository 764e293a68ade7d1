"""Compiling the networks' code beside the quick models: when it begins, how it ends, what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from volassets.file_lock import FileLock
from volassets.models import compilation, processor
from volassets.models.compilation import cache_folder, compile_ahead, compiled_epoch, must_compile
from volassets.models.compiled_descent import KERNELS
from volassets.models.ensemble import EnsembleModel
from volassets.models.lstm import Lstm
from volassets.models.pooled_lstm import PooledLstm
from volassets.models.transformer import Transformer
from volassets.pipeline.context import Context
from volassets.pipeline.early_compiling import compile_early
from volassets.pipeline.planner import partitions_of
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import load_settings

MODULE = "lstm_kernels"
START = f"from volassets.models.compilation import _ahead, compile_ahead; compile_ahead({MODULE!r}); "


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory for compiled code, nothing of which is begun."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    monkeypatch.setattr(compilation, "_ahead", {})
    yield tmp_path / "cache"
    for process in compilation._ahead.values():
        process.kill()
        process.wait()


@pytest.mark.parametrize(("models", "due"), [(["ewma", "lstm"], True), (["ewma"], False)])
def test_it_begins_where_a_network_is_due_and_nothing_is_kept(
    folder: Path, tmp_path: Path, simulated_bars, models: list[str], due: bool
) -> None:
    values = {"source": "csv", "csv_dir": str(tmp_path), "tickers": ("ACME",), "minimum_history": 400}
    settings = load_settings(tmp_path / "home", {**values, "models": models, "device": "cpu"})
    months = {"ACME": list(pd.date_range("2006-10-01", "2006-11-01", freq="MS"))}
    with Context(settings) as context:
        context.set_bars("ACME", simulated_bars(490, 3))
        listed = steps(settings)
        compile_early(State(context), listed, {step.name: partitions_of(step, {}) for step in listed}, force=False)
        assert not compilation._ahead
        compile_early(State(context), listed, {step.name: partitions_of(step, months) for step in listed}, force=False)
    assert set(compilation._ahead) == ({MODULE} if due else set())
    assert must_compile(MODULE) is not due


def test_nothing_begins_where_it_is_kept_or_numba_does_not_compile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert must_compile(MODULE)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert not must_compile(MODULE)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "0")
    assert must_compile(MODULE)
    kept = cache_folder(MODULE) / "models_1" / "lstm_kernels.train_epoch.nbc"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert not must_compile(MODULE)
    assert must_compile("transformer_kernels")


def test_the_question_loads_neither_pytorch_nor_numba(folder: Path) -> None:
    code = (
        "import sys; from volassets.models.compilation import must_compile; "
        f"print(must_compile({MODULE!r}), [name for name in ('torch', 'numba') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "True []\n"


def test_a_gpu_that_may_train_leaves_nothing_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "GPU_DEVICES", (Path("/"),))
    assert [model().compiled_module() for model in (Lstm, PooledLstm, Transformer)] == [MODULE, MODULE, ""]
    assert Transformer(device="cpu").compiled_module() == "transformer_kernels"
    assert [model(device="cuda").compiled_module() for model in (Lstm, Transformer)] == ["", ""]


@pytest.mark.parametrize("model", [Lstm(), PooledLstm(), Transformer()])
def test_a_model_names_the_code_of_its_network(model: EnsembleModel) -> None:
    network = model.network(1)
    assert KERNELS[type(network)][0] == model.kernels
    assert network.prefers_cpu is model.prefers_cpu


def test_where_nothing_can_be_kept_it_ends_without_a_word(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder.write_text("a file where the directory would be")
    compile_ahead(MODULE)
    assert compilation._ahead[MODULE].wait() != 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_parent(folder: Path, end: signal.Signals) -> None:
    code = f"{START}print(_ahead[{MODULE!r}].pid, flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as parent:  # type: ignore[call-overload]
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.send_signal(end)
    while _runs(child):
        time.sleep(0.05)
    assert not list(folder.rglob("*.nbc"))


def _runs(process: int) -> bool:
    """Return whether a process is there and no zombie, which nobody may wait for here."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] not in ("", "Z")


def _is_held(lock: Path) -> bool:
    with FileLock(lock) as one:
        return not one.take()


@pytest.mark.slow
def test_what_it_compiles_is_what_a_fit_reads(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    compile_ahead(MODULE)
    compiled_epoch.cache_clear()
    # Not before the other process has the lock: who has it first compiles.
    while compilation._ahead[MODULE].poll() is None and not _is_held(cache_folder(MODULE) / "lock"):
        time.sleep(0.05)
    function = compiled_epoch(MODULE)
    compiled_epoch.cache_clear()
    assert function is not None
    assert sum(function.stats.cache_hits.values()) == 1  # type: ignore[attr-defined]
    assert compilation._ahead[MODULE].wait() == 0
    assert not must_compile(MODULE)
    assert capfd.readouterr() == ("", "")
