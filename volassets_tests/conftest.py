"""Fixtures: the bundled histories as bars, and simulated bars."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with servers first and those with other slow tests next: no worker ends alone with a long one."""
    ranks: dict[Path, int] = {}
    for item in items:
        rank = 0 if item.get_closest_marker("end_to_end") else 1 if item.get_closest_marker("slow") else 2
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(key=lambda item: ranks[item.path])


def _bars(raw: pd.DataFrame) -> pd.DataFrame:
    bars = raw.rename(columns=lambda name: name.lower().replace(" ", "_"))
    bars = bars[["open", "high", "low", "close", "adj_close", "volume"]].astype(float)
    bars.index = pd.DatetimeIndex(bars.index, name="date")
    return bars


@pytest.fixture(scope="session")
def sp500_bars() -> pd.DataFrame:
    """S&P 500, 1999-01-04 to 2018-12-31, 5,031 bars."""
    from arch.data import sp500

    return _bars(sp500.load())


@pytest.fixture(scope="session")
def nasdaq_bars() -> pd.DataFrame:
    """NASDAQ composite, 1999-01-04 to 2018-12-31, 5,031 bars."""
    from arch.data import nasdaq

    return _bars(nasdaq.load())


def simulate_bars(n: int, seed: int, start: str = "2005-01-03") -> pd.DataFrame:
    """Return `n` valid business-day bars with clustered volatility, an overnight gap and volume."""
    rng = np.random.default_rng(seed)
    log_variance = np.empty(n)
    log_variance[0] = np.log(1e-4)
    for i in range(1, n):
        log_variance[i] = np.log(1e-4) + 0.95 * (log_variance[i - 1] - np.log(1e-4)) + 0.25 * rng.standard_normal()
    deviation = np.exp(log_variance / 2)
    overnight = 0.4 * deviation * rng.standard_normal(n)
    steps = deviation[:, None] * rng.standard_normal((n, 32)) / np.sqrt(32) * 0.9
    path = np.concatenate([np.zeros((n, 1)), np.cumsum(steps, axis=1)], axis=1)
    opening = np.log(100) + np.cumsum(overnight) + np.concatenate([[0.0], np.cumsum(path[:-1, -1])])
    prices = np.exp(opening[:, None] + path)
    close = prices[:, -1]
    return pd.DataFrame(
        {
            "open": prices[:, 0],
            "high": prices.max(axis=1),
            "low": prices.min(axis=1),
            "close": close,
            "adj_close": close,
            "volume": np.round(1e6 * np.exp(0.3 * rng.standard_normal(n) + 0.3 * (log_variance - np.log(1e-4)))),
        },
        index=pd.bdate_range(start, periods=n, name="date"),
    )


@pytest.fixture(scope="session")
def simulated_bars() -> Callable[..., pd.DataFrame]:
    """The function `simulate_bars(n, seed, start)`."""
    return simulate_bars


@pytest.fixture(scope="session")
def sp500_features(sp500_bars: pd.DataFrame) -> pd.DataFrame:
    """Feature table of the S&P 500, as the graph stores it."""
    from volassets.features.feature_table import build_features
    from volassets.market.calendar import calendar_for

    return build_features(sp500_bars, calendar_for("^GSPC"))
