"""How old the newest bar and forecast are, in sessions: a word after one, a failure after five."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pandas as pd
import pytest

from volassets.commands.status import _old
from volassets.definitions import build_definitions
from volassets.orchestration.check_results import age_evaluations
from volassets.pipeline import freshness
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.freshness import Age
from volassets.pipeline.home_status import TickerStatus, read_status
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import load_settings

MONTH = pd.Timestamp("2006-12-01")


@pytest.fixture(scope="module")
def home(tmp_path_factory, simulated_bars):
    """Two tickers with bars to 2006-12-29 and forecasts of December."""
    folder = tmp_path_factory.mktemp("freshness")
    for ticker in ("AAA", "BTC-USD"):
        simulated_bars(520, 1).to_csv(folder / f"{ticker}.csv", date_format="%Y-%m-%d")
    values = {"tickers": ("AAA", "BTC-USD"), "minimum_history": 400, "models": ("naive",), "start_month": "2006-01"}
    settings = load_settings(folder / "home", {**values, "source": "csv", "csv_dir": str(folder), "jobs": 1})
    places = {
        Scope.TICKER: [Partition(ticker) for ticker in settings.tickers],
        Scope.TICKER_MONTH: [Partition(ticker, MONTH) for ticker in settings.tickers],
    }
    listed = [step for step in steps(settings) if step.scope in places and not step.has_page]
    list(Executor(State(Context(settings), settings.tickers)).run(listed, {s.name: places[s.scope] for s in listed}))
    return lambda source: load_settings(
        folder / "home", {**values, "source": source, "csv_dir": str(folder), "jobs": 1}
    )


def ages(settings, now: datetime) -> dict[str, tuple[int, int]]:
    listed = read_status(Context(settings, now=now), steps(settings))
    found = {t.ticker: {age.what: age.sessions for age in t.ages} for _, portion in listed for t in portion}
    return {ticker: (known.get("bar"), known.get("forecast")) for ticker, known in found.items()}


# 2007-01-01 and -02 were no sessions in New York (New Year, mourning for Gerald Ford); a coin trades every day.
@pytest.mark.parametrize(
    ("day", "stock", "coin"), [("2006-12-30", 0, 0), ("2007-01-03", 0, 4), ("2007-01-04", 1, 5), ("2007-01-11", 6, 12)]
)
def test_ages_are_sessions_of_the_tickers_own_calendar(home, day, stock, coin):
    now = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)
    found = ages(home("yfinance"), now)
    # What 2006-12-29 says of New York's next session belongs to January, whose refit is still to come.
    assert found == {"AAA": (stock, stock + 1), "BTC-USD": (coin, coin)}
    assert set(ages(home("csv"), now).values()) == {(None, None)}


@pytest.mark.parametrize(
    ("age", "word"), [(0, ""), (1, ""), (2, "warning"), (5, "warning"), (6, "FAILED"), (400, "FAILED")]
)
@pytest.mark.parametrize("what", ["bar", "forecast"])
def test_one_session_is_a_word_and_more_than_five_a_failure(age, word, what):
    lines = _old([TickerStatus("^GSPC", MONTH, "", [], [], [Age("^GSPC", what, MONTH, age)])])
    assert [line.split(":")[0] for line in lines] == ([word] if word else [])
    assert all(
        f"newest {what}" in line and f"{age} sessions old" in line and "volassets run --ticker '^GSPC'" in line
        for line in lines
    )


@pytest.mark.parametrize(
    ("day", "passed", "severity"),
    [("2006-12-30", True, None), ("2007-01-06", False, "WARN"), ("2007-01-11", False, "ERROR")],
)
def test_the_checks_of_the_ui_say_the_same_age(home, day, passed, severity):
    settings = home("yfinance")
    context = Context(settings, now=datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC))
    known = {(age.ticker, age.what): age.line for age in freshness.ages(context, settings.tickers)}
    found = {(e.partition, e.check_name): e for e in age_evaluations(context, steps(settings))}
    assert {(ticker, f"{what}s_current") for ticker, what in known} == set(found)
    # Every quarter of an hour, for hundreds of tickers: the last days are read, no bars.
    assert not context._bars
    for (ticker, what), line in known.items():
        evaluation = found[ticker, f"{what}s_current"]
        assert evaluation.description.lower() == line.lower()
        if ticker == "AAA":
            assert evaluation.passed is passed
            assert passed or evaluation.severity.name == severity


def test_a_run_does_not_ask_how_old_something_is(home):
    settings = home("yfinance")
    context = Context(settings, now=datetime(2026, 11, 26, tzinfo=UTC))
    step = next(step for step in steps(settings) if step.has_page and step.scope is Scope.TICKER)
    assert [check.name for check in step.checks if check.of_now] == ["forecasts_current"]
    (done,) = Executor(State(context, ["AAA"])).run([step], {step.name: [Partition("AAA")]})
    assert "no_leakage" in done.findings
    assert "forecasts_current" not in done.findings


def test_the_daemon_records_an_age_when_it_has_changed_and_only_then(home):
    settings = home("yfinance")
    sensor = build_definitions(settings).get_repository_def().get_sensor_def("watch_ages")
    with dg.DagsterInstance.ephemeral() as instance:
        told = sensor.evaluate_tick(dg.build_sensor_context(instance=instance))
        assert {event.check_name for event in told.asset_events} == {"bars_current", "forecasts_current"}
        for event in told.asset_events:
            instance.report_runless_asset_event(event)
        key = dg.AssetCheckKey(dg.AssetKey("raw_prices"), "bars_current")
        (last,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        assert last.status.value == "FAILED"
        again = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=told.cursor))
        assert again.skip_message == "no age has changed"


@pytest.mark.parametrize("change", ["closed", "csv"])
def test_what_is_not_judged_any_more_gets_no_green_light_and_does_not_stay_red(home, change):
    before = home("yfinance")
    after = before.model_copy(update={"closed": ("AAA",)}) if change == "closed" else home("csv")
    names = {"bars_current|AAA", "forecasts_current|AAA"}
    with dg.DagsterInstance.ephemeral() as instance:

        def tick(settings, cursor=None):
            sensor = build_definitions(settings).get_repository_def().get_sensor_def("watch_ages")
            return sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=cursor))

        first = tick(after)
        assert not names & {f"{event.check_name}|{event.partition}" for event in first.asset_events or ()}
        red = tick(before)
        assert all(not event.passed for event in red.asset_events if event.partition == "AAA")
        told = tick(after, red.cursor)
        said = {f"{event.check_name}|{event.partition}": event for event in told.asset_events}
        assert names <= set(said)
        assert all(said[name].description.startswith("AAA: not judged: ") for name in names)
        assert tick(after, told.cursor).skip_message == "no age has changed"
        back = tick(before, told.cursor)
        assert names <= {f"{event.check_name}|{event.partition}" for event in back.asset_events if not event.passed}
