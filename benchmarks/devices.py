"""Seconds of a network's refit on every device at hand, one refit after the other, and how far the forecasts part."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch

from benchmarks.networks import EPOCHS, HORIZONS, TICKER, features_of_ticker, window_of
from volassets.errors import InputError
from volassets.models.lstm import Lstm
from volassets.models.lstm_reference import LstmReference
from volassets.models.protocol import Fit, Model
from volassets.models.transformer import Transformer

MONTHS = tuple(pd.Timestamp(year, 1, 1) for year in (2004, 2009, 2014, 2018))
MODELS: dict[str, Any] = {
    "lstm": Lstm(),
    "lstm, batches of 2,048": Lstm(batch_size=512, last_batch_size=2048),
    "transformer": Transformer(),
    "lstm_reference, float32": LstmReference(epochs=EPOCHS, patience=EPOCHS, precision="float32"),
    "lstm_reference, bfloat16": LstmReference(epochs=EPOCHS, patience=EPOCHS, precision="bfloat16"),
}


def devices() -> pd.DataFrame:
    """Fit each network on the CPU and on the GPU, four Januaries each, and compare their forecasts of the month.

    Returns
    -------
    DataFrame
        Columns model, device, seconds (a refit, mean of the months; the wall clock, with nothing else running),
        refits_agree (the largest relative difference of forecasts between two refits on this device),
        from_cpu_most and from_cpu_mean (relative differences of forecasts from the CPU's). A model that this machine's
        CPU cannot train has one row without figures.
    """
    rows = []
    for name, model in MODELS.items():
        try:
            replace(model, device="cpu").check_machine()
        except InputError:
            rows.append({"model": name, "device": "refused by this CPU"})
            continue
        cpu = _measured(replace(model, device="cpu"))
        rows.append(_row(name, "cpu", cpu, cpu))
        if torch.cuda.is_available():
            rows.append(_row(name, "cuda", _measured(replace(model, device="cuda")), cpu))
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Measured:
    """Seconds a refit, the forecasts of every month, and those of the first month from another refit."""

    seconds: float
    forecasts: list[pd.DataFrame]
    first_again: pd.DataFrame


def _measured(model: Model) -> _Measured:
    again = _forecasts(model, model.fit(window_of(MONTHS[0])), MONTHS[0])
    start = time.perf_counter()
    fits = [model.fit(window_of(month)) for month in MONTHS]
    seconds = (time.perf_counter() - start) / len(MONTHS)
    return _Measured(seconds, [_forecasts(model, fit, month) for fit, month in zip(fits, MONTHS, strict=True)], again)


def _row(name: str, device: str, own: _Measured, cpu: _Measured) -> dict[str, Any]:
    parted = pd.concat([(ours / theirs - 1).abs() for ours, theirs in zip(own.forecasts, cpu.forecasts, strict=True)])
    return {
        "model": name,
        "device": device,
        "seconds": own.seconds,
        "refits_agree": float((own.first_again / own.forecasts[0] - 1).abs().to_numpy().max()),
        "from_cpu_most": float(parted.to_numpy().max()),
        "from_cpu_mean": float(parted.to_numpy().mean()),
    }


def _forecasts(model: Model, fit: Fit, month: pd.Timestamp) -> pd.DataFrame:
    """Return the variances of the month's sessions, a column per horizon."""
    features = features_of_ticker()
    origins = features.index[(features.index >= month) & (features.index < month + pd.offsets.MonthBegin())]
    return model.forecast(fit, features, origins).select_dtypes("number")


if __name__ == "__main__":
    print(f"{TICKER}, {HORIZONS}")
    print(devices().to_string(index=False, float_format=lambda value: f"{value:.2e}"), flush=True)
