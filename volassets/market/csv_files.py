"""Your own prices: a directory with one file per ticker, ``TICKER.csv`` or ``TICKER.parquet``.

Columns date, open, high, low, close and, where there are any, adj_close, volume and realized_variance, in any of the
layouts that `volassets.market.price_tables` reads. The realized variance may also be in a file of its own,
``realized/TICKER.csv`` with date and realized_variance.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from volassets.errors import InputError
from volassets.market.bars import REALIZED
from volassets.market.price_tables import read_bars, read_realized_variance

MAX_BYTES = 100_000_000
SUFFIXES = (".csv", ".parquet")
MEASURES = "realized"


class CsvSource:
    """Source `csv`; see `volassets.market.price_source.PriceSource`.

    With `close_only` files need no open, high and low: these are set to the close, right only for proxies of closes.

    Raises
    ------
    InputError
        If the directory does not exist.
    """

    name = "csv"

    def __init__(self, directory: str | Path, close_only: bool = False) -> None:
        self.directory = Path(directory).expanduser()
        self.close_only = close_only
        if not self.directory.is_dir():
            raise InputError(
                f"csv_dir {str(directory)!r} is not a directory: give the one that holds your TICKER.csv files."
            )

    def fetch(self, ticker: str) -> pd.DataFrame:
        """Return the bars in the file of `ticker`; `attrs["reading"]` says how it was read.

        Raises
        ------
        InputError
            Hostile name, no file, unreadable file, wrong columns, numbers or dates; file and line are named.
        """
        path = self._path(ticker)
        bars = read_bars(_table_text(path), path.name, self.close_only)
        folder = self.directory / MEASURES
        measures = CsvSource(folder) if folder.is_dir() else None
        if measures is None or not measures.known(ticker):
            return bars
        measured = measures._path(ticker)
        return bars.assign(**{REALIZED: read_realized_variance(_table_text(measured), f"{MEASURES}/{measured.name}")})

    def known(self, ticker: str) -> bool:
        """Return whether a file of that name is there."""
        try:
            self._path(ticker)
        except InputError:
            return False
        return True

    def listed(self) -> tuple[list[str], list[str]]:
        """Return the tickers that have a file, sorted, and the names of the files that are left out."""
        from volassets.names import check_ticker_name

        taken, left = set(), []
        for name in self._names():
            stem, _, suffix = name.rpartition(".")
            if name == MEASURES:
                continue
            try:
                if f".{suffix.lower()}" not in SUFFIXES:
                    raise InputError(name)
                taken.add(check_ticker_name(stem))
            except InputError:
                left.append(name)
        return sorted(taken), left

    def _names(self) -> list[str]:
        try:
            return sorted(entry.name for entry in self.directory.iterdir())
        except OSError as error:
            raise InputError(f"{self.directory} cannot be listed: {error.strerror}. Check its permissions.") from None

    def _path(self, ticker: str) -> Path:
        from volassets.names import check_ticker_name

        wanted = [f"{check_ticker_name(ticker)}{suffix}" for suffix in SUFFIXES]
        names = self._names()
        # By comparison with the listing, so that no part of a name ever leads to another directory.
        found = [name for name in names if name in wanted] or [
            name for name in names if name.casefold() in [other.casefold() for other in wanted]
        ]
        if len(found) != 1:
            differ = "differ in case only" if len({name.casefold() for name in found}) == 1 else "hold the same ticker"
            problem = f"has {' and '.join(found)}, which {differ}" if found else f"has no file {wanted[0]}"
            raise InputError(f"ticker {ticker}: {self.directory} {problem}. Put exactly one file {wanted[0]} there.")
        return self.directory / found[0]


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise InputError(f"{path} is not a regular file. Put a file of prices there.")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES:,} bytes: daily bars never are. Give daily bars.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Check the file and its permissions.") from None


def _table_text(path: Path) -> str:
    return _parquet_text(path) if path.suffix.lower() == ".parquet" else _text(path)


def _text(path: Path) -> str:
    raw = _bytes(path)
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path.name} is not text in UTF-8. Save it as CSV UTF-8.") from None
    if "\0" in text:
        raise InputError(f"{path.name} holds zero bytes and is no text file. Save it as CSV UTF-8.")
    return text


def _parquet_text(path: Path) -> str:
    """Return a Parquet file as CSV, whose numbers keep their bits, so that one set of rules reads both."""
    import io

    import duckdb

    raw = _bytes(path)
    if not raw.startswith(b"PAR1"):
        raise InputError(f"{path.name} is no Parquet file. Write it as Parquet, or save it as CSV.")
    try:
        with duckdb.connect() as connection:
            frame = connection.read_parquet(io.BytesIO(raw)).df()
    except duckdb.Error as error:
        raise InputError(
            f"{path.name} is not readable as Parquet: {str(error).splitlines()[0]} Write it again."
        ) from None
    return frame.to_csv(index=False)
