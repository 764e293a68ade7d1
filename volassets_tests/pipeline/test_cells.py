"""Partition keys, and the cells that run options name."""

from __future__ import annotations

import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.pipeline.cells import Partition, Scope, bounding_range, parse_partition, partitions_of_spans, spans

JANUARY, FEBRUARY, MARCH = pd.date_range("2016-01-01", periods=3, freq="MS")


@pytest.mark.parametrize("ticker", ["^GSPC", "BRK-B", "EURUSD=X", "7203.T"])
def test_a_key_names_its_partition(ticker):
    for scope, partition, key in (
        (Scope.TICKER_MONTH, Partition(ticker, JANUARY), f"2016-01-01|{ticker}"),
        (Scope.TICKER, Partition(ticker), ticker),
        (Scope.MONTH, Partition("", JANUARY), "2016-01-01"),
        (Scope.ONCE, Partition(), ""),
    ):
        assert partition.key == key
        assert parse_partition(scope, key) == partition


@pytest.mark.parametrize("key", ["2016-01-01", "", "^GSPC", "2016-01-01|"])
def test_a_key_of_another_form_is_refused(key):
    with pytest.raises(InputError, match=r"not of the form YYYY-MM-DD\|TICKER"):
        parse_partition(Scope.TICKER_MONTH, key)


@pytest.mark.parametrize(
    ("scope", "key", "form"),
    [
        (Scope.MONTH, "2016-01-01|^GSPC", "YYYY-MM-DD"),
        (Scope.TICKER, "2016-01-01|^GSPC", "TICKER"),
        (Scope.TICKER, "", "TICKER"),
    ],
)
def test_a_key_of_another_scope_is_refused(scope, key, form):
    with pytest.raises(InputError, match=f"not of the form {form}: correct it"):
        parse_partition(scope, key)


def test_a_key_with_no_month_is_refused():
    with pytest.raises(InputError, match="not a month"):
        parse_partition(Scope.TICKER_MONTH, "x|^GSPC")


def test_scattered_cells_stay_scattered():
    places = [Partition("B", MARCH), Partition("A", JANUARY), Partition("B", JANUARY), Partition("A", FEBRUARY)]
    written = spans(places)
    assert written == {"B": ["2016-01", "2016-03"], "A": ["2016-01..2016-02"]}
    assert set(partitions_of_spans(written)) == set(places)


def test_tickers_without_months_are_written_too():
    places = [Partition("A"), Partition("B")]
    assert partitions_of_spans(spans(places)) == places
    assert spans([]) == {}


def test_a_cell_that_is_named_twice_is_one():
    written = spans([Partition("A", MARCH), Partition("A", JANUARY), Partition("A", MARCH)])
    assert partitions_of_spans(written) == [Partition("A", JANUARY), Partition("A", MARCH)]


@pytest.mark.parametrize("text", ["", "soon", "2016-01..soon", "2016-01..2016-02..2016-03", "2016-02..2016-01"])
def test_a_span_of_another_form_is_refused(text):
    with pytest.raises(InputError, match=r"not a (month|span)"):
        partitions_of_spans({"A": [text]})


def test_the_range_is_the_smallest_rectangle_in_the_order_of_the_list():
    places = [Partition("A", MARCH), Partition("C", JANUARY)]
    assert bounding_range(places, ["C", "B", "A"]) == (Partition("C", JANUARY), Partition("A", MARCH))
    assert bounding_range([Partition("B")], ["C", "B"]) == (Partition("B"), Partition("B"))


def test_the_keys_are_those_of_dagsters_grid():
    import dagster as dg

    grid = dg.MultiPartitionsDefinition(
        {
            "ticker": dg.StaticPartitionsDefinition(["^GSPC", "BRK-B"]),
            "refit_month": dg.MonthlyPartitionsDefinition("2016-01-01", end_date="2016-04-01"),
        }
    )
    months = pd.date_range("2016-01-01", periods=3, freq="MS")
    expected = {Partition(ticker, month) for ticker in ("^GSPC", "BRK-B") for month in months}
    assert {parse_partition(Scope.TICKER_MONTH, key) for key in grid.get_partition_keys()} == expected
