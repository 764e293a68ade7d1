"""`volassets warehouse`: move the results between back ends."""

from __future__ import annotations

from pathlib import Path

import click

from volassets.errors import InputError
from volassets.settings import Settings, load_settings


def convert_command(source: str, destination: str) -> None:
    """Copy every row and checkpoint from one store into another, empty one.

    Raises
    ------
    InputError
        If the two are the same, a text is none of duckdb, parquet:URL and DuckDB file, or the file is missing.
    """
    from volassets.object_io import read_whole, write_whole
    from volassets.warehouse.store import open_warehouse
    from volassets.warehouse.transfer import convert

    one, other = _settings(source, must_exist=True), _settings(destination)
    if one == other and one.home == other.home:
        raise InputError(f"{source} and {destination} are the same store: name another one.")
    stored = open_warehouse(one)
    places = stored.query("SELECT DISTINCT checkpoint FROM fits WHERE checkpoint <> '' ORDER BY 1")["checkpoint"]
    # Before the rows that name them: a row in sight has its file.
    for place in places:
        write_whole(f"{other.files}/{place}", read_whole(f"{one.files}/{place}"))
    counts = convert(stored, open_warehouse(other))
    for table, rows in counts.items():
        click.echo(f"{table}: {rows} rows")
    click.echo(f"checkpoints: {len(places)} files")
    click.echo(f'Set warehouse = "{other.warehouse}" in volassets.toml to work with it.')


def _settings(place: str, must_exist: bool = False) -> Settings:
    """Return the settings of a store named on the command line: this home's, with its back end replaced."""
    if place == "duckdb" or place.startswith("parquet:"):
        return load_settings(overrides={"warehouse": place})
    file = Path(place).expanduser().resolve()
    if file.name != "volassets.duckdb":
        raise InputError(
            f"{place!r} names no store: give duckdb for this home's file, parquet:URL, or the path of another home's "
            "volassets.duckdb."
        )
    if must_exist and not file.exists():
        raise InputError(f"{file} does not exist: correct the path.")
    return load_settings(overrides={"warehouse": "duckdb"}).model_copy(update={"home": file.parent})
