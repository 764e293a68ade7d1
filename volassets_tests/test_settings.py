"""What a user may set, where it may be set, and what is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from volassets.errors import InputError
from volassets.models.registry import MODELS
from volassets.names import check_ticker_name
from volassets.settings import Settings, load_settings
from volassets.settings_sources import PREFIX


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(variable)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def write(home: Path, text: str) -> None:
    (home / "volassets.toml").write_text(text, encoding="utf-8")


def test_the_defaults_are_those_of_the_design(home):
    settings = load_settings(home)
    assert settings.tickers == ("^GSPC", "^IXIC")
    assert settings.source == "bundled"
    assert settings.horizons == (1, 5, 22)
    assert settings.lags == (1, 2, 6, 11, 16)
    assert settings.correlation_threshold == 0.95
    assert settings.scaling == "standardize"
    assert settings.target_volatility == 0.10
    assert settings.max_leverage == 2
    assert (settings.transaction_cost_bps, settings.slippage_bps) == (5, 1)
    assert settings.model("lstm").seeds == 5
    assert settings.database == home / "volassets.duckdb"
    assert settings.workers >= 1
    assert (settings.reports, settings.tickers_per_run) == ("auto", 0)


def test_a_missing_file_is_the_defaults_and_nothing_is_written(tmp_path):
    assert load_settings(tmp_path / "none") == load_settings(tmp_path).model_copy(update={"home": tmp_path / "none"})
    assert not list(tmp_path.iterdir())


def test_overrides_win_over_the_environment_and_that_over_the_file(home, monkeypatch):
    write(home, 'scaling = "minmax"\njobs = 3\nlags = [1]\n[gjr]\nwindow = 500\n[garch]\nwindow = 600\n')
    monkeypatch.setenv("VOLASSETS_JOBS", "4")
    monkeypatch.setenv("VOLASSETS_LAGS", "1,2")
    monkeypatch.setenv("VOLASSETS_GJR_WINDOW", "700")
    settings = load_settings(home, {"lags": [5]})
    assert (settings.scaling, settings.jobs, settings.lags) == ("minmax", 4, (5,))
    assert (settings.model("gjr").window, settings.model("garch").window) == (700, 600)
    assert settings.model("egarch").window == MODELS["egarch"]().window


def test_the_home_comes_from_the_environment(tmp_path, monkeypatch):
    write(tmp_path, "jobs = 3")
    monkeypatch.setenv("VOLASSETS_HOME", str(tmp_path))
    assert (load_settings().home, load_settings().jobs) == (tmp_path, 3)
    monkeypatch.delenv("VOLASSETS_HOME")
    monkeypatch.chdir(tmp_path)
    assert load_settings().home == tmp_path / "data"


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("MODELS", "gjr", ("gjr",)),
        ("MODELS", "gjr, log_har", ("gjr", "log_har")),
        ("MODELS", '["gjr", "naive"]', ("gjr", "naive")),
        ("TICKERS", "^GSPC", ("^GSPC",)),
        ("TICKERS", "2330", ("2330",)),
        ("TICKERS", "", ()),
        ("HORIZONS", "1", (1,)),
        ("HORIZONS", "1,22", (1, 22)),
        ("CSV_DIR", "2018", "2018"),
        ("CSV_DIR", "a,b", "a,b"),
        ("WEBHOOK", "", ""),
        ("JOBS", "2", 2),
        ("REPORTS", "never", "never"),
        ("TICKERS_PER_RUN", "50", 50),
        ("TARGET_VOLATILITY", "0.2", 0.2),
        ("MAX_LEVERAGE", "1", 1.0),
        ("CALENDARS", '{"ACME": "XLON"}', {"ACME": "XLON"}),
        ("START_MONTH", "2010-02", "2010-02"),
        ("REFIT_SCHEDULE", "*/5 8-18 1,15 jan-mar mon-fri", "*/5 8-18 1,15 jan-mar mon-fri"),
    ],
)
def test_every_kind_of_setting_can_be_given_as_a_variable(home, monkeypatch, variable, text, expected):
    monkeypatch.setenv(PREFIX + variable, text)
    assert getattr(load_settings(home), variable.lower()) == expected


def test_every_key_and_every_models_key_is_a_variable(home, monkeypatch):
    settings = load_settings(home)
    for key in ("device", "source", "proxy", "importance", "reports", "timezone", "warehouse", "scaling"):
        monkeypatch.setenv(PREFIX + key.upper(), str(getattr(settings, key)))
    for name, model in settings.chosen_models.items():
        for key in getattr(model, "__pydantic_fields__", {}):
            value = getattr(model, key)
            text = ",".join(value) if isinstance(value, tuple) else str(value).lower()
            monkeypatch.setenv(f"{PREFIX}{name.upper()}_{key.upper()}", text)
    again = load_settings(home)
    assert again.chosen_models == settings.chosen_models


WRONG_VARIABLES = [
    ("VOLASSETS_NOPE", "1", "VOLASSETS_NOPE"),
    ("VOLASSETS_GJR_NOPE", "1", "VOLASSETS_GJR_NOPE"),
    ("VOLASSETS_LSTM", "3", "VOLASSETS_LSTM"),
    ("VOLASSETS_HOMES", "x", "VOLASSETS_HOMES"),
    ("VOLASSETS_MODEL_SECTIONS", "{}", "VOLASSETS_MODEL_SECTIONS"),
    ("VOLASSETS_JOBS", "many", "jobs.*many.*number"),
    ("VOLASSETS_JOBS", "true", "jobs.*number"),
    ("VOLASSETS_JOBS", "1.5", "jobs.*1.5"),
    ("VOLASSETS_JOBS", "-1", "jobs.*-1"),
    ("VOLASSETS_JOBS", "", "jobs"),
    ("VOLASSETS_HORIZONS", "a", "horizons.*number"),
    ("VOLASSETS_MODELS", "foo", "unknown model 'foo'.*naive"),
    ("VOLASSETS_MODELS", "", "models.*at least one"),
    ("VOLASSETS_GJR_WINDOW", "abc", r"\[gjr\] window.*abc"),
    ("VOLASSETS_CALENDARS", "x", "calendars.*x"),
    ("VOLASSETS_CORRELATION_THRESHOLD", "NaN", "correlation_threshold.*finite"),
    ("VOLASSETS_TARGET_VOLATILITY", "Infinity", "target_volatility.*finite"),
]


@pytest.mark.parametrize(("variable", "text", "message"), WRONG_VARIABLES)
def test_a_wrong_variable_is_refused_by_name(home, monkeypatch, variable, text, message):
    monkeypatch.setenv(variable, text)
    with pytest.raises(InputError, match=message):
        load_settings(home)


WRONG_FILES = [
    ("nope = 1", "unknown setting nope"),
    ("home = 'x'", "unknown setting home"),
    ("model_sections = 1", "unknown setting model_sections"),
    ("[nope]\na = 1", r"unknown section \[nope\]"),
    ("lstm = 3", "unknown setting lstm"),
    ("[gjr]\nnope = 1", r"unknown setting \[gjr\] nope"),
    ("[naive]\ndays = 1", r"unknown setting \[naive\] days"),
    ("jobs = true", "jobs = True.*number"),
    ("jobs = '2'", "jobs = '2'.*number"),
    ("jobs = -1", "jobs = -1"),
    ("tickers = 'AAPL'", "tickers = 'AAPL'.*list"),
    ("tickers = ['A', 'A']", "'A' twice"),
    ("tickers = ['../x']", r"\.\./x.*not a valid name"),
    ("tickers = ['a|b']", "a|b"),
    ("models = ['gjr', 'gjr']", "'gjr' twice"),
    ("models = []", "at least one"),
    ("horizons = []", "horizons"),
    ("horizons = [5, 1]", "increasing"),
    ("horizons = [1, 1]", "increasing"),
    ("horizons = [0]", "from 1 to 252"),
    ("horizons = [1.5]", "horizons"),
    ("horizons = [true, 5]", "number"),
    ("lags = [300]", "from 1 to 252"),
    ("correlation_threshold = 0", "correlation_threshold"),
    ("correlation_threshold = 1.01", "correlation_threshold"),
    ("correlation_threshold = nan", "finite"),
    ("interval_level = 1.0", "interval_level"),
    ("target_volatility = 0.0", "target_volatility"),
    ("max_leverage = inf", "finite"),
    ("transaction_cost_bps = -1", "transaction_cost_bps"),
    ("scaling = 'none'", "scaling"),
    ("source = 'bloomberg'", "source"),
    ("start_month = '2016-13'", "YYYY-MM"),
    ("start_month = '2016-1'", "YYYY-MM"),
    ("start_month = 2016-01-01", "start_month"),
    ("timezone = 'Mars'", "IANA"),
    ("timezone = '../../etc/passwd'", "IANA"),
    ("refit_schedule = 'daily'", "cron"),
    ("refit_schedule = '99 6 1 * *'", "cron"),
    ("update_schedule = 'a b c d e'", "cron"),
    ("warehouse = 'sqlite'", "duckdb or parquet:URL"),
    ("warehouse = 'parquet:'", "duckdb or parquet:URL"),
    ("device = 'tpu'", "device"),
    ("reports = 'sometimes'", "reports"),
    ("tickers_per_run = -1", "tickers_per_run = -1"),
    ("tickers_per_run = 1.5", "tickers_per_run"),
    ("[sources.A]\nsource = 'bloomberg'", r"sources\.A\.source = 'bloomberg'.*yfinance"),
    ("[sources.A]\ncsv_dir = 'x'", r"sources\.A\.source"),
    ("[sources.A]\nsource = 'csv'\nfolder = 'x'", r"unknown setting sources\.A\.folder"),
    ("[sources]\nA = 'csv'", r"sources\.A"),
    ("sources = 'csv'", r"sources = 'csv'"),
    ("[gjr]\nwindow = 10", r"\[gjr\] window = 10"),
    ("[gjr]\nwindow = true", r"\[gjr\] window = True.*number"),
    ("[ewma]\ndecay = 1.0", r"\[ewma\] decay"),
    ("[lstm]\nlearning_rate = inf", r"\[lstm\] learning_rate.*finite"),
    ("[lstm_reference]\nbias_correction = 1", "true or false"),
    ("[combination]\nmembers = ['foo']", "'foo' is no model that can be combined"),
    ("[combination]\nmembers = ['combination']", "'combination' is no model that can be combined"),
    ("[combination]\nmembers = []", r"\[combination\] members"),
    ("models = ['gjr', 'combination']", "combination needs elastic_net.*gjr, combination"),
    ("jobs = ", "cannot be read as settings"),
    ("jobs = 1\njobs = 2", "cannot be read as settings"),
]


@pytest.mark.parametrize(("text", "message"), WRONG_FILES)
def test_a_wrong_file_is_refused_with_the_key_named(home, text, message):
    write(home, text)
    with pytest.raises(InputError, match=message):
        load_settings(home)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"jobs = '\x00'"])
def test_a_file_that_is_no_text_is_refused(home, content):
    (home / "volassets.toml").write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(home))):
        load_settings(home)


def test_a_home_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "home").touch()
    with pytest.raises(InputError, match="home"):
        load_settings(tmp_path / "home")


def test_a_message_names_value_rule_and_remedy(home):
    write(home, "correlation_threshold = 2.0")
    with pytest.raises(InputError) as caught:
        load_settings(home)
    text = str(caught.value)
    assert "correlation_threshold" in text
    assert "2.0" in text
    assert "less than or equal to 1" in text
    assert "volassets.toml" in text


@pytest.mark.parametrize("name", ["A", "^GSPC", "BRK-B", "EURUSD=X", "7203.T", "BTC-USD", "a" * 32])
def test_ticker_names_that_are_right(name):
    assert check_ticker_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".hidden", "-x", "=X", "a b", "a/b", "a|b", "a\n", "é", "a" * 33, "a" * 5000, "..", "'; DROP"]
)
def test_ticker_names_that_are_wrong(name):
    with pytest.raises(InputError, match="not a valid name") as caught:
        check_ticker_name(name)
    assert len(str(caught.value)) < 400


def test_an_unknown_model_is_refused_with_the_choice():
    with pytest.raises(InputError, match=r"unknown model 'foo'.*naive.*gjr"):
        Settings().model("foo")


def test_chosen_models_keep_the_registrys_order(home):
    settings = load_settings(home, {"models": ["gjr", "naive"]})
    assert list(settings.chosen_models) == ["naive", "gjr"]


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings().jobs = 3  # type: ignore[misc]


def test_the_device_reaches_the_networks_and_a_section_wins(home):
    write(home, "device = 'cpu'\n[transformer]\ndevice = 'auto'")
    settings = load_settings(home)
    assert (settings.model("lstm").device, settings.model("transformer").device) == ("cpu", "auto")


@pytest.mark.parametrize("line", ["0 6 1 * *", "*/15 * * * *", "0 22 * * MON-FRI", "5,10 1-3/2 1 jan 6"])
def test_cron_lines_that_are_right(home, line):
    from dagster._utils.schedules import is_valid_cron_string

    assert load_settings(home, {"refit_schedule": line}).refit_schedule == line
    assert is_valid_cron_string(line)


@pytest.mark.parametrize(
    "line",
    ["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *",
     "1,,2 * * * *", "a * * * *", "* * * * xyz", "-1 * * * *", "² * * * *", "@daily", "0 0 31 2 *"],
)  # fmt: skip
def test_cron_lines_that_are_wrong(home, line):
    with pytest.raises(InputError, match=r"update_schedule = .*five fields of a cron line"):
        load_settings(home, {"update_schedule": line})


SOURCES = (
    'source = "yfinance"\ncsv_dir = "/all"\n[sources.A]\nsource = "csv"\ncsv_dir = "/a"\n[sources.B]\nsource = "csv"\n'
)


def test_a_ticker_has_its_own_source_and_others_have_the_files(home):
    write(home, SOURCES)
    settings = load_settings(home)
    found = [(settings.source_of(name).source, settings.source_of(name).csv_dir) for name in "ABC"]
    assert found == [("csv", "/a"), ("csv", "/all"), ("yfinance", "")]


@pytest.mark.parametrize(
    ("variables", "options", "expected"),
    [
        ({"SOURCE": "bundled"}, {}, [("bundled", "")] * 3),
        ({}, {"source": "bundled"}, [("bundled", "")] * 3),
        ({"SOURCE": "yfinance"}, {"source": "csv", "csv_dir": "/b"}, [("csv", "/b")] * 3),
        ({"CSV_DIR": "/b"}, {}, [("csv", "/b"), ("csv", "/b"), ("yfinance", "")]),
        ({}, {"source": "csv"}, [("csv", "/a"), ("csv", "/all"), ("csv", "/all")]),
        ({"SOURCES": '{"C": {"source": "csv"}}'}, {}, [("yfinance", ""), ("yfinance", ""), ("csv", "/all")]),
    ],
)
def test_the_environment_and_options_win_over_a_tickers_own_source(home, monkeypatch, variables, options, expected):
    write(home, SOURCES)
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    settings = load_settings(home, options)
    assert [(settings.source_of(name).source, settings.source_of(name).csv_dir) for name in "ABC"] == expected


def test_a_relative_directory_is_a_whole_path_for_the_ticker(home, monkeypatch):
    monkeypatch.chdir(home)
    write(home, '[sources.A]\nsource = "csv"\ncsv_dir = "prices"\n')
    assert load_settings(home).source_of("A").csv_dir == str(home / "prices")
