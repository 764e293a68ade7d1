"""Make the rows that `test_run_golden` compares with, or say how far a fresh run is from them.

``python -m volassets_tests.golden.make_run`` writes `run/` again: do it when a number is meant to change, and look at
what changed. With ``--differences`` it writes nothing and prints the largest difference of every table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volassets_tests.golden.machine import machine_kind
from volassets_tests.golden.stored import (
    LASTING,
    Rows,
    Shape,
    command,
    digest,
    load_rows,
    read_rows,
    shapes,
    write_rows,
)

FOLDER = Path(__file__).parent / "run"
TICKER, MONTH = "^GSPC", "2018-12"
MODELS = (
    "naive,rolling_20,ewma,garch,gjr,egarch,har,log_har,log_har_leverage,elastic_net,lstm,lstm_reference,transformer,"
    "combination"
)
ARGUMENTS = ("run", "--ticker", TICKER, "--from", MONTH, "--to", MONTH, "--models", MODELS, "--jobs", "2")
# Fewer networks and epochs than by default, for time. In bfloat16, which only some processors have, the reference LSTM
# would be another network on the others.
ENVIRONMENT = {
    "VOLASSETS_DEVICE": "cpu",
    "VOLASSETS_IMPORTANCE": "monthly",
    "VOLASSETS_LSTM_SEEDS": "2",
    "VOLASSETS_TRANSFORMER_SEEDS": "2",
    "VOLASSETS_LSTM_REFERENCE_EPOCHS": "8",
    "VOLASSETS_LSTM_REFERENCE_PRECISION": "float32",
}
# Of the long tables the last two months; the digest is over all rows.
KEPT: dict[str, str] = dict.fromkeys(("raw_prices", "realized_vol_features"), "date >= DATE '2018-11-01'")


@dataclass(frozen=True)
class Golden:
    """One pinned table: its shape, the rows that are kept, and the number and digest of all rows."""

    shape: Shape
    kept: Rows
    rows: int
    sha256: str


def run(home: Path) -> Path:
    """Run the command line on a fresh home; return its database."""
    result = command(home, *ARGUMENTS, **ENVIRONMENT)
    assert result.returncode == 0, result.stdout + result.stderr
    return home / "volassets.duckdb"


def written(database: Path, table: str, shape: Shape) -> Golden:
    """Return a table of `database` in the form in which it is pinned."""
    every = read_rows(database, table, shape, LASTING.get(table, "true"))
    kept = read_rows(database, table, shape, KEPT[table]) if table in KEPT else every
    return Golden(shape, kept, len(every), digest(every))


def load() -> tuple[dict[str, Any], dict[str, Golden]]:
    """Return the kind of machine that made the golden rows, and the rows by table."""
    manifest = json.loads((FOLDER / "manifest.json").read_text("utf-8"))
    tables = {}
    for table, entry in manifest["tables"].items():
        header, rows = load_rows(FOLDER / f"{table}.csv.gz")
        assert header == tuple(entry["types"]), table
        tables[table] = Golden(Shape(tuple(entry["key"]), entry["types"]), rows, entry["rows"], entry["sha256"])
    return manifest["machine"], tables


def save(tables: dict[str, Golden]) -> None:
    """Write every table and the manifest in place of what is there."""
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.iterdir():
        file.unlink()
    entries = {}
    for table, golden in tables.items():
        write_rows(FOLDER / f"{table}.csv.gz", tuple(golden.shape.types), golden.kept)
        entries[table] = {
            "key": golden.shape.key,
            "rows": golden.rows,
            "sha256": golden.sha256,
            "types": golden.shape.types,
        }
    manifest = {
        "arguments": ARGUMENTS,
        "environment": ENVIRONMENT,
        "kept": KEPT,
        "machine": machine_kind(),
        "tables": entries,
    }
    (FOLDER / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")


def main() -> None:
    """Write the folder, or print the differences."""
    from volassets_tests.golden.compare import largest

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--differences", action="store_true", help="print the largest difference of every table")
    only_differences = parser.parse_args().differences
    with tempfile.TemporaryDirectory() as folder:
        database = run(Path(folder) / "home")
        if only_differences:
            for table, golden in load()[1].items():
                print(f"{table:24} {largest(golden, written(database, table, golden.shape))}")
        else:
            save({table: written(database, table, shape) for table, shape in shapes(database).items()})


if __name__ == "__main__":
    main()
