"""The settings file: written once with every default, changed without losing what the user wrote."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from volassets.errors import InputError
from volassets.models.registry import MODELS
from volassets.settings import Settings, TickerSource, load_settings
from volassets.settings_file import add, default_text, ensure_home, remember, remove
from volassets.settings_sources import PREFIX


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("VOLASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_file_holds_every_key_at_its_default_with_its_meaning():
    text = default_text()
    values = tomllib.loads(text)
    keys = {key for key, field in Settings.model_fields.items() if not field.exclude}
    assert f'# [sources."TICKER"]: {Settings.model_fields["sources"].description}' in text
    sections = {name for name, model in MODELS.items() if model.__pydantic_fields__}
    assert set(values) == keys | sections
    for name in sections:
        assert set(values[name]) == set(MODELS[name].__pydantic_fields__)
        for key, field in MODELS[name].__pydantic_fields__.items():
            assert field.description, (name, key)
            assert field.description in text
    for key in keys:
        assert Settings.model_fields[key].description in text


def test_a_setting_with_a_choice_lists_its_values():
    text = default_text()
    for key, choices in {"importance": "never, yearly, monthly", "models": ", ".join(MODELS)}.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"{key} = ")]
        assert choices in line.split("#")[1]
    enumerated = [key for key, field in Settings.model_fields.items() if get_origin(field.annotation) is Literal]
    assert {"source", "proxy", "scaling", "device", "reports"} <= set(enumerated)
    for key in enumerated:
        (line,) = [line for line in text.splitlines() if line.startswith(f"{key} = ") and "One of" in line][:1]
        assert line.endswith(f"One of {', '.join(get_args(Settings.model_fields[key].annotation))}.")


def test_the_written_file_means_the_same_as_no_file(home):
    before = load_settings()
    assert ensure_home(before) == home
    assert (home / "volassets.toml").read_text("utf-8") == default_text()
    after = load_settings()
    assert after.model_dump() == before.model_dump()
    assert {name: after.model(name) for name in MODELS} == {name: before.model(name) for name in MODELS}


def test_a_file_that_is_there_is_not_touched(home):
    home.mkdir()
    (home / "volassets.toml").write_text("# mine\njobs = 2\n")
    ensure_home(load_settings())
    assert (home / "volassets.toml").read_text() == "# mine\njobs = 2\n"


def test_add_appends_in_order_and_says_what_was_new(home):
    assert add(["MSFT", "^GSPC", "AAPL", "MSFT"]) == ["MSFT", "AAPL"]
    assert load_settings().tickers == ("^GSPC", "^IXIC", "MSFT", "AAPL")
    assert add(["AAPL"]) == []


def test_add_and_remove_keep_comments_and_every_other_value(home):
    home.mkdir()
    text = '# top\njobs = 2 # few\ntickers = ["A", "B"] # mine\n\n# about it\n[gjr]\nwindow = 500\n'
    (home / "volassets.toml").write_text(text)
    add(["C"])
    assert (home / "volassets.toml").read_text() == text.replace('["A", "B"]', '["A", "B", "C"]')
    remove("B")
    assert (home / "volassets.toml").read_text() == text.replace('["A", "B"]', '["A", "C"]')
    assert load_settings().model("gjr").window == 500


def test_a_list_over_several_lines_stays_readable(home):
    home.mkdir()
    (home / "volassets.toml").write_text('tickers = [\n  "A", # first\n  "B",\n]\njobs = 1\n')
    add(["C"])
    remove("A")
    assert load_settings().tickers == ("B", "C")
    assert load_settings().jobs == 1


@pytest.mark.parametrize("text", ["jobs = 2\n", "[gjr]\nwindow = 500\n", ""])
def test_a_file_without_the_list_gets_one_at_the_top_level(home, text):
    home.mkdir()
    (home / "volassets.toml").write_text(text)
    add(["C"])
    settings = load_settings()
    assert settings.tickers == ("^GSPC", "^IXIC", "C")
    assert settings.model("gjr").window == (500 if "gjr" in text else MODELS["gjr"]().window)


def test_one_wrong_name_adds_none_and_writes_nothing(home):
    with pytest.raises(InputError, match="a/b"):
        add(["AAPL", "a/b"])
    assert not home.exists()


def test_removing_what_is_not_there_shows_the_list(home):
    with pytest.raises(InputError, match=r"'AAPL' is not in the list.*\^GSPC, \^IXIC"):
        remove("AAPL")
    assert not home.exists()


def test_the_last_ticker_can_be_removed_and_others_added(home):
    remove("^GSPC")
    remove("^IXIC")
    assert load_settings().tickers == ()
    add(["A"])
    assert load_settings().tickers == ("A",)


def test_a_list_in_the_environment_is_not_changed_behind_its_back(home, monkeypatch):
    monkeypatch.setenv("VOLASSETS_TICKERS", "A,B")
    with pytest.raises(InputError, match="VOLASSETS_TICKERS is set"):
        add(["C"])
    with pytest.raises(InputError, match="VOLASSETS_TICKERS is set"):
        remove("A")
    assert not home.exists()


def test_a_wrong_file_is_not_rewritten(home):
    home.mkdir()
    (home / "volassets.toml").write_text("jobs = 'x'\n")
    with pytest.raises(InputError, match="jobs"):
        add(["C"])
    assert (home / "volassets.toml").read_text() == "jobs = 'x'\n"


def test_a_home_below_a_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VOLASSETS_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(InputError, match=r"file/home"):
        ensure_home(load_settings(tmp_path).model_copy(update={"home": tmp_path / "file" / "home"}))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a directory that not even root can write to")
def test_a_home_that_cannot_be_written_is_refused_with_the_remedy():
    with pytest.raises(InputError, match=r"/proc/home cannot be written.*VOLASSETS_HOME"):
        ensure_home(Settings(home=Path("/proc/home")))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_without_permission_is_refused_though_its_file_is_there(tmp_path):
    (tmp_path / "volassets.toml").write_text("")
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(InputError, match=r"cannot be written.*VOLASSETS_HOME"):
            ensure_home(Settings(home=tmp_path))
    finally:
        tmp_path.chmod(0o755)


def test_no_temporary_file_stays(home):
    add(["A"])
    remove("A")
    assert sorted(path.name for path in home.rglob("*") if path.is_file()) == ["settings.lock", "volassets.toml"]


def test_processes_that_add_at_once_lose_none(home):
    names = [f"T{number}" for number in range(6)]
    program = "import sys; from volassets.settings_file import add; add([sys.argv[1]])"
    started = [subprocess.Popen([sys.executable, "-c", program, name]) for name in names]
    assert [process.wait(120) for process in started] == [0] * len(names)
    assert set(names) <= set(load_settings().tickers)


CSV, BUNDLED = TickerSource(source="csv", csv_dir="/prices"), TickerSource(source="bundled")


@pytest.mark.parametrize("ticker", ["ACME", "^FTSE", "BRK.B", "EURUSD=X", "7203.T", "M-N"])
@pytest.mark.parametrize("text", [None, "", "jobs = 2\n[gjr]\nwindow = 500\n", "sources = {}\n[gjr]\nwindow = 500\n"])
def test_the_source_of_a_ticker_is_remembered(home, ticker, text):
    if text is not None:
        home.mkdir()
        (home / "volassets.toml").write_text(text)
    before = load_settings()
    remember({ticker: CSV})
    settings = load_settings()
    assert settings.source_of(ticker) == CSV
    assert f'[sources."{ticker}"]\nsource = "csv"\ncsv_dir = "/prices"' in (home / "volassets.toml").read_text()
    assert settings.source_of("OTHER") == BUNDLED
    assert settings.for_ticker(ticker).csv_dir == "/prices"
    assert settings.model_dump() == before.model_dump()
    assert settings.model("gjr") == before.model("gjr")
    remember({ticker: TickerSource(source="yfinance"), "B": CSV})
    assert [load_settings().source_of(name).source for name in (ticker, "B", "C")] == ["yfinance", "csv", "bundled"]
    remember({ticker: BUNDLED})
    assert load_settings().source_of(ticker) == BUNDLED


def test_a_source_that_the_file_says_already_is_not_written(home):
    ensure_home(load_settings())
    text = (home / "volassets.toml").read_text()
    remember({"^GSPC": BUNDLED})
    assert (home / "volassets.toml").read_text() == text
    (home / "volassets.toml").write_text('source = "csv"\ncsv_dir = "/prices"\n')
    remember({"ACME": CSV})
    assert (home / "volassets.toml").read_text() == 'source = "csv"\ncsv_dir = "/prices"\n'


def test_sources_that_the_user_wrote_keep_their_comments(home):
    home.mkdir()
    text = (
        '[sources."A"] # mine\nsource = "yfinance" # slow\n\n[gjr]\nwindow = 500\n\n[sources."B"]\nsource = "bundled"\n'
    )
    (home / "volassets.toml").write_text(text)
    remember({"C": CSV})
    settings = load_settings()
    assert [settings.source_of(name).source for name in "ABC"] == ["yfinance", "bundled", "csv"]
    assert settings.model("gjr").window == 500
    written = (home / "volassets.toml").read_text()
    assert all(comment in written for comment in ("# mine", "# slow"))
    remove("^GSPC")
    assert load_settings().source_of("A").source == "yfinance"


def test_an_inline_table_of_sources_is_kept(home):
    home.mkdir()
    (home / "volassets.toml").write_text('sources = {A = {source = "yfinance"}}\njobs = 2\n')
    remember({"C": CSV})
    settings = load_settings()
    assert ([settings.source_of(name).source for name in "AC"], settings.jobs) == (["yfinance", "csv"], 2)


def test_a_ticker_is_added_and_removed_with_its_source(home):
    assert add(["ACME", "^GSPC"], CSV) == ["ACME"]
    settings = load_settings()
    assert settings.tickers == ("^GSPC", "^IXIC", "ACME")
    assert [settings.source_of(name) for name in settings.tickers] == [CSV, BUNDLED, CSV]
    assert add(["ACME"], BUNDLED) == []
    assert load_settings().source_of("ACME") == BUNDLED
    remove("^GSPC")
    assert set(load_settings().sources) == {"ACME"}
