"""`volassets warehouse convert`, `volassets backup` and `volassets restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from volassets.commands.handling import Group, handled


@click.group(cls=Group)
def warehouse() -> None:
    """Move the results between back ends.

    \b
    Example:
      volassets warehouse convert duckdb parquet:s3://bucket/volassets
    """


@warehouse.command()
@click.argument("source")
@click.argument("destination")
@handled
def convert(source: str, destination: str) -> None:
    """Copy every row and checkpoint of SOURCE into the empty DESTINATION.

    Both are duckdb (this home's file), parquet:URL, or the path of another home's volassets.duckdb.

    \b
    Examples:
      volassets warehouse convert duckdb parquet:/shared/volassets
      volassets warehouse convert parquet:s3://bucket/volassets /elsewhere/volassets.duckdb
    """
    from volassets.commands.warehouse import convert_command

    convert_command(source, destination)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False), required=False)
@handled
def backup(file: str | None) -> None:
    """Write a consistent copy of the database, also while a run writes.

    Without FILE it goes to backups/ below the home, where the setting backups_kept says how many stay.

    \b
    Examples:
      volassets backup
      volassets backup volassets-2026-11.duckdb
    """
    from volassets.clock import utc_now
    from volassets.settings import load_settings
    from volassets.warehouse.backups import back_up

    if file is None:
        click.echo(f"wrote {back_up(open_store(), load_settings(), utc_now())}")
        return
    open_store().backup(Path(file))
    click.echo(f"wrote {file}")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, exists=True))
@handled
def restore(file: str) -> None:
    """Put a backup in the place of the database; anything that is not one of ours is refused.

    \b
    Example:
      volassets restore volassets-2026-11.duckdb
    """
    open_store().restore(Path(file))
    click.echo(f"restored {file}")


def open_store() -> Any:
    """Return the store of this home."""
    # Imported here, as all that is heavy: `--help` and completion must not wait for it.
    from volassets.settings import load_settings
    from volassets.warehouse.store import open_warehouse

    return open_warehouse(load_settings())
