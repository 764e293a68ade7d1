"""Dagster's own commands in a fresh clone, with no variable set: the command line's tables, history and location."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from volassets.orchestration.instance import open_instance
from volassets.settings import load_settings
from volassets.warehouse.store import open_warehouse
from volassets_tests.end_to_end.servers import HOST, LONGEST_WAIT, Program, ask, free_port, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError {\
 __typename } } } } runsOrError { ... on Runs { results { runId jobName status } } } }"
VALIDATE = ("dagster", "definitions", "validate")
MATERIALIZE = ("dagster", "asset", "materialize", "-m", "volassets.definitions", "--select", "raw_prices")


def program(name: str) -> str:
    """Return the path of a command of this environment."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f'{name} is not installed: pip install "volassets[dev]"')
    return found


@pytest.fixture(scope="module")
def environment(clone: Path) -> dict[str, str]:
    """The caller's environment without a variable of volassets or Dagster, and with the clone's code."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("VOLASSETS_", "DAGSTER_"))}
    return {**kept, "PYTHONPATH": str(clone)}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files as they are now, and nothing else."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("fresh") / "clone"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def run(clone: Path, environment: dict[str, str], *command: str) -> str:
    """Run a command in the clone, which has to succeed and leave no temporary home; return what it printed."""
    arguments = [program(command[0]), *command[1:]]
    done = subprocess.run(arguments, cwd=clone, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert not list(clone.glob(".tmp_dagster_home_*"))
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def materialized(clone: Path, environment: dict[str, str]) -> Iterator[list[str]]:
    """The ids of two runs, one by `dagster`, one by `dg`."""
    run(clone, environment, *MATERIALIZE, "--partition", "^GSPC")
    run(clone, environment, "dg", "launch", "--assets", "realized_vol_features", "--partition", "^GSPC")
    patch = pytest.MonkeyPatch()
    patch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(clone / "data") as instance:
        yield [each.run_id for each in instance.get_runs()]
    patch.undo()


def test_the_definitions_are_valid(clone: Path, environment: dict[str, str]) -> None:
    assert "code location volassets" in run(clone, environment, *VALIDATE)
    run(clone, environment, "dg", "check", "defs")
    assert "raw_prices" in run(clone, environment, "dg", "list", "defs", "--json")


def test_runs_write_the_tables_and_the_history_of_the_command_line(
    clone: Path, environment: dict[str, str], materialized: list[str]
) -> None:
    assert len(materialized) == 2
    store = open_warehouse(load_settings(clone / "data"))
    for table in ("raw_prices", "realized_vol_features"):
        assert store.query(f"SELECT DISTINCT ticker FROM {table}")["ticker"].tolist() == ["^GSPC"]
    said = run(clone, environment, "volassets", "status")
    assert "2018-12-31" in said
    assert "Dagster's record and the tables agree" in said


@pytest.mark.parametrize("command", [("dagster", "dev"), ("dg", "dev"), ("volassets", "ui")])
def test_a_server_has_the_one_location_and_the_one_history(
    clone: Path, environment: dict[str, str], materialized: list[str], command: tuple[str, ...], tmp_path: Path
) -> None:
    port = free_port()
    host = () if command[0] == "volassets" else ("--host", HOST)
    arguments = [program(command[0]), *command[1:], *host, "--port", str(port)]
    with Program(arguments, tmp_path / "log", environment, folder=clone) as server:
        server.wait_for(port)
        entries = "workspaceOrError"
        wait_until(lambda: ask(port, LOCATIONS)[entries]["locationEntries"], LONGEST_WAIT, "the code location", pause=1)
        answer = ask(port, LOCATIONS)
        (location,) = answer[entries]["locationEntries"]
        assert location["name"] == "volassets"
        assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation"
        assert {each["runId"] for each in answer["runsOrError"]["results"]} == {*materialized}
