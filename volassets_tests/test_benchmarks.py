"""The benchmarks run: each network's fit once, and both devices' table where there is one device."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from benchmarks import devices, networks
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
