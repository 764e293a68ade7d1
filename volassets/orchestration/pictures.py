"""The report's plots as the UI shows them: PNG inside markdown, below 50 KB, per ticker and not per cell."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from volassets.pipeline.context import Context
from volassets.pipeline.step import Step
from volassets.reporting.figures import png_data_url, to_png
from volassets.reporting.page_data import BASELINE, TickerData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pictures = dict[str, dg.MarkdownMetadataValue]


def as_metadata(figure: "Figure", alternative: str) -> dg.MarkdownMetadataValue:
    """Return `figure` as an image in markdown; the UI folds what is longer than 1,000 characters."""
    return dg.MetadataValue.md(f"![{alternative}]({png_data_url(to_png(figure))})")


def prices(context: Context, ticker: str) -> Pictures:
    """Return the picture of closes and volatility."""
    from volassets.reporting.plots.features import price_and_volatility

    bars = TickerData(context.warehouse, context.settings, ticker).bars
    return {"price_and_volatility": as_metadata(price_and_volatility(bars), f"{ticker}: close and volatility")}


def selection(context: Context, ticker: str) -> Pictures:
    """Return the correlations of the newest month and the months in which each feature was kept."""
    from volassets.reporting.plots.features import correlation_map, kept_months

    data = TickerData(context.warehouse, context.settings, ticker)
    rows, pictures = data.latest_selection, Pictures()
    correlations = data.training_correlations()
    if len(correlations) > 1:
        dropped = list(rows["feature"][~rows["selected"].astype(bool)])
        pictures["correlations"] = as_metadata(correlation_map(correlations, dropped), f"{ticker}: correlations")
    if data.selected["refit_month"].nunique() > 1:
        pictures["kept_by_month"] = as_metadata(kept_months(data.selected), f"{ticker}: features kept by month")
    return pictures


def lags(context: Context, ticker: str) -> Pictures:
    """Return the partial autocorrelations of the newest month."""
    from volassets.reporting.plots.features import lag_plot

    rows = TickerData(context.warehouse, context.settings, ticker).lags
    return {} if rows.empty else {"lags": as_metadata(lag_plot(rows), f"{ticker}: partial autocorrelations")}


def training(context: Context, ticker: str, models: Sequence[str]) -> Pictures:
    """Return the losses per epoch of networks in their newest month."""
    if not models:
        return {}
    from volassets.reporting.plots.networks import training_history

    rows = TickerData(context.warehouse, context.settings, ticker).training_history
    rows = rows[rows["model"].isin(models)]
    if rows.empty:
        return {}
    return {"training_history": as_metadata(training_history(rows), f"{ticker}: loss per epoch")}


def comparison(context: Context, ticker: str) -> Pictures:
    """Return what the comparison of a ticker looks like, as in its report."""
    from volassets.reporting.plots import backtest, forecasts, networks
    from volassets.reporting.sections.strategies import drawn_paths

    data = TickerData(context.warehouse, context.settings, ticker)
    horizon, model = data.horizons[0], data.drawn
    rows = data.scored[data.scored["horizon"] == horizon]
    shown = list(data.leaderboard.loc[data.leaderboard["horizon"] == horizon, "model"].head(6))
    band = forecasts.forecast_band(data.forecasts_of(model, horizon), model, context.settings.interval_level)
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


def risk(context: Context, ticker: str) -> Pictures:
    """Return the returns with the value at risk and its violations, and their number with Basel's bands."""
    from volassets.evaluation.risk_tests import TRAFFIC_LIGHT_SESSIONS
    from volassets.reporting.palette import look_of
    from volassets.reporting.plots import risk as plots
    from volassets.reporting.risk_record import risk_path

    path = risk_path(TickerData(context.warehouse, context.settings, ticker))
    if path is None:
        return {}
    of = f"{ticker}: {100 * path.level:g} % value at risk of {path.model}"
    pictures = {
        "returns_and_value_at_risk": as_metadata(plots.returns_and_limit(path.rows, look_of(path.model).line), of)
    }
    # Basel's bands are those of 1 % over so many sessions.
    if len(path.rows) > TRAFFIC_LIGHT_SESSIONS and path.level == 0.01:
        name = f"{ticker}: violations in {TRAFFIC_LIGHT_SESSIONS} sessions"
        pictures["violations_and_traffic_light"] = as_metadata(plots.violation_count(path.rows), name)
    return pictures


def portfolio_contributions(context: Context, name: str) -> Pictures:
    """Return who contributes to a portfolio, and its members' correlations now and a year before."""
    from volassets.reporting import portfolio_page as page
    from volassets.reporting.plots import portfolio as plots

    shares = page.newest_contributions(context.warehouse, name)
    if shares.empty:
        return {}
    pictures = {"contributions": as_metadata(plots.contributions(shares), f"{name}: who contributes")}
    if matrices := page.correlation_matrices(context.warehouse, sorted(shares["ticker"])):
        pictures["correlations"] = as_metadata(plots.correlation_maps(matrices), f"{name}: correlations")
    return pictures


def portfolio_record(context: Context, name: str) -> Pictures:
    """Return a portfolio's returns with the value at risk, and realised against forecast volatility."""
    from volassets.reporting import portfolio_page as page
    from volassets.reporting.plots import portfolio as plots

    rows = page.portfolio_outcomes(context.warehouse, name)
    if rows.empty:
        return {}
    return {
        "returns_and_value_at_risk": as_metadata(plots.returns_and_limit(rows), f"{name}: 1 % value at risk"),
        "realised_and_forecast": as_metadata(plots.realised_and_forecast(rows), f"{name}: realised and forecast"),
    }


def of_step(context: Context, step: Step, ticker: str) -> Pictures:
    """Return the pictures of a step's rows of one ticker; none where nothing is drawn of it."""
    if step.stage == "fits":
        return training(context, ticker, [model.name for model in step.models if model.kind == "pytorch"])
    draw = _DRAWN.get(step.name)
    return draw(context, ticker) if draw else {}


_DRAWN: dict[str, Callable[[Context, str], Pictures]] = {
    "realized_vol_features": prices,
    "lag_analysis": lags,
    "selected_features": selection,
    "comparison_reports": comparison,
    "risk_backtests": risk,
    "risk_contributions": portfolio_contributions,
    "portfolio_backtests": portfolio_record,
}
