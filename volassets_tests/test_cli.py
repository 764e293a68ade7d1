"""The command line as its users meet it: help, answers, refusals, pipes and interruptions."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import volassets
from volassets.cli import cli
from volassets.reporting import console
from volassets.settings import load_settings
from volassets.settings_sources import PREFIX
from volassets_tests.command_lines import commands, split, understood

PROGRAM = [sys.executable, "-W", "ignore", "-m", "volassets"]
COMMANDS = list(commands())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in [name for name in os.environ if name.startswith((PREFIX, "DAGSTER_HOME"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("VOLASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), prog_name="volassets")


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )


def refused(result: Result, *parts: str) -> str:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr
    return result.stderr


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) or "volassets" for path, _ in COMMANDS])
def test_every_command_explains_itself_with_an_example_that_is_understood(path, command):
    shown = call(*path, "--help")
    assert shown.exit_code == 0
    assert call(*path, "-h").output == shown.output
    described = shown.output.split("Options:")[0]
    assert re.search(r"Examples?:", described)
    lines = [line.strip() for line in described.splitlines() if line.strip().startswith("volassets ")]
    assert lines
    for line in lines:
        understood(split(line)[1:])
        assert not path or line.startswith(" ".join(("volassets", *path)))
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help or parameter.name == "style", f"{path} {parameter.name} has no help"


def test_the_commands_of_the_design_are_there():
    names = {" ".join(path) for path, _ in COMMANDS}
    assert {"run", "query", "report", "audit", "status", "ui"} <= names
    assert {"tickers add", "tickers remove", "tickers list"} <= names
    options = {name for parameter in cli.commands["run"].params for name in parameter.opts}
    assert {"--ticker", "--from", "--to", "--source", "--csv-dir", "--models", "--jobs", "--force"} <= options


def test_the_version_is_the_packages():
    from importlib.metadata import version

    assert call("--version").output == f"volassets, version {volassets.__version__}\n"
    assert version("volassets") == volassets.__version__


def test_tickers_are_listed_added_and_removed(home):
    assert call("tickers", "list").stdout == "^GSPC\n^IXIC\n"
    assert not home.exists()
    assert call("tickers", "add", "AAPL", "MSFT").stdout == "added AAPL, MSFT\n"
    assert (home / "volassets.toml").exists()
    assert call("tickers", "add", "AAPL").stdout == "nothing to add: all are in the list\n"
    assert "removed AAPL" in call("tickers", "remove", "AAPL").stdout
    assert call("tickers", "list").stdout == "^GSPC\n^IXIC\nMSFT\n"


def test_tickers_are_added_with_their_source(home, tmp_path):
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "ACME.csv").write_text("date,open,high,low,close\n")
    shown = f"csv, {tmp_path / 'prices'}"
    assert call("tickers", "add", "ACME", "--csv-dir", "prices").stdout == f"added ACME\nsource of ACME: {shown}\n"
    assert call("tickers", "add", "MSFT", "--source", "yfinance").stdout == "added MSFT\nsource of MSFT: yfinance\n"
    settings = load_settings()
    found = {ticker: settings.source_of(ticker).source for ticker in settings.tickers}
    assert found == {"^GSPC": "bundled", "^IXIC": "bundled", "ACME": "csv", "MSFT": "yfinance"}


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("ACME", "NOPE", "--csv-dir", "prices"), ("source csv has no bars of 'NOPE' in ", "--csv-dir")),
        (("ACME", "--csv-dir", "nowhere"), ("nowhere", "not a directory")),
        (("ACME", "--source", "csv"), ("--csv-dir",)),
        (("NOPE", "--source", "bundled"), ("source bundled has no bars of 'NOPE'",)),
    ],
)
def test_a_source_that_does_not_know_a_ticker_is_refused_and_adds_none(home, tmp_path, arguments, parts):
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "ACME.csv").write_text("date,open,high,low,close\n")
    refused(call("tickers", "add", *arguments), *parts)
    assert not home.exists()


def test_wrong_tickers_are_refused(home):
    refused(call("tickers", "add", "A/B"), "A/B", "not a valid name")
    refused(call("tickers", "remove", "AAPL"), "'AAPL'", "^GSPC, ^IXIC")
    assert call("tickers", "add").exit_code == 2
    assert not home.exists()


VALUES = """
    SELECT 1 AS n, 0.123456789012345e-4::DOUBLE AS variance, 'a, "b"' AS text, NULL::INTEGER AS missing,
    NULL::DOUBLE AS nothing, DATE '2018-12-31' AS day, TIMESTAMP '2018-12-31 15:30:00' AS moment, true AS yes
"""


def test_a_query_answers_as_csv(home):
    result = call("query", VALUES, "--format", "csv")
    assert result.exit_code == 0
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert row == {
        "n": "1", "variance": "1.23456789012345e-05", "text": 'a, "b"', "missing": "", "nothing": "",
        "day": "2018-12-31", "moment": "2018-12-31 15:30:00", "yes": "True",
    }  # fmt: skip
    assert not home.exists()


def test_a_query_answers_as_json_with_every_digit():
    (row,) = json.loads(call("query", VALUES, "--format", "json").stdout)
    assert row == {
        "n": 1, "variance": 0.123456789012345e-4, "text": 'a, "b"', "missing": None, "nothing": None,
        "day": "2018-12-31T00:00:00", "moment": "2018-12-31T15:30:00", "yes": True,
    }  # fmt: skip


def test_json_is_json_whatever_the_value():
    sql = "SELECT 'inf'::DOUBLE AS i, 'nan'::DOUBLE AS x, [1, 2] AS l, {'a': 1.5::DOUBLE} AS s, 'é[/red]' AS t"
    (row,) = json.loads(call("query", sql, "--format", "json").stdout)
    assert row == {"i": None, "x": None, "l": [1, 2], "s": {"a": 1.5}, "t": "é[/red]"}
    assert json.loads(call("query", "SELECT 1 AS a WHERE false", "--format", "json").stdout) == []


def test_a_query_answers_as_a_table_and_counts_the_rows():
    result = call("query", VALUES)
    assert "1.235e-05" in result.stdout
    assert "2018-12-31 15:30:00" in result.stdout
    assert "NA" not in result.stdout
    assert result.stdout.endswith("1 row\n")
    assert call("query", "SELECT * FROM range(3)").stdout.endswith("3 rows\n")
    assert call("query", "SELECT * FROM leaderboard").stdout.endswith("0 rows\n")


def test_text_that_looks_like_markup_is_shown_as_it_is():
    assert "[bold]x[/red] :smile:" in call("query", "SELECT '[bold]x[/red] :smile:' AS t").stdout


@pytest.mark.parametrize("sql", ["SHOW TABLES", "DESCRIBE raw_prices", "FROM leaderboard", "EXPLAIN SELECT 1"])
def test_reading_statements_of_every_kind_are_answered(sql):
    assert call("query", sql).exit_code == 0


WRITING = [
    "CREATE TABLE x (a INT)", "DROP TABLE raw_prices", "DELETE FROM raw_prices", "UPDATE raw_prices SET close = 1",
    "INSERT INTO raw_prices (ticker) VALUES ('A')", "COPY (SELECT 1) TO 'out.csv'", "ATTACH 'other.duckdb'",
    "SET threads = 1", "PRAGMA database_list", "INSTALL httpfs", "VACUUM", "BEGIN", "CHECKPOINT",
    "EXPORT DATABASE 'out'",
]  # fmt: skip


@pytest.mark.parametrize("sql", WRITING)
def test_a_statement_that_does_not_read_is_refused(tmp_path, sql):
    result = call("query", sql)
    if sql.startswith("PRAGMA") and result.exit_code == 0:
        return
    refused(result, "query")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("sql", "message"),
    [("SELECT 1; SELECT 2", "one statement"), ("", "one statement"), ("SELECT", "error"), ("SELEC 1", "syntax"),
     ("SELECT * FROM nowhere", "nowhere"), ("SELECT qlik FROM leaderboard", "qlik"), ("SELECT 1/'a'", "a")],
)  # fmt: skip
def test_a_wrong_query_is_refused(home, sql, message):
    refused(call("query", sql), message)
    assert not home.exists()


def test_an_unknown_format_names_the_choice():
    result = call("query", "SELECT 1", "--format", "xml")
    assert result.exit_code == 2
    assert "'table', 'csv', 'json'" in result.stderr


@pytest.mark.parametrize("arguments", [("tickers", "list"), ("query", "SELECT 1"), ("run",), ("status",), ("report",)])
def test_an_unknown_setting_stops_every_command(home, arguments):
    home.mkdir()
    (home / "volassets.toml").write_text("horizon = [1]\n")
    refused(call(*arguments), "unknown setting horizon")
    assert [file.name for file in home.iterdir()] == ["volassets.toml"]


@pytest.mark.parametrize(
    ("variable", "text", "parts"),
    [("VOLASSETS_HORIZON", "1", ["VOLASSETS_HORIZON"]), ("VOLASSETS_JOBS", "many", ["jobs", "many", "number"]),
     ("VOLASSETS_MODELS", "gjr,nope", ["models", "nope", "log_har"])],
)  # fmt: skip
def test_a_wrong_variable_is_refused(home, monkeypatch, variable, text, parts):
    monkeypatch.setenv(variable, text)
    refused(call("tickers", "list"), *parts)
    assert not home.exists()


WRONG_RUNS = [
    (["--models", "gjr,nope"], ["nope", "choose from", "log_har"]),
    (["--models", ""], ["models"]),
    (["--models", "gjr,combination"], ["combination", "elastic_net"]),
    (["--jobs", "-1"], ["jobs", "-1"]),
    (["--jobs", "many"], ["jobs", "many"]),
    (["--ticker", "A/B"], ["A/B", "not a valid name"]),
    (["--ticker", "NOPE"], ["NOPE", "^GSPC"]),
    (["--from", "2016"], ["'2016'", "YYYY-MM"]),
    (["--to", "2016-13"], ["2016-13", "YYYY-MM"]),
    (["--from", "2018-12", "--to", "2018-01"], ["2018-12", "2018-01", "swap"]),
    (["--from", "2003-01", "--to", "2003-02"], ["2003-01", "2004-01"]),
    (["--from", "2020-01"], ["2019-01"]),
    (["--source", "csv"], ["--csv-dir"]),
    (["--source", "csv", "--csv-dir", "none", "--ticker", "ACME"], ["none"]),
    (["--source", "bloomberg"], ["bloomberg", "bundled"]),
    (["--nope"], ["--nope"]),
]


@pytest.mark.parametrize(("arguments", "parts"), WRONG_RUNS, ids=[" ".join(wrong) for wrong, _ in WRONG_RUNS])
def test_a_wrong_run_is_refused_and_writes_nothing(home, arguments, parts):
    ticker = [] if "--ticker" in arguments else ["--ticker", "^GSPC"]
    result = call("run", *ticker, *arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr
    assert not home.exists()


def test_a_month_before_enough_history_says_the_first_possible_one(home, monkeypatch):
    monkeypatch.setenv("VOLASSETS_START_MONTH", "1999-01")
    # 756 bars from 1999-01-04 on end in January 2002.
    refused(call("run", "--ticker", "^GSPC", "--from", "2001-06", "--to", "2001-07"), "2001-06", "756", "2002-02")
    assert not home.exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a directory that not even root can write to")
@pytest.mark.parametrize("arguments", [("tickers", "add", "AAPL"), ("run", "--ticker", "^GSPC")])
def test_a_home_that_cannot_be_written_is_refused(monkeypatch, arguments):
    monkeypatch.setenv("VOLASSETS_HOME", "/proc/home")
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert "/proc/home" in result.stderr
    assert "VOLASSETS_HOME" in result.stderr


def test_a_ticker_without_rows_has_no_report(home):
    refused(call("report", "--ticker", "AAPL"), "AAPL", "volassets run --ticker AAPL")
    refused(call("report"), "volassets run")
    refused(call("audit"), "^GSPC", "volassets run")
    assert not home.exists()


def test_status_of_nothing_says_so_and_writes_nothing(home):
    result = call("status")
    assert result.exit_code == 0, result.output
    assert "no bars yet" in result.stdout
    assert not home.exists()


def test_debug_shows_where_and_its_absence_does_not(monkeypatch):
    from volassets.errors import InputError

    assert isinstance(call("--debug", "query", "SELEC 1").exception, InputError)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(console, "print_frame", broken)
    result = call("query", "SELECT 1")
    assert result.exit_code == 1
    assert "ZeroDivisionError: by zero" in result.stderr
    assert "--debug" in result.stderr
    assert isinstance(call("--debug", "query", "SELECT 1").exception, ZeroDivisionError)


def test_an_interruption_ends_with_a_message_and_130(monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(console, "print_frame", interrupted)
    result = call("query", "SELECT 1")
    assert result.exit_code == 130
    assert "interrupted: what was committed is kept" in result.stderr


def test_ctrl_c_inside_a_dagster_run_ends_with_a_message_and_130():
    environment = {**os.environ, "VOLASSETS_MODELS": "naive", "PYTHONUNBUFFERED": "1"}
    arguments = [*PROGRAM, "run", "--ticker", "^GSPC", "--from", "2010-01", "--jobs", "1"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    for line in process.stdout:
        # The step reports from inside Dagster's run, which takes the signal for a failed step.
        if "raw_prices ^GSPC" in line:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert "interrupted: what was committed is kept; the same command goes on from there." in err
    # Python itself reports a signal that comes while the callback of a weak reference runs, and goes on.
    assert "Traceback" not in out + err or "Exception ignored in" in err


def test_a_pipe_gets_no_colour_and_no_cut_value():
    columns = ", ".join(f"repeat('{number % 10}', 40) AS column_{number}" for number in range(30))
    result = start("query", f"SELECT repeat('w', 700) AS wide, {columns}", TERM="xterm-256color", COLUMNS="40")
    assert result.returncode == 0
    assert "\x1b" not in result.stdout
    assert "w" * 700 in result.stdout
    assert all(f"column_{number}" in result.stdout for number in range(30))
    assert all(str(number) * 40 in result.stdout for number in range(10))
    assert "…" not in result.stdout


def on_terminal(*arguments: str, columns: int) -> str:
    """Return what a terminal of so many columns gets to see."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    with subprocess.Popen([*PROGRAM, *arguments], stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b"".join(_chunks(ours, process))
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode()


def _chunks(file: int, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    while True:
        ready, _, _ = select.select([file], [], [], 0.2)
        if not ready and process.poll() is not None:
            return
        try:
            chunk = os.read(file, 65536) if ready else b""
        except OSError:
            return
        yield chunk


def test_a_terminal_gets_a_table_within_its_width_and_every_letter():
    letters = "".join(chr(97 + number % 26) for number in range(130))
    shown = on_terminal("query", f"SELECT '{letters}' AS wide, 1 AS n", columns=50)
    assert "\x1b[1m" in shown
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, lines)) <= 50
    assert letters in "".join(re.findall(r"[a-z]+", "".join(line for line in lines if line.startswith("│"))))


@pytest.mark.parametrize("style", ["table", "csv", "json"])
def test_a_reader_that_goes_away_is_no_error(style):
    sql = "SELECT range AS n, repeat('x', 100) AS text FROM range(4000)"
    line = f"{shlex.join([*PROGRAM, 'query', sql, '--format', style])} | head -c 10; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", line], capture_output=True, timeout=120)
    assert result.stdout[10:] == b"0\n"
    assert result.stderr == b""
