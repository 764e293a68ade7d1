"""The rows of the store that a report is made of, read once per page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from volassets.market.calendar import sessions_per_year
from volassets.names import covariate_names
from volassets.reporting.palette import model_order
from volassets.settings import Settings

if TYPE_CHECKING:
    from volassets.reporting.charts.forecasts import Paths

BASELINE = "gjr"

_SCORED = """
    SELECT f.model, f.horizon, f.refit_month, f.origin_date, f.target_date, f.volatility, f.lower, f.upper,
        sqrt(f.sessions_per_year * r.proxy_variance) AS realized,
        CASE WHEN r.proxy_variance > 0 AND f.variance > 0
            THEN r.proxy_variance / f.variance - ln(r.proxy_variance / f.variance) - 1 END AS qlike
    FROM forecasts f JOIN realized r USING (ticker, origin_date, horizon)
    WHERE f.ticker = $ticker AND list_contains($models, f.model)
    ORDER BY f.model, f.horizon, f.origin_date
"""
# The rows of latest_forecasts without looking for the headline model again, which costs more than all the rest.
_NEWEST = """
    SELECT model, horizon, origin_date, target_date, volatility, lower, upper,
        target_date < (SELECT max(date) FROM raw_prices WHERE role IS NULL) AS old
    FROM forecasts WHERE ticker = $ticker AND origin_date = $origin
"""
_NEWEST_RISK = """
    SELECT model, horizon, level, tail, origin_date, target_date, value_at_risk, expected_shortfall, method
    FROM risk_forecasts WHERE ticker = $ticker AND origin_date = $origin ORDER BY model, horizon, tail, level
"""


class Store(Protocol):
    """The reading half of `volassets.warehouse.store.Warehouse`."""

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the result of a reading statement."""

    def read(self, table: str, columns: Sequence[str] | None = None, **equals: Any) -> pd.DataFrame:
        """Return rows of a table or view."""


class StoreAtRest(Store, Protocol):
    """A store that can be held at one moment."""

    def reading(self) -> AbstractContextManager[Store]:
        """Yield a store for many reads in a row."""


class TickerData:
    """The stored results of one ticker; each frame is empty where there is nothing."""

    def __init__(self, store: Store, settings: Settings, ticker: str) -> None:
        self.store, self.settings, self.ticker = store, settings, ticker

    def table(self, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return this ticker's rows of a table."""
        return self.store.read(name, columns=columns, ticker=self.ticker)

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """The stored leaderboard by horizon: models on the common origins, best QLIKE first, then the others."""
        rows = self.table("leaderboard")
        apart = ~rows["complete"].fillna(True).astype(bool)
        return rows.assign(apart=apart).sort_values(["horizon", "apart", "qlike"], kind="stable", ignore_index=True)

    @cached_property
    def models(self) -> list[str]:
        """Models that were compared, in the registry's order."""
        return model_order(self.leaderboard["model"])

    @cached_property
    def headline(self) -> pd.Series | None:
        """The ticker's row of ``headline_models``; None without a forecast."""
        rows = self.table("headline_models")
        return None if rows.empty else rows.iloc[0]

    @cached_property
    def newest(self) -> pd.DataFrame:
        """Forecasts of all models from the newest origin, the headline model's first; `old` as in latest_forecasts."""
        if self.headline is None:
            return pd.DataFrame()
        rows = self.store.query(_NEWEST, {"ticker": self.ticker, "origin": self.headline["origin_date"]})
        order = [str(self.headline["model"]), *model_order(rows["model"])]
        places = rows["model"].map(order.index)
        return rows.assign(place=places).sort_values(["place", "horizon"], ignore_index=True).drop(columns="place")

    @cached_property
    def newest_risk(self) -> pd.DataFrame:
        """Value at risk and expected shortfall of all models from the origin of `newest`."""
        origin = pd.NaT if self.headline is None else self.headline["origin_date"]
        return self.store.query(_NEWEST_RISK, {"ticker": self.ticker, "origin": origin})

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The ticker's `scores`."""
        return self.table("scores")

    @cached_property
    def audit(self) -> pd.DataFrame:
        """The ticker's `audit_results`."""
        return self.table("audit_results")

    @cached_property
    def paths(self) -> dict[int, Paths]:
        """Forecasts of all models with their outcomes, by horizon."""
        from volassets.reporting.charts.forecasts import read_paths

        return read_paths(self)

    @cached_property
    def drawn(self) -> str:
        """The model whose path is drawn: the headline model, or the first of the leaderboard where that lacks it."""
        if self.headline is not None and self.headline["model"] in self.models:
            return str(self.headline["model"])
        return str(self.leaderboard["model"].iloc[0])

    @property
    def sessions_per_year(self) -> int:
        """Sessions a year of the ticker's calendar."""
        return sessions_per_year(self.ticker, self.settings.calendars)

    @cached_property
    def scored(self) -> pd.DataFrame:
        """Forecasts whose sessions have passed, annualised volatilities in decimals, with QLIKE."""
        return self.store.query(_SCORED, {"ticker": self.ticker, "models": self.models})

    def forecasts_of(self, model: str, horizon: int) -> pd.DataFrame:
        """Return `scored` of one model and horizon, in order of the origin."""
        rows = self.scored
        return rows[(rows["model"] == model) & (rows["horizon"] == horizon)]

    @cached_property
    def horizons(self) -> list[int]:
        """Horizons with a score, increasing."""
        return sorted(int(h) for h in self.leaderboard["horizon"].unique())

    @cached_property
    def bars(self) -> pd.DataFrame:
        """Bars with the proxy's annualised volatility, by date."""
        sql = """
            SELECT p.date, p.close, sqrt($sessions * f.ratio * f.proxy_variance) AS volatility
            FROM raw_prices p LEFT JOIN realized_vol_features f USING (ticker, date)
            WHERE ticker = $ticker ORDER BY date
        """
        return self.store.query(sql, {"ticker": self.ticker, "sessions": self.sessions_per_year})

    @cached_property
    def selected(self) -> pd.DataFrame:
        """`selected_features` over all months, features in the catalogue's order."""
        from volassets.features.catalogue import catalogue

        order = {feature.name: position for position, feature in enumerate(catalogue(self.settings.lags))}
        rows = self.table(
            "selected_features",
            ["refit_month", "feature", "selected", "reason", "correlated_with", "abs_correlation"],
        )
        codes, names = pd.factorize(rows["feature"])
        positions = np.array([order.get(str(name), len(order)) for name in names], float)
        return rows.assign(position=positions[codes]).sort_values(["refit_month", "position"], ignore_index=True)

    @cached_property
    def latest_selection(self) -> pd.DataFrame:
        """`selected` of the newest month."""
        rows = self.selected
        return rows[rows["refit_month"] == rows["refit_month"].max()]

    def training_correlations(self) -> pd.DataFrame:
        """Return the features' correlations over the rows before the newest refit month."""
        from volassets.features.covariates import columns_of, names_in

        chosen = self.latest_selection
        there = {feature.name for feature in columns_of(covariate_names(self.settings.covariates))}
        # A covariate that the settings no longer name has no column now.
        names = [
            name
            for name in chosen["feature"][chosen["reason"].isin(["kept", "correlated"])]
            if name in there or not names_in([name])
        ]
        if not names:
            return pd.DataFrame()
        # Left out by the database: a column with NULLs costs ten times as much to convert as one without.
        whole = " AND ".join(f'"{name}" IS NOT NULL' for name in names)
        sql = f"""
            SELECT {", ".join(f'"{name}"' for name in names)} FROM realized_vol_features
            WHERE ticker = $ticker AND date < $month AND {whole} ORDER BY date
        """
        month = chosen["refit_month"].iloc[0].to_pydatetime()
        training = self.store.query(sql, {"ticker": self.ticker, "month": month}).to_numpy(float)
        # By numpy, which takes a twentieth of the time of pandas' pairwise correlations.
        return pd.DataFrame(np.corrcoef(training, rowvar=False).reshape(len(names), -1), index=names, columns=names)

    @cached_property
    def lags(self) -> pd.DataFrame:
        """`lag_analysis` of the newest month."""
        rows = self.table("lag_analysis")
        return rows[rows["refit_month"] == rows["refit_month"].max()]

    @cached_property
    def training_history(self) -> pd.DataFrame:
        """`training_history` of each network's newest month."""
        rows = self.table("training_history")
        return rows[rows["refit_month"] == rows.groupby("model")["refit_month"].transform("max")]

    @cached_property
    def attention(self) -> pd.DataFrame:
        """Mean attention weight per model and lag over the refit months, and its spread between them."""
        rows = self.table("attention")
        grouped = rows.groupby(["model", "lag_days"])["weight"]
        return grouped.agg(weight="mean", low="min", high="max").reset_index()

    @cached_property
    def importance(self) -> pd.DataFrame:
        """Mean rise of QLIKE per model and feature over the refit months, with its standard error."""
        rows = self.table("feature_importance")
        grouped = rows.groupby(["model", "feature"])
        summary = grouped.agg(
            delta_qlike=("delta_qlike", "mean"),
            # Months are treated as independent, which their shared training rows make a lower bound.
            std_error=("std_error", lambda s: float(np.sqrt((s**2).sum()) / len(s))),
            months=("delta_qlike", "size"),
        )
        return summary.reset_index().sort_values(["model", "delta_qlike"], ascending=[True, False], ignore_index=True)

    def qlike_by_month(self, horizon: int = 1) -> pd.DataFrame:
        """Return mean QLIKE, one row per month of the target date and one column per model."""
        rows = self.scored[self.scored["horizon"] == horizon]
        month = pd.DatetimeIndex(rows["target_date"], name="month").to_period("M").to_timestamp()
        means = rows.groupby([month, "model"])["qlike"].mean().unstack("model")
        return means[model_order(means.columns)]

    def daily_qlike(self, horizon: int = 1) -> pd.DataFrame:
        """Return QLIKE, one row per session and one column per model, over the sessions that they share.

        A model with much fewer days than the baseline is left out, so that it does not take the others' days.
        """
        rows = self.scored[self.scored["horizon"] == horizon]
        daily = rows.pivot_table(index="target_date", columns="model", values="qlike")
        full = daily[BASELINE].count() if BASELINE in daily.columns else daily.count().max()
        return daily.loc[:, daily.count() >= 0.8 * full].dropna()
