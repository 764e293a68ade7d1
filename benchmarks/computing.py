"""Steps of the pipeline computed in this process, without Dagster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from volassets.pipeline.context import Context

PRICES = ("raw_prices", "realized_vol_features")
COMPARED = ("comparison_reports", "panel_report")


def compute(context: Context, months: Mapping[str, Sequence[pd.Timestamp]], names: Sequence[str] = ()) -> None:
    """Compute steps over the months of some tickers.

    Parameters
    ----------
    context : Context
    months : mapping of str to sequence of Timestamp
        Refit months by ticker.
    names : sequence of str
        Steps; those over months where none is named.

    Raises
    ------
    RuntimeError
        If a cell failed: its time is not what is asked for.
    """
    from volassets.pipeline.executor import Executor
    from volassets.pipeline.planner import partitions_of
    from volassets.pipeline.state import State
    from volassets.pipeline.steps import steps

    listed = steps(context.settings)
    asked = [step for step in listed if (step.name in names if names else step.name not in (*PRICES, *COMPARED))]
    done = Executor(State(context)).run(asked, {step.name: partitions_of(step, months) for step in asked})
    failures = [text for item in done for text in item.failures.values()]
    if failures:
        raise RuntimeError(failures[0])
