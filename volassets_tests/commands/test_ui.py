"""`volassets ui`: a port that cannot be had is refused before anything starts or is written."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from volassets.cli import cli
from volassets.commands import ui
from volassets.settings_sources import PREFIX


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in [name for name in os.environ if name.startswith((PREFIX, "DAGSTER_HOME"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("VOLASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def busy() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.create_server((ui.HOST, 0)) as server:
        yield server.getsockname()[1]


def start(port: int | str) -> Result:
    return CliRunner().invoke(cli, ["ui", "--port", str(port)], prog_name="volassets")


def test_a_busy_port_is_refused_with_one_that_works(home: Path, busy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    result = start(busy)
    assert result.exit_code == 2, result.output
    assert f"port {busy} of 127.0.0.1 cannot be used (address already in use)" in result.stderr
    assert not home.exists()
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execve", lambda program, arguments, environment: started.append(arguments))
    remedy = re.search(r"`volassets ui --port (\d+)`", result.stderr)
    assert remedy is not None
    assert start(remedy[1]).exit_code == 0
    assert started[0][-2:] == ["-p", remedy[1]]


@pytest.mark.parametrize("port", ["0", "-1", "65536", "http"])
def test_what_is_no_port_is_refused(home: Path, port: str) -> None:
    result = start(port)
    assert result.exit_code == 2
    assert "--port" in result.stderr
    assert not home.exists()


def test_a_port_that_was_used_a_moment_ago_is_free(busy: int) -> None:
    with socket.create_server((ui.HOST, 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection((ui.HOST, port))
        accepted, _ = server.accept()
        # Closed first by the server, whose end then waits.
        accepted.close()
        client.close()
    assert ui._problem(port) == ""
    assert ui._problem(busy)
