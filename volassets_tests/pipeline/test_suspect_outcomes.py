"""Outcomes of suspect sessions are in no score, those around them are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.pipeline.comparison_steps import without_suspects
from volassets_tests.conftest import simulate_bars


def test_exactly_the_outcomes_that_hold_a_suspect_day_are_left_out() -> None:
    clean = simulate_bars(400, seed=9)
    wrong = clean.copy()
    wrong.iloc[300, 2] /= 10
    scored = pd.DataFrame(
        [(day, horizon, 1e-4) for horizon in (1, 5) for day in clean.index[280:320]],
        columns=["origin_date", "horizon", "realized_variance"],
    )
    pd.testing.assert_frame_equal(without_suspects(scored, clean), scored)
    left_out = without_suspects(scored, wrong)["realized_variance"].isna()
    for horizon in (1, 5):
        rows = scored["horizon"] == horizon
        origins = np.flatnonzero(clean.index.isin(scored["origin_date"][rows & left_out]))
        assert origins.tolist() == list(range(300 - horizon, 300))
    # Known at the cut-off of a comparison alone: bars that come later may clear the day again.
    early = without_suspects(scored, wrong.iloc[:301])["realized_variance"].isna()
    assert early.sum() == 6
