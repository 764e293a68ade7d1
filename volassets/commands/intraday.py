"""`volassets intraday`: one ticker's intraday bars to the daily file that the csv source reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from volassets.errors import InputError
from volassets.market.calendar import calendar_for
from volassets.market.intraday import daily_bars
from volassets.names import check_ticker_name
from volassets.object_io import write_whole
from volassets.settings import load_settings


def intraday_command(file: str, ticker: str, directory: str) -> Iterator[str]:
    """Write ``TICKER.csv`` with realized variance into `directory`; yield what was read and written.

    Raises
    ------
    InputError
        If the ticker, the file or the directory is wrong; nothing is written then.
    """
    target = Path(directory).expanduser() / f"{check_ticker_name(ticker)}.csv"
    if not target.parent.is_dir():
        raise InputError(f"--to {directory!r} is not a directory: make it first.")
    days = daily_bars(Path(file), calendar_for(ticker, load_settings().calendars))
    yield from days.notes
    write_whole(str(target), days.bars.to_csv().encode())
    first, last = days.bars.index[0], days.bars.index[-1]
    yield f"wrote {target}: {len(days.bars)} days, {first:%Y-%m-%d} .. {last:%Y-%m-%d}"
    yield f'Next: proxy = "realized" in volassets.toml, then `volassets run --source csv --csv-dir {target.parent} ' + (
        f"--ticker '{ticker}'`"
    )
