"""`volassets ui`."""

from __future__ import annotations

import os
import signal
import sys

from volassets.settings import HOME_VARIABLE, load_settings
from volassets.settings_file import ensure_home


def ui_command(port: int) -> None:
    """Become `dagster dev` on this home; the process ends with it."""
    from volassets.orchestration.instance import WORKSPACE_FILE, prepare_instance

    home = ensure_home(load_settings())
    environment = {
        **os.environ,
        HOME_VARIABLE: str(home),
        "DAGSTER_HOME": os.environ.get("DAGSTER_HOME") or str(prepare_instance(home)),
    }
    arguments = ["-w", str(WORKSPACE_FILE), "-h", "127.0.0.1", "-p", str(port)]
    # A shell starts a background job with SIGINT ignored, and Dagster ends its servers with SIGINT, also on SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execve(sys.executable, [sys.executable, "-m", "dagster", "dev", *arguments], environment)
