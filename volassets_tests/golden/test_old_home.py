"""A home that version 0.1.0 made: a later version opens it, and changes no row but those of the comparison.

The comparison follows rules of this version (no test below 20 windows), so that it and the panel are computed once.

`home_0_1_0/home.tar.xz` holds a whole home with Dagster's record, and the simulated prices it was made from. The
setting `csv_dir` is empty in it, because no path would hold wherever it is unpacked: the test sets VOLASSETS_CSV_DIR.
Everything goes through the command line, and rows are read with duckdb. `make_home` made it; do not make it again with
another version.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from volassets_tests.golden.make_home import ARCHIVE, MODELS, MONTHS, TICKER
from volassets_tests.golden.stored import Rows, command, contents, shapes

pytestmark = pytest.mark.slow
RISKS = len(MODELS) * len(MONTHS)
COMPARED = {
    "leaderboard", "mincer_zarnowitz", "model_comparisons", "verdicts",
    "panel_leaderboard", "panel_comparisons", "panel_verdicts",
}  # fmt: skip
# Of what 0.1.0 had: it had no forecasts of risk.
PROGRESS = re.compile(r"^ *\d+\.\d s +(?!risk_)\w+_(fits|forecasts) ", re.MULTILINE)
# Tables whose rows a later version keeps under another name.
RENAMED = {"value_at_risk": "value_at_risk_0_1"}


class Home:
    """The home after unpacking, with its rows as they came."""

    def __init__(self, place: Path) -> None:
        with tarfile.open(ARCHIVE) as tar:
            # Without the filter Python 3.14 would be the first to refuse what lies outside the folder.
            tar.extractall(place, filter="data")
        self.path, self.prices = place / "home", place / "prices"
        self.database = self.path / "volassets.duckdb"
        self.shapes = shapes(self.database, without=())
        self.before = contents(self.database, self.shapes)

    def now(self) -> dict[str, Rows]:
        """Return the rows of all tables that it came with, times and durations included."""
        found = {RENAMED.get(table, table): shape for table, shape in self.shapes.items()}
        before = {new: old for old, new in RENAMED.items()}
        return {before.get(table, table): rows for table, rows in contents(self.database, found).items()}

    def lost(self) -> list[str]:
        """Return the tables whose rows are not as they came."""
        now = self.now()
        return [table for table, rows in self.before.items() if now[table] != rows]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``volassets`` on the home with its prices at hand."""
        return command(self.path, *arguments, VOLASSETS_CSV_DIR=str(self.prices))

    def run(self) -> subprocess.CompletedProcess[str]:
        """Ask again for the months that it holds."""
        return self.call("run", "--from", MONTHS[0], "--to", MONTHS[-1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The archive, unpacked once for the tests of this file, which run in their order."""
    return Home(tmp_path_factory.mktemp("old"))


def test_the_archive_holds_every_kind_of_row(home: Home):
    filled = {table for table, rows in home.before.items() if rows}
    assert {"raw_prices", "garch_fits", "linear_fits", "garch_forecasts", "leaderboard", "panel_leaderboard"} <= filled
    assert len(home.before["linear_fits"]) == 2 * len(MONTHS)


def test_status_finds_the_risk_missing_and_the_comparison_stale(home: Home):
    result = home.call("status")
    assert result.returncode == 0, result.stderr
    assert state(result.stdout) == [str(len(MONTHS)), str(RISKS), "1", "to refresh"], result.stdout
    assert f"risk_forecasts: {RISKS} cells of {TICKER}" in result.stdout
    assert (
        f"comparison_reports: 1 cell of {TICKER}: bars, settings or what it is computed from changed" in result.stdout
    )
    assert not home.lost()


def state(status: str) -> list[str]:
    """Return what a status says of the ticker: months, missing, stale, and the state in words."""
    row = next(line for line in status.splitlines() if line.startswith(f"│ {TICKER} "))
    return [cell.strip() for cell in row.strip("│").split("│")][-4:]


def test_a_run_computes_risk_and_the_comparison_and_nothing_else(home: Home):
    result = home.run()
    assert result.returncode == 0, result.stderr
    assert not PROGRESS.search(result.stdout)
    assert set(home.lost()) == COMPARED


def test_a_second_run_has_nothing_to_do_and_the_status_stands(home: Home):
    result = home.run()
    assert result.returncode == 0, result.stderr
    assert "nothing to do" in result.stdout
    assert not PROGRESS.search(result.stdout)
    status = home.call("status")
    assert status.returncode == 0
    assert state(status.stdout) == [str(len(MONTHS)), "0", "0", "up to date"], status.stdout
    assert "Dagster's record and the tables agree." in status.stdout
    assert set(home.lost()) == COMPARED


def test_one_model_more_is_fitted_and_nothing_else(home: Home):
    """A later version not only looks at the home, it goes on with it."""
    result = home.call("run", "--from", MONTHS[0], "--to", MONTHS[-1], "--models", ",".join([*MODELS, "har"]))
    assert result.returncode == 0, result.stderr
    after = home.now()
    fits = set(after["linear_fits"]) - set(home.before["linear_fits"])
    assert {row[2] for row in fits} == {"har"}
    kept = ("raw_prices", "realized_vol_features", "garch_fits", "garch_forecasts", "selected_features")
    assert not set(kept) & set(home.lost())
    assert set(home.before["linear_fits"]) < set(after["linear_fits"])
