"""Ctrl-C while Dagster executes a run: Dagster takes it at a few moments only, and forgets it at the end of the run."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Dagster treats both alike while it executes a run.
SIGNALS = {signal.SIGINT, signal.SIGTERM}


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of the block where a signal that asks to stop came within it.

    Dagster replaces the handler by one that notes the signal until the next step begins, and drops the note with the
    end of the run: one that comes after the last step would be lost, and whatever follows the run would start. The
    file descriptor of `signal.set_wakeup_fd` gets every signal, whoever handles it. In a thread that is not the main
    one, where no signal arrives, nothing is watched.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received, sent = socket.socketpair()
    with received, sent:
        received.setblocking(False)
        sent.setblocking(False)
        before = signal.set_wakeup_fd(sent.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
        if SIGNALS & set(_numbers(received)):
            raise KeyboardInterrupt


def _numbers(received: socket.socket) -> bytes:
    """Return the numbers of the signals that came, a byte each."""
    try:
        return received.recv(4096)
    except BlockingIOError:
        return b""
