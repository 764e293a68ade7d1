"""Make the archive that `test_old_home` unpacks: ``python -m volassets_tests.golden.make_home``.

It holds a whole home without its reports, and the prices it was made from, which are simulated. Make it only with the
version that the file is named after: the point of it is that later versions did not write it.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import tarfile
import tempfile
from pathlib import Path

from volassets_tests.conftest import simulate_bars
from volassets_tests.golden.stored import command

ARCHIVE = Path(__file__).parent / "home_0_1_0" / "home.tar.xz"
TICKER = "SIM"
MODELS = ("naive", "gjr", "log_har", "elastic_net")
MONTHS = ("2006-08", "2006-09")
# Business days from 2005-01-03 to the end of the last month.
BARS = 455
SETTINGS = {
    "tickers": [TICKER],
    "source": "csv",
    "minimum_history": 400,
    "start_month": MONTHS[0],
    "models": list(MODELS),
    "jobs": 1,
}
LEFT_OUT = ("reports", "compute_logs")


def make(place: Path) -> None:
    """Write prices and a home that was computed from them below `place`."""
    prices, home = place / "prices", place / "home"
    prices.mkdir()
    home.mkdir()
    simulate_bars(BARS, seed=11).round(4).to_csv(prices / f"{TICKER}.csv")
    # The file as the version writes it, with every key: a later one must still read each of them.
    checked(command(home, "tickers", "add", TICKER))
    settings = home / "volassets.toml"
    settings.write_text(changed(settings.read_text("utf-8")), "utf-8")
    # The prices are found through VOLASSETS_CSV_DIR: a path in the file would not hold after unpacking.
    print(checked(command(home, "run", "--from", MONTHS[0], "--to", MONTHS[-1], VOLASSETS_CSV_DIR=str(prices))))
    for database in home.rglob("*.db"):
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
        connection.close()


def changed(text: str) -> str:
    """Return a settings file with `SETTINGS` in it, comments and all other keys as they were."""
    for key, value in SETTINGS.items():
        text, count = re.subn(rf"^{key} = .*?(?= #)", f"{key} = {json.dumps(value)}", text, flags=re.MULTILINE)
        assert count == 1, key
    return text


def checked(result: subprocess.CompletedProcess[str]) -> str:
    """Return what a command has printed, after it went well."""
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def pack(place: Path, archive: Path) -> None:
    """Write what lies below `place` into `archive`, without what a home can do without."""
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, mode="w:xz", preset=9) as tar:
        for path in sorted(place.rglob("*")):
            if path.is_file() and not {*path.parts} & {*LEFT_OUT} and not path.name.endswith(("-wal", "-shm")):
                tar.add(path, path.relative_to(place).as_posix(), filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who made the file and when."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def main() -> None:
    """Write the archive."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        pack(Path(folder), ARCHIVE)
    print(f"{ARCHIVE}: {ARCHIVE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
