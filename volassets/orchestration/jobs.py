"""Jobs that the schedules and sensors launch; a person starts from the assets, or with `volassets run`."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

REFRESH_PRICES, REFIT_MONTHS, COMPARE, COMPARE_PANEL = "refresh_prices", "refit_months", "compare", "compare_panel"
TICKER_STAGES = ("raw_prices", "realized_vol_features")
COMPARISONS = ("comparison_reports", "panel_report")


def grid_names(assets: Sequence[dg.AssetsDefinition]) -> list[str]:
    """Return the names of the assets over ticker x refit month, in pipeline order."""
    names = [key.path[-1] for asset in assets for key in asset.keys]
    return [name for name in names if name not in (*TICKER_STAGES, *COMPARISONS)]


def build_jobs(assets: Sequence[dg.AssetsDefinition]) -> dict[str, Any]:
    """Return the jobs by name."""
    selections = {
        REFRESH_PRICES: (TICKER_STAGES, "Bars and features of a ticker."),
        REFIT_MONTHS: (grid_names(assets), "Everything of a ticker's refit months."),
        COMPARE: (COMPARISONS[:1], "The comparison of a ticker over all its forecasts."),
        COMPARE_PANEL: (COMPARISONS[1:], "The comparison over all tickers."),
    }
    return {
        name: dg.define_asset_job(name, selection=dg.AssetSelection.assets(*selected), description=description)
        for name, (selected, description) in selections.items()
    }
