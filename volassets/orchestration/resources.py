"""What the assets work on: one home, opened for a run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from volassets.market.price_source import PriceSource
from volassets.pipeline.context import Context
from volassets.settings import Settings


class RunOptions(dg.Config):
    """Options of one run; the launchpad shows them."""

    force: bool = False
    """Compute cells that are up to date as well."""
    jobs: int = 0
    """Worker processes; 0 takes the setting."""
    models: list[str] = Field(default_factory=list)
    """Models to fit; none takes the home's."""
    cells: dict[str, list[str]] = Field(default_factory=dict)
    """Exact cells, ticker to months such as 2016-01..2018-12; none takes every partition of the run."""
    pictures: bool = True
    """Draw plots for the UI, for up to 12 tickers."""


class Home:
    """One home's settings, with a source other than its own or a context that the runs of one command share."""

    def __init__(self, settings: Settings, source: PriceSource | None = None, context: Context | None = None) -> None:
        self.settings = settings
        self._source, self._context = source, context

    @contextmanager
    def opened(self, options: RunOptions, log: Callable[[str], None]) -> Iterator[Context]:
        """Yield the context of a run; a shared one stays open."""
        if self._context is not None:
            yield self._context
            return
        models = options.models or None
        with Context(self.settings, models=models, jobs=options.jobs, source=self._source, log=log) as context:
            yield context
