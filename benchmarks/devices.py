"""Seconds of a network's refit on every device at hand, one refit after the other, and how far the forecasts part."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pandas as pd
import torch

from benchmarks.networks import EPOCHS, HORIZONS, TICKER, features_of_ticker, window_of
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
        from_cpu_most and from_cpu_mean (relative differences of forecasts from the CPU's).
    """
    rows = []
    for name, model in MODELS.items():
        reference: list[pd.DataFrame] = []
        rows += [
            {"model": name, "device": device, **_measured(replace(model, device=device), reference)}
            for device in (("cpu", "cuda") if torch.cuda.is_available() else ("cpu",))
        ]
    return pd.DataFrame(rows)


def _measured(model: Model, reference: list[pd.DataFrame]) -> dict[str, float]:
    """Fit all months twice; the first device's forecasts go into `reference`, which is empty before."""
    again = _forecasts(model, model.fit(window_of(MONTHS[0])), MONTHS[0])
    start = time.perf_counter()
    fits = [model.fit(window_of(month)) for month in MONTHS]
    seconds = (time.perf_counter() - start) / len(MONTHS)
    forecasts = [_forecasts(model, fit, month) for fit, month in zip(fits, MONTHS, strict=True)]
    reference.extend(forecasts if not reference else [])
    parted = pd.concat([(ours / theirs - 1).abs() for ours, theirs in zip(forecasts, reference, strict=True)])
    return {
        "seconds": seconds,
        "refits_agree": float((again / forecasts[0] - 1).abs().to_numpy().max()),
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
