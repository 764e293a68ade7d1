"""Dagster's home: what a damaged database of it means, and a dagster.yaml that an earlier version wrote."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from volassets.cli import cli
from volassets.errors import InputError
from volassets.orchestration.instance import (
    DATABASES,
    INSTANCE_FILE,
    instance_differences,
    open_instance,
    prepare_instance,
    refresh_instance,
)
from volassets_tests.end_to_end.servers import free_port


def _cut(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(len(content) * share)]


FAULTS = {
    "empty": _cut(0),
    "half": _cut(0.5),
    "text": lambda _: b"nothing of SQLite " * 999,
    "schema": lambda content: content[:100] + b"\7" * 4000 + content[4100:],
}


@pytest.mark.parametrize("name", DATABASES)
@pytest.mark.parametrize("damage", FAULTS.values(), ids=FAULTS)
def test_a_damaged_database_of_dagster_can_be_moved_away(home: Path, name, damage):
    prepare_instance(home)
    file = home / "dagster" / name
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    with pytest.raises(InputError, match="no result is in it") as refused:
        prepare_instance(home)
    assert str(file) in str(refused.value)
    assert DATABASES[name] in str(refused.value)
    assert file.read_bytes() == damaged
    (remedy,) = re.findall(r"`(mv [^`]+)`", str(refused.value))
    subprocess.run(["sh", "-c", remedy], check=True)
    with open_instance(home) as instance:
        assert instance.get_runs_count() == 0
        assert not instance.all_instigator_state()


def test_a_home_of_this_version_has_this_versions_file(home: Path):
    assert instance_differences(home) == []
    prepare_instance(home)
    assert instance_differences(home) == []
    assert refresh_instance(home) is None


def test_an_earlier_file_is_kept_and_its_differences_are_said(home: Path, monkeypatch):
    monkeypatch.setenv("VOLASSETS_HOME", str(home))
    prepare_instance(home)
    file = home / "dagster" / "dagster.yaml"
    earlier = INSTANCE_FILE.read_text().replace("max_retries: 1", "max_retries: 3")
    earlier = earlier.replace("run_queue:\n  dequeue_interval_seconds: 1\n", "") + "\nsensors:\n  use_threads: true\n"
    file.write_text(earlier)
    prepare_instance(home)
    assert file.read_text() == earlier
    assert instance_differences(home) == [
        "run_queue.dequeue_interval_seconds: not set here, 1 in this version",
        "run_retries.max_retries: 3 here, 1 in this version",
        "sensors.use_threads: True here, not set in this version",
    ]
    assert "3 settings of Dagster differ" in CliRunner().invoke(cli, ["status"]).output
    kept = refresh_instance(home)
    assert kept.read_text() == earlier
    assert file.read_bytes() == INSTANCE_FILE.read_bytes()
    assert "differ from this version's dagster.yaml" not in CliRunner().invoke(cli, ["status"]).output


def test_a_file_that_is_no_yaml_is_said_and_replaced_only_when_asked(home: Path):
    prepare_instance(home)
    file = home / "dagster" / "dagster.yaml"
    file.write_text("run_queue: [")
    (line,) = instance_differences(home)
    assert "cannot be read" in line
    assert refresh_instance(home) is not None
    assert instance_differences(home) == []


def test_a_damaged_history_is_an_answer_of_every_command(home: Path, monkeypatch):
    monkeypatch.setenv("VOLASSETS_HOME", str(home))
    prepare_instance(home)
    (home / "dagster" / "history" / "runs.db").write_bytes(b"text" * 4000)
    for words in (["status"], ["ui", "--port", str(free_port())]):
        refused = CliRunner().invoke(cli, words)
        assert refused.exit_code == 2
        assert "runs.db is damaged" in refused.stderr
