"""Command lines written for people: whether they would be understood, without running them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from volassets.cli import cli


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command and subcommand with the words that call it; the program itself has none."""
    yield path, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def understood(words: Sequence[str]) -> None:
    """Parse the words after ``volassets`` as the program would, options and all, and run nothing.

    Raises
    ------
    click.ClickException
        If a command, an option or an argument is not one of the program's.
    """
    command: click.Command = cli
    context = click.Context(cli, info_name="volassets", **cli.context_settings)
    rest = list(words)
    while isinstance(command, click.Group):
        while rest and rest[0] in ("--debug",):
            rest.pop(0)
        if not rest or rest[0] in ("-h", "--help", "--version"):
            return
        name = rest.pop(0)
        if name not in command.commands:
            raise click.UsageError(f"no such command: {name}")
        command = command.commands[name]
        if isinstance(command, click.Group):
            context = click.Context(command, parent=context, info_name=name)
    if "--help" in rest or "-h" in rest:
        return
    # A file that an example restores from exists only in the example.
    for word in rest:
        if word.endswith(".duckdb") and Path(word).parent.is_dir():
            Path(word).touch()
    command.make_context(command.name or "", rest, parent=context)


def split(line: str) -> list[str]:
    """Return the words of a shell line without its comment."""
    return shlex.split(line, comments=True)
