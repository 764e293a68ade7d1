"""How old the newest bar and forecast are, in sessions: a word after one, a failure after five."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from volassets.commands.status import _old
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
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
    return {t.ticker: (t.behind, t.forecasts_behind) for _, portion in listed for t in portion}


# 2007-01-01 and -02 were no sessions in New York (New Year, mourning for Gerald Ford); a coin trades every day.
@pytest.mark.parametrize(
    ("day", "stock", "coin"), [("2006-12-30", 0, 0), ("2007-01-03", 0, 4), ("2007-01-04", 1, 5), ("2007-01-11", 6, 12)]
)
def test_ages_are_sessions_of_the_tickers_own_calendar(home, day, stock, coin):
    now = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)
    found = ages(home("yfinance"), now)
    # What 2006-12-29 says of New York's next session belongs to January, whose refit is still to come.
    assert found == {"AAA": (stock, stock + 1), "BTC-USD": (coin, coin)}
    assert set(ages(home("csv"), now).values()) == {(0, 0)}


@pytest.mark.parametrize(
    ("age", "word"), [(0, ""), (1, ""), (2, "warning"), (5, "warning"), (6, "FAILED"), (400, "FAILED")]
)
def test_one_session_is_a_word_and_more_than_five_a_failure(age, word):
    for status in (
        TickerStatus("^GSPC", MONTH, age, "", [], []),
        TickerStatus("^GSPC", MONTH, 0, "", [], [], age),
    ):
        lines = _old([status])
        assert [line.split(":")[0] for line in lines] == ([word] if word else [])
        assert all(f"{age} sessions old" in line and "volassets run --ticker '^GSPC'" in line for line in lines)
