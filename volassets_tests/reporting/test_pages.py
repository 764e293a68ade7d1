"""The pages: complete, self-contained, escaped, the same for the same rows, honest where something is missing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from volassets.cli import cli
from volassets.reporting.charts import forecasts
from volassets.reporting.charts.chart import pack
from volassets.reporting.html import HOW
from volassets.reporting.page_data import TickerData
from volassets.reporting.panel_page import panel_page
from volassets.reporting.report_files import write_report
from volassets.reporting.sections import now, scores, strategies
from volassets.reporting.ticker_page import ticker_page
from volassets.settings import Settings, load_settings
from volassets.settings_sources import HOME_VARIABLE
from volassets.warehouse.store import Replacement, Warehouse, open_warehouse
from volassets_tests.reporting.conftest import FILE, MODELS, TICKER, audit

SECTIONS = [
    "now",
    "forecasts",
    "verdicts",
    "newest",
    "leaderboard",
    "agreement",
    "months",
    "coverage",
    "slices",
    "backtest",
    "risk",
    "prices",
    "selection",
    "lags",
    "training",
    "attention",
    "importance",
    "quality",
    "audit",
    "settings",
]
LIMIT = 2_000_000


class Page(HTMLParser):
    """Collects ids, links, tags, addresses and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href" and tag == "a":
                self.links.append(value or "")
            elif name in ("src", "href", "xlink:href", "data", "srcset", "poster", "action"):
                self.loads.append(value or "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def chart_data(page: str) -> dict[str, Any]:
    """Return what the page's script draws."""
    start = page.index('id="chart-data">') + len('id="chart-data">')
    return dict(json.loads(page[start : page.index("</script>", start)]))


def unpacked(packed: dict[str, Any]) -> np.ndarray:
    """Return packed numbers, NaN where there is a gap; as charts.js does."""
    if "f" in packed:
        return np.frombuffer(base64.b64decode(packed["f"]), "<f4").astype(float)
    codes = np.frombuffer(base64.b64decode(packed["b"]), "<u2").astype(float)
    return np.where(codes == 65535, np.nan, packed["offset"] + packed["unit"] * codes)


@pytest.fixture(scope="module")
def full(full_store: Warehouse, settings: Settings) -> str:
    return ticker_page(full_store, settings, TICKER)


def test_every_section_is_there_once_in_order(full: str) -> None:
    page = Page(full)
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS
    assert [link[1:] for link in page.links if link.startswith("#")][: len(SECTIONS)] == SECTIONS
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("figure") >= 14
    assert set(re.findall(r'data-chart="([^"]+)"', full)) == set(chart_data(full)["charts"])


def test_nothing_is_fetched_and_only_the_page_s_own_script_runs(full: str) -> None:
    page = Page(full)
    assert all(address.startswith(("data:", "#")) for address in page.loads)
    assert all(link.startswith("#") for link in page.links)
    assert all(address.startswith(("#", "data:")) for address in re.findall(r"url\(['\"]?([^)'\"]+)", full))
    assert page.tags.count("script") == 2
    code = full[full.rindex("<script>") + len("<script>") : full.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'" in full
    words = full.replace(code, "")
    assert "@import" not in words
    assert "http://" not in words
    assert "https://" not in words
    own = code[code.index("const volassets") :]
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|WebSocket|innerHTML|eval\(|document\.write", own)


def test_the_chart_library_is_the_published_one() -> None:
    # sha256 of dist/ in https://registry.npmjs.org/uplot/-/uplot-1.6.32.tgz
    here = files("volassets.reporting") / "web"
    published = {
        "uplot-1.6.32.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uplot-1.6.32.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
        "uplot-1.6.32.LICENSE.txt": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    }
    assert {name: hashlib.sha256((here / name).read_bytes()).hexdigest() for name in published} == published


def test_the_charts_hold_the_stored_numbers_once(full: str, full_store: Warehouse) -> None:
    data = chart_data(full)
    rows = full_store.read("forecasts", ticker=TICKER, model="gjr", horizon=1)
    part = data["charts"]["forecast"]["paths"]["1"]
    days = unpacked(data["arrays"][part["x"]])
    assert list(pd.to_datetime(days, unit="D")) == sorted(rows["target_date"])
    for name in ("volatility", "lower", "upper"):
        drawn = unpacked(data["arrays"][part["models"]["gjr"][name]])
        stored = rows.sort_values("target_date")[name].to_numpy(float)
        assert np.allclose(drawn, stored, atol=(stored.max() - stored.min()) / 60_000)
    held = [repr(sorted(packed.items())) for packed in data["arrays"].values()]
    assert len(held) == len(set(held))


@pytest.mark.parametrize(
    "values",
    [[0.1, np.nan, 0.3], [17897.0, 17898.0, 17900.0], [1.0, 150.5, np.nan], [np.nan], [0.25, 0.25], []],
)
def test_packed_numbers_come_back(values: list[float]) -> None:
    numbers = np.array(values, float)
    assert np.allclose(unpacked(pack(numbers)), numbers, rtol=1e-4, equal_nan=True)


def test_a_year_of_a_few_days_is_no_column(full_store: Warehouse, settings: Settings) -> None:
    data = TickerData(full_store, settings, TICKER)
    rows = data.scores
    later = rows[rows["slice_kind"] == "year"].assign(slice="2019", n=1)
    data.scores = pd.concat([rows, later])  # type: ignore[misc]
    body = scores.slices(data).body
    assert "2018 (" in body
    assert "2019 (1)</th>" not in body
    assert "fewer than 20 sessions are left out: 2019 (1)" in body
    assert "How good in 2018" in now.now(data).body


def test_the_first_screen_says_what_is_asked_first(full_store: Warehouse, settings: Settings) -> None:
    body = Page(now.now(TickerData(full_store, settings, TICKER)).body).text
    first = full_store.read("latest_forecasts", ticker=TICKER).iloc[0]
    risk = full_store.read("latest_risk", ticker=TICKER).iloc[0]
    assert f"{first['volatility']:.1%}".replace("%", " %") in body
    assert f"{risk['value_at_risk']:.2%}".replace("%", " %") in body
    assert f"{risk['expected_shortfall']:.2%}".replace("%", " %") in body
    assert f"{first['model']} has the lowest QLIKE at one session" in body
    assert "2018-12-31" in body
    assert "finding" in body


def test_a_day_beyond_the_calendars_record_is_called_assumed(full_store: Warehouse, settings: Settings) -> None:
    # The holidays of Riyadh are recorded from 2021 on.
    elsewhere = settings.model_copy(update={"calendars": {TICKER: "XSAU"}})
    assert "(weekday assumed)" in ticker_page(full_store, elsewhere, TICKER)
    assert "(weekday assumed)" not in ticker_page(full_store, settings, TICKER)


def test_the_newest_forecasts_are_of_all_models(full_store: Warehouse, settings: Settings) -> None:
    rows = Page(now.newest(TickerData(full_store, settings, TICKER)).body).tags.count("tr") - 1
    assert rows == len(full_store.read("latest_forecasts", ticker=TICKER)) == len(MODELS) * 3


def test_many_numbers_are_cut_to_the_newest() -> None:
    days = np.arange("1990-01-01", "2025-01-01", dtype="datetime64[D]")
    one = {name: np.linspace(0.1, 0.2, len(days)) + i for i, name in enumerate(("volatility", "lower", "upper"))}
    paths = forecasts.Paths(
        days, one["volatility"], {f"model_{i}": {k: v + i for k, v in one.items()} for i in range(17)}
    )
    chart = forecasts.forecast_paths({1: paths, 5: paths, 22: paths}, "model_0", "All.")
    assert "The newest " in chart.caption
    assert chart.spec["paths"][1]["x"][-1] == days[-1].astype(int)
    numbers = sum(v.size for part in chart.spec["paths"].values() for m in part["models"].values() for v in m.values())
    assert numbers <= forecasts.MOST_NUMBERS


def test_it_is_small_and_the_same_every_time(full: str, full_store: Warehouse, settings: Settings) -> None:
    assert len(full.encode()) < LIMIT
    assert ticker_page(full_store, settings, TICKER) == full


def test_verdicts_and_scores_are_those_stored(full: str, full_store: Warehouse) -> None:
    text = Page(full).text
    for sentence in full_store.read("verdicts", ticker=TICKER)["text"]:
        assert sentence in text
    for value in full_store.read("leaderboard", ticker=TICKER)["qlike"]:
        assert f"{value:.3f}" in text


def test_a_sharpe_ratio_is_never_shown_without_its_interval(full: str, full_store: Warehouse) -> None:
    section = full[full.index('<section id="backtest"') : full.index('<section id="risk"')]
    for row in full_store.read("backtests", ticker=TICKER).itertuples():
        assert f"{row.sharpe_net:.2f} [{row.sharpe_low:.2f}, {row.sharpe_high:.2f}]" in section
    table = strategies._with_intervals(full_store.read("backtests", ticker=TICKER))
    order = list(dict.fromkeys(table["strategy"]))
    assert order == [*MODELS, "buy_and_hold"]


def test_what_was_not_computed_is_said(store: Warehouse, settings: Settings) -> None:
    text = Page(ticker_page(store, settings, TICKER)).text
    assert "No network was trained: the models chosen have none." in text
    assert "No model with attention was fitted" in text
    assert "Not audited yet: run `volassets audit --ticker ^GSPC`" in text
    assert "Not measured yet" in text


def test_a_ticker_with_bars_only_has_a_page(store: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "volassets.toml").write_text(FILE)
    settings = load_settings(tmp_path)
    bare = open_warehouse(settings)
    bars = store.read("raw_prices", ticker=TICKER)
    bare.write(Replacement("raw_prices", bars, pd.DataFrame({"ticker": [TICKER]})))
    page = Page(ticker_page(bare, settings, TICKER))
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS
    assert "No forecast of ^GSPC has been compared with an outcome yet" in page.text
    assert "No ticker has been compared yet" in Page(panel_page(bare, settings, {})).text


def test_a_store_with_nothing_has_pages_too(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    text = Page(ticker_page(open_warehouse(settings), settings, "ACME")).text
    assert "No bars of ACME are stored" in text


def test_one_month_without_the_baseline_is_explained(store: Warehouse, tmp_path: Path) -> None:
    class Narrow:
        """The store seen by a home with one month of two models."""

        def __init__(self) -> None:
            self.read_all = store.read

        def query(self, sql, parameters=None):  # type: ignore[no-untyped-def]
            found = store.query(sql, parameters)
            found = found[found["model"].isin(["naive", "har"])] if "model" in found else found
            return found[found["refit_month"] == "2018-12-01"] if "refit_month" in found else found

        def read(self, table, columns=None, **equals):  # type: ignore[no-untyped-def]
            found = store.read(table, columns=columns, **equals)
            found = found[found["model"].isin(["naive", "har"])] if "model" in found else found
            return found[found["refit_month"] == "2018-12-01"] if "refit_month" in found else found

    page = Page(ticker_page(Narrow(), load_settings(tmp_path), TICKER))
    assert "the forecasts are of naive, har; add gjr to the models" in page.text
    assert "One refit month only" in page.text


def test_names_and_messages_are_escaped(full_store: Warehouse, settings: Settings) -> None:
    class Hostile:
        """The store with markup in its words."""

        query = staticmethod(full_store.query)

        @staticmethod
        def read(table, columns=None, **equals):  # type: ignore[no-untyped-def]
            if table == "audit_results":
                return audit(passed=False)
            found = full_store.read(table, columns=columns, **equals)
            return found.assign(text="<img src=x onerror=alert(1)>") if table == "verdicts" else found

    page = ticker_page(Hostile(), settings, TICKER)
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "value &lt;b&gt;1&lt;/b&gt; became 2" in page
    assert "4 of 4 comparisons FAIL" in page


def test_models_on_days_of_their_own_are_set_apart(full_store: Warehouse, settings: Settings) -> None:
    data = TickerData(full_store, settings, TICKER)
    data.leaderboard["apart"] = data.leaderboard["model"] == "naive"
    assert "so not comparable with the rows above" in scores.leaderboard(data).body


def test_the_panel_links_to_the_tickers(full_store: Warehouse, settings: Settings) -> None:
    page = Page(panel_page(full_store, settings, {TICKER: f"{TICKER}.html"}))
    assert "%5EGSPC.html" in page.links
    assert "passed" in page.text
    assert len(page.ids) == len(set(page.ids))


def test_a_panel_of_500_tickers_is_one_sortable_table(full_store: Warehouse, settings: Settings) -> None:
    tickers = [f"T{number:03d}" for number in range(500)]

    def many(found: pd.DataFrame) -> pd.DataFrame:
        if "ticker" not in found:
            return found
        return pd.concat([found.assign(ticker=ticker) for ticker in tickers], ignore_index=True)

    class Many:
        """The store as if its ticker were 500."""

        @staticmethod
        def query(sql, parameters=None):  # type: ignore[no-untyped-def]
            asked = {**(parameters or {}), "tickers": [TICKER]} if "tickers" in (parameters or {}) else parameters
            return many(full_store.query(sql, asked))

        @staticmethod
        def read(table, columns=None, **equals):  # type: ignore[no-untyped-def]
            return many(full_store.read(table, columns=columns, **equals))

    text = panel_page(Many(), settings, {ticker: f"{ticker}.html" for ticker in tickers})
    page = Page(text)
    assert len(text.encode()) < LIMIT
    assert [link for link in page.links if link.endswith(".html")] == [f"{ticker}.html" for ticker in tickers]
    assert text.count('class="mark spark"') == 500
    assert "500 tickers compared" in page.text


def test_without_scripts_every_chart_says_how_to_see_it(full: str) -> None:
    page = Page(full)
    assert page.text.count(HOW) == page.tags.count("figure")
    assert page.tags.count("table") >= 15


def test_the_command_writes_every_report(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    result = CliRunner().invoke(cli, ["report"])
    assert result.exit_code == 0, result.output
    paths = [Path(line) for line in result.output.splitlines()]
    assert [path.name for path in paths] == [f"{TICKER}.html", "panel.html"]
    assert all(path.read_text("utf-8").startswith("<!DOCTYPE html>") for path in paths)
    assert not list((home / "reports").glob(".*"))


def test_one_report_to_a_file(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    target = tmp_path / "deep" / "gspc.html"
    result = CliRunner().invoke(cli, ["report", "--ticker", TICKER, "--out", str(target)])
    assert result.exit_code == 0, result.output
    assert result.output.strip() == str(target)
    assert target.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ticker", "NOPE"], "nothing is stored for 'NOPE'"),
        (["--ticker", "a|b"], "not a valid name"),
        (["--ticker", TICKER, "--out", "/proc/none/x.html"], "cannot be written"),
    ],
)
def test_wrong_input_names_value_and_remedy(
    arguments: list[str], words: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    result = CliRunner().invoke(cli, ["report", *arguments])
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def test_an_empty_home_is_wrong_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    result = CliRunner().invoke(cli, ["report"])
    assert result.exit_code == 2
    assert "`volassets run` first" in result.output
    assert list(tmp_path.iterdir()) == []


def test_the_run_wrote_the_reports(home: Path, settings: Settings) -> None:
    assert (home / "reports" / f"{TICKER}.html").exists()
    assert write_report(open_warehouse(settings), settings, None).name == "panel.html"
