"""The store's rules, on every back end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from volassets.errors import InputError, VolassetsError
from volassets.settings import Settings
from volassets.warehouse.store import Replacement, StoreError, Upsert, Warehouse, open_warehouse
from volassets_tests.warehouse.frames import cells, fit_rows, forecast_rows, price_rows


def replacement(table: str, frame: pd.DataFrame, *names: str) -> Replacement:
    return Replacement(table, frame, cells(frame, *names))


def test_nothing_stored_reads_as_empty_with_the_right_columns(warehouse: Warehouse) -> None:
    for name, relation in warehouse.schema.relations.items():
        rows = warehouse.read(name)
        assert tuple(rows.columns) == relation.column_names
        assert name == "schema_version" or rows.empty


def test_every_type_comes_back_as_it_went_in(warehouse: Warehouse) -> None:
    warehouse.write(replacement("garch_fits", fit_rows()))
    row = warehouse.read("garch_fits", ticker="^GSPC").iloc[0]
    assert row["refit_month"] == pd.Timestamp("2016-01-01")
    assert row["n_train"] == 1260
    assert row["parameters"].replace(" ", "") == '{"alpha":0.05,"nu":[7.5]}'
    assert np.isnan(row["log_likelihood"])
    assert row["converged"] is True or row["converged"] == np.True_
    assert row["message"] == ""
    assert row["seconds"] == 0.25
    warehouse.write(replacement("raw_prices", price_rows(), "ticker"))
    assert warehouse.read("raw_prices")["fetched_at"].iloc[0] == pd.Timestamp("2016-02-01 12:00")


def test_a_write_replaces_its_cells_and_no_other(warehouse: Warehouse) -> None:
    both = pd.concat([forecast_rows(month="2016-01-01"), forecast_rows(month="2016-03-01")])
    warehouse.write(
        replacement("garch_forecasts", pd.concat([both, forecast_rows(month="2016-02-01"), forecast_rows("A")]))
    )
    warehouse.write(replacement("garch_forecasts", both.assign(variance=9.0)))
    stored = warehouse.read("garch_forecasts").groupby(["ticker", "refit_month"])["variance"].unique().map(list)
    assert stored.to_dict() == {
        ("A", pd.Timestamp("2016-01-01")): [1e-4],
        ("^GSPC", pd.Timestamp("2016-01-01")): [9.0],
        ("^GSPC", pd.Timestamp("2016-02-01")): [1e-4],
        ("^GSPC", pd.Timestamp("2016-03-01")): [9.0],
    }


def test_a_shorter_cell_leaves_no_old_row(warehouse: Warehouse) -> None:
    warehouse.write(replacement("garch_forecasts", forecast_rows(n=9)))
    warehouse.write(replacement("garch_forecasts", forecast_rows(n=2)))
    assert len(warehouse.read("forecasts")) == 2


def test_columns_go_by_name_whatever_their_order(warehouse: Warehouse) -> None:
    rows = price_rows()
    warehouse.write(replacement("raw_prices", rows[rows.columns[::-1]], "ticker"))
    assert_frame_equal(warehouse.read("raw_prices")[["open", "high", "low"]], rows[["open", "high", "low"]])


GOOD = forecast_rows()
REFUSED = {
    "empty frame": (GOOD.iloc[:0], cells(GOOD), "no row for"),
    "a cell without rows": (GOOD, pd.concat([cells(GOOD), cells(forecast_rows("A"))]), "no row for ticker A"),
    "a stray cell": (pd.concat([GOOD, forecast_rows("A")]), cells(GOOD), "not among the cells"),
    "no cells": (GOOD, cells(GOOD).iloc[:0], "no cell is named"),
    "cells not given": (GOOD, None, "no cell is named"),
    "other cell columns": (GOOD, cells(GOOD, "ticker"), "named by ticker, refit_month, model"),
    "a cell twice": (GOOD, pd.concat([cells(GOOD)] * 2), "named twice"),
    "a key twice": (pd.concat([GOOD, GOOD.iloc[[0]]]), cells(GOOD), "two rows have the key"),
    "NaN": (GOOD.assign(variance=[np.nan, *GOOD["variance"][1:]]), cells(GOOD), "variance may not be empty"),
    "infinity": (GOOD.assign(variance=np.inf), cells(GOOD), "infinity"),
    "infinity where NaN is allowed": (GOOD.assign(lower=-np.inf), cells(GOOD), "infinity"),
    "text for a number": (GOOD.assign(variance="1"), cells(GOOD), "takes DOUBLE"),
    "a truth for a number": (GOOD.assign(variance=True), cells(GOOD), "takes DOUBLE"),
    "a number for text": (GOOD.assign(model=1), cells(GOOD), "takes VARCHAR"),
    "text for a date": (GOOD.assign(target_date="2016-01-04"), cells(GOOD), "takes DATE"),
    "a time of day": (
        GOOD.assign(target_date=GOOD["target_date"] + pd.Timedelta(hours=16)),
        cells(GOOD),
        "time of day",
    ),
    "a broken whole number": (GOOD.assign(horizon=1.5), cells(GOOD), "not a whole number"),
    "a number too large": (GOOD.assign(horizon=2**40), cells(GOOD), "takes INTEGER"),
    "a missing column": (GOOD.drop(columns="volatility"), cells(GOOD), "lacks column 'volatility'"),
    "an index for a column": (GOOD.set_index("origin_date"), cells(GOOD), "lacks column 'origin_date'"),
    "an unknown column": (GOOD.assign(surprise=1.0), cells(GOOD), "'surprise'"),
    "a column twice": (pd.concat([GOOD, GOOD[["variance"]]], axis=1), cells(GOOD), "twice"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_wrong_frame_is_refused_and_the_old_rows_stay(warehouse: Warehouse, why: str) -> None:
    frame, asked, message = REFUSED[why]
    warehouse.write(replacement("garch_forecasts", forecast_rows(value=2.0)), replacement("garch_fits", fit_rows()))
    before = warehouse.read("garch_forecasts"), warehouse.read("garch_fits")
    with pytest.raises(StoreError, match=message) as caught:
        warehouse.write(
            replacement("garch_fits", fit_rows(data_hash="new")), Replacement("garch_forecasts", frame, asked)
        )
    assert "Nothing was written" in str(caught.value)
    assert isinstance(caught.value, VolassetsError)
    assert_frame_equal(warehouse.read("garch_forecasts"), before[0])
    assert_frame_equal(warehouse.read("garch_fits"), before[1])


OFFENDING = {
    "infinity among numbers": ("garch_forecasts", "lower", 3, np.inf, r"DOUBLE, and got inf in row 4"),
    "text among numbers": ("garch_forecasts", "variance", 2, "n/a", r"takes DOUBLE, and got 'n/a' in row 3"),
    "a truth among numbers": ("garch_forecasts", "variance", 1, True, r"takes DOUBLE, and got True in row 2"),
    "NaN among numbers": ("garch_forecasts", "variance", 4, np.nan, r"NULL in 1 of \d+ rows, first in row 5"),
    "a broken whole number": ("garch_forecasts", "horizon", 2, 2.5, r"takes INTEGER, and got 2\.5 in row 3"),
    "a number too large": ("garch_forecasts", "horizon", 0, 2**40, r"INTEGER, and got 1099511627776 in row 1"),
    "a number among names": ("garch_forecasts", "data_hash", 2, 7, r"takes VARCHAR, and got 7 in row 3"),
    "text among dates": ("garch_forecasts", "target_date", 1, "soon", r"takes DATE, and got 'soon' in row 2"),
    "a time of day": (
        "garch_forecasts",
        "target_date",
        3,
        pd.Timestamp("2016-01-08 16:00"),
        r"16:00:00 in row 4.*no time",
    ),
    "a price that is infinite": ("raw_prices", "high", 2, -np.inf, r"takes DOUBLE, and got -inf in row 3"),
}


@pytest.mark.parametrize("why", OFFENDING)
def test_a_refused_value_is_named_with_its_row(warehouse: Warehouse, why: str) -> None:
    table, column, position, value, message = OFFENDING[why]
    frame = (price_rows(n=6) if table == "raw_prices" else forecast_rows(n=6)).astype({column: object})
    # Rows that are in no order and have an index of their own.
    frame = frame.iloc[::-1]
    frame.iloc[position, frame.columns.get_loc(column)] = value
    change = Upsert(table, frame) if table == "raw_prices" else replacement(table, frame)
    with pytest.raises(StoreError, match=message) as caught:
        warehouse.write(change)
    key = "date" if table == "raw_prices" else "origin_date"
    assert f"{key} {frame[key].iloc[position].date()}" in str(caught.value)
    assert warehouse.read(table).empty


@pytest.mark.parametrize("value", ["{not json", '{"a": NaN}', {"a": np.inf}, 3.0])
def test_json_must_be_json(warehouse: Warehouse, value: object) -> None:
    with pytest.raises(StoreError, match="takes JSON"):
        warehouse.write(replacement("garch_fits", fit_rows().assign(parameters=[value])))


def test_a_nullable_column_may_be_left_out(warehouse: Warehouse) -> None:
    warehouse.write(replacement("garch_forecasts", GOOD.drop(columns=["lower", "upper"])))
    assert warehouse.read("garch_forecasts")["lower"].isna().all()


def test_a_cell_that_may_be_empty_is_emptied(warehouse: Warehouse) -> None:
    found = pd.DataFrame(
        {"ticker": ["A"], "check_name": "gaps", "severity": "warning", "message": "3 days", "n_rows": 3}
    )
    warehouse.write(replacement("data_quality", found, "ticker"))
    assert len(warehouse.read("data_quality", ticker="A")) == 1
    warehouse.write(Replacement("data_quality", found.iloc[:0], cells(found, "ticker")))
    assert warehouse.read("data_quality").empty


def test_a_panel_table_is_replaced_as_a_whole(warehouse: Warehouse) -> None:
    board = pd.DataFrame({"model": ["har", "gjr"], "horizon": 1, "tickers": 2, "n": 10, "qlike": [0.3, 0.4]})
    warehouse.write(Replacement("panel_leaderboard", board))
    warehouse.write(Replacement("panel_leaderboard", board.iloc[:1]))
    assert warehouse.read("panel_leaderboard")["model"].tolist() == ["har"]
    with pytest.raises(StoreError, match="empty"):
        warehouse.write(Replacement("panel_leaderboard", board.iloc[:0]))


def test_upsert_writes_what_is_new_or_changed_and_keeps_the_stamp_of_the_rest(warehouse: Warehouse) -> None:
    assert warehouse.write(Upsert("raw_prices", price_rows(n=3))) == 3
    later = price_rows(n=4, fetched_at="2016-03-01")
    later.loc[1, "close"] = 50.0
    assert warehouse.write(Upsert("raw_prices", later)) == 2
    stored = warehouse.read("raw_prices")
    assert stored["close"].tolist() == [100.0, 50.0, 102.0, 103.0]
    assert stored["fetched_at"].dt.month.tolist() == [2, 3, 2, 3]
    assert warehouse.write(Upsert("raw_prices", later)) == 0
    assert warehouse.write(Upsert("raw_prices", later.assign(source="yfinance"))) == 0
    assert set(warehouse.read("raw_prices")["source"]) == {"csv"}
    assert warehouse.write(Upsert("raw_prices", price_rows("B", n=2))) == 2
    assert len(warehouse.read("raw_prices")) == 6


def test_a_log_only_grows(warehouse: Warehouse) -> None:
    seen = pd.DataFrame(
        {
            "ticker": "A",
            "date": pd.to_datetime(["2016-01-04", "2016-01-05"]),
            "column": "close",
            "old": [1.0, np.nan],
            "new": 2.0,
            "seen_at": pd.Timestamp("2016-02-01 10:00"),
        }
    )
    warehouse.write(Upsert("price_revisions", seen.iloc[:1]))
    warehouse.write(Upsert("price_revisions", seen))
    warehouse.write(Upsert("price_revisions", seen.assign(ticker="B")))
    assert len(warehouse.read("price_revisions", ticker="A")) == 2
    assert len(warehouse.read("price_revisions")) == 4
    with pytest.raises(StoreError, match="append"):
        warehouse.write(replacement("price_revisions", seen, "ticker"))
    with pytest.raises(StoreError, match="no stamp"):
        warehouse.write(Upsert("garch_forecasts", GOOD))


def test_read_selects_columns_and_values(warehouse: Warehouse) -> None:
    warehouse.write(replacement("garch_forecasts", pd.concat([forecast_rows(n=2), forecast_rows(model="garch", n=2)])))
    rows = warehouse.read(
        "forecasts", columns=["model", "variance"], model=["gjr"], refit_month=pd.Timestamp("2016-01-01")
    )
    assert rows.columns.tolist() == ["model", "variance"]
    assert rows["model"].tolist() == ["gjr", "gjr"]
    assert len(warehouse.read("garch_forecasts", ticker="^GSPC", refit_month="2016-01-01", model="garch")) == 2
    assert warehouse.read("forecasts", model=[]).empty
    assert warehouse.read("garch_forecasts", ticker="nobody").empty
    with pytest.raises(StoreError, match="no column 'colour'"):
        warehouse.read("forecasts", colour="red")
    with pytest.raises(StoreError, match="no table 'nothing'"):
        warehouse.read("nothing")


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM garch_fits",
        "DROP TABLE garch_fits",
        "INSERT INTO schema_version VALUES (9, 'x')",
        "COPY garch_fits TO 'x.csv'",
        "ATTACH 'x.duckdb'",
        "SET threads = 1",
        "SELECT 1; DROP TABLE garch_fits",
        "",
        "SELEC 1",
        "SELECT * FROM no_such_table",
        "SELECT * FROM parameters",
        "SELECT no_such_column FROM garch_fits",
        "SELECT CAST('x' AS INTEGER)",
    ],
)
def test_a_query_only_reads_and_says_what_is_wrong(warehouse: Warehouse, sql: str) -> None:
    warehouse.write(replacement("garch_fits", fit_rows()))
    with pytest.raises(InputError):
        warehouse.query(sql)
    assert len(warehouse.read("garch_fits")) == 1


def test_a_query_answers(warehouse: Warehouse) -> None:
    warehouse.write(replacement("garch_fits", fit_rows()))
    assert warehouse.query("SELECT model FROM fits WHERE ticker = ?", ["^GSPC"])["model"].tolist() == ["gjr"]
    assert warehouse.query("FROM main.fits SELECT count(*) AS n")["n"].tolist() == [1]
    assert warehouse.query("SELECT $a AS a", {"a": 1})["a"].tolist() == [1]
    names = set(warehouse.query("SHOW TABLES")["name"])
    assert names == set(warehouse.schema.relations)
    assert warehouse.query("DESCRIBE fits")["column_name"].tolist()[:3] == ["ticker", "refit_month", "model"]
    comments = warehouse.query("SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'raw_prices'")
    assert comments["comment"].notna().all()
    assert len(comments) == len(warehouse.table("raw_prices").columns)


def test_rows_lie_in_the_order_of_the_key_whatever_order_they_came_in(warehouse: Warehouse, settings: Settings) -> None:
    warehouse.write(replacement("garch_forecasts", GOOD.sample(frac=1, random_state=1)))
    assert_frame_equal(
        open_warehouse(settings).read("garch_forecasts")[["origin_date"]], GOOD[["origin_date"]], check_dtype=False
    )


@pytest.mark.parametrize(
    "ticker", ["^GSPC", "EURUSD=X", "BRK.B", "a'b; --", "../x", ".hidden", "Ünïcode", "x/y", "a%5E", "~5E"]
)
def test_any_ticker_is_a_cell_of_its_own(warehouse: Warehouse, ticker: str) -> None:
    warehouse.write(replacement("garch_fits", pd.concat([fit_rows(ticker), fit_rows("^"), fit_rows("other")])))
    warehouse.write(replacement("garch_fits", fit_rows(ticker, data_hash="again")))
    assert warehouse.read("garch_fits", ticker=ticker)["data_hash"].tolist() == ["again"]
    assert len(warehouse.read("fits")) == 3
