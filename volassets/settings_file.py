"""`volassets.toml`: written with the defaults on first use, changed without losing comments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tomlkit
from tomlkit.container import OutOfOrderTableProxy
from tomlkit.items import KeyType, SingleKey, Table

from volassets.errors import InputError
from volassets.file_lock import FileLock
from volassets.models.registry import MODELS
from volassets.names import check_portfolio_name, check_ticker_name
from volassets.object_io import write_whole
from volassets.settings import (
    FILE_NAME,
    HOME_VARIABLE,
    Settings,
    TickerSource,
    load_settings,
    spec_fields,
)

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
    document.add(tomlkit.comment(f'[sources."TICKER"]: {Settings.model_fields["sources"].description}'))
    document.add(tomlkit.comment(f"[portfolios.NAME]: {Settings.model_fields['portfolios'].description}"))
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


def add(tickers: Sequence[str], source: TickerSource | None = None) -> list[str]:
    """Add tickers to the end of the list in the file, and remember `source` for them; return those that were new.

    Raises
    ------
    InputError
        If a name is not valid; nothing is written then.
    """
    for ticker in tickers:
        check_ticker_name(ticker)
    settings = load_settings()
    refuse_renamed(settings, tickers)
    fresh = [ticker for ticker in dict.fromkeys(tickers) if ticker not in settings.tickers]
    if fresh:
        _require_own_list()
    # First, so that no listed ticker is without it.
    if source:
        remember(dict.fromkeys(tickers, source))
    if fresh:
        with _changing(settings) as document:
            fresh = [ticker for ticker in fresh if ticker not in document["tickers"]]
            document["tickers"].extend(fresh)
    return fresh


def remember(sources: Mapping[str, TickerSource]) -> None:
    """Write where the bars of tickers come from as ``[sources."TICKER"]``, where the file alone says otherwise."""
    settings = load_settings(environment={})
    # A source given by its name or directory alone keeps what a ticker was renamed to.
    sources = {
        ticker: source.model_copy(update={"symbol": source.symbol or settings.source_of(ticker).symbol})
        for ticker, source in sources.items()
    }
    sources = {ticker: source for ticker, source in sources.items() if settings.source_of(ticker) != source}
    if not sources:
        return
    with _changing(settings) as document:
        if not isinstance(document.get("sources"), Table | OutOfOrderTableProxy):
            written = document.pop("sources", {})
            document.add("sources", tomlkit.table(is_super_table=True))
            for ticker, entry in written.items():
                document["sources"][SingleKey(ticker, KeyType.Basic)] = _table(entry)
        for ticker, source in sources.items():
            document["sources"].pop(ticker, None)
            document["sources"][SingleKey(ticker, KeyType.Basic)] = _table(source.model_dump(exclude_defaults=True))


def remove(ticker: str) -> None:
    """Remove a ticker from the list in the file, with its source; InputError if it is not there."""
    settings = load_settings()
    _require_listed(settings, ticker)
    _require_own_list()
    with _changing(settings) as document:
        if ticker in document["tickers"]:
            document["tickers"].remove(ticker)
        if ticker in document.get("closed", []):
            document["closed"].remove(ticker)
        document.get("sources", {}).pop(ticker, None)


def add_portfolio(name: str, weights: Mapping[str, float]) -> None:
    """Write ``[portfolios.NAME]`` with the weights by ticker, in place of what it was; empty for dated weights."""
    settings = load_settings()
    check_portfolio_name(name, settings.tickers)
    with _changing(settings) as document:
        if not isinstance(document.get("portfolios"), Table | OutOfOrderTableProxy):
            written = document.pop("portfolios", {})
            document.add("portfolios", tomlkit.table(is_super_table=True))
            for key, entry in written.items():
                document["portfolios"][SingleKey(key, KeyType.Basic)] = _weights(entry)
        document["portfolios"].pop(name, None)
        document["portfolios"][SingleKey(name, KeyType.Basic)] = _weights(weights)


def remove_portfolio(name: str) -> None:
    """Remove ``[portfolios.NAME]``; InputError if it is not there."""
    settings = load_settings()
    if name not in settings.portfolios:
        known = ", ".join(settings.portfolios) or "none"
        raise InputError(f"there is no portfolio {name!r}: the settings hold {known}.")
    with _changing(settings) as document:
        document["portfolios"].pop(name)


def _weights(weights: Mapping[str, float]) -> Table:
    table = tomlkit.table()
    for ticker, weight in weights.items():
        table[SingleKey(ticker, KeyType.Basic)] = float(weight)
    return table


def refuse_renamed(settings: Settings, tickers: Iterable[str]) -> None:
    """Raise InputError where one of `tickers` is what another one was renamed to: that history has one name."""
    renamed = {source.symbol: name for name, source in settings.sources.items() if source.symbol not in ("", name)}
    for ticker in tickers:
        if ticker in renamed and ticker not in settings.tickers:
            raise InputError(
                f"{ticker} is the symbol of {renamed[ticker]} since `volassets tickers rename`: ask for "
                f"{renamed[ticker]}, under which its history is kept."
            )


def rename(ticker: str, symbol: str) -> None:
    """Remember that the source of `ticker` calls it `symbol`; InputError if one is not listed, or both are."""
    check_ticker_name(symbol)
    settings = load_settings()
    _require_listed(settings, ticker)
    if symbol != ticker and symbol in settings.tickers:
        raise InputError(
            f"{symbol!r} is in the list itself: `volassets tickers remove '{symbol}'` first, so that the history is "
            f"kept under one name, {ticker}."
        )
    remember({ticker: load_settings(environment={}).source_of(ticker).model_copy(update={"symbol": symbol})})


def close(tickers: Sequence[str], closed: bool = True) -> list[str]:
    """List tickers as traded no more, or take them out of that list; return those that were changed."""
    settings = load_settings()
    for ticker in tickers:
        _require_listed(settings, ticker)
    if os.environ.get("VOLASSETS_CLOSED"):
        raise InputError("VOLASSETS_CLOSED is set and wins over the file: unset it to keep the list in volassets.toml.")
    changed = [ticker for ticker in dict.fromkeys(tickers) if (ticker in settings.closed) != closed]
    if changed:
        with _changing(settings) as document:
            listed = [name for name in document.get("closed", []) if name not in changed]
            document["closed"] = listed + (changed if closed else [])
    return changed


def _require_listed(settings: Settings, ticker: str) -> None:
    if ticker not in settings.tickers:
        raise InputError(f"{ticker!r} is not in the list: it holds {', '.join(settings.tickers) or 'nothing'}.")


def _table(values: Mapping[str, Any]) -> Table:
    table = tomlkit.table()
    table.update(values)
    return table


def _require_own_list() -> None:
    if os.environ.get("VOLASSETS_TICKERS"):
        raise InputError(
            "VOLASSETS_TICKERS is set and wins over the file: unset it to keep the list in volassets.toml."
        )


@contextmanager
def _changing(settings: Settings) -> Iterator[tomlkit.TOMLDocument]:
    """Give the file's content, which nobody else changes meanwhile, and write it after the block."""
    file = ensure_home(settings) / FILE_NAME
    with FileLock(file.parent / "locks" / "settings.lock").wait():
        document = tomlkit.parse(file.read_text(encoding="utf-8"))
        # A file without the key may end in a section, where a new key would belong to that section.
        if "tickers" not in document:
            document = tomlkit.parse("tickers = []\n" + tomlkit.dumps(document))
            document["tickers"].extend(Settings().tickers)
        yield document
        write_whole(file, tomlkit.dumps(document).encode())
