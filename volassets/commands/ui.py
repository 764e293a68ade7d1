"""`volassets ui`."""

from __future__ import annotations

import os
import sys

from volassets.settings import HOME_VARIABLE, load_settings
from volassets.settings_file import ensure_home


def ui_command(port: int) -> None:
    """Become `dagster dev` on this home; the process ends with it."""
    from volassets.orchestration.instance import prepare_instance

    home = ensure_home(load_settings())
    environment = {
        **os.environ,
        HOME_VARIABLE: str(home),
        "DAGSTER_HOME": os.environ.get("DAGSTER_HOME") or str(prepare_instance(home)),
    }
    arguments = ["-m", "volassets.definitions", "-h", "127.0.0.1", "-p", str(port)]
    os.execve(sys.executable, [sys.executable, "-m", "dagster", "dev", *arguments], environment)
