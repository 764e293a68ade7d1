"""The stored tables of a home as frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from volassets.errors import InputError
from volassets.settings import Settings, home_directory, load_settings
from volassets.warehouse.store import open_warehouse


class Home:
    """The tables and views of a home, read only; each is an attribute, and read again at each access.

    Attributes
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._store = open_warehouse(settings)

    @property
    def tables(self) -> list[str]:
        """Names of the tables and views."""
        return [*self._store.schema.tables, *self._store.schema.views]

    def table(self, name: str, columns: Sequence[str] | None = None, **equals: Any) -> pd.DataFrame:
        """Return the rows of a table or view, those with the values `equals` (``ticker="^GSPC"``, or a list)."""
        return self._store.read(name, columns, **equals)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the answer to one reading SQL statement; ``$name`` stands for a parameter."""
        return self._store.query(sql, parameters)

    def bars(self, ticker: str) -> pd.DataFrame:
        """Return the stored bars of a ticker as `volassets.walk_forward` takes them."""
        from volassets.pipeline.context import Context

        return Context(self.settings).bars(ticker)

    def __getattr__(self, name: str) -> pd.DataFrame:
        if not name.startswith("_") and name in self.tables:
            return self.table(name)
        raise AttributeError(f"a home has no {name!r}: its tables are {', '.join(self.tables)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tables]

    def __repr__(self) -> str:
        return f"Home({str(self.settings.home)!r})"


def open_home(home: str | Path | None = None) -> Home:
    """Return the stored tables of a home as frames, also while a run writes.

    Parameters
    ----------
    home : str or Path, optional
        Its directory; ``$VOLASSETS_HOME`` or ``./data`` by default.

    Raises
    ------
    InputError
        If there is no such directory, or its settings are wrong.
    """
    place = home_directory() if home is None else Path(home).expanduser().resolve()
    if not place.is_dir():
        raise InputError(f"{place} is not a directory: give the home that `volassets run` wrote.")
    return Home(load_settings(place))
