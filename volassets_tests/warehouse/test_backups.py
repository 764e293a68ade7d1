"""Backups that a home keeps of itself: how many stay, what a schedule makes, and one restored after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from volassets.cli import cli
from volassets.definitions import build_definitions
from volassets.errors import InputError
from volassets.settings import load_settings
from volassets.warehouse.backups import back_up
from volassets.warehouse.store import Replacement, StoreError, open_warehouse
from volassets_tests.warehouse.frames import cells, fit_rows

NOW = datetime(2024, 2, 29, 23, 59, tzinfo=UTC)
# Writes without an end, until it is killed.
WRITER = """
from volassets.settings import load_settings
from volassets.warehouse.store import Replacement, open_warehouse
from volassets_tests.warehouse.frames import cells, fit_rows
store, number = open_warehouse(load_settings()), 0
while True:
    number += 1
    store.write(Replacement("garch_fits", fit_rows(data_hash=f"w{number}"), cells(fit_rows())))
    print(number, flush=True)
"""


def write(store, data_hash: str) -> None:
    store.write(Replacement("garch_fits", fit_rows(data_hash=data_hash), cells(fit_rows())))


@pytest.mark.parametrize("kept", [1, 3])
def test_the_newest_stay_and_nothing_else_is_touched(settings_for, kept):
    settings = settings_for("duckdb", backups_kept=kept)
    store, folder = open_warehouse(settings), settings.home / "backups"
    with pytest.raises(StoreError, match="nothing to back up"):
        back_up(store, settings, NOW)
    write(store, "h1")
    folder.mkdir(exist_ok=True)
    (folder / "mine.duckdb").write_bytes(b"x")
    made = [back_up(store, settings, NOW + timedelta(hours=hours)) for hours in range(5)]
    assert made[0].name == "volassets-2024-02-29-2359.duckdb"
    assert sorted(folder.iterdir()) == sorted([folder / "mine.duckdb", *made[-kept:]])


def test_a_schedule_makes_them(settings_for):
    assert "back_up" not in {s.name for s in build_definitions(settings_for()).get_repository_def().schedule_defs}
    settings = settings_for("duckdb", backup_schedule="30 2 * * *", backups_kept=2)
    write(open_warehouse(settings), "h1")
    repository = build_definitions(settings).get_repository_def()
    (schedule,) = [s for s in repository.schedule_defs if s.name == "back_up"]
    assert schedule.cron_schedule == "30 2 * * *"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert repository.get_job("back_up_home").execute_in_process().success
    (file,) = (settings.home / "backups").iterdir()
    assert open_warehouse(settings).read("garch_fits")["data_hash"].tolist() == ["h1"]
    open_warehouse(settings).restore(file)


@pytest.mark.parametrize(
    ("key", "value"), [("backup_schedule", "daily"), ("backup_schedule", "0 0 31 2 *"), ("backups_kept", 0)]
)
def test_impossible_values_are_refused(tmp_path, key, value):
    with pytest.raises(InputError, match=key):
        load_settings(tmp_path, {key: value})


def test_a_backup_is_restored_from_the_command_line_after_a_kill(settings_for, monkeypatch):
    settings = settings_for("duckdb")
    monkeypatch.setenv("VOLASSETS_HOME", str(settings.home))
    write(open_warehouse(settings), "h1")
    made = CliRunner().invoke(cli, ["backup"])
    assert made.exit_code == 0, made.output
    file = Path(made.output.removeprefix("wrote ").strip())
    assert file.parent == settings.home / "backups"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    writer = subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE, text=True, env=environment)
    assert writer.stdout is not None
    for _ in range(3):
        assert writer.stdout.readline()
    time.sleep(0.05)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert open_warehouse(settings).read("garch_fits")["data_hash"].tolist() != ["h1"]
    restored = CliRunner().invoke(cli, ["restore", str(file)])
    assert restored.exit_code == 0, restored.output
    assert open_warehouse(settings).read("garch_fits")["data_hash"].tolist() == ["h1"]
    write(open_warehouse(settings), "h2")
    assert open_warehouse(settings).read("garch_fits")["data_hash"].tolist() == ["h2"]
