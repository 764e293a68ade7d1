"""Small frames for the store's tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.settings import Settings
from volassets.warehouse.store import Replacement, Warehouse


def cells(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return the distinct cells of `frame`."""
    return frame[list(names or ("ticker", "refit_month", "model"))].drop_duplicates()


def fit_rows(
    ticker: str = "^GSPC", month: str = "2016-01-01", model: str = "gjr", data_hash: str = "h1"
) -> pd.DataFrame:
    """Return one row of a fits table."""
    return pd.DataFrame(
        {
            "ticker": [ticker],
            "refit_month": [pd.Timestamp(month)],
            "model": [model],
            "train_start": [pd.Timestamp("2011-01-03")],
            "train_end": [pd.Timestamp(month) - pd.Timedelta(days=1)],
            "n_train": [1260],
            "parameters": [{"alpha": 0.05, "nu": [7.5]}],
            "log_likelihood": [np.nan],
            "converged": [True],
            "message": [""],
            "seconds": [0.25],
            "checkpoint": [""],
            "data_hash": [data_hash],
            "code_version": ["1"],
        }
    )


def forecast_rows(
    ticker: str = "^GSPC",
    month: str = "2016-01-01",
    model: str = "gjr",
    n: int = 5,
    value: float = 1e-4,
    data_hash: str = "h1",
) -> pd.DataFrame:
    """Return `n` origins of one cell of a forecasts table, horizon 1, every variance `value`."""
    origins = pd.bdate_range(month, periods=n + 1)
    return pd.DataFrame(
        {
            "ticker": ticker,
            "refit_month": pd.Timestamp(month),
            "model": model,
            "origin_date": origins[:-1],
            "target_date": origins[1:],
            "horizon": 1,
            "variance": value,
            "volatility": np.sqrt(252 * value),
            "lower": np.nan,
            "upper": np.nan,
            "data_hash": data_hash,
        }
    )


def price_rows(ticker: str = "^GSPC", n: int = 4, fetched_at: str = "2016-02-01 12:00") -> pd.DataFrame:
    """Return `n` bars."""
    close = 100.0 + np.arange(n)
    return pd.DataFrame(
        {
            "ticker": ticker,
            "date": pd.bdate_range("2016-01-04", periods=n),
            "open": close,
            "high": close + 1,
            "low": close - 1,
            "close": close,
            "adj_close": close,
            "volume": 0.0,
            "source": "csv",
            "fetched_at": pd.Timestamp(fetched_at),
        }
    )


def feature_rows(settings: Settings, ticker: str, bars: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of realized_vol_features for `bars`."""
    from volassets.features.feature_table import build_features
    from volassets.market.calendar import calendar_for

    features = build_features(bars, calendar_for(ticker, {}), lags=settings.lags)
    return features.reset_index().assign(ticker=ticker)


def write_features(warehouse: Warehouse, settings: Settings, ticker: str, bars: pd.DataFrame) -> pd.DataFrame:
    """Store the features of `bars` and return them."""
    rows = feature_rows(settings, ticker, bars)
    warehouse.write(Replacement("realized_vol_features", rows, cells(rows, "ticker")))
    return rows
