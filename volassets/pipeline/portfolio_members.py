"""Which model, which forecasts and which weights a book of a home is made from, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from volassets.market.suspect_ranges import SuspectRanges, suspect_ranges
from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.fingerprints import digest
from volassets.pipeline.state import State
from volassets.settings import Settings
from volassets.timing import training_length
from volassets.warehouse.declarations import qlike

BEST, AUTO = "best", "auto"
PREFERRED = ("combination", "log_har_leverage")
_WEIGHTS = "SELECT date, ticker, weight FROM positions WHERE portfolio = $portfolio ORDER BY date, ticker"
# Not of the view forecast_losses, which leaves out what all sessions to this day call suspect.
_LOSSES = f"""
    WITH sessions AS (
        SELECT ticker, date, lag(date) OVER (PARTITION BY ticker ORDER BY date) AS origin_date,
            ratio * proxy_variance AS realised
        FROM realized_vol_features WHERE ticker = $ticker)
    SELECT f.model, s.date, {qlike("s.realised", "f.variance")} AS loss
    FROM forecasts AS f JOIN sessions AS s USING (ticker, origin_date)
    WHERE f.horizon = 1 AND f.model IN (SELECT unnest($models)) ORDER BY ALL
"""
ALWAYS = pd.Timestamp("1900-01-01")


def default_model(settings: Settings) -> str:
    """Return the model of every book: the setting's, or the first of `PREFERRED` that the home fits, else its first."""
    if settings.portfolio_model not in (AUTO, BEST):
        return settings.portfolio_model
    fitted = list(settings.chosen_models)
    return next((name for name in PREFERRED if name in fitted), fitted[0])


class Members:
    """The forecasts of a home as books use them: one model per ticker and month; read once per state."""

    def __init__(self, state: State) -> None:
        self._state, self._settings = state, state.context.settings
        self._default = default_model(self._settings)
        self._losses: dict[str, tuple[pd.DataFrame, SuspectRanges]] = {}
        self._chosen: dict[tuple[str, pd.Timestamp], str] = {}
        self._weights: dict[str, pd.DataFrame] = {}

    def weights(self, name: str) -> pd.DataFrame:
        """Return `weights_of` a book."""
        if name not in self._weights:
            self._weights[name] = weights_of(self._state.context, name)
        return self._weights[name]

    def model(self, ticker: str, month: pd.Timestamp) -> str:
        """Return the model of a ticker and month.

        With `best` the one with the lowest mean QLIKE over the sessions before the month, of those that have at least
        half of the sessions that another has; the default one until there are any.
        """
        if self._settings.portfolio_model != BEST:
            return self._default
        key = (ticker, month)
        if key not in self._chosen:
            self._chosen[key] = self._best(ticker, month)
        return self._chosen[key]

    def cell(self, ticker: str, month: pd.Timestamp) -> tuple[str, Partition, str]:
        """Return table, partition and model of the forecasts of a ticker and month."""
        name = self.model(ticker, month)
        return f"{self._settings.model(name).family}_forecasts", Partition(ticker, month), name

    def stored(self, ticker: str, month: pd.Timestamp) -> str:
        """Return the hash of those forecasts as stored; empty where they are not."""
        return self._state.stored_hashes.hash(*self.cell(ticker, month))

    def expected(self, ticker: str, month: pd.Timestamp) -> str:
        """Return the hash that those forecasts should have."""
        model = self._settings.model(self.model(ticker, month))
        return self._state.fingerprints(Partition(ticker)).forecast(model, month)

    def of(self, month: pd.Timestamp) -> list[str]:
        """Return the tickers of the home with forecasts of the month, sorted."""
        return [ticker for ticker in sorted(self._settings.tickers) if self.stored(ticker, month)]

    def before(self, ticker: str, month: pd.Timestamp) -> str:
        """Return one hash over the stored forecasts of a ticker in the months before, and its bars before `month`."""
        hashes, bars = self._state.stored_hashes, self._state.fingerprints(Partition(ticker)).before(month)
        if self._settings.portfolio_model != BEST:
            table, place, name = self.cell(ticker, month)
            return digest(bars, hashes.before(table, place, name))
        earlier = [when for when in self._months(ticker) if when < month]
        return digest(
            bars, [(f"{when:%Y-%m}", self.model(ticker, when), self.stored(ticker, when)) for when in earlier]
        )

    def rows(self, tickers: Sequence[str], last: pd.Timestamp) -> pd.DataFrame:
        """Return the forecasts of some tickers up to a month: ticker, refit_month, horizon, dates and variance."""
        sql = """
            SELECT ticker, refit_month, model, horizon, origin_date, target_date, variance FROM forecasts
            WHERE ticker IN (SELECT unnest($tickers)) AND model IN (SELECT unnest($models)) AND refit_month <= $last
            ORDER BY ticker, refit_month, horizon, origin_date
        """
        wanted = {(ticker, month): self.model(ticker, month) for ticker in tickers for month in self._months(ticker)}
        models = sorted(set(wanted.values())) or [self._default]
        rows = self._state.context.warehouse.query(
            sql, {"tickers": list(tickers), "models": models, "last": last.to_pydatetime()}
        )
        for name in ("refit_month", "origin_date", "target_date"):
            rows[name] = pd.to_datetime(rows[name]).astype("datetime64[ns]")
        if len(models) > 1:
            places = zip(rows["ticker"], rows["refit_month"], rows["model"], strict=True)
            rows = rows[[wanted.get((ticker, month)) == model for ticker, month, model in places]]
        return rows.drop(columns="model").reset_index(drop=True)

    def _months(self, ticker: str) -> list[pd.Timestamp]:
        if self._settings.portfolio_model != BEST:
            family = self._settings.model(self._default).family
            return self._state.months(f"{family}_forecasts", ticker, self._default)
        models = self._settings.chosen_models.values()
        return sorted({month for m in models for month in self._state.months(f"{m.family}_forecasts", ticker, m.name)})

    def _best(self, ticker: str, month: pd.Timestamp) -> str:
        return best_model(self.losses(ticker, month), self._default)

    def losses(self, ticker: str, month: pd.Timestamp) -> pd.DataFrame:
        """Return `known_losses` of the models of a ticker at the cut-off of a month."""
        known = self._state.ticker(Partition(ticker))
        if ticker not in self._losses:
            models = list(self._settings.chosen_models)
            rows = self._state.context.warehouse.query(_LOSSES, {"ticker": ticker, "models": models})
            rows["date"] = pd.to_datetime(rows["date"]).astype("datetime64[ns]")
            daily = rows.pivot(index="date", columns="model", values="loss").reindex(known.index)
            self._losses[ticker] = daily, suspect_ranges(known.bars)
        daily, suspect = self._losses[ticker]
        return known_losses(daily, month, suspect.before(training_length(known.index, month)))


def known_losses(daily: pd.DataFrame, month: pd.Timestamp, suspect: Sequence[int] | np.ndarray = ()) -> pd.DataFrame:
    """Return the losses of each model over the sessions before a cut-off.

    Parameters
    ----------
    daily : DataFrame
        Loss by session (index date, in order) and model, NaN where there is none; later sessions may be anything.
    month : Timestamp
        The cut-off.
    suspect : sequence of int
        Positions of the sessions before it that are left out.

    Returns
    -------
    DataFrame
        Columns loss (a sum) and n, index model; without the models that have none.
    """
    values = daily.to_numpy(np.float64)[: training_length(pd.DatetimeIndex(daily.index), month)]
    values = np.delete(values, np.asarray(suspect, np.intp), axis=0)
    known = pd.DataFrame({"loss": np.nansum(values, axis=0), "n": np.isfinite(values).sum(axis=0)}, daily.columns)
    return known[known["n"] > 0]


def best_model(known: pd.DataFrame, default: str) -> str:
    """Return the model with the lowest mean of `known_losses`, of those with at least half of the most sessions.

    `default` where nothing is known yet.
    """
    known = known[2 * known["n"] >= known["n"].max()]
    return default if known.empty else str((known["loss"] / known["n"]).idxmin())


def weights_of(context: Context, name: str) -> pd.DataFrame:
    """Return the weights of a book: date from whose close on they hold, ticker, weight; empty where there are none."""
    settings = context.settings
    if given := settings.portfolios.get(name):
        held = [(ALWAYS, ticker, float(weight)) for ticker, weight in sorted(given.items())]
        return pd.DataFrame(held, columns=["date", "ticker", "weight"])
    rows = context.warehouse.query(_WEIGHTS, {"portfolio": name})
    return rows.assign(date=pd.to_datetime(rows["date"]).astype("datetime64[ns]"))


def held_weights(rows: pd.DataFrame, members: Sequence[str], dates: np.ndarray) -> np.ndarray:
    """Return the weights by date, shape (dates, members): those of the newest date of `rows` up to it, else NaN."""
    table = rows.pivot(index="date", columns="ticker", values="weight").reindex(columns=list(members)).fillna(0.0)
    stamps = pd.DatetimeIndex(table.index).as_unit("ns").to_numpy()
    last = np.searchsorted(stamps, dates, side="right") - 1
    values = table.to_numpy(np.float64)[np.maximum(last, 0)]
    return np.where((last >= 0)[:, None], values, np.nan)


def members_of(rows: pd.DataFrame) -> list[str]:
    """Return the tickers that ever have a weight, sorted."""
    return sorted(rows.loc[rows["weight"] != 0, "ticker"].unique())


def portfolio_problems(context: Context) -> dict[str, str]:
    """Return why a portfolio cannot be forecast, by name of those that cannot."""
    settings = context.settings
    found = {name: portfolio_problem(settings, name, weights_of(context, name)) for name in settings.portfolios}
    return {name: problem for name, problem in found.items() if problem}


def portfolio_problem(settings: Settings, name: str, rows: pd.DataFrame) -> str:
    """Return why a book cannot be forecast at all, with the remedy; empty where it can."""
    if rows.empty:
        return (
            f"portfolio {name!r} has no weights: name tickers in [portfolios.{name}], or import dated ones with "
            f"`volassets portfolios add {name} --csv FILE`."
        )
    if not members_of(rows):
        return f"portfolio {name!r} holds nothing: every weight is 0. Give at least one ticker another weight."
    for ticker in members_of(rows):
        if ticker not in settings.tickers:
            return (
                f"portfolio {name!r} holds {ticker!r}, which is not in the list of tickers, or was refused: "
                f"`volassets tickers add '{ticker}'`, or take it out of the portfolio."
            )
    bad = rows.loc[~np.isfinite(rows["weight"].astype(float)), "ticker"]
    if len(bad):
        return f"portfolio {name!r}: the weight of {bad.iloc[0]!r} is not finite. Give a share of the book's value."
    return ""
