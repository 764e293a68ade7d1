"""Portfolios of a home: stored month by month or at once, day by day, with any order of members, the same bits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volassets.commands.portfolios import parsed_weights, read_positions
from volassets.errors import InputError
from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.planner import partitions_of, plan
from volassets.pipeline.portfolio_members import best_model, held_weights, known_losses, portfolio_problems
from volassets.pipeline.portfolio_state import months_left_out
from volassets.pipeline.portfolio_steps import BACKTESTS, GROUP
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import Settings, load_settings
from volassets.timing import months_between
from volassets.warehouse.store import Replacement, open_warehouse

TICKERS = ("AAA", "BBB", "CCC")
BOOK = {"AAA": 0.6, "BBB": 0.5, "CCC": -0.3}
MONTHS = months_between(pd.Timestamp("2007-01-01"), pd.Timestamp("2007-04-01"))
NEEDED = ("raw_prices", "realized_vol_features", "benchmark_forecasts")
STORED = ("correlation_fits", "risk_contributions", "portfolio_variances", "portfolio_forecasts", "portfolio_steering")


def settings_of(folder: Path, **values: object) -> Settings:
    common = {"source": "csv", "csv_dir": str(folder), "tickers": TICKERS, "models": ("ewma", "rolling_20")}
    more = {"minimum_history": 400, "start_month": "2006-01", "jobs": 1, "horizons": (1, 5)}
    return load_settings(folder / "home", common | more | {"portfolios": {"book": BOOK}} | values)


def run(settings: Settings, months: Sequence[pd.Timestamp]) -> list[str]:
    """Compute what is missing or stale of some months, with what portfolios need; return their planned cells."""
    with Context(settings) as context:
        state, planned = State(context), []
        chosen = [step for step in steps(settings) if step.name in NEEDED or step.group == GROUP]
        for step in chosen:
            asked = partitions_of(step, dict.fromkeys(settings.tickers, months))
            if step.group == GROUP:
                planned += [f"{c.cell.step} {c.cell.partition.label}" for c in plan(state, [step], {"AAA": months})]
            for item in Executor(state).run([step], {step.name: asked}):
                assert not item.failures, item.failures
        return planned


def stored(settings: Settings, tables: Sequence[str] = STORED) -> Mapping[str, pd.DataFrame]:
    return {table: open_warehouse(settings).read(table) for table in tables}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, simulated_bars) -> Path:
    folder = tmp_path_factory.mktemp("books")
    for number, ticker in enumerate(TICKERS):
        simulated_bars(600, number + 1).to_csv(folder / f"{ticker}.csv", date_format="%Y-%m-%d")
    run(settings_of(folder), MONTHS)
    return folder


@pytest.fixture
def home(folder: Path, tmp_path: Path) -> Path:
    """A copy of the folder with the home of all months."""
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


def test_every_table_is_filled_and_shares_sum_to_one(folder):
    settings = settings_of(folder)
    rows = stored(settings)
    assert all(len(frame) for frame in rows.values())
    sums = rows["risk_contributions"].groupby(["horizon", "origin_date"])["volatility_share"].sum()
    assert (sums - 1).abs().max() < 1e-12
    forecasts = rows["portfolio_forecasts"]
    assert len(forecasts) == 2 * forecasts["origin_date"].nunique()
    expected = np.sqrt(forecasts["sigma_assets"] * forecasts["sigma_own"])
    np.testing.assert_allclose(forecasts["volatility"], np.sqrt(252) * expected, rtol=1e-12)
    for row in rows["correlation_fits"].to_dict("records"):
        assert json.loads(row["members"]) == list(TICKERS)
    store = open_warehouse(settings)
    pairs = store.query("SELECT * FROM correlations WHERE month = DATE '2007-04-01'")
    assert list(zip(pairs["ticker_a"], pairs["ticker_b"], strict=True)) == [
        ("AAA", "BBB"),
        ("AAA", "CCC"),
        ("BBB", "CCC"),
    ]
    row = rows["correlation_fits"].iloc[-1]
    q = json.loads(row["q"])
    np.testing.assert_allclose(pairs["correlation"].iloc[0], q[1] / np.sqrt(q[0] * q[2]), rtol=1e-12)
    assert store.query("SELECT count(*) AS n FROM latest_portfolio_risk")["n"][0] == 2
    assert set(store.read(BACKTESTS)["horizon"]) == {1, 5}


def test_nothing_is_left_to_do_and_a_home_without_portfolios_has_no_such_step(folder):
    settings = settings_of(folder)
    assert run(settings, MONTHS) == []
    assert not [step for step in steps(settings.model_copy(update={"portfolios": {}})) if step.group == GROUP]


@pytest.mark.slow
def test_one_month_at_a_time_gives_the_same_bits(folder, tmp_path):
    for ticker in TICKERS:
        shutil.copy(folder / f"{ticker}.csv", tmp_path)
    settings = settings_of(tmp_path, portfolios={"book": dict(reversed(BOOK.items()))})
    for month in MONTHS:
        run(settings, [month])
    for table, old in stored(settings_of(folder)).items():
        pd.testing.assert_frame_equal(old, open_warehouse(settings).read(table), check_exact=True)


def test_weights_make_their_portfolio_stale_and_no_other(home):
    both = settings_of(home, portfolios={"book": BOOK, "other": {"AAA": 1.0}})
    run(both, MONTHS)
    changed = settings_of(home, portfolios={"book": {**BOOK, "AAA": 0.7}, "other": {"AAA": 1.0}})
    planned = run(changed, MONTHS)
    assert planned
    assert not [text for text in planned if "other" in text or "correlation" in text]


def test_the_other_portfolios_go_on_where_one_cannot(home):
    names = {"book": BOOK, "unknown": {"AAA": 0.5, "ZZZ": 0.5}, "nothing": {"AAA": 0.0}, "empty": {}}
    settings = settings_of(home, portfolios=names)
    with Context(settings) as context:
        problems = portfolio_problems(context)
    assert set(problems) == {"unknown", "nothing", "empty"}
    assert "holds 'ZZZ', which is not in the list of tickers" in problems["unknown"]
    assert "volassets tickers add 'ZZZ'" in problems["unknown"]
    assert "every weight is 0" in problems["nothing"]
    assert "--csv FILE" in problems["empty"]
    assert not [text for text in run(settings, MONTHS) if "book" in text], "book was complete and stays so"


@pytest.mark.slow
def test_a_book_whose_members_have_no_forecasts_is_named(home):
    settings = settings_of(home, portfolio_model="gjr", portfolios={"book": BOOK, "nothing": {"AAA": 0.0}})
    with Context(settings) as context:
        (line,) = months_left_out(State(context), MONTHS)
        assert months_left_out(State(context), []) == []
    assert line.startswith(f"book: {len(MONTHS)} months of {len(MONTHS)} left out, {MONTHS[0]:%Y-%m} .. ")
    assert "holds AAA, which has no forecasts of gjr" in line
    assert "volassets run --ticker 'AAA'" in line
    with Context(settings_of(home)) as context:
        assert months_left_out(State(context), MONTHS) == []


def test_dated_weights_hold_from_their_day_on_and_not_before(home):
    settings = settings_of(home, portfolios={"book": BOOK, "dated": {}})
    dates = ["2006-12-29"] * 2 + ["2007-02-14"] * 2
    rows = pd.DataFrame({"date": pd.to_datetime(dates), "ticker": ["AAA", "BBB"] * 2, "weight": [0.6, 0.4, -0.2, 0.9]})
    name = pd.DataFrame({"portfolio": ["dated"]})
    open_warehouse(settings).write(Replacement("positions", rows.assign(portfolio="dated"), name))
    run(settings, MONTHS)
    before = open_warehouse(settings).read("portfolio_forecasts", portfolio="dated")
    weights = open_warehouse(settings).read("risk_contributions", portfolio="dated", ticker="AAA", horizon=1)
    held = pd.Series(weights["weight"].to_numpy(), pd.DatetimeIndex(weights["origin_date"]))
    assert set(held[:"2007-02-13"]) == {0.6}
    assert set(held["2007-02-14":]) == {-0.2}
    rows.loc[2:, "weight"] = 0.5
    open_warehouse(settings).write(Replacement("positions", rows.assign(portfolio="dated"), name))
    planned = run(settings, MONTHS)
    assert not [text for text in planned if "2007-01" in text]
    after = open_warehouse(settings).read("portfolio_forecasts", portfolio="dated")
    columns = ["variance", "value_at_risk_01"]
    early = pd.DatetimeIndex(before["origin_date"]) < pd.Timestamp("2007-02-14")
    assert before.loc[early, columns].equals(after.loc[early, columns])
    assert (before.loc[~early, "variance"] != after.loc[~early, "variance"]).all()


def test_best_looks_at_no_loss_of_the_month_or_later():
    days = pd.to_datetime(["2007-01-30", "2007-01-31", "2007-02-01", "2007-02-27", "2007-02-28", "2007-03-01"])
    daily = pd.DataFrame({"a": [1.0, 1, 1, 1, 9, 99], "b": [2.0, 2, 2, 2, 2, 0]}, days)

    def best(month: str, suspect: Sequence[int] = ()) -> str:
        return best_model(known_losses(daily, pd.Timestamp(month), suspect), "c")

    assert best("2007-01-01") == "c"
    assert best("2007-02-01") == "a", "hindsight would choose b"
    assert best("2007-03-01") == "b"
    assert best("2007-03-01", [4]) == "a", "the session that decides is suspect"
    few = daily.assign(d=[0.0] + [np.nan] * 5)
    assert best_model(known_losses(few, pd.Timestamp("2007-03-01")), "c") == "b", "one session is no record"


def test_best_of_a_home_is_chosen_month_by_month(home):
    settings = settings_of(home, portfolio_model="best")
    run(settings, MONTHS)
    rows = open_warehouse(settings).read("correlation_fits")
    losses = open_warehouse(settings).query("SELECT * FROM forecast_losses WHERE horizon = 1")
    for row in rows.to_dict("records"):
        known = losses[pd.to_datetime(losses["target_date"]) < row["refit_month"]]
        for ticker, model in zip(json.loads(row["members"]), json.loads(row["models"]), strict=True):
            own = known[known["ticker"] == ticker].groupby("model")["qlike"].mean()
            assert model == (own.idxmin() if len(own) else "rolling_20")


def test_weights_in_force():
    rows = pd.DataFrame(
        {"date": pd.to_datetime(["2020-01-02", "2020-01-06"]), "ticker": ["A", "B"], "weight": [1.0, 2.0]}
    )
    dates = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-06"]).as_unit("ns").to_numpy()
    expected = [[np.nan, np.nan], [1, 0], [1, 0], [0, 2]]
    np.testing.assert_array_equal(held_weights(rows, ["A", "B"], dates), expected)


def test_what_the_command_is_given(tmp_path):
    assert parsed_weights(["^GSPC=0.5", "EURUSD=X=-1"]) == {"^GSPC": 0.5, "EURUSD=X": -1.0}
    for wrong, text in (
        (["^GSPC"], "no weight"),
        (["A=x"], "no weight"),
        (["A=nan"], "no weight"),
        (["A=1", "A=2"], "two"),
    ):
        with pytest.raises(InputError, match=text):
            parsed_weights(wrong)
    file = tmp_path / "positions.csv"
    for lines, text in (
        ("date,ticker\n2020-01-02,A\n", "lacks the column 'weight'"),
        ("date,ticker,weight\n2020-01-02,A,1\n02.01.2020,A,1\n", "line 3 .* not YYYY-MM-DD"),
        ("date,ticker,weight\n2020-01-02,A,x\n", "line 2 .* not a number"),
        ("date,ticker,weight\n2020-01-02,A,1\n2020-01-02,A,2\n", "line 3 .* earlier row"),
        ("date,ticker,weight\n2020-01-02,A,0\n", "holds nothing"),
    ):
        file.write_text(lines)
        with pytest.raises(InputError, match=text):
            read_positions(str(file))
    file.write_text("date,ticker,weight,note\n2020-01-02,A,1,x\n2020-01-02,B,-0.5,y\n")
    assert list(read_positions(str(file))["weight"]) == [1.0, -0.5]


def test_the_cells_of_a_portfolio_have_names():
    assert Partition("book", MONTHS[0]).key == "2007-01-01|book"


def test_status_names_the_cells_that_a_weight_has_made_stale(home):
    from volassets.commands.status import _portfolio_cells

    months = {"AAA": MONTHS}
    settings = settings_of(home)
    assert _portfolio_cells(settings, steps(settings), months) == []
    changed = settings_of(home, portfolios={"book": {**BOOK, "AAA": 0.7}})
    found = {planned.cell.step for planned in _portfolio_cells(changed, steps(changed), months)}
    assert found == {"risk_contributions", "portfolio_forecasts"}
