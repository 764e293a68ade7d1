"""Checks of what is stored of books: shares that sum to 1, correlations that are possible, coverage that holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from volassets.evaluation.shrinkage import as_correlation
from volassets.market.findings import Finding
from volassets.pipeline.cells import Partition
from volassets.pipeline.state import State
from volassets.pipeline.step import Check

TOLERANCE = 1e-9
# Below it, the record of a level has been rejected.
REJECTED = 0.01


def _sums(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Sequence[Finding]]:
    rows = state.context.warehouse.query(
        "SELECT portfolio, refit_month, horizon, origin_date, sum(volatility_share) AS total FROM risk_contributions "
        "WHERE portfolio IN (SELECT unnest($names)) GROUP BY ALL ORDER BY ALL",
        {"names": sorted({place.ticker for place in partitions})},
    )
    rows["refit_month"] = pd.to_datetime(rows["refit_month"]).astype("datetime64[ns]")
    found: dict[Partition, Sequence[Finding]] = {}
    for place in partitions:
        own = rows[(rows["portfolio"] == place.ticker) & (rows["refit_month"] == place.month)]
        off = own[(own["total"] - 1).abs() > TOLERANCE]
        if len(own):
            text = f"the shares of {len(off)} origins of {place.label} do not sum to 1"
            found[place] = [Finding("contributions_sum", "error", text)] if len(off) else []
    return found


def _valid(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Sequence[Finding]]:
    rows = state.context.warehouse.read(
        "correlation_fits", refit_month=[place.refit_month.to_pydatetime() for place in partitions]
    )
    found: dict[Partition, Sequence[Finding]] = {}
    for row in rows.to_dict("records"):
        place, n = Partition("", pd.Timestamp(row["refit_month"]).as_unit("ns")), int(row["n"])
        matrix = np.zeros((n, n))
        matrix[np.tril_indices(n)] = json.loads(row["q"])
        least = float(np.linalg.eigvalsh(as_correlation(matrix + np.tril(matrix, -1).T)).min())
        text = f"the correlations of {place.label} are not positive definite: smallest eigenvalue {least:.1e}"
        found[place] = [] if least > 0 else [Finding("correlations_valid", "error", text)]
    return {place: findings for place, findings in found.items() if place in set(partitions)}


def _covers(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Sequence[Finding]]:
    rows = state.context.warehouse.read("portfolio_backtests", portfolio=[place.ticker for place in partitions])
    found: dict[Partition, Sequence[Finding]] = {}
    for place in partitions:
        own = rows[(rows["portfolio"] == place.ticker) & (rows["horizon"] == 1)]
        off = own[own["kupiec_p"] < REJECTED]
        found[place] = [
            Finding(
                "value_at_risk_covers",
                "warning",
                f"{row.violations} of {row.n} outcomes lie beyond the {row.level:.0%} value at risk of {place.ticker}",
            )
            for row in off.itertuples()
        ]
    return found


CORRELATION_CHECKS = (
    Check("correlations_valid", "Whether the correlation matrix of the month is positive definite.", _valid),
)
CONTRIBUTION_CHECKS = (Check("contributions_sum", "Whether the shares of every origin sum to 1.", _sums),)
BACKTEST_CHECKS = (Check("value_at_risk_covers", "Whether Kupiec's test rejects the value at risk.", _covers),)
