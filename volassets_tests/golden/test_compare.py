"""The comparison of pinned rows sees what it has to see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from volassets_tests.golden.compare import RELATIVE, differences
from volassets_tests.golden.make_run import load
from volassets_tests.golden.stored import digest

GOLDEN = load()[1]
_SENTENCE = ("^GSPC", "leaderboard", "1", "^GSPC, 1 session ahead (19 origins): har has the lowest QLIKE, .316.")
GOLDEN["sentences"] = replace(GOLDEN["verdicts"], kept=[_SENTENCE], rows=1, sha256=digest([_SENTENCE]))


def changed(table: str, column: str, old: str, new: str):
    """Return a table with `old` replaced once by `new` in the first cell of a column that has it."""
    golden = GOLDEN[table]
    place = list(golden.shape.types).index(column)
    rows = list(golden.kept)
    number = next(i for i, row in enumerate(rows) if old in row[place])
    row = list(rows[number])
    row[place] = row[place].replace(old, new, 1)
    rows[number] = tuple(row)
    return replace(golden, kept=rows, sha256=digest(rows))


def test_what_is_pinned_equals_itself():
    for golden in GOLDEN.values():
        assert not differences(golden, golden, exact=True)
        assert not differences(golden, golden, exact=False)


def test_one_digit_is_a_difference_where_bits_are_compared():
    for table in ("garch_forecasts", "realized_vol_features", "leaderboard"):
        golden = GOLDEN[table]
        kinds = list(enumerate(golden.shape.types.items()))
        doubles = [(place, name) for place, (name, kind) in reversed(kinds) if kind == "DOUBLE"]
        column, last = next(
            (name, row[place]) for place, name in doubles for row in golden.kept if row[place][-1].isdigit()
        )
        other = last[:-1] + ("1" if last[-1] == "0" else "0")
        assert len(differences(golden, changed(table, column, last, other), exact=True)) == 1
        assert not differences(golden, changed(table, column, last, other), exact=False)


@pytest.mark.parametrize(
    ("table", "column", "old", "new"),
    [
        ("garch_forecasts", "data_hash", "a", "b"),
        ("lstm_fits", "checkpoint", "lstm", "last"),
        ("lstm_fits", "parameters", '"best_epoch": 5', '"best_epoch": 6'),
        ("verdicts", "text", "(19 origins)", "(20 origins)"),
        ("sentences", "text", "QLIKE, .316", "QLIKE, .326"),
        ("garch_fits", "n_train", "1", "2"),
        ("selected_features", "reason", "kept", "missing"),
    ],
)
def test_what_no_machine_may_change_is_a_difference_everywhere(table, column, old, new):
    assert len(differences(GOLDEN[table], changed(table, column, old, new), exact=False)) == 1


def test_a_float_is_compared_to_the_tolerance_elsewhere():
    golden = GOLDEN["garch_forecasts"]
    place = list(golden.shape.types).index("variance")
    old = golden.kept[0][place]
    for factor, expected in ((1 + RELATIVE / 2, 0), (1 + 2 * RELATIVE, 1)):
        fresh = changed("garch_forecasts", "variance", old, repr(float(old) * factor))
        assert len(differences(golden, fresh, exact=False)) == expected


def test_a_sentence_may_round_the_other_way():
    fresh = changed("sentences", "text", "QLIKE, .316", "QLIKE, .317")
    assert not differences(GOLDEN["sentences"], fresh, exact=False)
    assert differences(GOLDEN["sentences"], fresh, exact=True)


def test_a_row_more_or_less_is_a_difference():
    golden = GOLDEN["leaderboard"]
    fresh = replace(golden, kept=golden.kept[1:], rows=golden.rows - 1)
    assert differences(golden, fresh, exact=False)


def test_the_digest_sees_rows_that_are_not_kept():
    golden = GOLDEN["raw_prices"]
    assert differences(golden, replace(golden, sha256="0"), exact=True)
