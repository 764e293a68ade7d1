"""Real servers for the tests of several machines: PostgreSQL, redis, an object store, each on a free port of 127.0.0.1.

Every server is a context manager; what it started is gone after the block, also when the test fails.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

HOST = "127.0.0.1"
# What is waited for at most: no test asserts a time, and a slow machine has the rest of the suite to do beside it.
LONGEST_WAIT = 900.0
STOP_SECONDS = 10.0
# Below those that systems give to connections, in another order in each process.
PORTS = iter(random.sample(range(20_000, 32_000), 12_000))


def free_port() -> int:
    """Return a port that is free, and is returned once in a process.

    Not one that the system chooses: a server needs seconds until it listens, and meanwhile the system gives such a port
    to whoever connects somewhere.
    """
    for port in PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise RuntimeError("every port has been given out")


def answers(port: int) -> bool:
    """Return whether somebody listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def wait_until(condition: Callable[[], object], seconds: float, what: str, pause: float = 0.2) -> None:
    """Return when `condition` holds; fail the test where it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)


def ask(port: int, query: str, **variables: Any) -> Any:
    """Return the data that the webserver on `port` answers to a GraphQL query."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"http://{HOST}:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


class Program:
    """A process group of ours with its output in a file.

    Parameters
    ----------
    command : sequence of str
    log : Path
    environment : mapping, optional
        The whole environment.
    user : str, optional
        Account to run as, for a server that refuses root.
    folder : Path, optional
        Working directory; the log's where not given.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.command, self.log, self._environment, self._user = list(command), log, environment, user
        self._folder = folder or log.parent
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a process group of its own."""
        with open(self.log, "ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
                user=self._user,
            )

    @property
    def alive(self) -> bool:
        """Whether its first process runs."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """Kill the whole group, as a machine that is gone."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """Ask it to end, then make it."""
        self.signal(signal.SIGTERM)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def wait_for(self, port: int) -> None:
        """Return when the program answers on `port`; fail with its log where it ends or stays silent."""
        deadline = time.monotonic() + LONGEST_WAIT
        while not (self.alive and answers(port)):
            silent = time.monotonic() > deadline
            if silent or not self.alive:
                what = f"does not answer after {LONGEST_WAIT:.0f} s" if silent else "ended"
                pytest.fail(f"{' '.join(self.command)} {what}:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.2)

    def __enter__(self) -> Program:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def require(program: str, package: str) -> str:
    """Return the path of `program`, or skip the test saying how to get it."""
    folders = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = shutil.which(program) or shutil.which(program, path=os.pathsep.join(folders))
    if found is None:
        pytest.skip(f"{program} is not installed: apt-get install {package}")
    return found


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[tuple[Program, int]]:
    """Run a redis server that keeps what it is given over a restart."""
    port = free_port()
    options = {"port": port, "bind": HOST, "dir": str(folder), "appendonly": "yes", "save": "", "daemonize": "no"}
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with Program([require("redis-server", "redis-server"), *arguments], folder / "redis.log") as program:
        program.wait_for(port)
        yield program, port


class Postgres:
    """A private PostgreSQL cluster, owned by an account that is not root."""

    def __init__(self, log: Path) -> None:
        self._initdb, self._server = require("initdb", "postgresql"), require("postgres", "postgresql")
        # pytest's own directories are closed to other accounts.
        self.folder = Path(tempfile.mkdtemp(prefix="volassets-postgres-"))
        self.user = None
        if os.geteuid() == 0:
            self.user = "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"
            shutil.chown(self.folder, self.user)
        self.port = free_port()
        self.url = f"postgresql+psycopg2://dagster@{HOST}:{self.port}/postgres"
        self._log = log

    def create(self) -> Program:
        """Create the cluster and return the server, not yet started."""
        data = self.folder / "data"
        subprocess.run(
            [self._initdb, "-D", data, "-U", "dagster", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            user=self.user,
        )
        options = {"listen_addresses": HOST, "unix_socket_directories": "", "fsync": "off", "max_connections": "200"}
        arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = [self._server, "-D", str(data), "-p", str(self.port), *arguments]
        log = self.folder / "log"
        return Program(command, log, user=self.user)


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[tuple[Program, Postgres]]:
    """Run PostgreSQL."""
    cluster = Postgres(folder)
    try:
        with cluster.create() as program:
            # A connection sent before the cluster accepts them is refused in words, which drivers report as an error.
            program.wait_for(cluster.port)
            yield program, cluster
    finally:
        shutil.rmtree(cluster.folder, ignore_errors=True)


class ObjectStore:
    """Where an S3-speaking server listens, and what a client's environment has to say."""

    BUCKET = "cells"

    def __init__(self, port: int) -> None:
        self.port = port

    def environment(self, port: int | None = None) -> dict[str, str]:
        """Return the environment of a client; `port` is a proxy's."""
        return {
            "FSSPEC_S3_ENDPOINT_URL": f"http://{HOST}:{port or self.port}",
            "FSSPEC_S3_KEY": "test",
            "FSSPEC_S3_SECRET": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @contextlib.contextmanager
    def client(self, port: int | None = None) -> Iterator[None]:
        """Let this process be a client; fsspec read the environment when it was imported."""
        import fsspec

        options = {name: value for name, value in self.environment(port).items() if name.startswith("FSSPEC_")}
        before = {name: dict(values) for name, values in fsspec.config.conf.items()}
        fsspec.config.set_conf_env(fsspec.config.conf, options)
        try:
            yield
        finally:
            fsspec.config.conf.clear()
            fsspec.config.conf.update(before)

    def make_bucket(self) -> None:
        """Create the bucket."""
        import boto3

        options = self.environment()
        client = boto3.client(
            "s3",
            endpoint_url=options["FSSPEC_S3_ENDPOINT_URL"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=self.BUCKET)


@contextlib.contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """Run moto's server, which speaks S3 and keeps objects in memory."""
    for module in ("moto", "flask", "flask_cors", "s3fs"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f'{module} is not installed: pip install "volassets[dev]"')
    store = ObjectStore(free_port())
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(store.port)]
    with Program(command, folder / "objects.log") as program:
        program.wait_for(store.port)
        store.make_bucket()
        yield store
