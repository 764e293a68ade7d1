"""A first leaderboard in the middle of a run: the quick models' scores, before the networks are trained."""

from __future__ import annotations

from collections.abc import Iterable

import click

from volassets.models.protocol import Model
from volassets.models.registry import MODELS
from volassets.pipeline.progress import Listener, Progress
from volassets.reporting.console import print_frame
from volassets.settings import Settings
from volassets.warehouse.store import open_warehouse

# More would hide the progress of the run.
SHOWN_ROWS = 40
# On the sessions that all of them have, as in the leaderboard.
QUICK_LEADERBOARD = """
    WITH own AS (
            SELECT ticker, model, qlike, count(*) OVER (PARTITION BY ticker, origin_date) AS models
            FROM forecast_losses
            WHERE horizon = 1 AND qlike IS NOT NULL
                AND list_contains($tickers, ticker) AND list_contains($models, model)),
        shared AS (SELECT * FROM own QUALIFY models = max(models) OVER (PARTITION BY ticker))
    SELECT ticker, model, count(*) AS n, avg(qlike) AS qlike FROM shared GROUP BY ticker, model ORDER BY ticker, qlike
"""


class EarlyLeaderboard:
    """Passes the progress of a run on, and prints the quick models' scores once, as soon as all of them are there.

    Where the last of them had nothing to compute, that is with the first cell of a network.

    Parameters
    ----------
    models : iterable of Model
        Those that the run fits.
    listener : callable
        Given every finished cell.
    """

    def __init__(self, settings: Settings, tickers: Iterable[str], models: Iterable[Model], listener: Listener) -> None:
        alone = [model for model in models if not model.member_names]
        networks = [model for model in alone if model.kind == "pytorch"]
        quick = [model for model in alone if model.kind != "pytorch"]
        self._settings, self._tickers, self._listener = settings, list(tickers), listener
        self._quick = [model.name for model in quick]
        self._quick_steps = {f"{model.family}_forecasts" for model in quick}
        self._network_steps = {f"{model.family}_fits" for model in networks}
        self._last_step = _last_quick_step(alone)
        self._due = False

    def __call__(self, progress: Progress) -> None:
        """Take one finished cell; a run forecasts from its quick models before it fits the first network."""
        if self._due and progress.stage in self._network_steps:
            self._print()
        self._due = self._due or progress.stage in self._quick_steps
        self._listener(progress)
        if self._network_steps and progress.stage == self._last_step and progress.done == progress.total > 0:
            self._print()

    def _print(self) -> None:
        self._due, self._network_steps = False, set()
        values = {"tickers": self._tickers, "models": self._quick}
        board = open_warehouse(self._settings).query(QUICK_LEADERBOARD, values)
        if board.empty:
            return
        print_frame(board.head(SHOWN_ROWS), title="h = 1, before the networks")
        if len(board) > SHOWN_ROWS:
            click.echo(f"and {len(board) - SHOWN_ROWS} more at the end of the run")


def _last_quick_step(models: Iterable[Model]) -> str:
    """Return the last step that a run forecasts in before it fits a network, in the order of `model_steps`."""
    chosen = {model.name: model for model in models if model.scope == "ticker_month"}
    step = ""
    for name in MODELS:
        if name not in chosen:
            continue
        if chosen[name].kind == "pytorch":
            break
        step = f"{chosen[name].family}_forecasts"
    return step
