"""One machine as `volassets ui` sets it up: on one home a code server, a webserver and a daemon, to be killed alone."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from volassets.orchestration.instance import prepare_instance
from volassets.settings import Settings, load_settings
from volassets.warehouse.store import Warehouse, open_warehouse
from volassets_tests.end_to_end.servers import HOST, LONGEST_WAIT, Program, ask, free_port, wait_until

RUN = """
query($id: ID!) { runOrError(runId: $id) { ... on Run { status tags { key value } } } }
"""
RUNS = """
query($filter: RunsFilter) { runsOrError(filter: $filter) { ... on Runs { results { runId status jobName
  assetSelection { path } tags { key value } } } } }
"""
LAUNCH = """
mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on InvalidSubsetError { message }
  ... on PythonError { message } } }
"""
BACKFILL = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message stack } } }
"""
BACKFILL_STATUS = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }
"""
FAILURES = """
query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events { __typename
  ... on ExecutionStepFailureEvent { stepKey failureMetadata { description } error { message } } } } } }
"""
LOADED = """
query($repository: RepositorySelector!) { repositoryOrError(repositorySelector: $repository) { __typename } }
"""
OVER = {"SUCCESS", "FAILURE", "CANCELED"}
# What a day's operation may take its time with, a test does not.
FOLLOW_SECONDS = "3"
REPOSITORY = {"repositoryLocationName": "volassets", "repositoryName": "__repository__"}


def environment(home: Path, models: Sequence[str], jobs: int = 1, **extra: str) -> dict[str, str]:
    """Return the environment of a process that works on `home`, with nothing of the caller's settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("VOLASSETS_", "DAGSTER_"))}
    own = {"VOLASSETS_HOME": str(home), "VOLASSETS_MODELS": ",".join(models), "VOLASSETS_JOBS": str(jobs)}
    return {**kept, **own, "OMP_NUM_THREADS": "1", **extra}


class Machine:
    """The servers of one home, and a client that asks them what the UI asks."""

    def __init__(self, home: Path, models: Sequence[str], jobs: int = 1, **extra: str) -> None:
        self.home, self._models = home, models
        home.mkdir(parents=True)
        own = {"DAGSTER_HOME": str(prepare_instance(home)), "VOLASSETS_FOLLOW_INTERVAL": FOLLOW_SECONDS}
        self.environment = environment(home, models, jobs, **own) | extra
        self.port, self._code_port = free_port(), free_port()
        workspace = home / "workspace.yaml"
        served = {"host": HOST, "port": self._code_port, "location_name": "volassets"}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": served}]}))
        code = ["code-server", "start", "-h", HOST, "-p", str(self._code_port), "-m", "volassets.definitions"]
        self.code = self._program("code", "dagster", *code)
        web = ["dagster_webserver", "-h", HOST, "-p", str(self.port), "-w", str(workspace)]
        self.webserver = self._program("webserver", *web)
        self.daemon = self._program("daemon", "dagster._daemon", "run", "-w", str(workspace))

    def _program(self, name: str, *arguments: str) -> Program:
        return Program([sys.executable, "-m", *arguments], self.home / f"{name}.log", self.environment)

    def start(self) -> None:
        """Start all three and return when the webserver knows the graph."""
        self.code.start()
        self.code.wait_for(self._code_port)
        self.webserver.start()
        self.daemon.start()
        self.webserver.wait_for(self.port)
        wait_until(self._knows_the_graph, LONGEST_WAIT, "the webserver to load the graph", pause=0.5)

    def kill(self) -> None:
        """Kill all three and the runs, as a machine that loses its power."""
        for program in (self.daemon, self.webserver, self.code):
            program.kill()

    def _knows_the_graph(self) -> bool:
        # The webserver answers before it has loaded its code locations.
        answer = self.graphql(LOADED, repository=REPOSITORY)["repositoryOrError"]
        return answer["__typename"] == "Repository"

    @property
    def settings(self) -> Settings:
        """The settings that the servers have."""
        return load_settings(self.home, {"models": tuple(self._models)})

    def warehouse(self) -> Warehouse:
        """The home's store."""
        return open_warehouse(self.settings)

    def cells(self, table: str) -> set[tuple[str, str]]:
        """Return the (ticker, YYYY-MM) of a table's rows."""
        rows = self.warehouse().query(f"SELECT DISTINCT ticker, strftime(refit_month, '%Y-%m') AS m FROM {table}")
        return set(zip(rows["ticker"], rows["m"], strict=True))

    def graphql(self, query: str, **variables: Any) -> Any:
        """Ask the webserver."""
        return ask(self.port, query, **variables)

    def launch(self, assets: Sequence[str], tags: Mapping[str, str]) -> str:
        """Launch one run of assets, as the Materialize button does; return its id."""
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        params = {
            "mode": "default",
            "executionMetadata": {"tags": listed},
            "runConfigData": "{}",
            "selector": {
                **REPOSITORY,
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [{"path": [asset]} for asset in assets],
                "assetCheckSelection": None,
            },
        }
        answer = self.graphql(LAUNCH, params=params)["launchPipelineExecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def backfill(self, **params: Any) -> str:
        """Launch a backfill with the UI's parameters; return its id."""
        answer = self.graphql(BACKFILL, params=params)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return str(answer["backfillId"])

    def wait_run(self, run_id: str, seconds: float) -> str:
        """Return the run's final status."""
        wait_until(lambda: self.status(run_id) in OVER, seconds, f"run {run_id}", pause=0.5)
        return self.status(run_id)

    def status(self, run_id: str) -> str:
        """Return a run's status."""
        return str(self.graphql(RUN, id=run_id)["runOrError"]["status"])

    def backfill_status(self, backfill_id: str) -> str:
        """Return a backfill's status."""
        return str(self.graphql(BACKFILL_STATUS, id=backfill_id)["partitionBackfillOrError"]["status"])

    def runs(self, backfill_id: str = "") -> list[dict[str, Any]]:
        """Return runs with their tags as a dict; those of one backfill, or all."""
        tags = {"tags": [{"key": "dagster/backfill", "value": backfill_id}]} if backfill_id else {}
        results = self.graphql(RUNS, filter=tags)["runsOrError"]["results"]
        return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in results]

    def failures(self, run_id: str) -> str:
        """Return the texts of a run's step failures."""
        events = self.graphql(FAILURES, id=run_id)["logsForRun"]["events"]
        found = [event for event in events if event["__typename"] == "ExecutionStepFailureEvent"]
        return "\n".join(
            (event["failureMetadata"] or {}).get("description") or event["error"]["message"] for event in found
        )


@contextlib.contextmanager
def machine(home: Path, models: Sequence[str], jobs: int = 1) -> Iterator[Machine]:
    """Start the servers of a new home; they are gone after the block."""
    started = Machine(home, models, jobs)
    try:
        started.start()
        yield started
    finally:
        # Nothing of this home is served later; an orderly end takes a quarter of a minute.
        started.kill()
