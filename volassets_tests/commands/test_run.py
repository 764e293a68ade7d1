"""`volassets run`: what it says of what it cannot do, and what it does of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from volassets.cli import cli
from volassets.settings import PREFIX

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that is not there yet, of one quick model."""
    for variable in [name for name in os.environ if name.startswith((PREFIX, "DAGSTER_HOME"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("VOLASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VOLASSETS_MODELS", "naive")
    return tmp_path / "home"


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["run", "--jobs", "1", *arguments], prog_name="volassets")
    assert "Traceback" not in result.output
    return result


def test_what_cannot_be_had_is_named_and_the_rest_is_computed(home: Path) -> None:
    asked = ("--ticker", "^GSPC", "--from", "2018-12", "--to", "2019-02")
    too_late = run(*asked)
    assert too_late.exit_code == 0, too_late.output
    assert "^GSPC 2019-02 left out: the bars of ^GSPC end on 2018-12-31" in too_late.stdout
    assert "lag_analysis: 2 cells of ^GSPC, 2018-12 .. 2019-01: missing" in too_late.stdout
    unknown = run(*asked, "--ticker", "NOPE")
    assert unknown.exit_code == 1, unknown.output
    assert "NOPE is left out: " in unknown.stdout
    assert "failed: NOPE raw_prices: " in unknown.stderr
    assert "NOPE" not in (home / "volassets.toml").read_text("utf-8")


@pytest.mark.parametrize("asked", [("--ticker", "NOPE"), ("--ticker", "^GSPC", "--from", "2019-02", "--to", "2019-03")])
def test_nothing_that_can_be_had_is_wrong_input(home: Path, asked: tuple[str, ...]) -> None:
    result = run(*asked)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert not home.exists()
