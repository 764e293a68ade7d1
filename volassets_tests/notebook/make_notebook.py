"""Write docs/notebook.ipynb again, executed: ``python -m volassets_tests.notebook.make_notebook``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
CELL_SECONDS = 300
SOURCE = """
# %% [markdown]
# Volatility of the S&P 500, walked forward

Half a year of monthly refits on bars that come with a package, without a database and without a network.
[python.md](python.md) describes every function.
# %%
import warnings

import pandas as pd
from arch.data import sp500

import volassets as va

warnings.simplefilter("ignore", va.BarsWarning)  # opens of an old index
pd.options.display.float_format = "{:.3f}".format
bars = sp500.load().loc["2003":"2007"]
bars.tail(3)
# %% [markdown]
The feature table: every row uses bars up to and including its close.
# %%
features = va.feature_table(bars, ticker="^GSPC")
features.iloc[-3:, :8]
# %% [markdown]
One fit, on the bars before July 2007. Persistence and half-life say how long a shock lasts.
# %%
fit = va.fit(bars, "gjr", "2007-07", ticker="^GSPC")
pd.Series({name: fit.parameters[name] for name in ("gamma", "beta", "persistence", "half_life")}).round(3)
# %% [markdown]
Monthly refits and out-of-sample forecasts of the sessions of each month, with 90 % intervals.
# %%
forecasts = va.walk_forward(bars, ["ewma", "gjr", "log_har"], "2007-07", "2007-12", ticker="^GSPC", jobs=2)
next_session = forecasts[forecasts["horizon"] == 1]
next_session.groupby("model").head(2)[["model", "origin_date", "target_date", "volatility", "lower", "upper"]]
# %% [markdown]
How good they were. QLIKE is 0 for a perfect forecast; half a year decides little between models.
# %%
va.score(forecasts, bars).query("horizon == 1")[["model", "n", "qlike", "rmse", "r2", "bias", "coverage"]]
# %%
va.compare(forecasts, bars).query("horizon == 1")[["model", "qlike_vs_gjr", "dm_p", "mz_slope", "mcs_p"]]
# %% [markdown]
The picture: forecast, interval, and what came.
# %%
va.plot.forecast(forecasts, bars, model="gjr")
# %%
va.plot.realized_against_forecast(forecasts, bars, model="log_har", horizon=5)
# %% [markdown]
The tables of a home are frames too; this one is empty, because no run has written to it.
# %%
import tempfile

with tempfile.TemporaryDirectory() as folder:
    print(len(va.open(folder).tables) > 40, va.open(folder).leaderboard.empty)
# %% [markdown]
Value at risk of the next session at 5 %, from the residuals of earlier forecasts; the first months have none yet.
# %%
risk = va.risk(forecasts, bars, levels=[0.05], method="historical").query("horizon == 1")
risk.groupby("model").tail(1)[["model", "target_date", "value_at_risk", "expected_shortfall"]]
"""


def fresh() -> Any:
    """Return the notebook, not executed."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    for number, part in enumerate(SOURCE.split("# %%")[1:]):
        kind, _, text = part.partition("\n")
        make = nbformat.v4.new_markdown_cell if "markdown" in kind else nbformat.v4.new_code_cell
        notebook.cells.append(make(text.strip(), id=f"cell-{number}"))
    return notebook


def executed(notebook: Any) -> Any:
    """Execute a notebook beside the documents; raise where a cell fails."""
    NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    for cell in notebook.cells:
        # When a cell ran would differ every time.
        cell.metadata.pop("execution", None)
    notebook.metadata.pop("language_info", None)
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(fresh()), NOTEBOOK)
