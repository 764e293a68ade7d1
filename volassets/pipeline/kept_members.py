"""Which stored forecasts a combination made of its members without a pool: they keep them, as a month keeps its pool.

A home that grows to the size of a pool gets other default members. Forecasts of the months before would all be stale,
and be replaced by some that nobody had then; so a month of a ticker stays what it is as long as its bars do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from volassets.models.protocol import Model
from volassets.models.registry import MODELS

if TYPE_CHECKING:
    from volassets.pipeline.context import Context

STORED = """
    SELECT ticker, refit_month, min(data_hash) AS data_hash FROM {table} WHERE model = $model GROUP BY ALL
"""


def without_pool(model: Model) -> Model | None:
    """Return the combination with its default members where it has those with a pool; None for any other model."""
    if not model.members_with_pool or model.member_names != model.members_with_pool:
        return None
    return replace(model, members=MODELS[model.name]().member_names)  # type: ignore[type-var]


class KeptMembers:
    """The members of stored combinations; with `refit`, what is stored is not asked and all have today's."""

    def __init__(self, context: Context, refit: bool = False) -> None:
        self._context, self._refit = context, refit
        self._without: dict[str, Model | None] = {}
        self._stored: dict[str, dict[tuple[str, pd.Timestamp], str]] = {}

    def model(self, ticker: str, month: pd.Timestamp, model: Model) -> Model:
        """Return `model`, with the members that its stored forecasts of a ticker and month were made from."""
        if self._refit or not model.members_with_pool:
            return model
        if model.name not in self._without:
            self._without[model.name] = without_pool(model)
        before = self._without[model.name]
        if before is None:
            return model
        stored = self._hashes(before).get((ticker, month), "")
        kept = stored and stored in self._context.ticker(ticker).fingerprints.forecasts_so_far(before, month)
        return before if kept else model

    def kept(self, model: Model) -> dict[str, list[pd.Timestamp]]:
        """Return, by listed ticker, the months whose stored forecasts are of other members than a first fit's now."""
        before = without_pool(model)
        found: dict[str, list[pd.Timestamp]] = {}
        for ticker, month in sorted(self._hashes(before)) if before is not None else ():
            if ticker in self._context.settings.tickers and self.model(ticker, month, model) == before:
                found.setdefault(ticker, []).append(month)
        return found

    def forget(self) -> None:
        """Ask the store again."""
        self._stored.clear()

    def _hashes(self, model: Model) -> dict[tuple[str, pd.Timestamp], str]:
        if model.name not in self._stored:
            sql = STORED.format(table=f"{model.family}_forecasts")
            rows = self._context.warehouse.query(sql, {"model": model.name})
            months = pd.to_datetime(rows["refit_month"]).astype("datetime64[ns]")
            keys = zip(rows["ticker"], months, strict=True)
            self._stored[model.name] = dict(zip(keys, rows["data_hash"].fillna(""), strict=True))
        return self._stored[model.name]
