"""`volassets tickers add`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from volassets.errors import InputError
from volassets.settings import TickerSource, load_settings
from volassets.settings_file import add


def add_command(names: Sequence[str], source: str | None, csv_dir: str | None) -> Iterator[str]:
    """Add tickers, and remember the source given for them; yield what was done."""
    known = _source(names, source, csv_dir) if source or csv_dir else None
    added = add(names, known)
    yield f"added {', '.join(added)}" if added else "nothing to add: all are in the list"
    if known:
        where = f", {known.csv_dir}" if known.csv_dir else ""
        yield f"source of {', '.join(dict.fromkeys(names))}: {known.source}{where}"


def _source(names: Sequence[str], source: str | None, csv_dir: str | None) -> TickerSource:
    """Return the source that the options name, after asking it whether it knows the tickers."""
    from volassets.market.price_source import make_source

    given = {"source": source or "csv", **({"csv_dir": csv_dir} if csv_dir else {})}
    settings = load_settings(overrides=given)
    prices = make_source(settings.for_ticker(names[0]))
    for name in names:
        if prices.known(name) is False:
            where = f" in {settings.source_of(name).csv_dir}" if prices.name == "csv" else ""
            raise InputError(
                f"the source {prices.name} has no bars of {name!r}{where}: correct the name, the source or --csv-dir. "
                "Nothing was added."
            )
    return settings.source_of(names[0])
