"""Shell completion: what it offers, and that the program can set it up itself."""

from __future__ import annotations

import os
import subprocess

import pytest
from click.testing import CliRunner

from volassets.cli import cli
from volassets_tests.test_cli import PROGRAM


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(PROGRAM, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("volassets ", {"run", "query", "tickers"}), ("volassets ti", {"tickers"}), ("volassets tickers a", {"add"}),
     ("volassets run --sou", {"--source"}), ("volassets run --source c", {"csv"}),
     ("volassets query x --format ", {"table", "csv", "json"})],
)  # fmt: skip
def test_completion_offers_what_fits(typed, offered):
    words = typed.split(" ")
    environment = {
        "_VOLASSETS_COMPLETE": "bash_complete",
        "COMP_WORDS": typed.rstrip(),
        "COMP_CWORD": str(len(words) - 1),
    }
    runner = CliRunner().invoke(cli, [], prog_name="volassets", env=environment)
    assert offered <= {line.partition(",")[2] for line in runner.stdout.splitlines()}


def test_completion_of_the_program_itself():
    result = start(_VOLASSETS_COMPLETE="bash_source")
    assert result.returncode == 0
    assert "complete -o nosort -F" in result.stdout
