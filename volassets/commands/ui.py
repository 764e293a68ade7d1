"""`volassets ui`."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import click

from volassets.errors import InputError
from volassets.settings import load_settings
from volassets.settings_file import ensure_home
from volassets.settings_sources import HOME_VARIABLE

HOST = "127.0.0.1"
PORTS = 65536


def ui_command(port: int, refresh: bool = False) -> None:
    """Become `dagster dev` on this home; the process ends with it.

    With `refresh`, the home first gets this version's dagster.yaml.

    Raises
    ------
    InputError
        If the port is in use, or may not be used.
    """
    from volassets.orchestration.instance import WORKSPACE_FILE, prepare_instance

    settings = load_settings()
    _require_port(port)
    home = ensure_home(settings)
    if not os.environ.get("DAGSTER_HOME"):
        _compare_instance(home, refresh)
    environment = {
        **os.environ,
        HOME_VARIABLE: str(home),
        "DAGSTER_HOME": os.environ.get("DAGSTER_HOME") or str(prepare_instance(home)),
    }
    arguments = ["-w", str(WORKSPACE_FILE), "-h", HOST, "-p", str(port)]
    # A shell starts a background job with SIGINT ignored, and Dagster ends its servers with SIGINT, also on SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execve(sys.executable, [sys.executable, "-m", "dagster", "dev", *arguments], environment)


def _compare_instance(home: Path, refresh: bool) -> None:
    """Say how the home's dagster.yaml differs from this version's, or replace it."""
    from volassets.orchestration.instance import instance_differences, refresh_instance

    if refresh:
        kept = refresh_instance(home)
        click.echo(
            f"took over this version's dagster.yaml; the old one is {kept}" if kept else "dagster.yaml is current"
        )
        return
    differences = instance_differences(home)
    if differences:
        click.echo("dagster.yaml of this home is not this version's; `volassets ui --refresh-instance` takes it over:")
    for line in differences:
        click.echo(f"  {line}")


def _require_port(port: int) -> None:
    """Refuse a port that cannot be had: Dagster would run on without its web interface."""
    problem = _problem(port)
    if problem:
        free = next((other for other in (*range(port + 1, PORTS), *range(3000, port)) if not _problem(other)), None)
        remedy = "stop what uses it" if free is None else f"stop what uses it, or run `volassets ui --port {free}`"
        raise InputError(f"port {port} of {HOST} cannot be used ({problem}): {remedy}.")


def _problem(port: int) -> str:
    """Return why no server can listen on `port`; empty where one can."""
    with socket.socket() as probe:
        # As the server itself does: connections that have just been closed do not hold a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return ""
