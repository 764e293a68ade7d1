"""The report's plots as the UI shows them: PNG inside markdown, below 50 KB, per ticker and not per cell."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from volassets.orchestration.inputs import Run
from volassets.reporting.data import BASELINE, TickerData
from volassets.reporting.figures import png_data_url, to_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pictures = dict[str, dg.MarkdownMetadataValue]
Numbers = Callable[[Run, list[str]], Mapping[str, Mapping[str, Any]]]
"""Of the run and its tickers: grid key -> what is shown of the cell."""


def as_metadata(figure: "Figure", alternative: str) -> dg.MarkdownMetadataValue:
    """Return `figure` as an image in markdown; the UI shows it behind [Show Markdown]."""
    return dg.MetadataValue.md(f"![{alternative}]({png_data_url(to_png(figure))})")


def prices(run: Run, ticker: str) -> Pictures:
    """Return the picture of closes and volatility."""
    from volassets.reporting.plots.features import price_and_volatility

    bars = TickerData(run.warehouse, run.settings, ticker).bars
    return {"price_and_volatility": as_metadata(price_and_volatility(bars), f"{ticker}: close and volatility")}


def selection(run: Run, ticker: str) -> Pictures:
    """Return the correlations of the newest month and the months in which each feature was kept."""
    from volassets.reporting.plots.features import correlation_map, kept_months

    data = TickerData(run.warehouse, run.settings, ticker)
    rows, pictures = data.latest_selection, Pictures()
    correlations = data.training_correlations()
    if len(correlations) > 1:
        dropped = list(rows["feature"][~rows["selected"].astype(bool)])
        pictures["correlations"] = as_metadata(correlation_map(correlations, dropped), f"{ticker}: correlations")
    if data.selected["refit_month"].nunique() > 1:
        pictures["kept_by_month"] = as_metadata(kept_months(data.selected), f"{ticker}: features kept by month")
    return pictures


def lags(run: Run, ticker: str) -> Pictures:
    """Return the partial autocorrelations of the newest month."""
    from volassets.reporting.plots.features import lag_plot

    rows = TickerData(run.warehouse, run.settings, ticker).lags
    return {} if rows.empty else {"lags": as_metadata(lag_plot(rows), f"{ticker}: partial autocorrelations")}


def training(run: Run, ticker: str, family: str) -> Pictures:
    """Return the losses per epoch of a family's networks in their newest month."""
    from volassets.reporting.plots.networks import training_history

    rows = TickerData(run.warehouse, run.settings, ticker).training_history
    own = [model.name for model in run.settings.chosen_models.values() if model.family == family]
    rows = rows[rows["model"].isin(own)]
    if rows.empty:
        return {}
    return {"training_history": as_metadata(training_history(rows), f"{ticker}: loss per epoch")}


def comparison(run: Run, ticker: str) -> Pictures:
    """Return what the comparison of a ticker looks like, as in its report."""
    from volassets.reporting.plots import backtest, forecasts, networks
    from volassets.reporting.sections.money import drawn_paths

    data = TickerData(run.warehouse, run.settings, ticker)
    horizon, model = data.horizons[0], data.headline
    rows = data.scored[data.scored["horizon"] == horizon]
    shown = list(data.leaderboard.loc[data.leaderboard["horizon"] == horizon, "model"].head(6))
    band = forecasts.forecast_band(data.forecasts_of(model, horizon), model, run.settings.interval_level)
    figures: dict[str, Figure] = {
        "forecast_against_realised": band,
        "scatter": forecasts.scatter(rows, shown),
    }
    means, daily = data.qlike_by_month(horizon), data.daily_qlike(horizon)
    if BASELINE in means.columns and len(means.columns) > 1:
        figures["qlike_by_month"] = forecasts.qlike_months(means, BASELINE)
        if len(daily) > 1 and len(daily.columns) > 1:
            figures["qlike_running_sum"] = forecasts.cumulative_qlike(daily, BASELINE)
    paths = drawn_paths(data)
    weighted = [name for name in dict.fromkeys((BASELINE, model)) if name in set(paths["strategy"])]
    if weighted and paths["date"].nunique() > 1:
        figures["equity_and_weights"] = backtest.equity_and_weights(paths, weighted)
    if len(data.importance):
        figures["importance"] = networks.importance(data.importance)
    return {name: as_metadata(figure, f"{ticker}: {name.replace('_', ' ')}") for name, figure in figures.items()}


def with_newest(numbers: Numbers, draw: Callable[[Run, str], Pictures]) -> Numbers:
    """Return `numbers` with a ticker's pictures at its newest cell, and at no other: the UI loads metadata whole."""

    def read(run: Run, tickers: list[str]) -> dict[str, dict[str, Any]]:
        cells = {key: dict(described) for key, described in numbers(run, tickers).items()}
        for ticker in tickers:
            own = [key for key in cells if key.partition("|")[2] == ticker]
            if own:
                cells[max(own)].update(draw(run, ticker))
        return cells

    return read
