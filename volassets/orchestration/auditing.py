"""The leakage audit of one ticker's stored bars, kept in `audit_results`."""

from __future__ import annotations

import pandas as pd

from volassets.evaluation.audit import AuditResult
from volassets.evaluation.pipeline import GraphOptions, audit_ticker
from volassets.orchestration.inputs import Run
from volassets.warehouse.store import Replacement


def audit_stored(run: Run, ticker: str) -> AuditResult:
    """Audit the graph's own functions with this home's models on the stored bars; store what was compared.

    Raises
    ------
    InputError
        If the bars are too few.
    """
    settings = run.settings
    options = GraphOptions(**{name: getattr(settings, name) for name in GraphOptions.__dataclass_fields__})
    result = audit_ticker(ticker, run.bars(ticker), settings.chosen_models, run.calendar(ticker), options)
    rows = result.comparisons.assign(ticker=ticker)
    run.warehouse.write(Replacement("audit_results", rows, pd.DataFrame({"ticker": [ticker]})))
    return result
