"""Pictures of forecasts for a notebook; each function returns a matplotlib figure that shows itself."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.notebook.given_bars import Bars, GivenSettings
from volassets.notebook.scores import with_outcomes
from volassets.reporting.figures import to_png
from volassets.reporting.plots.forecasts import forecast_band, scatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A notebook has no limit of bytes as the metadata of the UI have.
PNG_BYTES = 200_000
LEVEL = 0.90


def forecast(
    forecasts: pd.DataFrame,
    bars: Bars,
    *,
    model: str = "",
    horizon: int = 1,
    ticker: str = "",
    calendar: str | None = None,
    settings: GivenSettings = None,
) -> Figure:
    """Draw the forecast of one model with its interval, and the realised volatility.

    Parameters
    ----------
    forecasts, bars, calendar, settings
        As of `volassets.score`, with volatility, lower and upper.
    model, ticker : str
        Which of them; the first by default.
    horizon : int
        Sessions ahead.

    Returns
    -------
    Figure
        Annualised volatilities by target date, a logarithmic axis; weekly means where the path is long.

    Raises
    ------
    InputError
        If there is no such forecast.
    """
    rows, name = _chosen(forecasts, bars, model, horizon, ticker, calendar, settings)
    return _shown(forecast_band(rows, name, LEVEL))


def realized_against_forecast(
    forecasts: pd.DataFrame,
    bars: Bars,
    *,
    model: str = "",
    horizon: int = 1,
    ticker: str = "",
    calendar: str | None = None,
    settings: GivenSettings = None,
) -> Figure:
    """Draw realised against forecast volatility of one model with the diagonal; parameters as of `forecast`."""
    rows, name = _chosen(forecasts, bars, model, horizon, ticker, calendar, settings)
    return _shown(scatter(rows.dropna(subset=["realized"]), [name]))


def _chosen(
    forecasts: pd.DataFrame,
    bars: Bars,
    model: str,
    horizon: int,
    ticker: str,
    calendar: str | None,
    settings: GivenSettings,
) -> tuple[pd.DataFrame, str]:
    rows = forecasts[forecasts["horizon"] == horizon]
    for name, wanted in (("ticker", ticker), ("model", model)):
        if name in rows and len(rows):
            rows = rows[rows[name] == (wanted or rows[name].iloc[0])]
    if rows.empty:
        asked = ", ".join(filter(None, [ticker, model, f"horizon {horizon}"]))
        raise InputError(f"there is no forecast of {asked}: choose one that is in the frame.")
    rows = with_outcomes(rows, bars, calendar, settings).sort_values("target_date", ignore_index=True)
    return rows.assign(realized=np.sqrt(rows["sessions_per_year"] * rows["realized_variance"])), rows["model"].iloc[0]


def _shown(figure: Figure) -> Figure:
    """Let a notebook show the figure, which it does by itself for figures of pyplot only."""
    figure._repr_png_ = partial(to_png, figure, PNG_BYTES)  # type: ignore[attr-defined]
    return figure
