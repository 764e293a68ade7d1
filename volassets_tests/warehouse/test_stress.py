"""The store under fire: writers, readers and kill -9 at random moments, a full disk, on both back ends."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pandas as pd
import pytest

from volassets.settings import Settings
from volassets.warehouse.store import Replacement, StoreError, Warehouse, open_warehouse
from volassets_tests.warehouse.frames import cells, fit_rows, forecast_rows

WRITERS = 4
ROWS = 21

# A writer takes its cells one after the other, writes fit and forecasts of a version together, and says so when the
# call has returned: what is said is committed. A cell that was said before a kill is not written again.
WRITER = """
import sys
from pathlib import Path
from volassets_tests.warehouse.test_stress import open_at, write_cell
kind, home = sys.argv[1], Path(sys.argv[2])
number, done, n_cells = map(int, sys.argv[3:])
warehouse = open_at(kind, home)
for cell in range(done, n_cells):
    for version in (1, 2):
        write_cell(warehouse, number, cell, version)
    print(cell, flush=True)
"""

READER = """
import sys, time
from pathlib import Path
from volassets_tests.warehouse.test_stress import open_at, torn
warehouse = open_at(sys.argv[1], Path(sys.argv[2]))
reads = 0
print("reading", flush=True)
while not Path(sys.argv[2], "stop").exists():
    bad = torn(warehouse, whole_calls=sys.argv[1] == "duckdb")
    if len(bad):
        sys.exit(f"torn: {bad.to_dict('records')}")
    reads += 1
    time.sleep(0.02)
print(reads, flush=True)
"""

SQL_CLIENT = """
import duckdb, sys, time
from pathlib import Path
while True:
    try:
        connection = duckdb.connect(sys.argv[1], read_only=True)
        break
    except duckdb.IOException:
        time.sleep(0.01)
print("open", flush=True)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end or not Path(sys.argv[3]).exists():
    connection.execute("SELECT count(*) FROM forecasts").fetchall()
    time.sleep(0.1)
"""


def open_at(kind: str, home: Path) -> Warehouse:
    """Open the store of a home on a back end."""
    place = "duckdb" if kind == "duckdb" else f"parquet:{home / 'cells'}"
    return open_warehouse(Settings(home=home, warehouse=place), patience=120)


def month_of(cell: int) -> str:
    return f"{2000 + cell // 12}-{cell % 12 + 1:02d}-01"


def write_cell(warehouse: Warehouse, number: int, cell: int, version: int) -> None:
    """Replace one cell's fit and forecasts by those of a version."""
    ticker, month, data_hash = f"T{number}", month_of(cell), f"v{version}"
    fit = fit_rows(ticker, month, data_hash=data_hash)
    forecasts = forecast_rows(ticker, month, n=ROWS, value=float(version), data_hash=data_hash)
    warehouse.write(
        Replacement("garch_fits", fit, cells(fit)), Replacement("garch_forecasts", forecasts, cells(forecasts))
    )


def torn(warehouse: Warehouse, whole_calls: bool) -> pd.DataFrame:
    """Return the cells that are not one version whole, or have no fit; with `whole_calls`, one of their version."""
    other_fit = "OR f.data_hash <> min(p.data_hash)" if whole_calls else ""
    return warehouse.query(
        f"""
        SELECT p.ticker, p.refit_month, count(*) AS n, count(DISTINCT p.variance) AS versions
        FROM garch_forecasts p LEFT JOIN garch_fits f USING (ticker, refit_month, model)
        GROUP BY p.ticker, p.refit_month, f.data_hash
        HAVING count(*) <> {ROWS} OR count(DISTINCT p.variance) <> 1 OR f.data_hash IS NULL {other_fit}
        """
    )


class Fire:
    """Writers with readers beside them, killed at random and started again where they had got to."""

    def __init__(self, kind: str, home: Path, n_cells: int = 0, seed: int = 0) -> None:
        self.kind, self.home, self.n_cells, self.random = kind, home, n_cells, random.Random(seed)
        self.done = [0] * WRITERS
        self.kills = 0
        self.processes: dict[int, subprocess.Popen[str]] = {}
        self.log = home / "writers.log"
        self.met_client = kind != "duckdb"

    def python(self, script: str, *arguments: object, errors: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start a program that speaks through a pipe."""
        root = Path(__file__).parents[2]
        return subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        )

    def start(self, number: int) -> None:
        """Start a writer at its first cell that is not known to be committed."""
        arguments = (self.kind, self.home, number, self.done[number], self.n_cells)
        with open(self.log, "a") as log:
            self.processes[number] = self.python(WRITER, *arguments, errors=log)

    def heard(self, number: int) -> None:
        """Take over what a writer that has ended had said."""
        said, _ = self.processes.pop(number).communicate(timeout=120)
        self.done[number] = max([self.done[number], *(int(line) + 1 for line in said.split("\n")[:-1] if line)])

    def burn(self, kills: int, seconds: float) -> None:
        """Run all writers to the end, killing one after another at random until there were `kills`.

        The SQL client lets go, and the killing begins, when a writer has said that it waits for the client: one that
        is killed at once would never say so.
        """
        end = time.monotonic() + seconds
        for number in range(WRITERS):
            self.start(number)
        while self.processes:
            assert time.monotonic() < end, f"not done in {seconds} s: {self.done}"
            time.sleep(self.random.uniform(0.02, 0.3))
            for number, process in list(self.processes.items()):
                if process.poll() is not None:
                    assert process.returncode in (0, -signal.SIGKILL)
                    self.heard(number)
            if not self.met_client and "waiting for another program" in self.log.read_text():
                self.met_client = True
                (self.home / "met").touch()
            if self.met_client and self.kills < kills and self.processes:
                number = self.random.choice(sorted(self.processes))
                self.processes[number].kill()
                self.kills += 1
                self.heard(number)
            for number in range(WRITERS):
                # Until the kills are used up there is always a writer to kill: an ended one goes over its last cells.
                if number not in self.processes and (self.done[number] < self.n_cells or self.kills < kills):
                    self.done[number] = min(self.done[number], self.n_cells - 5)
                    self.start(number)


def stand(kind: str, home: Path, n_cells: int, kills: int, seconds: float, client_seconds: float) -> dict[str, object]:
    """Run the fire and return its figures, after checking every cell."""
    fire = Fire(kind, home, n_cells, seed=kills)
    home.mkdir(parents=True)
    write_cell(open_at(kind, home), 0, 0, 1)
    start = time.monotonic()
    readers = [fire.python(READER, kind, home) for _ in range(2)]
    helpers = [*readers]
    if kind == "duckdb":
        helpers.append(fire.python(SQL_CLIENT, home / "volassets.duckdb", client_seconds, home / "met"))
        assert helpers[-1].stdout is not None
        assert helpers[-1].stdout.readline() == "open\n"
    try:
        fire.burn(kills, seconds)
        (home / "stop").touch()
        results = [helper.communicate(timeout=120) for helper in helpers]
    finally:
        for process in (*helpers, *fire.processes.values()):
            process.kill()
    assert [helper.returncode for helper in helpers] == [0] * len(helpers), results
    warehouse = open_at(kind, home)
    assert torn(warehouse, whole_calls=True).empty
    stored = warehouse.read("garch_forecasts")
    assert len(stored) == WRITERS * n_cells * ROWS
    assert not stored.duplicated(["ticker", "refit_month", "origin_date"]).any()
    assert set(stored["data_hash"]) == {"v2"}
    assert len(warehouse.read("garch_fits")) == WRITERS * n_cells
    assert fire.met_client
    assert "Traceback" not in fire.log.read_text()
    reads = sum(int(said.split()[-1]) for said, _ in results[:2])
    return {
        "kind": kind,
        "kills": fire.kills,
        "cells": WRITERS * n_cells,
        "reads": reads,
        "seconds": round(time.monotonic() - start),
        "waits for the client said": fire.log.read_text().count("waiting for another program"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["duckdb", "parquet"])
def test_fifteen_kills(tmp_path: Path, kind: str) -> None:
    figures = stand(kind, tmp_path / "home", n_cells=8, kills=15, seconds=240, client_seconds=3)
    assert figures["kills"] == 15


@pytest.mark.stress
@pytest.mark.skipif(os.environ.get("STRESS") != "full", reason="`make stress` runs it, in about ten minutes")
@pytest.mark.parametrize("kind", ["duckdb", "parquet"])
def test_two_hundred_kills(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    figures = stand(kind, tmp_path / "home", n_cells=50, kills=200, seconds=1500, client_seconds=60)
    assert figures["kills"] == 200
    with capsys.disabled():
        print(json.dumps(figures))


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Let `folder` be a file system of its own that is soon full, where this machine allows mounting."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk is made by mounting one, which only root may")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def many(tickers: int, n: int = 4000, value: float = 1.0) -> Replacement:
    """Return forecasts that take room: no two variances are the same."""
    frames = [forecast_rows(f"T{i}", n=n) for i in range(tickers)]
    frame = pd.concat(frames, ignore_index=True)
    frame["variance"] = value * (1 + frame.index.to_numpy() / 7e6)
    return Replacement("garch_forecasts", frame, cells(frame))


@pytest.mark.parametrize("kind", ["duckdb", "parquet"])
def test_a_full_disk_keeps_the_old_rows_and_is_named(
    settings_for: Callable[..., Settings], tmp_path: Path, kind: str
) -> None:
    with small_disk(tmp_path / "small", 12):
        settings = settings_for(kind, home=tmp_path / "small" / "home")
        warehouse = open_warehouse(settings, patience=20)
        write_cell(warehouse, 0, 0, 1)
        filler = tmp_path / "small" / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], capture_output=True, check=False)
        with pytest.raises(StoreError, match=r"could not be written.*No space left.*old rows"):
            warehouse.write(many(1, value=2.0))
        assert torn(warehouse, whole_calls=True).empty
        assert warehouse.read("garch_forecasts")["data_hash"].tolist() == ["v1"] * ROWS
        filler.unlink()
        warehouse.write(many(1, value=2.0))
        assert len(warehouse.read("garch_forecasts", refit_month="2016-01-01")) == 4000


LIMITED = """
import resource, sys
from pathlib import Path
from volassets.errors import VolassetsError
from volassets_tests.warehouse.test_stress import many, open_at
warehouse = open_at(sys.argv[1], Path(sys.argv[2]))
size = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    warehouse.write(many(1, n=40000, value=2.0))
except VolassetsError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.mark.parametrize("kind", ["duckdb", "parquet"])
def test_a_file_that_may_not_grow_keeps_the_old_rows(tmp_path: Path, kind: str) -> None:
    home = tmp_path / "home"
    warehouse = open_at(kind, home)
    write_cell(warehouse, 0, 0, 1)
    result = Fire(kind, home).python(LIMITED, kind, home, 65536)
    _, errors = result.communicate(timeout=120)
    assert result.returncode == 1, errors
    assert "refused:" in errors
    assert "could not be written" in errors
    assert warehouse.read("garch_forecasts")["data_hash"].tolist() == ["v1"] * ROWS
    warehouse.write(many(1, value=2.0))
