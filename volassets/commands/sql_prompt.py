"""The prompt of `volassets sql`: a copy of the store, opened read-only, so that no reader keeps a writer waiting."""

from __future__ import annotations

import cmd
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volassets.commands.store_group import open_store
from volassets.reporting.console import print_frame

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SHOWN_ROWS = 200


def sql_command() -> None:
    """Run the prompt until its input ends."""
    with tempfile.TemporaryDirectory(prefix="volassets-sql-") as folder:
        prompt = SqlPrompt(Path(folder))
        try:
            prompt.ask()
        finally:
            prompt.connection.close()


class SqlPrompt(cmd.Cmd):
    """Reads statements line by line and prints their answers; `folder` holds the copy."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        # Typed by a person, or piped in.
        self.typed = sys.stdin.isatty()
        self.use_rawinput = self.typed
        self.folder, self._number = folder, 0
        self._lines: list[str] = []
        self.connection = self._snapshot()
        self._names = [row[0] for row in self._rows("SELECT table_name FROM information_schema.tables")]
        self._set_prompt()

    def ask(self) -> None:
        """Read until the end; Ctrl-C drops what has been typed of a statement."""
        if self.typed:
            click.echo("A copy of this moment, read-only. End a statement with ; and leave with .quit")
        while True:
            try:
                self.cmdloop()
                return
            except KeyboardInterrupt:
                click.echo()
                self._lines = []
                self._set_prompt()

    def onecmd(self, line: str) -> bool:
        """Take one line: a word with a point, the end, or a part of a statement."""
        text = line.strip()
        if line == "EOF" or (text == ".quit" and not self._lines):
            if self._lines:
                self._answer(" ".join(self._lines))
            if line == "EOF" and self.typed:
                click.echo()
            return True
        if text.startswith(".") and not self._lines:
            self._word(text)
        elif text or self._lines:
            self._lines.append(line)
            if text.endswith(";"):
                statement, self._lines = "\n".join(self._lines), []
                self._answer(statement)
        self._set_prompt()
        return False

    def emptyline(self) -> bool:
        """Do nothing."""
        return False

    def completenames(self, text: str, *_ignored: object) -> list[str]:
        """Return the tables that begin with `text`."""
        return [name for name in self._names if name.startswith(text.lower())]

    def completedefault(self, text: str, *_ignored: object) -> list[str]:
        """Return the tables that begin with `text`."""
        return self.completenames(text)

    def _set_prompt(self) -> None:
        self.prompt = "" if not self.typed else "   ... " if self._lines else "volassets> "

    def _word(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        if word == ".tables":
            self._answer("SELECT table_name, table_type FROM information_schema.tables ORDER BY ALL")
        elif word == ".describe" and rest:
            self._answer(
                "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE table_name = $name "
                "ORDER BY column_index",
                {"name": rest.strip(" ;")},
            )
        elif word == ".refresh":
            self.connection.close()
            self.connection = self._snapshot()
        else:
            click.echo(".tables, .describe TABLE, .refresh (a new copy), .quit", err=True)

    def _answer(self, statement: str, parameters: dict[str, str] | None = None) -> None:
        import duckdb

        try:
            answer = self.connection.execute(statement, parameters)
            rows = answer.fetch_df_chunk(1) if answer.description else None
        except duckdb.Error as error:
            click.echo(f"error: {error}", err=True)
            return
        if rows is not None:
            print_frame(rows.head(SHOWN_ROWS), "table" if self.typed else "csv")
            if len(rows) > SHOWN_ROWS:
                click.echo(f"the first {SHOWN_ROWS} rows; `volassets query` prints all", err=True)

    def _rows(self, statement: str) -> list[tuple[str, ...]]:
        return self.connection.execute(statement).fetchall()

    def _snapshot(self) -> DuckDBPyConnection:
        import duckdb

        from volassets.warehouse.duckdb_store import hide_progress_bar

        for file in self.folder.iterdir():
            file.unlink()
        self._number += 1
        # Another name every time: DuckDB may keep what it knows of a file by its name.
        file = self.folder / f"results-{self._number}.duckdb"
        open_store().backup(file)
        connection = duckdb.connect(str(file), read_only=True, config={"python_enable_replacements": False})
        hide_progress_bar(connection)
        return connection
