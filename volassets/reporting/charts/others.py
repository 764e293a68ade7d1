"""Bars, features, lags, networks, strategies and value at risk as charts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from volassets.evaluation.risk_tests import RED, TRAFFIC_LIGHT_SESSIONS, YELLOW
from volassets.reporting.charts.chart import Chart, lines, look
from volassets.reporting.palette import BAD, GOOD, model_order
from volassets.reporting.plots.features import REASON_COLOURS, REASONS
from volassets.reporting.plots.networks import best_epoch
from volassets.reporting.plots.risk import GREEN_BAND, RED_BAND, YELLOW_BAND

VOLATILITY = {"label": "ann. volatility", "log": True, "marks": "whole", "format": "percent"}


def prices(bars: pd.DataFrame) -> tuple[Chart, Chart]:
    """Return closes and the proxy's annualised volatility by date; a zoom of one is a zoom of itself only."""
    close = {"label": "close", "values": bars["close"].to_numpy(float), "colour": GOOD}
    volatility = {"label": "volatility", "values": bars["volatility"].to_numpy(float), "colour": BAD, "width": 0.8}
    y = {"label": "close, log scale", "log": True, "marks": "price", "format": "price"}
    shown = {"height": 240, "sync": "prices"}
    return (
        lines("prices", "Closes.", bars["date"], [close], y, **shown),
        lines(
            "volatility", "Annualised volatility of the range proxy.", bars["date"], [volatility], VOLATILITY, **shown
        ),
    )


def correlation_map(correlations: pd.DataFrame, dropped: list[str], caption: str) -> Chart:
    """Return the correlations of the training rows in selection order; a dropped feature is marked with a cross."""
    names = [f"{name} ×" if name in dropped else name for name in correlations.columns]
    spec = {"kind": "map", "rows": names, "columns": names, "square": True, "bound": 1.0, "format": "signed"}
    return Chart("correlations", caption, {**spec, "values": correlations.to_numpy(float).ravel()})


def kept_months(selected: pd.DataFrame, caption: str) -> Chart:
    """Return in which months each feature was kept, and why not in the others."""
    codes = {name: code for code, name in enumerate(REASONS)}
    months, columns = np.unique(selected["refit_month"].to_numpy("datetime64[M]"), return_inverse=True)
    rows, features = pd.factorize(selected["feature"])
    cells = np.full((len(features), len(months)), np.nan)
    reasons, known = pd.factorize(selected["reason"])
    cells[rows, columns] = np.array([*(codes.get(str(name), np.nan) for name in known), np.nan])[reasons]
    spec = {
        "kind": "map",
        "rows": list(features),
        "columns": [str(month) for month in months],
        "values": cells.ravel(),
        "codes": dict(zip(REASONS, REASON_COLOURS, strict=True)),
    }
    return Chart("kept", caption, spec)


def lag_bars(rows: pd.DataFrame, caption: str) -> Chart:
    """Return partial autocorrelations with their bound; stable lags as dots."""
    lag, pacf = rows["lag"].to_numpy(), rows["pacf"].to_numpy(float)
    bound = float(rows["bound"].iloc[0])
    floor = min(-bound, float(np.nanmin(pacf))) - 0.06
    marks = {"kind": "points", "size": 8}
    series: list[dict[str, Any]] = [
        {"label": "partial autocorrelation", "values": pacf, "colour": "#8a93a0", "kind": "bars"},
        {"label": "stable", "values": np.where(rows["selected"].to_numpy(bool), pacf, np.nan), "colour": GOOD, **marks},
        {
            "label": "configured",
            "values": np.where(rows["configured"].fillna(False).to_numpy(bool), floor, np.nan),
            "colour": BAD,
            "format": "plain",
            **marks,
        },
    ]
    y = {"label": "partial autocorrelation", "marks": "plain", "format": "decimal"}
    return lines(
        "lags", caption, lag, series, y, xLabel="lag", zones=[{"from": -bound, "to": bound, "fill": GOOD}], height=240
    )


def training(rows: pd.DataFrame, caption: str) -> list[Chart]:
    """Return the losses per epoch, one chart per network: the means over seeds and each seed's training."""
    charts = []
    for model in model_order(rows["model"]):
        own = rows[rows["model"] == model]
        means = own.groupby("epoch")[["train_loss", "validation_loss"]].mean()
        seeds = own.pivot(index="epoch", columns="seed", values="train_loss").loc[means.index]
        colour = look(model)["colour"]
        series: list[dict[str, Any]] = [
            {"label": "training, mean", "values": means["train_loss"].to_numpy(float), "colour": colour, "width": 2}
        ]
        if means["validation_loss"].notna().any():
            validated = means["validation_loss"].to_numpy(float)
            series.append({"label": "validation, mean", "values": validated, "colour": "ink", "dash": [6, 4]})
        series += [
            {
                "label": f"seed {seed}",
                "values": seeds[seed].to_numpy(float),
                "colour": colour,
                "width": 0.7,
                "hidden": True,
            }
            for seed in seeds.columns
        ]
        word = "best" if means["validation_loss"].notna().any() else "last"
        text = f"{model}, {pd.Timestamp(own['refit_month'].iloc[0]):%Y-%m}: {word} epoch {best_epoch(own)}. {caption}"
        y = {"label": "loss", "marks": "plain", "format": "plain"}
        charts.append(lines(f"training-{model}", text, means.index.to_numpy(), series, y, xLabel="epoch", height=220))
    return charts


def attention(rows: pd.DataFrame, caption: str) -> list[Chart]:
    """Return the mean attention weight per lag with its range over months, one chart per model."""
    charts = []
    for model in model_order(rows["model"]):
        own = rows[rows["model"] == model]
        edges = {"colour": "ink", "kind": "points", "size": 4}
        series = [
            {
                "label": f"{model}, mean",
                "values": own["weight"].to_numpy(float),
                "colour": look(model)["colour"],
                "kind": "bars",
            },
            {"label": "least month", "values": own["low"].to_numpy(float), **edges},
            {"label": "greatest month", "values": own["high"].to_numpy(float), **edges},
        ]
        y = {"label": "attention weight", "zero": True, "marks": "plain", "format": "decimal"}
        more = {"xLabel": "sessions before the origin", "height": 220}
        charts.append(lines(f"attention-{model}", caption, own["lag_days"].to_numpy(), series, y, **more))
    return charts


def equity(paths: pd.DataFrame, weights_of: list[str], caption: str) -> tuple[Chart, Chart]:
    """Return net equity (from 1) of every strategy, and the weights of all with `weights_of` shown."""
    # Pandas' pivot takes five times as long.
    days, rows = np.unique(paths["date"].to_numpy(), return_inverse=True)
    columns, names = pd.factorize(paths["strategy"])

    def by_strategy(column: str) -> dict[str, np.ndarray]:
        values = np.full((len(names), len(days)), np.nan)
        values[columns, rows] = paths[column].to_numpy(float)
        return {str(name): values[place] for place, name in enumerate(names)}

    equity_of, weight_of = by_strategy("equity"), by_strategy("weight")
    strategies = model_order(equity_of)
    equities = [{**look(name), "values": equity_of[name]} for name in strategies]
    weights = [{**look(name), "values": weight_of[name], "show": name in weights_of} for name in strategies]
    highest, lowest = paths["equity"].max(), paths["equity"].min()
    y = {"label": "net equity, start = 1", "log": bool(highest > 3 * lowest > 0), "marks": "plain", "format": "decimal"}
    weight = {"label": "weight in the asset", "marks": "plain", "format": "decimal", "zero": True}
    return (
        lines("equity", caption, days, equities, y, sync="equity"),
        lines("weights", "The weights.", days, weights, weight, height=200, sync="equity"),
    )


def returns_and_limit(rows: pd.DataFrame, model: str, caption: str) -> Chart:
    """Return returns, value at risk and violations; columns target_date, outcome, value_at_risk, violation."""
    outcome = rows["outcome"].to_numpy(float)
    broken = np.where(rows["violation"].to_numpy(bool), outcome, np.nan)
    series = [
        {"label": "return", "values": outcome, "colour": "ink", "width": 0.6, "alpha": 0.6},
        {
            **look(model),
            "label": f"value at risk of {model}",
            "values": rows["value_at_risk"].to_numpy(float),
            "dash": [],
        },
        {"label": "violation", "values": broken, "colour": RED_BAND, "kind": "points", "size": 5},
    ]
    y = {"label": "return of the session", "marks": "percent", "format": "percent"}
    return lines("risk-path", caption, rows["target_date"], series, y, period="5 years")


def violation_count(rows: pd.DataFrame, caption: str) -> Chart:
    """Return the violations in the last 250 sessions of each session, over the bands of the traffic light."""
    count = rows["violation"].astype(float).rolling(TRAFFIC_LIGHT_SESSIONS).sum().to_numpy()
    top = max(float(np.nanmax(count)), RED) + 0.5
    bands = ((-0.5, YELLOW - 0.5, GREEN_BAND), (YELLOW - 0.5, RED - 0.5, YELLOW_BAND), (RED - 0.5, top, RED_BAND))
    y = {"label": "violations", "marks": "plain", "format": "plain", "range": [-0.5, top]}
    series = [{"label": "violations", "values": count, "colour": "ink", "kind": "steps"}]
    zones = [{"from": low, "to": high, "fill": colour} for low, high, colour in bands]
    return lines("risk-count", caption, rows["target_date"], series, y, zones=zones, height=200)
