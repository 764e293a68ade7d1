"""What a machine can multiply: the early answer, without PyTorch, against PyTorch's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from volassets.cli import cli
from volassets.errors import InputError
from volassets.models import processor
from volassets.models.benchmark import Naive
from volassets.models.lstm_reference import LstmReference
from volassets.models.processor import instruction_limit, why_no_bfloat16
from volassets.models.training import lstm_in_bfloat16, multiplies_bfloat16

WIDE = "fpu avx avx2 avx512f avx512dq avx512bw avx512vl"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Imitate a machine: architecture, flags, oneDNN's limit, GPU or not."""

    def imitate(flags: str | None, limit: str = "", architecture: str = "x86_64", gpu: bool = False) -> None:
        file = tmp_path / "cpuinfo"
        file.unlink(missing_ok=True)
        if flags is not None:
            file.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t:\n\nprocessor\t: 1\nflags\t\t: {flags}\n")
        monkeypatch.setattr(processor, "CPUINFO", file)
        monkeypatch.setattr(processor, "GPU_DEVICES", (tmp_path,) if gpu else ())
        monkeypatch.setattr("platform.machine", lambda: architecture)
        monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)

    return imitate


@pytest.mark.parametrize(
    ("arguments", "device", "reason"),
    [
        ((WIDE,), "auto", ""),
        (("fpu avx avx2",), "auto", "lists no avx512bw, avx512dq, avx512f, avx512vl"),
        (("fpu avx avx2",), "cpu", "lists no"),
        (("avx2 avx512f avx512dq",), "cpu", "lists no avx512bw, avx512vl"),  # the first AVX-512, of Xeon Phi
        (("fpu avx avx2",), "cuda", ""),
        (("fpu avx avx2", "", "x86_64", True), "auto", ""),
        (("fpu avx avx2", "", "x86_64", True), "cpu", "lists no"),
        ((WIDE, "AVX2"), "auto", "ONEDNN_MAX_CPU_ISA = AVX2 keeps"),
        ((WIDE, "avx2"), "auto", "ONEDNN_MAX_CPU_ISA = AVX2 keeps"),
        ((WIDE, "AVX512_CORE"), "auto", ""),
        ((WIDE, "ALL"), "auto", ""),
        (("avx2 avx_vnni avx_ne_convert",), "auto", ""),  # the fit asks PyTorch
        ((None,), "auto", ""),
        (("fp asimd bf16", "AVX2", "aarch64"), "auto", ""),
    ],
)
def test_reason_names_what_is_missing(machine, arguments: tuple, device: str, reason: str) -> None:
    machine(*arguments)
    assert reason in why_no_bfloat16(device)
    assert bool(why_no_bfloat16(device)) is bool(reason)


def test_the_older_name_of_the_limit_counts_too(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(WIDE)
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    assert instruction_limit() == ("DNNL_MAX_CPU_ISA", "AVX2")
    assert "DNNL_MAX_CPU_ISA = AVX2" in why_no_bfloat16("cpu")


def test_refused_before_a_fit_only_where_it_is_asked_for(machine) -> None:
    machine("fpu avx avx2")
    for model in (Naive(), LstmReference(), LstmReference(precision="float32")):
        model.check_machine()
    with pytest.raises(InputError, match=r"lstm_reference\.precision = 'bfloat16'.*lists no.*\"auto\" or \"float32\""):
        LstmReference(precision="bfloat16").check_machine()


def test_a_reason_is_never_given_where_pytorch_can() -> None:
    assert not (why_no_bfloat16("cpu") and lstm_in_bfloat16("cpu"))
    assert lstm_in_bfloat16("cpu") or not multiplies_bfloat16("cpu")


def test_a_run_is_refused_before_it_writes(machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine("fpu avx avx2")
    home = tmp_path / "home"
    monkeypatch.setenv("VOLASSETS_HOME", str(home))
    monkeypatch.setenv("VOLASSETS_LSTM_REFERENCE_PRECISION", "bfloat16")
    result = CliRunner().invoke(cli, ["run", "--ticker", "^GSPC", "--models", "naive,lstm_reference"])
    assert result.exit_code == 2, result.output
    assert "lstm_reference.precision = 'bfloat16'" in result.stderr
    assert not home.exists()
