"""What the buttons of the pages do, asked of a machine's webserver."""

from __future__ import annotations

from typing import Any

from volassets_tests.end_to_end.local import Machine

TERMINATE = "mutation($id: String!) { terminateRun(runId: $id, terminatePolicy: SAFE_TERMINATE) { __typename } }"
AGAIN = """
mutation($params: ReexecutionParams!) { launchPipelineReexecution(reexecutionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
PARTITIONS = """
query($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode {
  partitionKeys partitionStats { numMaterialized numFailed numPartitions } } } }
"""
CHECKS = """
query($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode { assetChecksOrError {
  ... on AssetChecks { checks { name description executionForLatestMaterialization { status partition
    evaluation { severity description partition } } } } } } } }
"""
FAILURE = """
query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
  ... on ExecutionStepFailureEvent { failureMetadata { description } error { message stack } } } } } }
"""
TICK = """
mutation($selector: ScheduleSelector!, $timestamp: Float) {
  scheduleDryRun(selectorData: $selector, timestamp: $timestamp) { __typename
  ... on DryRunInstigationTick { evaluationResult { error { message } skipReason
    runRequests { runConfigYaml tags { key value } } } } } }
"""


class Pages(Machine):
    """A machine whose users press what its pages have."""

    def terminate(self, run_id: str) -> None:
        """Stop a run, as the button of its page does."""
        answer = self.graphql(TERMINATE, id=run_id)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def run_again(self, run_id: str) -> str:
        """Execute all of a run again, as the button of its page does; return the new run's id."""
        params = {"parentRunId": run_id, "strategy": "ALL_STEPS"}
        answer = self.graphql(AGAIN, params=params)["launchPipelineReexecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def partitions(self, asset: str) -> dict[str, Any]:
        """Return an asset's partition keys and how many of them are materialized and failed."""
        return dict(self.graphql(PARTITIONS, asset={"path": [asset]})["assetNodeOrError"])

    def checks(self, asset: str) -> dict[str, dict[str, Any]]:
        """Return what the page of an asset's checks shows of the newest execution, by check."""
        node = self.graphql(CHECKS, asset={"path": [asset]})["assetNodeOrError"]
        return {check["name"]: check for check in node["assetChecksOrError"]["checks"]}

    def failure_events(self, run_id: str) -> list[dict[str, Any]]:
        """Return the step failures of a run, as its log shows them."""
        return [event for event in self.graphql(FAILURE, id=run_id)["logsForRun"]["events"] if event]

    def tick(self, schedule: str, timestamp: float) -> dict[str, Any]:
        """Return what a tick of a schedule at a time would ask for, as the page's test button does."""
        selector = {
            "repositoryLocationName": "volassets",
            "repositoryName": "__repository__",
            "scheduleName": schedule,
        }
        answer = self.graphql(TICK, selector=selector, timestamp=timestamp)["scheduleDryRun"]
        return dict(answer["evaluationResult"])
