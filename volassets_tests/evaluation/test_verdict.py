from __future__ import annotations

import pandas as pd
import pytest

from volassets.evaluation import verdict


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "p < .001"),
        (0.004, "p < .01"),
        (0.0499, "p = .050"),
        (0.052, "p = .052"),
        (0.41, "p = .41"),
        (1.0, "p = 1.00"),
    ],
)
def test_p_values(p, text):
    assert verdict.p_text(p) == text


def test_differences_follow_the_test():
    assert verdict.difference_text(0.0001, True) == "better, p < .001"
    assert verdict.difference_text(0.03, False) == "worse, p = .030"
    assert verdict.difference_text(0.2, True) == "no difference, p = .20"
    assert verdict.difference_text(float("nan"), True) == "too few to tell"


@pytest.mark.parametrize(("p", "text"), [(0.0, "<.0001"), (9.9e-5, "<.0001"), (0.00042, ".0004"), (0.0123, ".012")])
def test_a_p_value_in_a_table_never_reads_as_zero(p, text):
    assert verdict.p_cell(p) == text


def test_names():
    assert verdict.names_text(["a"]) == "a"
    assert verdict.names_text(["a", "b", "c"]) == "a, b and c"


def test_a_sharpe_ratio_apart_from_buy_and_hold_is_named():
    table = pd.DataFrame(
        {
            "strategy": ["buy_and_hold", "lstm", "naive"],
            "smoothing": ["none", "daily", "band_15"],
            "sharpe_difference_low": [0.0, 0.1, -0.3],
            "sharpe_difference_high": [0.0, 0.4, 0.2],
        }
    )
    assert "1 of 2" in verdict.backtest_verdict(table)
    assert "lstm (daily) above" in verdict.backtest_verdict(table)
    calm = table.assign(sharpe_difference_low=-0.1)
    assert verdict.backtest_verdict(calm).startswith("No strategy's net Sharpe ratio differs")


def test_a_risk_verdict_counts_the_passes():
    table = pd.DataFrame(
        {
            "level": [0.05, 0.05, 0.01], "n": 1000, "violations": [50, 80, 15],
            "kupiec_p": [0.9, 0.001, 0.14], "christoffersen_p": [0.5, 0.5, 0.01],
        }
    )  # fmt: skip
    assert verdict.risk_verdict(table) == (
        "Value at risk 5%: violated on 5.0% to 8.0% of the days, Kupiec's test passed by 1 of 2 models, "
        "Christoffersen's by 2; value at risk 1%: violated on 1.5% to 1.5% of the days, Kupiec's test passed by "
        "1 of 1 models, Christoffersen's by 0."
    )
