"""The benchmarks run: each network's fit once, both devices' table on one device, and what a failure leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import __main__ as program
from benchmarks import devices, networks
from volassets.models import lstm_reference
from volassets.models.lstm import Lstm
from volassets.models.lstm_reference import LstmReference

MONTH = pd.Timestamp("2001-01-01")


def test_the_reference_and_its_plain_loop_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "EPOCHS", 1)
    networks._fit_reference_float32(MONTH)
    networks._fit_plainly(MONTH)


def test_a_device_is_compared_with_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"lstm": Lstm(epochs=1, seeds=1), "reference": replace(LstmReference(epochs=1), precision="float32")}
    monkeypatch.setattr(devices, "MODELS", small)
    monkeypatch.setattr(devices, "MONTHS", (MONTH,))
    table = devices.devices().set_index(["model", "device"])
    assert set(table.index.get_level_values("model")) == set(small)
    assert (table["seconds"] > 0).all()
    assert (table["from_cpu_most"].xs("cpu", level="device") == 0).all()
    # The same machine's refit gives the same bits, on a GPU too.
    assert (table["refits_agree"] == 0).all()
    assert (table["from_cpu_most"] < 1e-4).all()


def test_a_cpu_that_cannot_train_a_model_leaves_its_row_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lstm_reference, "why_no_bfloat16", lambda device: "as on a CPU without AVX-512")
    listed = {"reference": LstmReference(epochs=1, precision="bfloat16"), "lstm": Lstm(epochs=1, seeds=1)}
    monkeypatch.setattr(devices, "MODELS", listed)
    monkeypatch.setattr(devices, "MONTHS", (MONTH,))
    table = devices.devices().set_index("model")
    assert table.loc["reference", "device"] == "refused by this CPU"
    assert pd.isna(table.loc["reference", "seconds"])
    assert (table.loc[["lstm"], "seconds"] > 0).all()


def _fails() -> pd.DataFrame:
    """Fail."""
    raise ValueError("no such machine")


def _counts() -> pd.DataFrame:
    """Count."""
    return pd.DataFrame({"counted": [7]})


def test_a_benchmark_that_fails_loses_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "RESULTS", tmp_path)
    monkeypatch.setattr(program, "BENCHMARKS", {"fails": _fails, "counts": _counts})
    assert program.main([]) == 1
    (file,) = tmp_path.iterdir()
    kept = file.read_text("utf-8")
    assert "failed: ValueError: no such machine" in kept
    assert "counted\n       7" in kept
    assert program.main(["counts"]) == 0
    assert file.read_text("utf-8") == kept
    assert program.main(["unheard"]) == 2
    assert "choose from fails, counts" in capsys.readouterr().err
