"""What all commands share: their order in the help, exit codes, and errors as one message."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from volassets.errors import InputError, VolassetsError

DONE, SOME_FAILED, WRONG_INPUT = 0, 1, 2


class Group(click.Group):
    """Shows commands in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they were declared."""
        return list(self.commands)


def handled(function: Callable[..., int | None]) -> Callable[..., None]:
    """Turn errors into one message and the exit code; a traceback with --debug only."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        debug = bool(click.get_current_context().find_root().obj)
        try:
            code = function(*args, **kwargs) or DONE
        except KeyboardInterrupt:
            click.echo("interrupted: what was committed is kept; the same command goes on from there.", err=True)
            code = 130
        except VolassetsError as error:
            if debug:
                raise
            click.echo(f"error: {error}", err=True)
            code = WRONG_INPUT if isinstance(error, InputError) else SOME_FAILED
        except BrokenPipeError:
            # The reader went away, as `head` does; nothing is wrong.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = DONE
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if debug:
                raise
            click.echo(
                f"unexpected error: {type(error).__name__}: {error}. What was committed is kept; "
                "`volassets --debug` with the same command shows where it happened.",
                err=True,
            )
            code = SOME_FAILED
        sys.exit(code)

    return wrapper
