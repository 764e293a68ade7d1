"""A loopback HTTP server that speaks Yahoo's chart format, and the real yfinance pointed at it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pandas as pd
import pytest

# Here and not in the fixture, because it puts a filter for warnings before pytest's when it is first imported.
import yfinance.base
import yfinance.scrapers.history
import yfinance.scrapers.quote

ZONE = "America/New_York"
UNKNOWN = {
    "chart": {"result": None, "error": {"code": "Not Found", "description": "No data found, symbol may be delisted"}}
}


@dataclass
class Reply:
    """One HTTP answer; a body that is not bytes goes out as JSON."""

    body: Any
    status: int = 200
    delay: float = 0.0


@dataclass
class Yahoo:
    """The server's script: `replies` in turn to requests for prices, the last one repeated."""

    replies: list[Reply] = field(default_factory=list)
    zone: Reply | None = None
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self, path: str, query: dict[str, str]) -> Reply:
        if not path.startswith("/v8/finance/chart/"):
            return Reply({"quoteSummary": {"result": None, "error": {"code": "Not Found"}}}, 404)
        if "period1" not in query:
            return self.zone or Reply(chart(None))
        self.asked.append(query | {"symbol": unquote(path.rsplit("/", 1)[1])})
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def chart(bars: pd.DataFrame | None, events: dict | None = None, meta: dict | None = None) -> dict[str, Any]:
    """Return bars as Yahoo writes them: stamps of New York's opening, nulls for NaN."""
    description = {
        "currency": "USD",
        "symbol": "X",
        "instrumentType": "EQUITY",
        "exchangeTimezoneName": ZONE,
        "validRanges": ["1d", "max"],
        "priceHint": 2,
    } | (meta or {})
    result: dict[str, Any] = {"meta": description, "indicators": {"quote": [{}], "adjclose": [{}]}}
    if bars is not None:
        columns = {
            name: [None if np.isnan(value) else value for value in bars[name]]
            for name in bars.columns
            if name != "date"
        }
        result["timestamp"] = [stamp(day) for day in bars.index]
        result["indicators"] = {
            "quote": [{name: columns[name] for name in columns if name != "adj_close"}],
            "adjclose": [{"adjclose": columns.get("adj_close")}],
        }
    if events:
        result["events"] = events
    return {"chart": {"result": [result], "error": None}}


def stamp(day: pd.Timestamp, clock: str = "09:30") -> int:
    """Return the seconds since 1970 of a time of day in New York."""
    return int(pd.Timestamp(f"{day:%Y-%m-%d} {clock}", tz=ZONE).timestamp())


@pytest.fixture
def yahoo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Yahoo]:
    """The server's script; yfinance itself is the real one, only its base address differs."""

    script = Yahoo()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            reply = script.answer(parts.path, {key: values[0] for key, values in parse_qs(parts.query).items()})
            time.sleep(reply.delay)
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

        def handle(self) -> None:
            # A client that ran out of time hangs up.
            with suppress(BrokenPipeError, ConnectionResetError):
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(yfinance.base, "_BASE_URL_", address)
    monkeypatch.setattr(yfinance.scrapers.history, "_BASE_URL_", address)
    monkeypatch.setattr(yfinance.scrapers.quote, "_BASE_URL_", address)
    monkeypatch.setattr(yfinance.scrapers.quote, "_QUERY1_URL_", address)
    monkeypatch.setattr(yfinance.scrapers.quote, "_QUOTE_SUMMARY_URL_", f"{address}/v10/finance/quoteSummary")
    # Cookies come from hosts written into yfinance's code; nothing may leave this machine for them.
    for variable in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(variable, "127.0.0.1")
    yield script
    server.shutdown()
    server.server_close()
