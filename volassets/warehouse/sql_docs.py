"""The page docs/sql.md, generated from the declarations and the cookbook."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

from volassets.warehouse.cookbook import COOKBOOK
from volassets.warehouse.declarations import Table, View
from volassets.warehouse.migration import Schema

if TYPE_CHECKING:
    from volassets.settings import Settings

INTRODUCTION = """# The results in SQL

Generated from the declarations in `volassets/warehouse` by `python -m volassets.warehouse.sql_docs`; tests keep the
page equal to them and run every query of the cookbook.

Everything that a run computes is in `$VOLASSETS_HOME/volassets.duckdb` (`./data` by default). Variances are daily and
decimal, volatilities annualised and decimal (.20 = 20 %). A `refit_month` is the first day of its month; a model of
that month was fitted on bars before it. The database has the same comments: `SELECT comment FROM duckdb_columns()`.

## Ways in

On the command line, also while a run writes:

```sh
volassets query "select model, qlike from leaderboard where ticker = '^GSPC' and horizon = 1 order by qlike"
volassets query "from latest_forecasts" --format csv
volassets query "describe forecasts"
```

In the DuckDB command line, read-only:

```sh
duckdb -readonly data/volassets.duckdb "from latest_forecasts"
```

In Python or a notebook:

```python
import duckdb

with duckdb.connect("data/volassets.duckdb", read_only=True) as connection:
    leaderboard = connection.sql("from leaderboard where horizon = 1").df()
```

While a run writes, DuckDB may answer a client with `Could not set lock on file`: ask again in a moment, or use
`volassets query`, which waits its turn. The other way round, a client that stays open keeps writers out: they wait and
say for whom, for up to ten minutes. So close the connection after each question, as above, or work on a copy, which
`volassets backup copy.duckdb` makes at any time. Always open the file read-only.

With `warehouse = "parquet:URL"` there is one Parquet file per cell and no database file. `volassets query` and
everything below work unchanged; `volassets backup copy.duckdb` gives a DuckDB file for other clients.

A write replaces whole cells: all rows of one value of the columns named under "cell". In DuckDB the tables of one call
change together; in Parquet cell by cell, fits before their forecasts.
"""


def markdown(settings: Settings) -> str:
    """Return the page: the ways in, the cookbook, then every view and table."""
    schema = Schema(settings)
    parts = [INTRODUCTION, "\n## Cookbook\n"]
    parts += [f"\n### {question}\n\n```sql\n{query_text(sql)}\n```\n" for question, sql in COOKBOOK]
    parts.append("\n## Views\n")
    parts += [_section(view) for view in schema.views.values()]
    parts.append("\n## Tables\n")
    parts += [_section(table) for table in schema.tables.values()]
    return "".join(parts)


def query_text(sql: str) -> str:
    """Return a cookbook query without its indentation."""
    return dedent(sql).strip()


def _section(relation: Table | View) -> str:
    facts = []
    if relation.key:
        facts.append(f"{'Key' if isinstance(relation, Table) else 'One row per'}: {_names(relation.key)}.")
    if isinstance(relation, Table) and relation.append_only:
        facts.append("Rows are only added.")
    elif isinstance(relation, Table):
        facts.append(f"Cell: {_names(relation.cell) or 'the whole table'}.")
    head = f"\n### {relation.name}\n\n{relation.comment}"
    tail = f"\n\n{' '.join(facts)}" if facts else ""
    rows = "".join(
        f"| `{c.name}` | {c.type} | {'yes' if c.nullable else ''} | {c.comment.replace('|', chr(92) + '|')} |\n"
        for c in relation.columns
    )
    return f"{head}{tail}\n\n| column | type | may be empty | meaning |\n|---|---|---|---|\n{rows}"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    from volassets.settings import Settings

    print(markdown(Settings()), end="")
