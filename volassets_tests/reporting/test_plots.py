"""Every picture: units on its axes, no NaN trouble, small enough for the UI, no global state."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from volassets.reporting.figures import GRID, INK, PNG_LIMIT, to_png, to_svg
from volassets.reporting.page_data import TickerData
from volassets.reporting.plots import backtest, features, forecasts, networks
from volassets.reporting.sections.strategies import drawn_paths
from volassets.settings import Settings
from volassets.warehouse.store import Warehouse
from volassets_tests.reporting.conftest import TICKER

Draw = Callable[[TickerData], Figure]
PICTURES: dict[str, Draw] = {
    "band": lambda d: forecasts.forecast_band(d.forecasts_of("gjr", 1), "gjr", 0.9),
    "scatter": lambda d: forecasts.scatter(d.scored[d.scored["horizon"] == 1], d.models),
    "months": lambda d: forecasts.qlike_months(d.qlike_by_month(), "gjr"),
    "sum": lambda d: forecasts.cumulative_qlike(d.daily_qlike(), "gjr"),
    "prices": lambda d: features.price_and_volatility(d.bars),
    "correlations": lambda d: features.correlation_map(d.training_correlations(), ["log_returns"]),
    "kept": lambda d: features.kept_months(d.selected),
    "lags": lambda d: features.lag_plot(d.lags),
    "training": lambda d: networks.training_history(d.training_history),
    "importance": lambda d: networks.importance(d.importance),
    "equity": lambda d: backtest.equity_and_weights(drawn_paths(d), ["gjr"]),
}
# Maps of months and names need no unit; every other axis has a label, its own or the figure's.
MAPS = {"months", "correlations", "kept", "scatter"}
NAMED_ROWS = {"importance"}


@pytest.fixture(scope="module")
def data(full_store: Warehouse, settings: Settings) -> TickerData:
    return TickerData(full_store, settings, TICKER)


@pytest.mark.parametrize("name", PICTURES)
def test_png_is_small_enough_for_the_ui(name: str, data: TickerData) -> None:
    png = to_png(PICTURES[name](data))
    assert png.startswith(b"\x89PNG")
    assert len(png) < PNG_LIMIT


@pytest.mark.parametrize("name", PICTURES)
def test_svg_follows_the_page_s_colours(name: str, data: TickerData) -> None:
    text = to_svg(PICTURES[name](data), name)
    assert text.startswith("<svg")
    assert "currentColor" in text
    assert INK not in text
    assert GRID not in text
    assert "NaN" not in text


@pytest.mark.parametrize("name", sorted(set(PICTURES) - MAPS))
def test_axes_say_what_they_measure(name: str, data: TickerData) -> None:
    axes = [axis for axis in PICTURES[name](data).axes if axis.get_visible()]
    for axis in axes:
        assert axis.get_xlabel() or axis.xaxis.get_major_formatter().__class__.__name__ == "ConciseDateFormatter"
    if name not in NAMED_ROWS:
        assert axes[0].get_ylabel()


def test_numbers_on_the_axes_are_not_cut(data: TickerData) -> None:
    figure = PICTURES["lags"](data)
    assert f"± {data.lags['bound'].iloc[0]:.3f}" in to_svg(figure, "lags")


def test_same_rows_give_the_same_bytes(data: TickerData) -> None:
    assert to_svg(PICTURES["sum"](data), "x") == to_svg(PICTURES["sum"](data), "x")
    assert to_png(PICTURES["band"](data)) == to_png(PICTURES["band"](data))


def test_a_long_history_stays_small() -> None:
    index, rng = pd.bdate_range("2004-01-01", periods=3900), np.random.default_rng(1)
    volatility = np.exp(rng.normal(-2, 0.4, len(index)))
    rows = pd.DataFrame({"target_date": index, "volatility": volatility, "realized": volatility * 1.1})
    rows = rows.assign(lower=volatility / 2, upper=volatility * 2)
    assert len(to_svg(forecasts.forecast_band(rows, "gjr", 0.9), "long")) < 150_000
    daily = pd.DataFrame(rng.exponential(0.3, (len(index), 6)), index=index, columns=[*"abcde", "gjr"])
    assert len(to_svg(forecasts.cumulative_qlike(daily, "gjr"), "long")) < 250_000


def test_best_epoch_is_the_validated_minimum_or_else_the_last(data: TickerData) -> None:
    rows = data.training_history
    assert networks.best_epoch(rows[rows["model"] == "lstm"]) == 6
    assert networks.best_epoch(rows[rows["model"] == "transformer"]) == 10


def test_unrealised_and_missing_values_are_drawn_around() -> None:
    index = pd.bdate_range("2018-01-01", periods=30)
    rows = pd.DataFrame({"target_date": index, "volatility": 0.1, "lower": np.nan, "upper": np.nan, "realized": 0.1})
    rows.loc[5, "realized"] = 0.0
    assert "NaN" not in to_svg(forecasts.forecast_band(rows, "gjr", 0.9), "gaps")
    means = pd.DataFrame({"gjr": [0.3, np.nan], "har": [np.nan, 0.4]}, index=index[[0, 25]])
    assert to_svg(forecasts.qlike_months(means, "gjr"), "gaps")


def test_importing_the_reports_loads_neither_matplotlib_nor_the_warehouse() -> None:
    code = (
        "import sys, volassets.reporting.ticker_page, volassets.reporting.panel_page;"
        "bad = {'matplotlib', 'torch', 'dagster', 'duckdb', 'volassets.warehouse'} & set(sys.modules);"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_no_global_pyplot_state(data: TickerData) -> None:
    code = "import sys, volassets.reporting.plots.forecasts as f, pandas as pd;"
    code += "from volassets.reporting.figures import new_figure, to_svg, to_png; figure, _ = new_figure();"
    code += "to_svg(figure, 'x'); to_png(figure); assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
