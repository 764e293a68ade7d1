"""`volassets ui` ends with everything that it started, however it was started."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from volassets_tests.end_to_end.local import environment
from volassets_tests.end_to_end.servers import LONGEST_WAIT, Program, free_port, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

# A shell without job control starts what `&` sends to the background with SIGINT ignored.
STARTS = {
    "foreground": 'echo $$ > pid; exec "$@"',
    "background": '"$@" & echo $! > pid; wait',
    "nohup": 'nohup "$@" & echo $! > pid; wait',
}


def processes_of(home: Path) -> set[int]:
    """Return the processes that work on `home`, found by their environment."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"VOLASSETS_HOME={home}".encode() in variables:
            found.add(int(folder.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to find the processes of a home")
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_sigterm_ends_all_of_it(tmp_path, start):
    port, home = free_port(), tmp_path / "home"
    line = ["sh", "-c", start, "sh", sys.executable, "-m", "volassets", "ui", "--port", str(port)]
    with Program(line, tmp_path / "log", environment(home, ["naive"])) as program:
        program.wait_for(port)
        started = processes_of(home)
        assert len(started) >= 4  # Dagster itself, its webserver, its daemon and the code server
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        wait_until(lambda: not processes_of(home), LONGEST_WAIT, f"the end of {len(started)} processes")
