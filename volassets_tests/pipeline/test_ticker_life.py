"""A ticker's life: another symbol at the source, and the end of trading; the history keeps one name."""

from __future__ import annotations

import re
import shlex
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from volassets.cli import cli
from volassets.errors import InputError
from volassets.market.csv_files import CsvSource
from volassets.orchestration.runner import Request, Runner
from volassets.pipeline.context import Context
from volassets.pipeline.home_status import read_status
from volassets.pipeline.price_intake import fetch, reason_to_fetch
from volassets.pipeline.steps import steps
from volassets.settings import load_settings
from volassets.warehouse.store import open_warehouse
from volassets_tests.conftest import simulate_bars

BARS = simulate_bars(560, 4)  # to 2007-02-23
OLD, NEW = "FB", "META"
LATER = datetime(2007, 3, 9, tzinfo=UTC)


class Download(CsvSource):
    """A directory in the part of a source that downloads: it knows today's symbols alone, and counts its answers."""

    name = "yfinance"
    asked: list[str]

    def __init__(self, directory: str | Path) -> None:
        super().__init__(directory)
        self.asked = []

    def fetch(self, ticker: str) -> pd.DataFrame:
        self.asked.append(ticker)
        return super().fetch(ticker)


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of prices and a home with one ticker, January 2007 computed."""
    folder = tmp_path_factory.mktemp("computed")
    BARS.loc[:"2007-02-05"].to_csv(folder / f"{OLD}.csv", date_format="%Y-%m-%d")
    with pytest.MonkeyPatch.context() as patch:
        settle(folder, patch)
        assert call("run", "--from", "2007-01", "--to", "2007-01").exit_code == 0
    return folder


@pytest.fixture
def home(computed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the directory of prices and the home."""
    shutil.copytree(computed, tmp_path, dirs_exist_ok=True)
    settle(tmp_path, monkeypatch)
    return tmp_path


def settle(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Write the settings of the home in a directory of prices, and make it the one that commands take."""
    patch.delenv("DAGSTER_HOME", raising=False)
    patch.setenv("VOLASSETS_HOME", str(folder / "home"))
    (folder / "home").mkdir(exist_ok=True)
    (folder / "home" / "volassets.toml").write_text(
        f'# mine\ntickers = ["{OLD}"]\nsource = "csv"\ncsv_dir = "{folder}"\nmodels = ["naive", "ewma"]\n'
        'minimum_history = 400\nstart_month = "2006-12"\nreports = "never"\njobs = 1\n'
    )


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, words, prog_name="volassets")


def forecasts() -> pd.DataFrame:
    return open_warehouse(load_settings()).read("benchmark_forecasts")


def test_a_renamed_ticker_goes_on_under_its_name_and_nothing_old_is_computed_again(home: Path) -> None:
    before = forecasts()
    (home / f"{OLD}.csv").unlink()
    BARS.to_csv(home / f"{NEW}.csv", date_format="%Y-%m-%d")
    assert call("run").exit_code == 2
    renamed = call("tickers", "rename", OLD, NEW)
    assert renamed.output.startswith(f"{OLD} is asked for as {NEW} from now on")
    # A source given on the command line keeps the symbol.
    done = call("run", "--from", "2007-01", "--to", "2007-02", "--source", "csv", "--csv-dir", str(home))
    assert done.exit_code == 0, done.output
    assert "benchmark_forecasts: 2 cells of FB, 2007-02: missing" in done.output
    after = forecasts()
    assert set(after["ticker"]) == {OLD}
    january = after["refit_month"] == "2007-01-01"
    pd.testing.assert_frame_equal(after[january].reset_index(drop=True), before, check_exact=True)
    assert call("tickers", "list").output == f"{OLD}\n"
    assert f"source of {OLD}: csv, {home}, as {NEW}" in call("status").output
    for words in (("run", "--ticker", NEW), ("tickers", "add", NEW)):
        refused = call(*words)
        assert refused.exit_code == 2
        assert f"ask for {OLD}" in refused.output
    assert (home / "home" / "volassets.toml").read_text().startswith("# mine")


def test_a_symbol_that_a_download_forgets_is_refused_with_remedies_that_work(home: Path) -> None:
    for remedy, state in (("rename", "to refresh"), ("close", "closed")):
        (home / f"{OLD}.csv").unlink(missing_ok=True)
        context = Context(load_settings(), source=Download(home), now=LATER)
        with pytest.raises(InputError, match=f"The stored bars of {OLD} stand") as refused:
            fetch(context, OLD)
        (command,) = re.findall(rf"`volassets (tickers {remedy} [^`]+)`", str(refused.value))
        assert call(*shlex.split(command.replace("SYMBOL", NEW))).exit_code == 0
        assert state in call("status").output or remedy == "rename"
    assert load_settings().symbol_of(OLD) == NEW
    assert load_settings().closed == (OLD,)


def test_a_closed_ticker_is_not_asked_for_and_never_late(home: Path) -> None:
    source = Download(home)

    def late() -> list[int]:
        settings = load_settings(overrides={"source": "yfinance", "csv_dir": ""})
        listed = read_status(Context(settings, now=LATER), steps(settings))
        return [max((age.sessions for age in ticker.ages), default=0) for _, portion in listed for ticker in portion]

    def run(force: bool) -> None:
        runner = Runner(load_settings(), source, lambda _: None, LATER)
        runner.prepare(Request([OLD], pd.Timestamp("2007-01-01"), pd.Timestamp("2007-01-01"), force))

    context = Context(load_settings(), source=source, now=LATER)
    assert "has closed since" in reason_to_fetch(context, OLD)
    assert late()[0] > 5
    run(force=False)
    assert source.asked == [OLD]
    assert "no more bars are asked for" in call("tickers", "close", OLD).output
    assert call("tickers", "close", OLD).output.startswith("nothing to change")
    assert reason_to_fetch(Context(load_settings(), source=source, now=LATER), OLD) == ""
    for force in (False, True):
        run(force)
    assert source.asked == [OLD]
    assert late() == [0]
    status = call("status")
    assert status.exit_code == 0
    assert " closed " in status.output
    assert len(forecasts())
    assert "asked for again" in call("tickers", "close", OLD, "--reopen").output
    run(force=False)
    assert source.asked == [OLD, OLD]


def test_what_cannot_be_is_refused_and_nothing_is_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = home / "home" / "volassets.toml"
    assert call("tickers", "add", "AAA").exit_code == 0
    before = file.read_bytes()
    for words, said in (
        (("rename", "XYZ", NEW), "is not in the list"),
        (("rename", OLD, "AAA"), "`volassets tickers remove 'AAA'`"),
        (("rename", OLD, "no name"), "is not a valid name"),
        (("close", "XYZ"), "is not in the list"),
        (("close", OLD, "XYZ"), "is not in the list"),
    ):
        refused = call("tickers", *words)
        assert refused.exit_code == 2
        assert said in refused.output
        assert file.read_bytes() == before
    monkeypatch.setenv("VOLASSETS_CLOSED", "AAA")
    assert "unset it" in call("tickers", "close", OLD).output
    assert file.read_bytes() == before
    monkeypatch.delenv("VOLASSETS_CLOSED")
    assert call("tickers", "close", "AAA").exit_code == 0
    assert call("tickers", "remove", "AAA").exit_code == 0
    assert load_settings().closed == ()
