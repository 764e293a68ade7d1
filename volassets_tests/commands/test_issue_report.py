"""`volassets status --report` says what a bug report needs and nothing private, also of a home that is damaged."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

import volassets
from volassets.cli import cli
from volassets.commands.issue_report import is_shown
from volassets.settings import INTERNAL, Settings

SECRET = "hunter2"
TOML = f"""
tickers = ["{SECRET.upper()}", "^GSPC"]
webhook = "https://hooks.example.com/{SECRET}"
csv_dir = "/home/{SECRET}/prices"
warehouse = "parquet:file:///mnt/{SECRET}/cells"
calendars = {{ {SECRET.upper()} = "XLON" }}
horizons = [1, 10]
refit_schedule = "5 6 1 * *"
[lstm]
seeds = 3
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("VOLASSETS_", "DAGSTER_HOME"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / SECRET
    folder.mkdir()
    monkeypatch.setenv("VOLASSETS_HOME", str(folder))
    return folder


def report() -> str:
    result = CliRunner().invoke(cli, ["status", "--report"])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_has_versions_and_settings_and_no_secret(home: Path) -> None:
    (home / "volassets.toml").write_text(TOML)
    shown = report()
    for part in (
        f"volassets {volassets.__version__}", f"Python {platform.python_version()}", f"torch {version('torch')}",
        "horizons = (1, 10)", "refit_schedule = '5 6 1 * *'", "[lstm] seeds = 3", "webhook is set (not shown)",
        "tickers is set (2 entries)", "bars: 0",
    ):  # fmt: skip
        assert part in shown
    assert SECRET not in shown.lower()
    assert [path.name for path in home.iterdir()] == ["volassets.toml"]


def test_a_damaged_database_is_a_finding(home: Path) -> None:
    (home / "volassets.duckdb").write_bytes(b"nothing" * 2000)
    shown = report()
    assert "is not a DuckDB database, or is damaged" in shown
    assert SECRET not in shown


def test_every_setting_that_is_free_text_is_judged() -> None:
    private = {key for key in Settings.model_fields if not is_shown(key)} - set(INTERNAL)
    assert private >= {"tickers", "csv_dir", "notify", "webhook", "calendars", "warehouse"}
    assert {"horizons", "source", "jobs", "reports"} <= {key for key in Settings.model_fields if is_shown(key)}
