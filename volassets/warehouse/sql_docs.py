"""The views and tables at the end of docs/sql.md, rewritten by `python -m volassets.warehouse.sql_docs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from volassets.object_io import write_whole
from volassets.warehouse.declarations import Table, View
from volassets.warehouse.migration import Schema

if TYPE_CHECKING:
    from volassets.settings import Settings

START = "\n## Views\n"


def reference(settings: Settings) -> str:
    """Return the end of the page, from `START` on."""
    schema = Schema(settings)
    views = "".join(map(_section, schema.views.values()))
    return f"{START}{views}\n## Tables\n{''.join(map(_section, schema.tables.values()))}"


def _section(relation: Table | View) -> str:
    facts = []
    if relation.key:
        facts.append(f"{'Key' if isinstance(relation, Table) else 'One row per'}: {_names(relation.key)}.")
    if isinstance(relation, Table):
        cell = f"Cell: {_names(relation.cell) or 'the whole table'}."
        facts.append("Rows are only added." if relation.append_only else cell)
    tail = f"\n\n{' '.join(facts)}" if facts else ""
    rows = "".join(
        f"| `{c.name}` | {c.type} | {'yes' if c.nullable else ''} | {c.comment.replace('|', chr(92) + '|')} |\n"
        for c in relation.columns
    )
    head = f"\n### {relation.name}\n\n{relation.comment}{tail}"
    return f"{head}\n\n| column | type | may be empty | meaning |\n|---|---|---|---|\n{rows}"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    from volassets.settings import Settings

    page = Path("docs/sql.md")
    write_whole(page, (page.read_text("utf-8").split(START)[0] + reference(Settings())).encode())
