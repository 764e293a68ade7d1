"""`volassets.toml`: written with the defaults on first use, changed without losing comments."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import tomlkit

from volassets.errors import InputError
from volassets.file_lock import alone
from volassets.models.registry import MODELS
from volassets.settings import FILE_NAME, HOME_VARIABLE, Settings, check_ticker_name, load_settings

HEADER = "Settings of volassets. Every key can also be set as VOLASSETS_<KEY>, a model's as VOLASSETS_<MODEL>_<KEY>."


def ensure_home(settings: Settings) -> Path:
    """Create the home and its settings file where they are missing; return the home.

    Raises
    ------
    InputError
        If the home cannot be written.
    """
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = home / FILE_NAME
        if not file.exists():
            _replace(file, default_text())
        elif not os.access(home, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise InputError(
            f"{home} cannot be written ({error.strerror or error}): set {HOME_VARIABLE} to a directory that you may "
            "write to, or mend its permissions."
        ) from None
    return home


def default_text() -> str:
    """Return the file with every key at its default, its description beside it."""
    document = tomlkit.document()
    document.add(tomlkit.comment(HEADER))
    for key, field in Settings.model_fields.items():
        if field.exclude:
            continue
        _add(document, key, field.get_default(call_default_factory=True), field.description or "")
    for name, model in MODELS.items():
        fields = getattr(model, "__pydantic_fields__", {})
        if fields:
            table = tomlkit.table()
            for key, field in fields.items():
                _add(table, key, field.get_default(call_default_factory=True), field.description or "")
            document.add(tomlkit.nl())
            document.add(name, table)
    return tomlkit.dumps(document)


def _add(container: Any, key: str, value: Any, description: str) -> None:
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update(value)
        item: Any = table
    else:
        item = tomlkit.item(value) if not isinstance(value, date) else tomlkit.date(value.isoformat())
    if description:
        item.comment(description)
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
    """Take a ticker out of the list in the file.

    Raises
    ------
    InputError
        If it is not there.
    """
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
    with alone(home / "locks" / "settings.lock"):
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
    _replace(file, tomlkit.dumps(document))


def _replace(file: Path, text: str) -> None:
    """Write through a temporary name, so that a kill leaves the old file or the new one."""
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)
