"""What a run that did not fail reports, and to which address."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from volassets.definitions import build_definitions
from volassets.orchestration.jobs import COMMAND_LINE, MONTHS_TAG, SCHEDULE_TAG, STARTED_TAG, TICKERS_TAG
from volassets.orchestration.run_findings import events_of, failed_checks
from volassets.settings import Settings, load_settings


@dg.asset
def made() -> None:
    """Nothing."""


def check(name: str, severity: dg.AssetCheckSeverity, passed: bool) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=made, name=name)
    def result() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=passed, severity=severity, description=f"{name} said")

    return result


CHECKS = [
    check("wrong", dg.AssetCheckSeverity.ERROR, False),
    check("odd", dg.AssetCheckSeverity.WARN, False),
    check("right", dg.AssetCheckSeverity.ERROR, True),
]


# As a schedule's request has them: the run is a part of its tick.
PART = {SCHEDULE_TAG: "daily_update", TICKERS_TAG: "AAA, BBB", MONTHS_TAG: "2018-01 .. 2018-03"}


def run_and_tell(settings: Settings, tags: dict[str, str]) -> str:
    """Run the asset with its checks and let the sensor look at it, as the daemon does; return the job's name."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([made, *CHECKS], instance=instance, tags=tags)
        assert failed_checks(events_of(instance, result.run_id)) == ["wrong: wrong said"]
        sensor = build_definitions(settings).get_repository_def().get_sensor_def("tell_findings")
        event = next(event for event in result.all_events if event.event_type == dg.DagsterEventType.RUN_SUCCESS)
        context = dg.build_run_status_sensor_context(
            sensor_name="tell_findings", dagster_event=event, dagster_instance=instance, dagster_run=result.dagster_run
        )
        sensor(context)
        return str(result.dagster_run.job_name)


@pytest.mark.parametrize(("started_by", "notified"), [("daily_update", True), (COMMAND_LINE, False)])
def test_failed_checks_are_told_once_and_not_by_the_sensor_for_the_command_line(
    tmp_path: Path, started_by: str, notified: bool
) -> None:
    script = tmp_path / "tell.py"
    script.write_text("import sys\nopen(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')\n")
    got = tmp_path / "got"
    values = {"models": ("naive",), "notify": f"'{sys.executable}' '{script}' '{got}'"}
    settings = load_settings(tmp_path / "home", values, environment={})
    job = run_and_tell(settings, {STARTED_TAG: started_by, **PART})
    assert got.exists() is notified
    if notified:
        (line,) = got.read_text().splitlines()
        message = json.loads(line)
        assert message["events"] == {"failed check": ["wrong: wrong said"]}
        assert message["run"] == f"daily_update ({job}), AAA, BBB, 2018-01 .. 2018-03"


def test_the_runs_of_one_tick_are_a_message_each_that_names_its_part(
    home: Path, receiver: tuple[str, list[dict[str, Any]]]
) -> None:
    url, got = receiver
    settings = load_settings(home, {"models": ("naive",), "notify": url}, environment={})
    for tickers in ("AAA, BBB", "CCC"):
        run_and_tell(settings, {STARTED_TAG: "daily_update", **PART, TICKERS_TAG: tickers})
    assert len(got) == 2
    for message, tickers in zip(got, ("AAA, BBB", "CCC"), strict=True):
        assert message["run"].startswith("daily_update (")
        assert message["run"].endswith(f"), {tickers}, 2018-01 .. 2018-03")
        assert message["text"].startswith(f"volassets: {message['run']}: 1 failed check. wrong: wrong said")


def test_a_dead_address_ends_no_run(home: Path) -> None:
    settings = load_settings(home, {"models": ("naive",), "notify": "http://127.0.0.1:9/nobody"}, environment={})
    run_and_tell(settings, {STARTED_TAG: "daily_update", **PART})
