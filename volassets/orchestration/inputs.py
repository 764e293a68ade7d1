"""What a run works with: the settings, the store, and a ticker's stored bars and features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from volassets.errors import InputError
from volassets.features.catalogue import catalogue, outcomes
from volassets.market.bars import BAR_COLUMNS
from volassets.market.calendar import SessionCalendar, calendar_for
from volassets.orchestration.fingerprints import Fingerprints, ModelHashes
from volassets.settings import Settings
from volassets.timing import first_possible_month, last_possible_month
from volassets.warehouse.store import Warehouse, open_warehouse


@dataclass
class Run:
    """One run's settings, store and log line.

    Attributes
    ----------
    settings : Settings
    force : bool
        Compute cells whose stored hash is right as well.
    log : callable
        Takes one line of text.
    """

    settings: Settings
    force: bool = False
    log: Callable[[str], None] = field(default=lambda _line: None)

    @cached_property
    def warehouse(self) -> Warehouse:
        """The store of these settings."""
        return open_warehouse(self.settings)

    @cached_property
    def model_hashes(self) -> ModelHashes:
        """What the models add to the fingerprints, the same for every ticker."""
        return ModelHashes(self.settings)

    def calendar(self, ticker: str) -> SessionCalendar:
        """The exchange calendar of `ticker`."""
        return calendar_for(ticker, self.settings.calendars)

    def bars(self, ticker: str) -> pd.DataFrame:
        """Return the stored bars of `ticker`, index date; empty where there are none."""
        return _by_date(self.warehouse.read("raw_prices", columns=["date", *BAR_COLUMNS], ticker=ticker))

    def bars_of(self, tickers: Sequence[str]) -> dict[str, pd.DataFrame]:
        """Return the stored bars of those of `tickers` that have any, read at once."""
        stored = self.warehouse.read("raw_prices", columns=["ticker", "date", *BAR_COLUMNS], ticker=list(tickers))
        return {str(name): _by_date(rows.drop(columns="ticker")) for name, rows in stored.groupby("ticker", sort=False)}

    def inputs(self, ticker: str) -> TickerInputs:
        """Return the stored bars and features of `ticker`.

        Raises
        ------
        InputError
            If there are no bars, or the features were not built from these bars.
        """
        bars = self.bars(ticker)
        if bars.empty:
            raise InputError(f"no bars of {ticker} are stored: materialize raw_prices for {ticker} first.")
        inputs = TickerInputs(self, ticker, bars)
        if inputs.stored_features_hash != inputs.fingerprints.features():
            raise InputError(
                f"the features of {ticker} do not belong to its stored bars (to {bars.index[-1]:%Y-%m-%d}): "
                f"materialize realized_vol_features for {ticker} first."
            )
        return inputs


@dataclass
class TickerInputs:
    """The stored bars and features of one ticker."""

    run: Run
    ticker: str
    bars: pd.DataFrame

    @cached_property
    def calendar(self) -> SessionCalendar:
        """The ticker's exchange calendar."""
        return self.run.calendar(self.ticker)

    @cached_property
    def fingerprints(self) -> Fingerprints:
        """Hashes that the ticker's cells should have now."""
        return Fingerprints(self.run.model_hashes, self.ticker, self.bars, self.calendar)

    @cached_property
    def stored_features_hash(self) -> str:
        """Hash that the stored feature table was built with; empty where there is none."""
        stored = self.run.warehouse.hashes("realized_vol_features", self.ticker)
        return str(stored["data_hash"].iloc[-1]) if len(stored) else ""

    @cached_property
    def features(self) -> pd.DataFrame:
        """The stored feature table, float64, index date."""
        columns = [feature.name for feature in (*catalogue(self.run.settings.lags), *outcomes())]
        return _by_date(
            self.run.warehouse.read("realized_vol_features", columns=["date", *columns], ticker=self.ticker)
        )

    @property
    def first_month(self) -> pd.Timestamp | None:
        """First month with enough bars before it, None where there is none yet."""
        return first_possible_month(pd.DatetimeIndex(self.bars.index), self.run.settings.minimum_history)

    @property
    def last_month(self) -> pd.Timestamp:
        """Month of the first session after the last bar."""
        return last_possible_month(pd.DatetimeIndex(self.bars.index), self.calendar)

    def require_months(self, months: list[pd.Timestamp]) -> None:
        """Refuse months that cannot be fitted or forecast.

        Raises
        ------
        InputError
            Naming the month, what is missing and the first or last possible month.
        """
        first, last, needed = self.first_month, self.last_month, self.run.settings.minimum_history
        if first is None:
            raise InputError(
                f"{self.ticker} has {len(self.bars)} bars, a refit needs {needed} before its month: "
                "fetch a longer history, or lower minimum_history in the settings (not below 300)."
            )
        early = [month for month in months if month < first]
        if early:
            raise InputError(
                f"{self.ticker} cannot be fitted for {early[0]:%Y-%m}: a refit needs {needed} bars before its month, "
                f"and the bars start on {self.bars.index[0]:%Y-%m-%d}. The first possible month is {first:%Y-%m}."
            )
        late = [month for month in months if month > last]
        if late:
            raise InputError(
                f"{self.ticker} cannot be forecast for {late[0]:%Y-%m}: its bars end on "
                f"{self.bars.index[-1]:%Y-%m-%d}. The last possible month is {last:%Y-%m}; refresh the prices first."
            )


def _by_date(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.sort_values("date").set_index("date")
    rows.index = pd.DatetimeIndex(rows.index, name="date").as_unit("ns")
    return rows.astype("float64")
