"""What is stored against what should be: the one place that knows both."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import pandas as pd

from volassets.models.protocol import TRADING_DAYS, Model
from volassets.models.registry import MODELS
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context, TickerContext
from volassets.pipeline.fingerprints import Fingerprints
from volassets.pipeline.step import Step
from volassets.pipeline.stored_hashes import StoredHashes

COMPLETE, INCOMPLETE, NOTHING = "complete", "incomplete", "nothing"
FEATURES = "realized_vol_features"


class State:
    """The stored cells of `tickers`, all by default, judged by today's bars, settings and code."""

    def __init__(self, context: Context, tickers: Sequence[str] | None = None) -> None:
        self.context = context
        self.stored_hashes = StoredHashes(context.warehouse, tickers)
        self.months = self.stored_hashes.months
        self._other_sessions: dict[str, str] = {}

    def ticker(self, partition: Partition) -> TickerContext:
        """Return what is known of the partition's ticker."""
        return self.context.ticker(partition.ticker)

    def fingerprints(self, partition: Partition) -> Fingerprints:
        """Return the hashes that cells of the partition's ticker should have."""
        return self.context.ticker(partition.ticker).fingerprints

    def other_sessions(self, ticker: str) -> str:
        """Return in words that forecasts are stored with other sessions a year than the calendar has; mostly empty."""
        if ticker not in self._other_sessions:
            now, stored = self.context.calendar(ticker).sessions_per_year if ticker else TRADING_DAYS, []
            if now != TRADING_DAYS:
                sql = "SELECT DISTINCT sessions_per_year AS n FROM forecasts WHERE ticker = $ticker ORDER BY n"
                stored = [n for n in self.context.warehouse.query(sql, {"ticker": ticker})["n"] if n != now]
            self._other_sessions[ticker] = f"sessions a year {stored[0]} -> {now}" if stored else ""
        return self._other_sessions[ticker]

    def stored(self, step: Step, partition: Partition, model: str = "") -> str:
        """Return the hash of a stored cell; empty where it is not stored."""
        return self.stored_hashes.hash(step.table, partition, model)

    def is_current(self, step: Step, partition: Partition, model: Model | None) -> bool:
        """Return whether a cell is stored and has the hash that it should have."""
        stored = self.stored(step, partition, model.name if model else "")
        return bool(stored) and stored == step.fingerprint(self, partition, model)

    def completeness(self, step: Step, partition: Partition) -> str:
        """Return whether every cell that this home's partition should have is stored and current.

        The home's own models count, whatever a run fits; ``nothing`` where none of them can have a cell.
        """
        if self.without_bars(step, partition):
            return INCOMPLETE
        if step.compute is None:
            return COMPLETE
        own = [model for model in step.models if model.name in self.context.settings.models] or step.variants
        due = [model for model in own if not step.gap(self, partition, model)]
        if not due:
            return NOTHING
        return COMPLETE if all(self.is_current(step, partition, model) for model in due) else INCOMPLETE

    def without_bars(self, step: Step, partition: Partition) -> str:
        """Return that the partition waits for the first bars of its ticker, whatever its month; empty if not."""
        waits = step.scope in (Scope.TICKER, Scope.TICKER_MONTH)
        return self.ticker(partition).no_bars if waits else ""

    def month_gap(self, partition: Partition, model: Model | None) -> str:
        """Return why a ticker has nothing to compute for a month; empty where it has."""
        known, month = self.ticker(partition), partition.refit_month
        gap = known.gap(month, self.context.needs(model)) or known.halt(month)
        return gap or (self.pool_gap(partition, model) if model is not None and model.scope == "month" else "")

    def pool_gap(self, partition: Partition, model: Model) -> str:
        """Return that nobody can be in a pooled model's fit of a month; empty where somebody can."""
        pool = self.context.pools.members(model, partition.refit_month)
        text = f"no ticker has the bars before {partition.refit_month:%Y-%m} that the pool of {model.name} needs"
        return "" if pool else f"{text} (minimum_history)"

    def unmet(self, step: Step, partition: Partition, model: Model | None) -> str:
        """Return which of the cells that one is computed from is missing or stale, in words; empty where none is."""
        for table, place, source, expected in step.requires(self, partition, model):
            stored = self.stored_hashes.hash(table, place, source)
            if stored != expected:
                what = f"{source} fit" if source else table
                state = "was made from other bars, settings or code" if stored else "is not stored"
                return f"the {what} of {place.label} {state}: materialize {table} for it first"
        ticker = partition.ticker
        if step.needs_features and ticker and not self.features_current(ticker):
            return (
                f"the features of {ticker} do not belong to its stored bars (to "
                f"{self.ticker(partition).index[-1]:%Y-%m-%d}): materialize {FEATURES} for {ticker} first"
            )
        return ""

    def features_current(self, ticker: str) -> bool:
        """Return whether the stored feature table belongs to the stored bars."""
        return (
            self.stored_hashes.hash(FEATURES, Partition(ticker)) == self.context.ticker(ticker).fingerprints.features()
        )

    def current_forecasts(self, ticker: str) -> dict[tuple[str, pd.Timestamp], str]:
        """Return (model, month) to hash of the stored forecasts that agree with today's settings and bars.

        Every registered model counts, whatever a run fits.
        """
        if self.context.bars(ticker).empty:
            return {}
        fingerprints, current = self.context.ticker(ticker).fingerprints, {}
        self.stored_hashes.load(f"{model.family}_forecasts" for model in self._registered)
        for model in self._registered:
            for month in self.months(f"{model.family}_forecasts", ticker, model.name):
                stored = self.stored_hashes.hash(f"{model.family}_forecasts", Partition(ticker, month), model.name)
                if stored == fingerprints.forecast(model, month):
                    current[model.name, month] = stored
        return current

    def stored_forecasts(self, ticker: str) -> int:
        """Return how many forecast cells of `ticker` are stored, current or not."""
        return sum(len(self.months(f"{m.family}_forecasts", ticker, m.name)) for m in self._registered)

    def has_outcome(self, ticker: str) -> bool:
        """Return whether a session that a current forecast is about has passed."""
        last = self.context.ticker(ticker).index[-1]
        return any(month <= last for _, month in self.current_forecasts(ticker))

    @cached_property
    def revisions(self) -> dict[str, int]:
        """How many values of each ticker the source has revised."""
        rows = self.context.warehouse.query("SELECT ticker, count(*) AS n FROM price_revisions GROUP BY ticker")
        return dict(zip(rows["ticker"], rows["n"].astype(int), strict=True))

    @cached_property
    def _registered(self) -> tuple[Model, ...]:
        return tuple(self.context.settings.model(name) for name in MODELS)
