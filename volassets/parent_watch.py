"""Ends a process of ours when the one that started it is gone, also where that was killed."""

from __future__ import annotations

import os
import threading
import time


def end_with(parent: int) -> None:
    """End this process within half a second when the process `parent` is no longer its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
