"""A proxy on 127.0.0.1 that can answer 503, or hold everything back, for as long as a test wants."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator

from volassets_tests.end_to_end.servers import HOST

BODY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>busy</Message></Error>"
BUSY = b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY)


class Proxy:
    """Forwards connections to a port.

    Parameters
    ----------
    target : int
        Port behind.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self.refused = 0
        self._busy = False
        self._flowing = threading.Event()
        self._flowing.set()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Answer 503 inside the block; connections that are open break."""
        self._busy = True
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            self._busy = False

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Hold every byte back inside the block, as a network that is gone for a while."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self._busy:
                self.refused += 1
                # Read first: an answer to a request that is still being sent is lost with the connection.
                asked = client.recv(65536)
                client.sendall(BUSY if asked.startswith(b"HEAD") else BUSY + BODY)
                client.shutdown(socket.SHUT_WR)
                client.recv(65536)
                return
            with socket.create_connection((HOST, self._target)) as server:
                self._open |= {client, server}
                try:
                    self._forward(client, server)
                finally:
                    self._open -= {client, server}

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in ready.select():
                    content = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not content:
                        return
                    self._flowing.wait()
                    key.data.sendall(content)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._flowing.set()
        self._listener.close()
