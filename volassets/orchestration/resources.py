"""What the assets work on: one home, opened for a run."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pydantic import Field
from pydantic_core import to_jsonable_python

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
    issue: bool = False
    """Append the forecasts from the newest bars to the record of what was issued, as the schedules do."""


class Home(dg.ConfigurableResource):
    """A home: its folder with the tables, and the settings that the graph was loaded with.

    The assets open it for a run: the store that `settings` names, and for every ticker the source that they name.
    """

    folder: str
    """The tables, checkpoints and reports lie here, unless the setting `warehouse` names a store elsewhere."""
    settings: dict[str, Any]
    """As volassets.toml, the environment and the defaults give them; change them there and reload the definitions."""

    @classmethod
    def of(cls, settings: Settings) -> "Home":
        """Return the home of `settings`; the address of notifications, which may be a secret, is left out."""
        left_out = ("home", "notify", "webhook")
        values = {name: getattr(settings, name) for name in Settings.model_fields if name not in left_out}
        return cls(folder=str(settings.home), settings=to_jsonable_python(values))

    def loaded(self) -> Settings:
        """Return the settings as an object."""
        return Settings.model_validate_json(json.dumps({**self.settings, "home": self.folder}))

    @contextmanager
    def opened(self, options: RunOptions, log: Callable[[str], None]) -> Iterator[Context]:
        """Yield the context of a run."""
        with Context(self.loaded(), models=options.models or None, jobs=options.jobs, log=log) as context:
            yield context


class OpenHome:
    """The home of a command, whose runs share one context; it stays open."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def loaded(self) -> Settings:
        """Return the settings."""
        return self._context.settings

    @contextmanager
    def opened(self, _options: RunOptions, _log: Callable[[str], None]) -> Iterator[Context]:
        """Yield the context."""
        yield self._context
