"""A home on a medium that cannot be written, which even root meets: refused in words, nothing half made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from volassets_tests.end_to_end.local import environment

pytestmark = pytest.mark.end_to_end

INSIDE = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'


@pytest.mark.parametrize("arguments", [("run", "--ticker", "^GSPC"), ("tickers", "add", "AAPL")])
def test_a_read_only_medium_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None:
        pytest.skip("needs root and unshare, to mount in a namespace of its own")
    medium = tmp_path / "medium"
    medium.mkdir()
    mounted = [unshare, "--mount", "sh", "-c", INSIDE, "sh", str(medium)]
    if subprocess.run([*mounted, "true"], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    command = [*mounted, sys.executable, "-W", "ignore", "-m", "volassets", *arguments]
    variables = environment(medium / "home", ("naive",))
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "cannot be written" in done.stderr
    assert "VOLASSETS_HOME" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(medium.iterdir()) == []
