"""What a stored cell was computed from, as a hash: equal hashes mean equal rows.

A fingerprint covers the bars before the cut-off, the settings that matter, the code version and the fingerprints of
what is used upstream. Appended bars therefore change the running month's forecasts and nothing else; a revised bar
changes every month after it. Millions are asked for, so whatever is the same for many cells is hashed once.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from volassets.features.base_series import BaseSeries
from volassets.features.covariates import Covariate, known_places
from volassets.market.bars import BAR_COLUMNS, COARSE_SHARE, REALIZED
from volassets.market.calendar import SessionCalendar
from volassets.models.protocol import TRADING_DAYS, Model
from volassets.settings import Settings
from volassets.timing import training_length

ONE_MONTH = pd.offsets.MonthBegin(1)

# Raised by hand when the same inputs would give other numbers; a model has its own.
CODE_VERSIONS = {
    "features": "1",
    "covariates": "1",
    "selected_features": "1",
    "lag_analysis": "1",
    "forecasts": "1",
    "importance": "1",
    "comparison": "2",
    "risk": "1",
    "portfolio": "1",
    "portfolio_record": "2",
}


def digest(*parts: Any) -> str:
    """Return 16 hex digits over the JSON of `parts`."""
    return _short(json.dumps(parts, sort_keys=True, default=str, separators=(",", ":")))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class PrefixHashes:
    """Hashes of the first n rows of `values`, shape (rows, columns), for any n; increasing n read every row once."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = np.ascontiguousarray(values)
        self._rows = [0]
        self._states = [hashlib.sha256()]
        self._texts: dict[int, str] = {}

    def __call__(self, rows: int) -> str:
        """Return 16 hex digits over the first `rows` rows."""
        if rows not in self._texts:
            nearest = bisect_right(self._rows, rows) - 1
            state = self._states[nearest].copy()
            state.update(self._values[self._rows[nearest] : rows].tobytes())
            self._rows.insert(nearest + 1, rows)
            self._states.insert(nearest + 1, state)
            self._texts[rows] = state.hexdigest()[:16]
        return self._texts[rows]


class ModelHashes:
    """What the settings and each model add to every one of their cells, whatever the ticker."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._models: dict[tuple[str, ...], str] = {}
        self._members: dict[tuple[str, ...], tuple[Model, ...]] = {}
        self.selection = digest(settings.correlation_threshold, settings.scaling, CODE_VERSIONS["selected_features"])
        self.forecasts = digest(settings.interval_level, CODE_VERSIONS["forecasts"])
        self.features = digest(settings.lags, settings.proxy, CODE_VERSIONS["features"])

    def model(self, model: Model) -> str:
        """Hash of the model's specification, its code version and the horizons."""
        key = named(model)
        if key not in self._models:
            parts = (model.name, asdict(model), model.code_version, self.settings.horizons)  # type: ignore[call-overload]
            self._models[key] = digest(*parts)
        return self._models[key]

    def members(self, model: Model) -> tuple[Model, ...]:
        """Specifications of the models that this one combines."""
        key = named(model)
        if key not in self._members:
            self._members[key] = tuple(self.settings.model(name) for name in model.member_names)
        return self._members[key]


def named(model: Model) -> tuple[str, ...]:
    """Return what tells two models of one set of settings apart: a combination may have two lists of members."""
    return (model.name, *model.member_names)


class Fingerprints:
    """The fingerprints of one ticker's cells over its stored `bars`, index date.

    `hashes` are shared by the tickers of one set of settings; `pooled` is the fingerprint of a fit over all tickers,
    of a model and a month, by default of this ticker alone; `kept` gives the model as the stored forecasts of a month
    have it, by default today's; `covariates` are inputs of the models that use them.
    """

    def __init__(
        self,
        hashes: ModelHashes,
        ticker: str,
        bars: pd.DataFrame,
        calendar: SessionCalendar,
        pooled: Callable[[Model, pd.Timestamp], str] | None = None,
        kept: Callable[[pd.Timestamp, Model], Model] = lambda _month, model: model,
        covariates: Sequence[Covariate] = (),
    ) -> None:
        self._hashes, self._ticker, self._calendar, self._kept = hashes, ticker, calendar, kept
        self._index = pd.DatetimeIndex(bars.index).as_unit("ns")
        # One ticker alone is a pool too, as in the leakage audit.
        self._pooled = pooled or (lambda model, month: pooled_fit_hash(hashes, model, {ticker: self}, month))
        self._frame = bars
        self._covariates = [_CovariateHashes(covariate, self._index, calendar) for covariate in covariates]
        measured = [REALIZED] if hashes.settings.proxy == "realized" else []
        values = bars.reindex(columns=[*BAR_COLUMNS, *measured]).to_numpy(np.float64)
        self._bars = PrefixHashes(np.column_stack([self._index.asi8.astype(np.float64), values]))
        self._months: dict[pd.Timestamp, tuple[str, str, str, int]] = {}
        self._fits: dict[tuple[tuple[str, ...], pd.Timestamp], str] = {}
        self._in_use: dict[pd.Timestamp, int] = {}

    def _features_of(self, rows: int) -> str:
        # Tables that 0.1.0 computed stay valid as long as its rules and today's give the same bits.
        rules = " robust" if rows > self._rows_of_first_rules else ""
        calendar = f"{self._calendar.name}{self._sessions}"
        return _short(f"{self._ticker} {self._bars(rows)} {calendar} {self._hashes.features}{rules}")

    @cached_property
    def _sessions(self) -> str:
        """Return the sessions a year where they are not an exchange's, which 0.1.0 took for every ticker."""
        sessions = self._calendar.sessions_per_year
        return "" if sessions == TRADING_DAYS else f" {sessions}"

    @cached_property
    def _rows_of_first_rules(self) -> int:
        return BaseSeries(self._frame, self._calendar, self._hashes.settings.proxy).rows_of_first_rules

    def bars(self, rows: int) -> str:
        """Hash of the first `rows` bars and nothing else."""
        return self._bars(rows)

    def features(self) -> str:
        """Fingerprint of the whole feature table, covariates included."""
        rows = len(self._index)
        return self._joined(self._features_of(rows), rows)

    def _joined(self, features: str, rows: int) -> str:
        """Return the hash of the first `rows` rows of the features with what they hold of covariates, if any."""
        if not self._covariates:
            return features
        parts = " ".join(covariate.up_to(rows) for covariate in self._covariates)
        return _short(f"{features} {parts} covariates {CODE_VERSIONS['covariates']}")

    def _month(self, month: pd.Timestamp) -> tuple[str, str, str, int]:
        """Return the hashes of the features before the cut-off, of the selection and of the features in use.

        The last is the number of rows in use. The selection alone is with covariates.
        """
        if month not in self._months:
            rows = training_length(self._index, month)
            before = self._features_of(rows)
            selection = _short(f"{self._joined(before, rows)} {self._hashes.selection}")
            in_use = self._rows_in_use(month)
            self._months[month] = before, selection, self._features_of(in_use), in_use
        return self._months[month]

    @cached_property
    def _targets(self) -> np.ndarray:
        return self._calendar.next_sessions(self._index).to_numpy()

    def _rows_in_use(self, month: pd.Timestamp) -> int:
        """Return how many rows there are up to the month's last origin, as `timing.origins_of_month` has it."""
        if month not in self._in_use:
            ends = [month.to_datetime64(), (month + ONE_MONTH).to_datetime64()]
            first, last = np.searchsorted(self._targets, ends)
            self._in_use[month] = int(last) if last > first else 0
        return self._in_use[month]

    def has_origins(self, month: pd.Timestamp) -> bool:
        """Whether some bar's next session lies in `month`, so that the month has forecasts."""
        return self._rows_in_use(month) > 0

    def before(self, month: pd.Timestamp, covariates: bool = False) -> str:
        """Fingerprint of the features before the cut-off of `month`, with or without those of covariates."""
        own = self._month(month)[0]
        return self._joined(own, training_length(self._index, month)) if covariates else own

    def lag_analysis(self, month: pd.Timestamp) -> str:
        """Fingerprint of one month's lag analysis."""
        return _short(f"{self.before(month)} {CODE_VERSIONS['lag_analysis']}")

    def selected_features(self, month: pd.Timestamp) -> str:
        """Fingerprint of one month's selection and scaler."""
        return self._month(month)[1]

    def fit(self, model: Model, month: pd.Timestamp) -> str:
        """Fingerprint of one model's fit for one month."""
        key = (named(model), month)
        if key not in self._fits:
            self._fits[key] = self._pooled(model, month) if model.scope == "month" else self._fit(model, month)
        return self._fits[key]

    def _fit(self, model: Model, month: pd.Timestamp) -> str:
        selected = model.uses_selection
        upstream = self.selected_features(month) if selected else self.before(month, model.uses_covariates)
        members = "".join(self.fit(member, month) for member in self._hashes.members(model))
        coarse = f" coarse {model.coarse_version}" if model.coarse_version and self._coarse(month) else ""
        return _short(f"{self._hashes.model(model)} {upstream} {members}{coarse}")

    def _coarse(self, month: pd.Timestamp) -> bool:
        """Return whether prices before the cut-off of `month` move in so few ticks that many returns are zero."""
        rows = training_length(self._index, month)
        return bool(rows > 1 and self._still[rows - 1] > COARSE_SHARE * (rows - 1))

    @cached_property
    def _still(self) -> np.ndarray:
        """Return how many returns up to each row are zero."""
        return np.cumsum(self._frame["close"].diff().to_numpy() == 0)

    def forecast(self, model: Model, month: pd.Timestamp) -> str:
        """Fingerprint of one model's forecasts of one month: its fit, and the bars up to the last origin."""
        _, _, in_use, rows = self._month(month)
        return self._forecast(self._kept(month, model), month, in_use, rows)

    def _forecast(self, model: Model, month: pd.Timestamp, in_use: str, rows: int) -> str:
        if self._covariates and any(source.uses_covariates for source in (model, *self._hashes.members(model))):
            in_use = self._joined(in_use, rows)
        return _short(f"{self.fit(model, month)} {in_use} {self._hashes.forecasts}")

    def forecasts_so_far(self, model: Model, month: pd.Timestamp) -> Iterator[str]:
        """Yield the fingerprint of one month's forecasts, of the running month also those of its days before."""
        last = self._rows_in_use(month)
        first = training_length(self._index, month) if last == len(self._index) else last
        for rows in range(last, min(first, last) - 1, -1):
            yield self._forecast(model, month, self._features_of(rows), rows)

    def importance(self, model: Model, month: pd.Timestamp) -> str:
        """Fingerprint of one fit's permutation importance."""
        return importance_hash(self.fit(model, month))


class _CovariateHashes:
    """What the rows of a ticker's features hold of one covariate, as a hash."""

    def __init__(self, covariate: Covariate, index: pd.DatetimeIndex, calendar: SessionCalendar) -> None:
        self._name = f"{covariate.name} {covariate.calendar}"
        self._places = known_places(covariate, index, calendar.closing_times(index))
        dates = pd.DatetimeIndex(covariate.bars.index).as_unit("ns").asi8.astype(np.float64)
        closes = covariate.bars["adj_close"].to_numpy(np.float64)
        self._hashes = PrefixHashes(np.column_stack([dates, closes]))

    def up_to(self, rows: int) -> str:
        """Return the hash of the values that the first `rows` rows can hold."""
        return f"{self._name} {self._hashes(int(self._places[:rows].max(initial=-1)) + 1)}"


def importance_hash(fit_hash: str) -> str:
    """Return the fingerprint of the permutation importance of the fit with `fit_hash`."""
    return _short(f"{fit_hash} importance {CODE_VERSIONS['importance']}")


def pooled_fit_hash(hashes: ModelHashes, model: Model, pool: Mapping[str, Fingerprints], month: pd.Timestamp) -> str:
    """Return the fingerprint of one month's fit over all tickers of `pool`, whatever their order."""
    members = " ".join(f"{ticker} {pool[ticker].before(month, model.uses_covariates)}" for ticker in sorted(pool))
    return _short(f"{hashes.model(model)} {members}")
