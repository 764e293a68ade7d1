"""A chart that is short enough to be shown without a click, and says what the numbers say."""

from __future__ import annotations

import re
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from volassets.reporting.small_chart import MOST_CHARACTERS, small_chart

PREFIX = "data:image/svg+xml,"


def drawn(url: str) -> list[list[tuple[int, int]]]:
    """Return the points of each line, by following its steps."""
    lines = []
    for path in re.findall(r"d='([^']*)'", unquote(url.removeprefix(PREFIX))):
        numbers = [int(found) for found in re.findall(r"-?\d+", path)]
        lines.append([tuple(pair) for pair in np.cumsum(np.reshape(numbers, (-1, 2)), axis=0)])
    return lines


@pytest.mark.parametrize("days", [2, 23, 252, 3000])
def test_a_chart_is_short_and_keeps_the_shape(days: int) -> None:
    random = np.random.default_rng(days)
    series = {
        "realised": pd.Series(random.uniform(0.1, 0.5, days)),
        "log_har_leverage": pd.Series(random.uniform(0.1, 0.5, days)),
    }
    url = small_chart(series)
    assert url.startswith(PREFIX)
    assert len(url) <= MOST_CHARACTERS
    assert not set(' <>()"') & set(url)
    for line, values in zip(drawn(url), series.values(), strict=True):
        every = -(-days // len(line))
        shown = values.to_numpy()[::every]
        assert len(shown) == len(line)
        heights = np.array([point[1] for point in line])
        # Upwards is a smaller number; a point is within the rounding of its value.
        assert np.corrcoef(-heights, shown)[0, 1] > 0.99
        assert np.allclose(np.diff([point[0] for point in line]), line[1][0])


def test_a_missing_value_is_a_gap() -> None:
    values = pd.Series([0.1, 0.2, np.nan, np.inf, 0.3, 0.2])
    path = re.findall(r"d='([^']*)'", unquote(small_chart({"gjr": values})))[0]
    assert [part.count(",") for part in re.split("m", path)[1:]] == [2, 2]
    places = [point[0] for point in drawn(small_chart({"gjr": values}))[0]]
    assert places == [0, 80, 320, 400]


def test_nothing_finite_is_no_chart_and_a_constant_is_a_flat_line() -> None:
    assert small_chart({"gjr": pd.Series([np.nan, np.nan])}) == ""
    assert small_chart({"gjr": pd.Series([0.2])}) == ""
    assert {point[1] for point in drawn(small_chart({"gjr": pd.Series([0.2] * 5)}))[0]} == {90}
