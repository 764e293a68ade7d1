"""`volassets run`: what it says of what it cannot do, and what it does of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from volassets.cli import cli
from volassets.settings import load_settings
from volassets.settings_sources import PREFIX
from volassets.warehouse.store import open_warehouse

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that is not there yet, of one quick model."""
    for variable in [name for name in os.environ if name.startswith((PREFIX, "DAGSTER_HOME"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("VOLASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VOLASSETS_MODELS", "naive")
    return tmp_path / "home"


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["run", "--jobs", "1", *arguments], prog_name="volassets")
    assert "Traceback" not in result.output
    return result


def test_what_cannot_be_had_is_named_and_the_rest_is_computed(home: Path) -> None:
    asked = ("--ticker", "^GSPC", "--from", "2018-12", "--to", "2019-02")
    too_late = run(*asked)
    assert too_late.exit_code == 0, too_late.output
    assert "^GSPC 2019-02 left out: the bars of ^GSPC end on 2018-12-31" in too_late.stdout
    assert "lag_analysis: 2 cells of ^GSPC, 2018-12 .. 2019-01: missing" in too_late.stdout
    unknown = run(*asked, "--ticker", "NOPE")
    assert unknown.exit_code == 1, unknown.output
    assert "NOPE is left out: " in unknown.stdout
    assert "failed: NOPE raw_prices: " in unknown.stderr
    assert "NOPE" not in (home / "volassets.toml").read_text("utf-8")


@pytest.mark.parametrize("asked", [("--ticker", "NOPE"), ("--ticker", "^GSPC", "--from", "2019-02", "--to", "2019-03")])
def test_nothing_that_can_be_had_is_wrong_input(home: Path, asked: tuple[str, ...]) -> None:
    result = run(*asked)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert not home.exists()


def test_a_ticker_keeps_its_source_in_every_later_run(
    home: Path, tmp_path: Path, sp500_bars: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prices").mkdir()
    sp500_bars.rename_axis("date").to_csv(tmp_path / "prices" / "BRK.B.csv", date_format="%Y-%m-%d")
    monkeypatch.chdir(tmp_path)
    month = ("--from", "2018-12", "--to", "2018-12")
    first = run("--source", "csv", "--csv-dir", "prices", "--ticker", "BRK.B", *month)
    assert first.exit_code == 0, first.output
    monkeypatch.chdir(home)
    CliRunner().invoke(cli, ["tickers", "remove", "^IXIC"])
    plain = run(*month)
    assert plain.exit_code == 0, plain.output
    settings = load_settings()
    assert settings.tickers == ("^GSPC", "BRK.B")
    assert settings.source_of("BRK.B").csv_dir == str(tmp_path / "prices")
    sources = "SELECT ticker, any_value(source) AS source FROM raw_prices GROUP BY ticker ORDER BY ticker"
    assert open_warehouse(settings).query(sources).to_numpy().tolist() == [["BRK.B", "csv"], ["^GSPC", "bundled"]]
    assert "nothing to do" in run(*month).stdout
    status = CliRunner().invoke(cli, ["status"])
    assert f"source of BRK.B: csv, {tmp_path / 'prices'}" in status.stdout
    # Its file is gone: the ticker is named, the others go on.
    (tmp_path / "prices" / "BRK.B.csv").unlink()
    gone = run(*month)
    assert gone.exit_code == 1, gone.output
    assert "failed: BRK.B raw_prices: " in gone.stderr
    assert len(open_warehouse(settings).read("raw_prices", ticker="BRK.B")) == len(sp500_bars)


def test_a_source_given_for_one_run_does_not_reach_a_ticker_that_it_does_not_know(home: Path, tmp_path: Path) -> None:
    asked = ("--ticker", "^GSPC", "--from", "2018-12", "--to", "2018-12")
    assert run(*asked).exit_code == 0
    (tmp_path / "empty").mkdir()
    wrong = run(*asked, "--source", "csv", "--csv-dir", str(tmp_path / "empty"))
    assert wrong.exit_code == 2, wrong.output
    assert load_settings().source_of("^GSPC").source == "bundled"
    assert "nothing to do" in run(*asked).stdout


def test_quick_models_are_compared_before_the_first_network(home: Path) -> None:
    home.mkdir()
    (home / "volassets.toml").write_text("[lstm]\nepochs = 1\nseeds = 1\n", "utf-8")
    asked = ("--ticker", "^GSPC", "--from", "2018-11", "--to", "2018-12")
    title = "h = 1, before the networks"
    output = run(*asked, "--models", "naive,log_har,lstm").stdout
    early = output.index(title)
    assert output.index("linear_forecasts ^GSPC 2018-12 2/2") < early < output.index("lstm_fits ^GSPC 2018-")
    # At once, while the first network is trained, and not with the line after it.
    assert output[:early].endswith("linear_forecasts ^GSPC 2018-12 2/2\n")
    rows = [line.split("│") for line in output[early:].split("2 rows")[0].splitlines() if line.startswith("│")]
    lines = {fields[2].strip(): fields for fields in rows}
    board = open_warehouse(load_settings()).query("SELECT * FROM leaderboard WHERE horizon = 1").set_index("model")
    assert set(lines) == {"naive", "log_har"}
    for model, fields in lines.items():
        assert int(fields[3]) == board.loc[model, "n"]
        assert float(fields[4]) == pytest.approx(board.loc[model, "qlike"], abs=5e-5)
    # Where no quick model is forecast in a run, there is nothing new to show before its networks.
    assert title not in run(*asked, "--models", "lstm", "--force").stdout
