"""Progress in a pipe: lines with the time left."""

from __future__ import annotations

import pandas as pd
import pytest

from volassets.pipeline.progress import Progress
from volassets.reporting import console


def test_the_time_left_follows_from_the_pace(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seconds at which the run starts and its cells finish.
    moments = iter([0.0, 100.0, 110.0, 120.0, 200.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(moments))
    shown = console.RunProgress()
    for done in (1, 3, 5, 21):
        shown(Progress("lstm_fits", "^GSPC", pd.Timestamp("2018-01"), done, 21))
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("/21")[2] for line in lines] == ["", ", about 90 s left", ", about 80 s left", ""]
    assert lines[-1] == "  200.0 s  lstm_fits ^GSPC 2018-01 21/21"
