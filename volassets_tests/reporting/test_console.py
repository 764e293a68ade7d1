"""Progress with the time left: lines in a pipe, a bar on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import time

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


def test_cells_that_come_together_count_as_one_for_the_pace(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seconds at which the run starts and at which 4 and 6 cells are committed.
    moments = iter([0.0, 100.0, 112.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(moments))
    shown = console.RunProgress()
    for done in range(1, 11):
        shown(Progress("lstm_fits", "^GSPC", pd.Timestamp("2018-01"), done, 40, more=done not in (4, 10)))
    assert capsys.readouterr().out.splitlines() == [
        "  100.0 s  lstm_fits ^GSPC 2018-01 4/40",
        "  112.0 s  lstm_fits ^GSPC 2018-01 10/40, about 60 s left",
    ]


@pytest.mark.parametrize("width", [120, 80])
def test_a_terminal_shows_a_bar_with_the_time_left(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, width, 0, 0))
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", terminal)
        with console.RunProgress() as shown:
            shown(Progress("realized_vol_features", "^GSPC", pd.Timestamp("2018-01"), 1, 21))
            # The bar judges its pace about twice a second.
            time.sleep(0.6)
            shown(Progress("realized_vol_features", "^GSPC", pd.Timestamp("2018-02"), 3, 21))
            shown(Progress("realized_vol_features", "^IXIC", pd.Timestamp("2018-03"), 4, 21, "no bars"))
        terminal.flush()
        printed = os.read(ours, 1_000_000).decode()
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", printed)
    assert re.search(r"realized_vol_features +\^GSPC +2018-02 +\S+ +3/21 \d:\d\d:\d\d left \d:\d\d:\d\d", text)
    assert "FAILED realized_vol_features ^IXIC 2018-03: no bars" in text
