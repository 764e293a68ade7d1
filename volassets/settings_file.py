"""`volassets.toml`: written with the defaults on first use, changed without losing comments."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tomlkit

from volassets.errors import InputError
from volassets.file_lock import FileLock
from volassets.models.registry import MODELS
from volassets.object_io import write_whole
from volassets.settings import FILE_NAME, HOME_VARIABLE, Settings, check_ticker_name, load_settings, spec_fields

HEADER = "Settings of volassets. Every key can also be set as VOLASSETS_<KEY>, a model's as VOLASSETS_<MODEL>_<KEY>."


def ensure_home(settings: Settings) -> Path:
    """Create the home and its settings file where they are missing; InputError if it cannot be written."""
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = home / FILE_NAME
        if not file.exists():
            write_whole(file, default_text().encode())
        elif not os.access(home, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise InputError(
            f"{home} cannot be written ({error.strerror or error}): set {HOME_VARIABLE} to a directory that you may "
            "write to, or correct its permissions."
        ) from None
    return home


def default_text() -> str:
    """Return the file with every key at its default, its description beside it."""
    document = tomlkit.document()
    document.add(tomlkit.comment(HEADER))
    _add(document, {key: field for key, field in Settings.model_fields.items() if not field.exclude})
    for name, model in MODELS.items():
        if fields := spec_fields(model):
            table = tomlkit.table()
            _add(table, fields)
            document.add(tomlkit.nl())
            document.add(name, table)
    return tomlkit.dumps(document)


def _add(container: Any, fields: Mapping[str, Any]) -> None:
    """Add each field's default with its description, and the values to choose from, beside it."""
    for key, field in fields.items():
        value = field.get_default(call_default_factory=True)
        if isinstance(value, dict):
            item: Any = tomlkit.inline_table()
            item.update(value)
        else:
            item = tomlkit.item(list(value) if isinstance(value, tuple) else value)
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        item.comment(field.description + (f" One of {', '.join(choices)}." if choices else ""))
        container.add(key, item)


def add(tickers: Sequence[str]) -> list[str]:
    """Add tickers to the end of the list in the file; return those that were not there.

    Raises
    ------
    InputError
        If a name is not valid; nothing is written then.
    """
    for ticker in tickers:
        check_ticker_name(ticker)
    settings = load_settings()
    if all(ticker in settings.tickers for ticker in tickers):
        return []
    with _changing(settings) as listed:
        fresh = [ticker for ticker in dict.fromkeys(tickers) if ticker not in listed]
        listed += fresh
    return fresh


def remove(ticker: str) -> None:
    """Remove a ticker from the list in the file; InputError if it is not there."""
    settings = load_settings()
    if ticker not in settings.tickers:
        raise InputError(f"{ticker!r} is not in the list: it holds {', '.join(settings.tickers) or 'nothing'}.")
    with _changing(settings) as listed:
        listed[:] = [name for name in listed if name != ticker]


@contextmanager
def _changing(settings: Settings) -> Iterator[list[str]]:
    """Give the list of tickers, which nobody else changes meanwhile, and write it after the block."""
    if os.environ.get("VOLASSETS_TICKERS"):
        raise InputError(
            "VOLASSETS_TICKERS is set and wins over the file: unset it to keep the list in volassets.toml."
        )
    home = ensure_home(settings)
    with FileLock(home / "locks" / "settings.lock").wait():
        listed = list(load_settings().tickers)
        yield listed
        _write_tickers(home / FILE_NAME, listed)


def _write_tickers(file: Path, tickers: list[str]) -> None:
    document = tomlkit.parse(file.read_text(encoding="utf-8"))
    # A file without the key may end in a section, where a new key would belong to that section.
    if "tickers" not in document:
        document = tomlkit.parse("tickers = []\n" + tomlkit.dumps(document))
    document["tickers"].clear()
    document["tickers"].extend(tickers)
    write_whole(file, tomlkit.dumps(document).encode())
