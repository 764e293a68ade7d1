"""Partition keys and the exact cells that they name."""

from __future__ import annotations

import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.partitions import cells_frame, cells_of_keys, grid_key

JANUARY, MARCH = pd.Timestamp("2016-01-01"), pd.Timestamp("2016-03-01")


@pytest.mark.parametrize("ticker", ["^GSPC", "BRK-B", "EURUSD=X", "7203.T"])
def test_a_key_names_its_cell(ticker):
    assert grid_key(ticker, JANUARY) == f"2016-01-01|{ticker}"
    assert cells_of_keys([grid_key(ticker, JANUARY)]) == {ticker: [JANUARY]}


def test_scattered_cells_stay_scattered():
    keys = ["2016-03-01|B", "2016-01-01|A", "2016-01-01|B", "2016-01-01|B"]
    cells = cells_of_keys(keys)
    assert cells == {"B": [JANUARY, MARCH], "A": [JANUARY]}
    assert list(cells) == ["B", "A"]


def test_no_keys_are_no_cells():
    assert cells_of_keys([]) == {}
    assert cells_frame({}).empty
    assert list(cells_frame({}).columns) == ["ticker", "refit_month"]


@pytest.mark.parametrize("key", ["2016-01-01", "", "^GSPC"])
def test_a_key_of_another_form_is_refused(key):
    with pytest.raises(InputError, match=r"not of the form YYYY-MM-DD\|TICKER"):
        cells_of_keys([key])


def test_a_key_with_no_month_is_refused():
    with pytest.raises(InputError, match="not a month"):
        cells_of_keys(["x|^GSPC"])


def test_the_keys_are_those_of_dagsters_grid():
    import dagster as dg

    grid = dg.MultiPartitionsDefinition(
        {
            "ticker": dg.StaticPartitionsDefinition(["^GSPC", "BRK-B"]),
            "refit_month": dg.MonthlyPartitionsDefinition("2016-01-01", end_date="2016-04-01"),
        }
    )
    assert cells_of_keys(grid.get_partition_keys()) == {
        ticker: list(pd.date_range("2016-01-01", periods=3, freq="MS")) for ticker in ("^GSPC", "BRK-B")
    }


def test_the_frame_names_every_cell_and_constant():
    frame = cells_frame({"A": [JANUARY, MARCH], "B": [MARCH]}, model="gjr")
    assert frame.to_dict("records") == [
        {"ticker": "A", "refit_month": JANUARY, "model": "gjr"},
        {"ticker": "A", "refit_month": MARCH, "model": "gjr"},
        {"ticker": "B", "refit_month": MARCH, "model": "gjr"},
    ]
