"""What a run works with, each read once: settings, store, calendars, bars, features, the source's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING

import pandas as pd

from volassets.clock import utc_now
from volassets.errors import InputError, VolassetsError
from volassets.features.catalogue import catalogue, outcomes
from volassets.features.covariates import Covariate, columns_of
from volassets.market.bars import BAR_COLUMNS, REALIZED
from volassets.market.calendar import SessionCalendar, calendar_for, covariate_calendar
from volassets.market.price_source import PriceSource, make_source
from volassets.models.protocol import Model
from volassets.models.registry import MODELS
from volassets.pipeline.fingerprints import Fingerprints, ModelHashes, pooled_fit_hash
from volassets.pipeline.kept_members import KeptMembers
from volassets.pipeline.pool_membership import PoolMembership
from volassets.pipeline.workers import SharedFrame, SharedFrames
from volassets.settings import Settings, TickerSource
from volassets.timing import first_possible_month, last_possible_month, training_length
from volassets.warehouse.store import Warehouse, open_warehouse

if TYPE_CHECKING:
    from volassets.market.findings import Finding
    from volassets.pipeline.price_intake import Answer


class Context:
    """One run's view of a home: its settings decide what a complete cell has and what the graph is.

    Attributes
    ----------
    models : dict of str to Model
        Models that this run fits; the home's where none are given.
    workers : int
        Worker processes; the settings' number where `jobs` is 0.
    log : callable
        Takes one line of text.
    now : datetime
        The moment of the run, UTC.
    fetched, answers : dict
        By ticker: bars that the source has given already, and those of them that are checked and not yet stored.
    fetch_only : set of str or None
        Tickers whose bars the run fetches; None for every ticker that it is asked for.
    pools : PoolMembership
        Who is in the pool of a model and month; `refit_pool` takes today's tickers, whatever is stored.
    members : KeptMembers
        Which models a combination of a ticker and month has; `refit_pool` takes today's.
    refusals, findings : dict
        By ticker: why its bars were refused, and what was found in those that were taken.
    covariate_problems : dict
        By covariate that this run has looked at: why its values could not be refreshed; empty where they could.
    listed : set of str
        The home's tickers, also those that the run leaves out.
    covariates_only : set of str
        Names that are stored as covariates and as nothing else.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        models: Sequence[str] | None = None,
        jobs: int = 0,
        source: PriceSource | None = None,
        log: Callable[[str], None] = lambda _line: None,
        now: datetime | None = None,
        refit_pool: bool = False,
    ) -> None:
        self.settings = settings
        self.listed = frozenset(settings.tickers)
        self.models: dict[str, Model] = dict(settings.chosen_models)
        if models is not None:
            # In the registry's order, as the settings' own are.
            self.models = {name: settings.model(name) for name in MODELS if name in set(models)}
        self.workers = jobs or settings.workers
        self.log = log
        self.now = now or utc_now()
        self.given_source = source
        self._sources: dict[TickerSource, PriceSource] = {}
        self._bars: dict[str, pd.DataFrame] = {}
        self._tickers: dict[str, TickerContext] = {}
        self._calendars: dict[str, SessionCalendar] = {}
        self._features: dict[str, tuple[str, SharedFrame]] = {}
        self._pooled: dict[tuple[str, pd.Timestamp], str] = {}
        self.pools = PoolMembership(self, refit_pool)
        self.members = KeptMembers(self, refit_pool)
        self._exits = ExitStack()
        self.fetched: dict[str, tuple[pd.DataFrame, list[Finding]]] = {}
        self.answers: dict[str, Answer] = {}
        self.fetch_only: set[str] | None = None
        self.refusals: dict[str, VolassetsError] = {}
        self.findings: dict[str, list[Finding]] = {}
        self.covariate_problems: dict[str, str] = {}
        self.covariates_only: set[str] = set()

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the files that the workers shared."""
        self._features.clear()
        self._exits.close()

    @cached_property
    def warehouse(self) -> Warehouse:
        """The store of these settings."""
        return open_warehouse(self.settings)

    def source(self, ticker: str) -> PriceSource:
        """Where the bars of `ticker` come from.

        Raises
        ------
        InputError
            If its source lacks what it needs.
        """
        if self.given_source is not None:
            return self.given_source
        known = self.settings.source_of(ticker)
        if known not in self._sources:
            self._sources[known] = make_source(self.settings.for_ticker(ticker))
        return self._sources[known]

    @cached_property
    def model_hashes(self) -> ModelHashes:
        """What the models add to the fingerprints, the same for every ticker."""
        return ModelHashes(self.settings)

    @cached_property
    def _shared(self) -> SharedFrames:
        return self._exits.enter_context(SharedFrames())

    def calendar(self, ticker: str) -> SessionCalendar:
        """The exchange calendar of `ticker`."""
        if ticker not in self._calendars:
            self._calendars[ticker] = calendar_for(ticker, self.settings.calendars)
        return self._calendars[ticker]

    def covariates(self, ticker: str) -> tuple[Covariate, ...]:
        """Return the series that are inputs of `ticker`, as stored; one without bars is neutral."""
        names, overrides = self.settings.covariates_of(ticker), self.settings.calendars
        self.load_bars(names)
        return tuple(Covariate(name, self._bars[name], covariate_calendar(name, overrides).name) for name in names)

    def set_covariate(self, name: str, bars: pd.DataFrame) -> None:
        """Take `bars` for the stored ones of a covariate, which have just been written."""
        self._tickers.clear()
        self.set_bars(name, bars)

    def bars(self, ticker: str) -> pd.DataFrame:
        """Return the stored bars of `ticker`, index date; empty where there are none."""
        self.load_bars([ticker])
        return self._bars[ticker]

    def load_bars(self, tickers: Iterable[str]) -> None:
        """Read the stored bars of those of `tickers` that are not known yet, in one statement."""
        wanted = [ticker for ticker in tickers if ticker not in self._bars]
        if not wanted:
            return
        columns = ["ticker", "date", *BAR_COLUMNS, REALIZED, "role"]
        stored = self.warehouse.read("raw_prices", columns=columns, ticker=wanted)
        covariates = stored.loc[stored["role"].notna(), "ticker"].unique()
        self.covariates_only = self.covariates_only.difference(wanted).union(map(str, covariates))
        stored = stored.drop(columns="role")
        found = {str(name): rows.drop(columns="ticker") for name, rows in stored.groupby("ticker", sort=False)}
        none = stored.iloc[:0].drop(columns="ticker")
        self._bars.update({ticker: _measured(by_date(found.get(ticker, none))) for ticker in wanted})

    def set_bars(self, ticker: str, bars: pd.DataFrame) -> None:
        """Take `bars` for the stored ones of `ticker`: they have just been written, or are about to be."""
        self._drop([ticker])
        self._bars[ticker] = bars

    def forget(self, tickers: Iterable[str]) -> None:
        """Read the bars of `tickers` again when they are asked for: another process may have written."""
        listed = list(tickers)
        self._drop([*listed, *(name for ticker in listed for name in self.settings.covariates_of(ticker))])

    def _drop(self, names: Iterable[str]) -> None:
        for name in names:
            self._bars.pop(name, None)
            self._tickers.pop(name, None)
        self._pooled.clear()
        self.pools.forget()
        self.members.forget()

    def ticker(self, ticker: str) -> TickerContext:
        """Return what is known of one ticker; its bars may be empty."""
        if ticker not in self._tickers:
            self._tickers[ticker] = TickerContext(self, ticker)
        return self._tickers[ticker]

    def pooled_fit_hash(self, model: Model, month: pd.Timestamp) -> str:
        """Return the fingerprint of a fit of `model` over all tickers."""
        key = (model.name, month)
        if key not in self._pooled:
            pool = {ticker: self.ticker(ticker).fingerprints for ticker in self.pools.members(model, month)}
            self._pooled[key] = pooled_fit_hash(self.model_hashes, model, pool, month)
        return self._pooled[key]

    def needs(self, model: Model | None) -> int:
        """Return how many bars before its cut-off a fit of `model`, or any other step of a month, needs."""
        if model is not None and model.scope == "month":
            return self.settings.short_history
        history = None if model is None else model.history
        return self.settings.minimum_history if history is None else history

    def features(self, ticker: str) -> SharedFrame:
        """Return the stored feature table of `ticker` in a file that workers map, read once per run.

        Raises
        ------
        InputError
            If it was not built from the bars that this run works with.
        """
        data_hash = self.ticker(ticker).fingerprints.features()
        known = self._features.get(ticker)
        if known is None or known[0] != data_hash:
            own = columns_of(self.settings.covariates_of(ticker))
            columns = [feature.name for feature in (*catalogue(self.settings.lags), *outcomes(), *own)]
            names = ["date", *columns, "data_hash"]
            stored = self.warehouse.read("realized_vol_features", columns=names, ticker=ticker)
            if set(stored["data_hash"]) != {data_hash}:
                raise InputError(
                    f"the features of {ticker} do not belong to its stored bars: materialize realized_vol_features for "
                    f"{ticker} first."
                )
            self.share_features(ticker, by_date(stored.drop(columns="data_hash")))
        return self._features[ticker][1]

    def share_features(self, ticker: str, features: pd.DataFrame) -> None:
        """Put the feature table of `ticker`, which is stored, where workers can map it."""
        self._features[ticker] = (self.ticker(ticker).fingerprints.features(), self._shared.put(ticker, features))


class TickerContext:
    """The stored bars of one ticker and what follows from them."""

    def __init__(self, context: Context, ticker: str) -> None:
        self.ticker, self.bars = ticker, context.bars(ticker)
        self.index, self.calendar = pd.DatetimeIndex(self.bars.index), context.calendar(ticker)
        self._context = context
        self._gaps: dict[tuple[pd.Timestamp, int], str] = {}

    @cached_property
    def fingerprints(self) -> Fingerprints:
        """Hashes that the ticker's cells should have now."""
        context = self._context
        hashes, kept = context.model_hashes, partial(context.members.model, self.ticker)
        covariates = context.covariates(self.ticker)
        return Fingerprints(hashes, self.ticker, self.bars, self.calendar, context.pooled_fit_hash, kept, covariates)

    @property
    def no_bars(self) -> str:
        """That no bars are stored, with the remedy; empty where some are."""
        fetches = f"`volassets run --ticker '{self.ticker}'` fetches them"
        return f"no bars of {self.ticker} are stored: {fetches}" if self.bars.empty else ""

    @cached_property
    def last_month(self) -> pd.Timestamp:
        """Month of the first session after the last bar."""
        return last_possible_month(self.index, self.calendar)

    def first_month(self, needs: int) -> pd.Timestamp | None:
        """Return the first month with at least `needs` bars before it, None where there is none yet."""
        return first_possible_month(self.index, needs)

    def gap(self, month: pd.Timestamp, needs: int) -> str:
        """Return why no fit on `needs` bars can be made for `month`; empty where it can."""
        # Asked for every cell of the month, several times a run.
        if (month, needs) not in self._gaps:
            self._gaps[month, needs] = self._gap(month, needs)
        return self._gaps[month, needs]

    def _gap(self, month: pd.Timestamp, needs: int) -> str:
        if self.no_bars:
            return self.no_bars
        before = training_length(self.index, month)
        if before < needs:
            first = self.first_month(needs)
            when = f"the first possible month is {first:%Y-%m}" if first is not None else "fetch a longer history"
            setting = "short_history" if needs == self._context.settings.short_history else "minimum_history"
            return f"{self.ticker} has {before} bars before {month:%Y-%m} and a refit needs {needs} ({setting}): {when}"
        if month > self.last_month:
            return (
                f"the bars of {self.ticker} end on {self.index[-1]:%Y-%m-%d}: the last possible month is "
                f"{self.last_month:%Y-%m}; refresh the prices first"
            )
        return ""

    def halt(self, month: pd.Timestamp) -> str:
        """Return that no bar leads to a session of `month`; empty where one does."""
        if self.fingerprints.has_origins(month):
            return ""
        return f"no bar of {self.ticker} has its next session in {month:%Y-%m}: it was not traded"


def _measured(bars: pd.DataFrame) -> pd.DataFrame:
    return bars if bars[REALIZED].notna().any() else bars.drop(columns=REALIZED)


def by_date(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with a column ``date`` as float64 columns in order of a nanosecond index ``date``."""
    rows = rows.sort_values("date").set_index("date")
    rows.index = pd.DatetimeIndex(rows.index, name="date").as_unit("ns")
    return rows.astype("float64")
