"""Forecasts against what came: paths with their band, scatter, losses by month, coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from volassets.reporting.figures import INK, dates, legend, legend_below, new_figure, percent, title
from volassets.reporting.palette import look_of, model_order
from volassets.reporting.plots.helpers import diverging, month_ticks, style_bar, thin, volatility_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MONTHS_WITH_NUMBERS = 15
DAILY_SESSIONS = 300
COLUMNS = 3


def forecast_band(rows: pd.DataFrame, model: str, level: float) -> Figure:
    """Draw forecast, band and realised volatility of one model; weekly means where the path is long.

    Parameters
    ----------
    rows : DataFrame
        target_date, volatility, lower, upper, realized (annualised, decimal) in order of the date.
    model : str
    level : float
        Nominal coverage of the band.
    """
    index = pd.to_datetime(rows["target_date"])
    path = rows.set_index(index)[["volatility", "lower", "upper", "realized"]]
    long = len(path) > 3 * DAILY_SESSIONS
    if long:
        path = path.resample("W-FRI").mean().dropna(how="all")
    figure, axis = new_figure(3.3)
    look = look_of(model)
    band = f"{level:.0%} band".replace("%", " %")
    axis.fill_between(path.index, path["lower"], path["upper"], color=look.colour, alpha=0.22, linewidth=0, label=band)
    if long:
        axis.plot(path.index, path["realized"], color=INK, linewidth=0.6, alpha=0.75, label="realised, weekly mean")
    else:
        axis.plot(path.index, path["realized"], ".", color=INK, markersize=3, alpha=0.65, label="realised")
    axis.plot(path.index, path["volatility"], color=look.colour, linewidth=1.5, label=f"{model} forecast")
    axis.set_yscale("log")
    volatility_ticks(axis.yaxis, path[["realized", "lower", "upper"]])
    axis.set_ylabel("annualised volatility")
    axis.margins(x=0.01)
    dates(axis)
    legend(axis, columns=3, loc="upper left")
    return figure


def scatter(rows: pd.DataFrame, models: list[str]) -> Figure:
    """Draw realised against forecast volatility, one panel per model, logarithmic, with the diagonal."""
    columns = min(COLUMNS, len(models))
    lines = -(-len(models) // columns)
    figure, axes = new_figure(2.5 * lines, lines, columns, width=2.8 * columns, squeeze=False, sharex=True, sharey=True)
    drawn = rows[rows["model"].isin(models)]
    low = float(min(drawn["volatility"].min(), drawn["realized"].quantile(0.002))) * 0.9
    high = float(max(drawn["volatility"].max(), drawn["realized"].max())) * 1.1
    for axis, model in zip(axes.flat, models, strict=False):
        own, look = drawn[drawn["model"] == model], look_of(model)
        # As an image inside the picture: a circle per day would be most of the page's bytes.
        axis.plot(own["volatility"], own["realized"], "o", color=look.colour, ms=2.6, alpha=0.5, mew=0, rasterized=True)
        axis.plot([low, high], [low, high], color=INK, linewidth=0.8)
        axis.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        for scale in (axis.xaxis, axis.yaxis):
            volatility_ticks(scale, pd.DataFrame({"v": [low, high]}), few=True)
        title(axis, model)
    for axis in axes.flat[len(models) :]:
        axis.set_visible(False)
    figure.supxlabel("forecast, annualised volatility", fontsize=9, color=INK)
    figure.supylabel("realised", fontsize=9, color=INK)
    return figure


def qlike_months(means: pd.DataFrame, baseline: str) -> Figure:
    """Draw each model's monthly mean QLIKE less the baseline's as a map of months.

    Parameters
    ----------
    means : DataFrame
        One row per month, one column per model; the baseline among them.
    baseline : str
    """
    difference = means.drop(columns=baseline).sub(means[baseline], axis=0).T
    figure, axis = new_figure(0.9 + 0.27 * len(difference))
    values = difference.to_numpy(float)
    bound = max(float(np.nanquantile(np.abs(values), 0.95)), 1e-6) if np.isfinite(values).any() else 1.0
    image = axis.imshow(values, cmap=diverging(), vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest")
    axis.grid(False)
    axis.set_yticks(range(len(difference)), difference.index)
    month_ticks(axis, difference.columns)
    if len(difference.columns) <= MONTHS_WITH_NUMBERS:
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                shade = "white" if abs(value) > 0.62 * bound else "#1c2128"
                axis.text(j, i, f"{value:+.2f}".replace("0.", "."), ha="center", va="center", fontsize=7, color=shade)
    bar = figure.colorbar(image, ax=axis, pad=0.01, extend="both", aspect=12)
    style_bar(bar, f"QLIKE less {baseline}")
    return figure


def cumulative_qlike(daily: pd.DataFrame, baseline: str) -> Figure:
    """Draw the running sum of each model's daily QLIKE less the baseline's; falling is better.

    Parameters
    ----------
    daily : DataFrame
        One row per session, one column per model, without NaN; the baseline among them.
    baseline : str
    """
    sums = daily.sub(daily[baseline], axis=0).drop(columns=baseline).cumsum()
    sums = thin(sums)
    figure, axis = new_figure(3.4)
    axis.axhline(0, color=look_of(baseline).colour, linewidth=1.4, label=baseline)
    for model in model_order(sums.columns):
        look = look_of(model)
        axis.plot(
            pd.to_datetime(sums.index),
            sums[model],
            color=look.colour,
            linestyle=look.dash,
            linewidth=1.4,
            label=model,
        )
    # The worst model must not flatten the others.
    spread = sums.abs().max().sort_values()
    if len(spread) > 3 and spread.iloc[-1] > 3 * spread.iloc[-3]:
        axis.set_yscale("symlog", linthresh=max(float(spread.iloc[len(spread) // 2]) / 2, 1e-3))
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_ylabel(f"sum of QLIKE less {baseline}'s")
    axis.margins(x=0.01)
    dates(axis)
    legend_below(figure, axis)
    return figure


def coverage(board: pd.DataFrame, level: float) -> Figure:
    """Draw the share of realised volatilities inside the band, per model and horizon."""
    horizons = sorted(board["horizon"].unique())
    models = model_order(board["model"])
    figure, axes = new_figure(0.9 + 0.22 * len(models), 1, len(horizons), squeeze=False, sharey=True)
    low = min(float(board["coverage_90"].min()), level) - 0.03
    for axis, horizon in zip(axes.flat, horizons, strict=True):
        own = board[board["horizon"] == horizon].set_index("model")
        axis.axvline(level, color=INK, linewidth=0.9)
        for position, model in enumerate(models):
            if model in own.index:
                look = look_of(model)
                axis.plot(own.loc[model, "coverage_90"], position, look.marker, color=look.colour, ms=6)
        axis.set_yticks(range(len(models)), models)
        axis.set_ylim(len(models) - 0.5, -0.5)
        axis.set_xlim(low, min(1.005, max(float(board["coverage_90"].max()), level) + 0.03))
        axis.xaxis.get_major_locator().set_params(nbins=4)
        percent(axis.xaxis)
        title(axis, f"h = {horizon}")
        axis.set_xlabel("realised inside the band")
    return figure
