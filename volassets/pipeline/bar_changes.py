"""What to write of bars that were fetched: those of a ticker and those of a covariate alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from volassets.market.revisions import Update
from volassets.warehouse.store import Replacement, Upsert


def bar_changes(
    update: Update, stored: pd.DataFrame, names: Mapping[str, Any], *, whole: bool = False
) -> list[Replacement | Upsert]:
    """Return the vendor's revisions and the changed bars; all bars where some were withdrawn, or if `whole`.

    Parameters
    ----------
    update : Update
    stored : DataFrame
        The bars before, index date.
    names : mapping
        Values of the other columns of ``raw_prices``, `ticker` among them.
    whole : bool
        Whether the rows that are there must go, whatever has changed.
    """
    changes: list[Replacement | Upsert] = []
    if len(update.revisions):
        changes.append(Upsert("price_revisions", update.revisions))
    if whole or len(stored.index.difference(update.bars.index)):
        cell = pd.DataFrame({"ticker": [names["ticker"]]})
        changes.append(Replacement("raw_prices", update.bars.reset_index().assign(**names), cell))
    elif len(update.changed):
        changes.append(Upsert("raw_prices", update.bars.loc[update.changed].reset_index().assign(**names)))
    return changes
