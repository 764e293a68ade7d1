"""Simulated scored forecasts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd


def scored_forecasts(
    models: Mapping[str, float],
    n: int = 400,
    seed: int = 0,
    tickers: tuple[str, ...] = ("AAA",),
    horizons: tuple[int, ...] = (1,),
) -> pd.DataFrame:
    """Return scored forecasts whose log errors have the standard deviation given per model."""
    dates = pd.bdate_range("2010-01-04", periods=n)
    frames = []
    for i, ticker in enumerate(tickers):
        for horizon in horizons:
            rng = np.random.default_rng([seed, i, horizon])
            level = 1e-4 * np.exp(0.5 * rng.standard_normal(n))
            realized = level * rng.gamma(4.0, 0.25, n)
            for name, deviation in models.items():
                variance = level * np.exp(deviation * rng.standard_normal(n))
                volatility = np.sqrt(252 * variance)
                frames.append(
                    pd.DataFrame(
                        {
                            "ticker": ticker,
                            "model": name,
                            "horizon": horizon,
                            "origin_date": dates,
                            "variance": variance,
                            "lower": 0.5 * volatility,
                            "upper": 1.8 * volatility,
                            "realized_variance": realized,
                            "squared_return": realized * rng.standard_normal(n) ** 2,
                        }
                    )
                )
    return pd.concat(frames, ignore_index=True)
