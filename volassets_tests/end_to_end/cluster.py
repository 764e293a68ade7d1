"""A whole deployment on 127.0.0.1: PostgreSQL, broker, object store, code server, webserver, daemon and Celery workers.

The workers share the store, PostgreSQL and the broker; each has a home and a temporary directory of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from volassets.settings import Settings, load_settings
from volassets.warehouse.store import Warehouse, open_warehouse
from volassets_tests.end_to_end.servers import (
    HOST,
    LONGEST_WAIT,
    ObjectStore,
    Postgres,
    Program,
    ask,
    free_port,
    object_store,
    postgres,
    redis,
    require,
    wait_until,
)

DEPLOY = Path(__file__).parents[2] / "deploy"
BIN = Path(sys.executable).parent
# What a day's operation may take its time with, a test does not.
HASTE = {"poll_interval_seconds": 3}
# `dagster-daemon`, which looks at backfills every 30 s where the history is not in our SQLite.
DAEMON = """
from dagster._daemon.__main__ import main
from volassets.orchestration.event_log import look_for_backfills_every
look_for_backfills_every(3)
main()
"""
MISSING_SECONDS = 8

LAUNCH = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message stack }
  }
}
"""
BACKFILL = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
RUNS = """
query { runsOrError { ... on Runs { results { runId status tags { key value } } } } }
"""


@dataclass
class Cluster:
    """What a test may ask and break.

    Attributes
    ----------
    folder : Path
    environment : dict
        Settings of every machine.
    postgres_server, broker : Program
    objects : ObjectStore
    daemon : Program
        Not started yet: its first look at the backfills comes at once, the next ones every 3 s.
    workers : list of Program
    """

    folder: Path
    environment: dict[str, str]
    postgres_server: Program
    cluster: Postgres
    broker: Program
    broker_port: int
    objects: ObjectStore
    web_port: int
    daemon: Program = field(init=False)
    workers: list[Program] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """The settings that every machine has, of a home that none of them has."""
        keys = ("WAREHOUSE", "TICKERS", "MODELS")
        values = {key.lower(): self.environment[f"VOLASSETS_{key}"] for key in keys}
        lists = {key: values[key].split(",") for key in ("tickers", "models")}
        return load_settings(self.folder / "client", {"warehouse": values["warehouse"], **lists})

    def warehouse(self) -> Warehouse:
        """Return the shared store, as a SQL client opens it."""
        return open_warehouse(self.settings)

    def machine(self, name: str, **extra: str) -> dict[str, str]:
        """Return the environment of one machine with its own home, after making it."""
        home = self.folder / name
        (home / "dagster").mkdir(parents=True, exist_ok=True)
        (home / "tmp").mkdir(exist_ok=True)
        shutil.copy(self.folder / "dagster.yaml", home / "dagster" / "dagster.yaml")
        own = {"VOLASSETS_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), "TMPDIR": str(home / "tmp")}
        return {**self.environment, **own, **extra}

    def worker(self, name: str, **extra: str) -> Program:
        """Return a worker machine, not yet started."""
        command = ["dagster-celery", "worker", "start", "-A", "dagster_celery.app", "-n", name]
        command += ["-y", str(self.folder / "celery-worker.yaml")]
        program = Program(command, self.folder / f"{name}.log", self.machine(name, **extra))
        self.workers.append(program)
        return program

    def graphql(self, query: str, **variables: Any) -> Any:
        """Ask the webserver."""
        return ask(self.web_port, query, **variables)

    def backfill(self, partitions: dict[str, tuple[str, str]]) -> str:
        """Start one backfill of assets, each over a range of keys, and return its id."""
        by_asset = [
            {"assetKey": {"path": [asset]}, "partitions": {"range": {"start": first, "end": last}}}
            for asset, (first, last) in partitions.items()
        ]
        answer = self.graphql(LAUNCH, params={"partitionsByAssets": by_asset})["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return str(answer["backfillId"])

    def backfill_status(self, backfill_id: str) -> str:
        """Return REQUESTED, COMPLETED_SUCCESS, COMPLETED_FAILED, ..., or UNKNOWN where the webserver cannot say."""
        try:
            return str(self.graphql(BACKFILL, id=backfill_id)["partitionBackfillOrError"]["status"])
        except OSError:
            # Its first question to a PostgreSQL that was restarted fails, the next one connects again.
            return "UNKNOWN"

    def runs(self) -> list[dict[str, Any]]:
        """Return every run with its tags as a dict."""
        results = self.graphql(RUNS)["runsOrError"]["results"]
        return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in results]

    def logs(self) -> str:
        """Return the ends of all logs, for a failure's message."""
        return "\n".join(f"== {log.name}\n{log.read_text()[-3000:]}" for log in sorted(self.folder.glob("*.log")))


def _instance(folder: Path, workers: int) -> None:
    """Write deploy/'s own files with a test's haste: nothing else is changed."""
    instance = yaml.safe_load((DEPLOY / "dagster-celery.yaml").read_text())
    instance["run_launcher"]["config"]["missing_seconds"] = MISSING_SECONDS
    instance["run_monitoring"] |= HASTE
    instance["concurrency"]["runs"]["max_concurrent_runs"] = workers
    (folder / "dagster.yaml").write_text(yaml.safe_dump(instance))
    shutil.copy(DEPLOY / "celery-worker.yaml", folder)


@contextlib.contextmanager
def cluster(folder: Path, tickers: Sequence[str], models: Sequence[str], workers: int = 2) -> Iterator[Cluster]:
    """Start everything but the daemon and the workers; everything, those too, is gone after the block."""
    for program, package in (("redis-server", "redis-server"), ("postgres", "postgresql"), ("initdb", "postgresql")):
        require(program, package)
    for module in ("dagster_celery", "dagster_postgres", "redis"):
        pytest.importorskip(module, reason='pip install "volassets[dev]"')
    with contextlib.ExitStack() as stack:
        broker, broker_port = stack.enter_context(redis(folder))
        server, database = stack.enter_context(postgres(folder))
        objects = stack.enter_context(object_store(folder))
        stack.enter_context(objects.client())
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("VOLASSETS_", "DAGSTER_"))}
        environment = {
            **kept,
            # dagster-celery starts `celery` by name, as from an activated environment.
            "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", "")]),
            **objects.environment(),
            "DAGSTER_PG_URL": database.url,
            "CELERY_BROKER_URL": f"redis://{HOST}:{broker_port}/0",
            "CELERY_RESULT_BACKEND": f"redis://{HOST}:{broker_port}/1",
            "VOLASSETS_WAREHOUSE": f"parquet:s3://{objects.BUCKET}/volassets",
            "VOLASSETS_TICKERS": ",".join(tickers),
            "VOLASSETS_MODELS": ",".join(models),
            "VOLASSETS_JOBS": "1",
            "OMP_NUM_THREADS": "1",
        }
        _instance(folder, workers)
        web_port, code_port = free_port(), free_port()
        started = Cluster(folder, environment, server, database, broker, broker_port, objects, web_port)
        started.daemon = _start_services(stack, started, code_port)
        try:
            yield started
        finally:
            for worker in started.workers:
                worker.kill()


def _start_services(stack: contextlib.ExitStack, started: Cluster, code_port: int) -> Program:
    environment = started.machine("services")
    workspace = {"grpc_server": {"host": HOST, "port": code_port, "location_name": "volassets"}}
    file = started.folder / "workspace.yaml"
    file.write_text(yaml.safe_dump({"load_from": [workspace]}))
    code = ["dagster", "api", "grpc", "-m", "volassets.definitions", "-h", HOST, "-p", str(code_port)]
    code += ["--location-name", "volassets"]
    stack.enter_context(Program(code, started.folder / "code.log", environment)).wait_for(code_port)
    web = ["dagster-webserver", "-h", HOST, "-p", str(started.web_port), "-w", str(file)]
    webserver = stack.enter_context(Program(web, started.folder / "webserver.log", environment))
    command = [sys.executable, "-c", DAEMON, "run", "-w", str(file)]
    daemon = Program(command, started.folder / "daemon.log", environment)
    stack.callback(daemon.stop)
    webserver.wait_for(started.web_port)
    wait_until(lambda: started.graphql("query { version }"), LONGEST_WAIT, "the webserver")
    return daemon
