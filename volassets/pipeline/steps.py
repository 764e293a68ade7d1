"""Every step of the pipeline, in order.

The assets of the graph, their dependencies, partitions, tables and checks, what a run and `volassets status` call
missing or stale, the jobs, the schedules and the leakage audit follow from these declarations. A new step is its own
file with a builder, and one line in `BUILDERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from volassets.errors import VolassetsError
from volassets.models.protocol import Model
from volassets.models.registry import MODELS, families
from volassets.pipeline.cells import Scope
from volassets.pipeline.comparison_steps import comparison_steps
from volassets.pipeline.model_steps import model_steps
from volassets.pipeline.portfolio_steps import GROUP as PORTFOLIO
from volassets.pipeline.portfolio_steps import portfolio_steps
from volassets.pipeline.price_steps import price_steps
from volassets.pipeline.risk_steps import risk_steps
from volassets.pipeline.selection_steps import selection_steps
from volassets.pipeline.step import Step
from volassets.settings import Settings
from volassets.warehouse.store import open_warehouse

# A code location must load, whoever has the database open.
LOAD_PATIENCE_SECONDS = 2.0

Builder = Callable[[Settings, tuple[Model, ...]], Iterable[Step]]
BUILDERS: list[Builder] = [
    price_steps,
    selection_steps,
    model_steps,
    risk_steps,
    comparison_steps,
    portfolio_steps,
]


def steps(settings: Settings, models: Iterable[Model] | None = None) -> tuple[Step, ...]:
    """Return every step of a home in order, with the settings' models where none are given."""
    chosen = tuple(settings.chosen_models.values() if models is None else models)
    return tuple(step for builder in BUILDERS for step in builder(settings, chosen))


def blocks(listed: Sequence[Step]) -> list[tuple[Step, ...]]:
    """Return the steps in runs of one scope: what an orchestrator can materialize together."""
    return [tuple(block) for _, block in groupby(listed, key=lambda step: step.scope)]


def following(listed: Sequence[Step]) -> list[Step]:
    """Return what is brought up to date after the forecasts: the steps without months, and those about portfolios."""
    months = (Scope.TICKER_MONTH, Scope.MONTH)
    later = [step for block in blocks(listed)[1:] for step in block]
    return [step for step in later if step.scope not in months or step.group == PORTFOLIO]


def graph_steps(settings: Settings, also: Iterable[str] = ()) -> tuple[Step, ...]:
    """Return the steps of a home's graph, each with every registered model of its family.

    The families are those of the home's own models, of `also` (models that a run asks for beside them), and those
    that the home stores. The store is asked only where the settings leave a family out; one that does not answer at
    once adds none.
    """
    found = {MODELS[name].family for name in (*settings.models, *also)}
    others = [family for family in families() if family not in found]
    if others and settings.database.exists():
        found.update(_stored_families(settings, others))
    return steps(settings, [settings.model(name) for name, model in MODELS.items() if model.family in found])


def _stored_families(settings: Settings, names: Sequence[str]) -> list[str]:
    store = open_warehouse(settings, patience=LOAD_PATIENCE_SECONDS)
    try:
        parts = [f"SELECT '{name}' AS family FROM {name}_forecasts" for name in names]
        return list(store.query(f"SELECT DISTINCT family FROM ({' UNION ALL '.join(parts)})")["family"])
    except VolassetsError:
        return []
