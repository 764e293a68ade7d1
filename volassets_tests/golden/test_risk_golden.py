"""One month of `risk_forecasts`, pinned: the S&P 500 in 2005-06 by `ewma`, steered since 2004-01.

The first months' in-sample residuals, the tail's estimate, the steering and three horizons are behind its numbers, and
no optimiser is: they come back to 1e-9 on any machine. Where they are meant to change, raise the code version of risk,
and `python -m volassets_tests.golden.test_risk_golden` writes the file again.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import load_settings
from volassets.timing import months_between

FILE = Path(__file__).parent / "risk_month.csv"
TICKER, MONTHS = "^GSPC", months_between(pd.Timestamp("2004-01-01"), pd.Timestamp("2005-06-01"))
NEEDED = ("raw_prices", "realized_vol_features", "benchmark_forecasts", "risk_forecasts")
KEYS = ["horizon", "level", "tail", "origin_date", "target_date"]
VALUES = ["value_at_risk", "expected_shortfall"]


def month_of_risk(home: Path) -> pd.DataFrame:
    """Return the rows of the last month that a fresh home stores."""
    tails = ("lower", "upper")
    settings = load_settings(home, {"tickers": (TICKER,), "models": ("ewma",), "risk_tails": tails, "jobs": 1})
    with Context(settings) as context:
        state = State(context)
        for step in (step for step in steps(settings) if step.name in NEEDED):
            monthly = "month" in step.scope.value
            asked = [Partition(TICKER, month) for month in (MONTHS if monthly else [None])]
            for item in Executor(state).run([step], {step.name: asked}):
                assert not item.failures, item.failures
        rows = context.warehouse.read("risk_forecasts", ticker=TICKER, model="ewma", refit_month=MONTHS[-1])
    for name in ("origin_date", "target_date"):
        rows[name] = pd.to_datetime(rows[name]).dt.strftime("%Y-%m-%d")
    return rows[[*KEYS, *VALUES, "method"]].sort_values(KEYS, kind="stable", ignore_index=True)


def test_a_month_of_risk_is_what_it_was(tmp_path: Path) -> None:
    found, golden = month_of_risk(tmp_path), pd.read_csv(FILE)
    assert len(golden) == 3 * 3 * 2 * golden["origin_date"].nunique() == 396
    for name in (*KEYS, "method"):
        assert found[name].tolist() == golden[name].tolist(), name
    np.testing.assert_allclose(found[VALUES], golden[VALUES], rtol=1e-9, atol=0)
    assert set(golden["method"]) == {"evt_conformal"}, "a month that is steered"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        month_of_risk(Path(folder)).to_csv(FILE, index=False)
