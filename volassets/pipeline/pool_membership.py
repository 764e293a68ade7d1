"""Who is in a month's pool: a pinned list, or whoever was there when the month was first fitted.

Adding one ticker must not make every month's fit and everybody's forecasts stale, so the names are kept in the rows of
the fits and asked for there first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from volassets.models.protocol import Model
from volassets.models.registry import MODELS
from volassets.names import covariate_names
from volassets.timing import training_length

if TYPE_CHECKING:
    from volassets.pipeline.context import Context

# Key of a fit's parameters: the tickers that were looked at, members or not; the fit's hash covers them.
CANDIDATES = "candidates"
STORED = """
    SELECT refit_month, model, min(CAST(parameters->'$.candidates' AS VARCHAR)) AS candidates, sum(seconds) AS seconds
    FROM {table} GROUP BY refit_month, model
"""


@dataclass(frozen=True)
class StoredPool:
    """The tickers of a stored fit, sorted, and the seconds that it took."""

    tickers: tuple[str, ...]
    seconds: float


class PoolMembership:
    """The pools of one run; with `refit`, stored ones are not asked and months are fitted with today's tickers."""

    def __init__(self, context: Context, refit: bool = False) -> None:
        self._context, self._refit = context, refit
        self._stored: dict[str, dict[tuple[str, pd.Timestamp], StoredPool]] = {}
        self._members: dict[tuple[str, pd.Timestamp], list[str]] = {}
        self._candidates: dict[pd.Timestamp, list[str]] = {}

    def members(self, model: Model, month: pd.Timestamp) -> list[str]:
        """Return the tickers whose bars a fit of `model` for `month` uses, sorted.

        A member of a stored pool that has no bars before the cut-off any more leaves the month to the others.
        """
        if (model.name, month) not in self._members:
            self._members[model.name, month] = self._kept(model, month) or self.candidates(month)
        return self._members[model.name, month]

    def _kept(self, model: Model, month: pd.Timestamp) -> list[str]:
        stored = None if self._refit or self._context.settings.pool else self.stored(model).get((model.name, month))
        return [] if stored is None else self._with_history(stored.tickers, month, 1)

    def candidates(self, month: pd.Timestamp) -> list[str]:
        """Return the tickers that a first fit of `month` would use: pinned or listed, with minimum_history bars.

        A listed ticker that is a covariate of others is an input of the pool and no member, unless it is pinned.
        """
        if month not in self._candidates:
            settings = self._context.settings
            covariates = covariate_names(settings.covariates)
            names = settings.pool or [name for name in settings.tickers if name not in covariates]
            self._candidates[month] = self._with_history(names, month, settings.minimum_history)
        return self._candidates[month]

    def stored(self, model: Model) -> dict[tuple[str, pd.Timestamp], StoredPool]:
        """Return (model, month) to the pool of each stored fit of the family of `model`."""
        table = f"{model.family}_fits"
        if table not in self._stored:
            rows = self._context.warehouse.query(STORED.format(table=table))
            self._stored[table] = {
                (model, pd.Timestamp(month)): StoredPool(tuple(json.loads(names)), seconds)
                for month, model, names, seconds in rows.to_numpy().tolist()
                if isinstance(names, str)
            }
        return self._stored[table]

    def forget(self) -> None:
        """Ask the store and the bars again."""
        for known in (self._stored, self._members, self._candidates):
            known.clear()

    def _with_history(self, tickers: Sequence[str], month: pd.Timestamp, needs: int) -> list[str]:
        self._context.load_bars(tickers)
        indices = {ticker: pd.DatetimeIndex(self._context.bars(ticker).index) for ticker in tickers}
        return sorted(ticker for ticker, index in indices.items() if training_length(index, month) >= needs)


def differing_pools(context: Context) -> list[str]:
    """Return in words which months have other tickers, or members of a combination, than a first fit would give them.

    With what making them again costs. Nothing is written. The seconds are those that the stored fits took.
    """
    pools = context.pools
    lines = []
    for model in context.models.values():
        if model.scope != "month":
            continue
        differing = {
            month: pool
            for (name, month), pool in sorted(pools.stored(model).items())
            if name == model.name and list(pool.tickers) != pools.candidates(month)
        }
        if differing:
            tickers = {ticker for month in differing for ticker in pools.candidates(month)}
            seconds = sum(pool.seconds for pool in differing.values())
            lines.append(
                f"{model.name}: {len(differing)} months ({min(differing):%Y-%m} .. {max(differing):%Y-%m}) were fitted "
                f"with other tickers than the pool has now; `volassets run --refit-pool` fits them again (they took "
                f"{seconds:.0f} s) and then the forecasts of {len(tickers)} tickers."
            )
    return lines + [text for model in context.models.values() for text in _kept_members(context, model)]


def _kept_members(context: Context, model: Model) -> list[str]:
    kept = context.members.kept(model)
    if not kept:
        return []
    months = [month for listed in kept.values() for month in listed]
    return [
        f"{model.name}: {len(months)} months of {len(kept)} tickers ({min(months):%Y-%m} .. {max(months):%Y-%m}) keep "
        f"the members that they had before the pool ({', '.join(MODELS[model.name]().member_names)}); `volassets run "
        f"--refit-pool` makes their forecasts again from {', '.join(model.member_names)}."
    ]
