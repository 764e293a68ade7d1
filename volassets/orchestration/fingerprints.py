"""What a stored cell was computed from, as a hash: equal hashes mean equal rows.

A fingerprint covers the bars before the cut-off, the settings that matter, the code version and
the fingerprints of what is used upstream. Appended bars therefore change the running month's
forecasts and nothing else; a revised bar changes every month after it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from volassets.market.bars import BAR_COLUMNS
from volassets.models.protocol import Model
from volassets.settings import Settings
from volassets.timing import NextSession, origins_of_month, training_length

# Raised by hand when the same inputs would give other numbers; a model has its own.
CODE_VERSIONS = {"features": "1", "selected_features": "1", "lag_analysis": "1", "forecasts": "1", "comparison": "1"}


def digest(*parts: Any) -> str:
    """Return 16 hex digits over the JSON of `parts`."""
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Fingerprints:
    """The fingerprints of one ticker's cells.

    Parameters
    ----------
    settings : Settings
    ticker : str
    bars : DataFrame
        The stored bars, index date.
    calendar : object with ``name`` and ``next_session``
    """

    def __init__(self, settings: Settings, ticker: str, bars: pd.DataFrame, calendar: NextSession) -> None:
        self._settings = settings
        self._ticker = ticker
        self._index = pd.DatetimeIndex(bars.index)
        self._calendar = calendar
        self._values = np.column_stack(
            [self._index.asi8.astype(np.float64), bars[list(BAR_COLUMNS)].to_numpy(np.float64)]
        )
        self._bars = lru_cache(maxsize=None)(self._hash_bars)

    def _hash_bars(self, rows: int) -> str:
        return hashlib.sha256(np.ascontiguousarray(self._values[:rows]).tobytes()).hexdigest()[:16]

    def _features_of(self, rows: int) -> str:
        settings = self._settings
        return digest(
            self._ticker,
            self._bars(rows),
            settings.lags,
            settings.proxy,
            getattr(self._calendar, "name", ""),
            CODE_VERSIONS["features"],
        )

    def features(self) -> str:
        """Fingerprint of the whole feature table."""
        return self._features_of(len(self._index))

    def _before(self, month: pd.Timestamp) -> str:
        return self._features_of(training_length(self._index, month))

    def lag_analysis(self, month: pd.Timestamp) -> str:
        """Fingerprint of one month's lag analysis."""
        return digest(self._before(month), CODE_VERSIONS["lag_analysis"])

    def selected_features(self, month: pd.Timestamp) -> str:
        """Fingerprint of one month's selection and scaler."""
        settings = self._settings
        return digest(
            self._before(month), settings.correlation_threshold, settings.scaling, CODE_VERSIONS["selected_features"]
        )

    def fit(self, model: Model, month: pd.Timestamp) -> str:
        """Fingerprint of one model's fit for one month."""
        upstream = self.selected_features(month) if getattr(model, "uses_selection", False) else self._before(month)
        members = [self.fit(self._settings.model(name), month) for name in getattr(model, "members", ())]
        return digest(model.name, asdict(model), model.code_version, self._settings.horizons, upstream, members)  # type: ignore[call-overload]

    def forecast(self, model: Model, month: pd.Timestamp) -> str:
        """Fingerprint of one model's forecasts of one month: its fit, and the bars up to the last origin."""
        origins = origins_of_month(self._index, month, self._calendar)
        rows = int(self._index.get_loc(origins[-1])) + 1 if len(origins) else 0
        return digest(
            self.fit(model, month), self._features_of(rows), self._settings.interval_level, CODE_VERSIONS["forecasts"]
        )
