"""What is stored against what should be: the one place that knows both."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import pandas as pd

from volassets.models.registry import MODELS
from volassets.pipeline.cell_hashes import CellHashes
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context, TickerContext
from volassets.pipeline.fingerprints import Fingerprints
from volassets.pipeline.step import Requirement, Step

COMPLETE, INCOMPLETE, NOTHING = "complete", "incomplete", "nothing"
FEATURES = "realized_vol_features"


class State:
    """The stored cells of some tickers, judged by today's bars, settings and code.

    Parameters
    ----------
    context : Context
    tickers : sequence of str, optional
        All by default.
    """

    def __init__(self, context: Context, tickers: Sequence[str] | None = None) -> None:
        self.context = context
        self.cell_hashes = CellHashes(context.warehouse, tickers)
        self._tickers = tickers

    def ticker(self, partition: Partition) -> TickerContext:
        """Return what is known of the partition's ticker."""
        return self.context.ticker(partition.ticker)

    def prints(self, partition: Partition) -> Fingerprints:
        """Return the hashes that cells of the partition's ticker should have."""
        return self.context.ticker(partition.ticker).fingerprints

    def stored(self, step: Step, partition: Partition, model: str = "") -> str:
        """Return the hash of a stored cell; empty where it is not stored."""
        return self.cell_hashes.hash(step.table, partition, model)

    def is_current(self, step: Step, partition: Partition, model: str = "") -> bool:
        """Return whether a cell is stored and has the hash that it should have."""
        spec = next((variant for variant in step.models if variant.name == model), None)
        stored = self.stored(step, partition, model)
        return bool(stored) and stored == step.fingerprint(self, partition, spec)

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
        current = all(self.is_current(step, partition, model.name if model else "") for model in due)
        return COMPLETE if current else INCOMPLETE

    def without_bars(self, step: Step, partition: Partition) -> bool:
        """Return whether the partition is one of a ticker that has no bars: it waits for them, whatever its month."""
        return step.scope in (Scope.TICKER, Scope.TICKER_MONTH) and self.ticker(partition).bars.empty

    def unmet(self, requirements: Sequence[Requirement]) -> str:
        """Return which of the cells that are needed upstream is missing or stale, in words; empty where none is."""
        for table, partition, model, expected in requirements:
            stored = self.cell_hashes.hash(table, partition, model)
            if stored != expected:
                what = f"{model} fit" if model else table
                state = "was made from other bars, settings or code" if stored else "is not stored"
                return f"the {what} of {partition.label} {state}: materialize {table} for it first"
        return ""

    def features_current(self, ticker: str) -> bool:
        """Return whether the stored feature table belongs to the stored bars."""
        return self.cell_hashes.hash(FEATURES, Partition(ticker)) == self.context.ticker(ticker).fingerprints.features()

    def current_forecasts(self, ticker: str) -> dict[tuple[str, pd.Timestamp], str]:
        """Return (model, month) to hash of the stored forecasts that agree with today's settings and bars.

        Every registered model counts, whatever a run fits.
        """
        prints = self.context.ticker(ticker).fingerprints
        if self.context.bars(ticker).empty:
            return {}
        current = {}
        for model in self._specifications:
            for month in self.months(f"{model.family}_forecasts", ticker, model.name):
                stored = self.cell_hashes.hash(f"{model.family}_forecasts", Partition(ticker, month), model.name)
                if stored == prints.forecast(model, month):
                    current[model.name, month] = stored
        return current

    def stored_forecasts(self, ticker: str) -> int:
        """Return how many forecast cells of `ticker` are stored, current or not."""
        return sum(len(self.months(f"{m.family}_forecasts", ticker, m.name)) for m in self._specifications)

    def has_outcome(self, ticker: str) -> bool:
        """Return whether a session that a current forecast is about has passed."""
        last = self.context.ticker(ticker).index[-1]
        return any(month <= last for _, month in self.current_forecasts(ticker))

    def months(self, table: str, ticker: str, model: str = "") -> list[pd.Timestamp]:
        """Return the stored months of one ticker and model in `table`, in order."""
        return self._by_ticker(table).get((ticker, model), [])

    @cached_property
    def revisions(self) -> dict[str, int]:
        """How many values of each ticker the source has revised."""
        rows = self.context.warehouse.query("SELECT ticker, count(*) AS n FROM price_revisions GROUP BY ticker")
        return dict(zip(rows["ticker"], rows["n"].astype(int), strict=True))

    @cached_property
    def _specifications(self) -> tuple:
        return tuple(self.context.settings.model(name) for name in MODELS)

    def _by_ticker(self, table: str) -> dict[tuple[str, str], list[pd.Timestamp]]:
        hashes = self.cell_hashes.hashes(table)
        known = self._listed.get(table)
        if known is None or known[0] != (id(hashes), len(hashes)):
            listed: dict[tuple[str, str], list[pd.Timestamp]] = {}
            for partition, model in hashes:
                if partition.month is not None:
                    listed.setdefault((partition.ticker, model), []).append(partition.month)
            known = ((id(hashes), len(hashes)), {key: sorted(months) for key, months in listed.items()})
            self._listed[table] = known
        return known[1]

    @cached_property
    def _listed(self) -> dict[str, tuple[tuple[int, int], dict[tuple[str, str], list[pd.Timestamp]]]]:
        return {}
