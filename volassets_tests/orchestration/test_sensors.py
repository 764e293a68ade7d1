"""What follows a run: the comparison, the panel, the message about a failure, the end of a killed run."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from volassets.definitions import build_definitions
from volassets.notifications import post
from volassets.orchestration.instance import open_instance
from volassets.orchestration.jobs import RANGE_END_TAG, RANGE_START_TAG, SCHEDULE_TAG, op_name, run_config
from volassets.orchestration.orphaned_runs import close_orphaned_runs, hold_run, orphaned_runs
from volassets.orchestration.resources import RunOptions
from volassets.pipeline.cells import Partition
from volassets.settings import Settings, load_settings
from volassets.settings_file import ensure_home
from volassets.timing import months_between

MONTHS = months_between(pd.Timestamp("2018-01-01"), pd.Timestamp("2018-03-01"))


def _failed_run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    @dg.op(name=op_name("refit_months"), config_schema=RunOptions.to_config_schema())
    def stage(_context) -> None:  # type: ignore[no-untyped-def]
        raise dg.Failure("the source is down:\n  no route to host")

    @dg.job
    def refit_months() -> None:
        stage()

    first, last = "2018-01-01|^GSPC", "2018-03-01|^GSPC"
    return refit_months.execute_in_process(
        instance=instance,
        raise_on_error=False,
        tags={SCHEDULE_TAG: "daily_update", RANGE_START_TAG: first, RANGE_END_TAG: last},
        run_config=run_config("refit_months", [Partition("^GSPC", month) for month in MONTHS]),
    )


def _tell(home: Path, instance: dg.DagsterInstance, webhook: str) -> None:
    settings = load_settings(home, {"models": ("naive",), "webhook": webhook})
    sensor = build_definitions(settings).get_repository_def().get_sensor_def("tell_failures")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    result = _failed_run(instance)
    event = next(event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    context = dg.build_run_status_sensor_context(
        sensor_name="tell_failures",
        dagster_event=event,
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()
    sensor(context)


def test_a_failure_is_posted_in_one_line(
    home: Path, instance: dg.DagsterInstance, receiver: tuple[str, list[dict[str, Any]]]
) -> None:
    url, got = receiver
    _tell(home, instance, url)
    (message,) = got
    assert message["text"] == (
        "volassets: daily_update (refit_months) failed for 2018-01-01|^GSPC .. 2018-03-01|^GSPC: the source is down: "
        "no route to host"
    )
    assert message["job"] == "refit_months"


def test_a_dead_webhook_is_not_a_second_failure(home: Path, instance: dg.DagsterInstance) -> None:
    _tell(home, instance, "http://127.0.0.1:9/nobody")
    _tell(home, instance, "")
    assert "did not take" in post("not a url", {})


class Follower:
    """The automation sensor: what it asks for after what has been materialized."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self._definitions, self._instance = build_definitions(settings), instance
        self._cursor: dg.AssetDaemonCursor | None = None

    def reload(self, settings: Settings) -> None:
        """Take other settings for the evaluations to come."""
        self._definitions = build_definitions(settings)

    def materialize(self, asset: str, *keys: str) -> None:
        """Record partitions as a run does, whoever started it and however it ends."""
        for key in keys or (None,):
            self._instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key))

    def asks(self) -> dict[str, set[str | None]]:
        """Return the partitions asked for by one evaluation."""
        result = dg.evaluate_automation_conditions(self._definitions, self._instance, cursor=self._cursor)
        self._cursor = result.cursor
        found = {
            name: result.get_requested_partitions(dg.AssetKey(name)) for name in ("comparison_reports", "panel_report")
        }
        assert result.total_requested == sum(map(len, found.values()))
        return {name: keys for name, keys in found.items() if keys}


def test_every_update_is_followed_once_and_nothing_else_is(home: Path, instance: dg.DagsterInstance) -> None:
    settings = load_settings(home, {"tickers": ("A", "B", "C"), "models": ("naive", "garch"), "source": "yfinance"})
    follower = Follower(settings, instance)
    assert follower.asks() == {}
    # One month of many, as after a backfill; C has failed.
    follower.materialize("garch_forecasts", "2018-01-01|A", "2018-01-01|B")
    follower.materialize("benchmark_forecasts", "2018-01-01|A", "2018-01-01|B")
    assert follower.asks() == {"comparison_reports": {"A", "B"}}
    assert follower.asks() == {}
    follower.materialize("comparison_reports", "A", "B")
    assert follower.asks() == {"panel_report": {None}}
    assert follower.asks() == {}
    follower.materialize("panel_report")
    assert follower.asks() == {}
    # An old month again.
    follower.materialize("garch_forecasts", "2018-01-01|B")
    assert follower.asks() == {"comparison_reports": {"B"}}
    follower.materialize("comparison_reports", "B")
    assert follower.asks() == {"panel_report": {None}}
    follower.materialize("panel_report")
    assert follower.asks() == {}


def test_a_new_ticker_is_followed_from_its_first_forecasts_on(home: Path, instance: dg.DagsterInstance) -> None:
    own = {"models": ("naive", "garch"), "source": "yfinance"}
    follower = Follower(load_settings(home, {"tickers": ("A",), **own}), instance)
    assert follower.asks() == {}
    follower.reload(load_settings(home, {"tickers": ("A", "NEW"), **own}))
    assert follower.asks() == {}
    follower.materialize("raw_prices", "NEW")
    follower.materialize("realized_vol_features", "NEW")
    assert follower.asks() == {}
    follower.materialize("garch_forecasts", "2018-01-01|NEW")
    assert follower.asks() == {"comparison_reports": {"NEW"}}


def test_a_run_that_compares_by_itself_is_not_followed(home: Path, instance: dg.DagsterInstance) -> None:
    follower = Follower(load_settings(home, {"models": ("naive", "garch")}), instance)
    assert follower.asks() == {}
    follower.materialize("garch_forecasts", "2018-01-01|^GSPC")
    follower.materialize("comparison_reports", "^GSPC")
    follower.materialize("panel_report")
    assert follower.asks() == {}
    assert follower.asks() == {}


def test_the_panel_waits_for_tickers_that_are_under_way(home: Path, instance: dg.DagsterInstance) -> None:
    follower = Follower(load_settings(home, {"models": ("naive", "garch")}), instance)
    assert follower.asks() == {}
    follower.materialize("garch_forecasts", "2018-01-01|^GSPC")
    assert follower.asks() == {"comparison_reports": {"^GSPC"}}
    job = build_definitions(load_settings(home, {"models": ("naive", "garch")})).get_repository_def()
    run = instance.create_run_for_job(
        job.get_implicit_global_asset_job_def(),
        tags={RANGE_START_TAG: "2018-01-01|^IXIC", RANGE_END_TAG: "2018-02-01|^IXIC"},
        asset_selection=frozenset([dg.AssetKey("garch_forecasts")]),
        status=dg.DagsterRunStatus.STARTED,
    )
    follower.materialize("comparison_reports", "^GSPC")
    assert follower.asks() == {}
    instance.report_run_failed(run)
    assert follower.asks() == {"panel_report": {None}}


def test_changed_settings_ask_for_the_definitions_to_be_loaded_again(home: Path, instance: dg.DagsterInstance) -> None:
    ensure_home(load_settings(home))
    repository = build_definitions(load_settings(home)).get_repository_def()

    def said() -> str:
        context = dg.build_sensor_context(instance=instance, repository_def=repository)
        return str(repository.get_sensor_def("watch_settings").evaluate_tick(context).skip_message)

    assert said() == "the definitions are those of the settings"
    file = home / "volassets.toml"
    text = file.read_text("utf-8")
    file.write_text(text.replace('tickers = ["^GSPC"', 'tickers = ["AAPL", "^GSPC"'), "utf-8")
    assert load_settings(home).tickers[0] == "AAPL"
    assert "Reload definitions" in said()


def _start_and_die(folder: str, home: str, ready: Any) -> None:
    instance = dg.DagsterInstance.local_temp(folder)

    @dg.op
    def stage(context) -> None:  # type: ignore[no-untyped-def]
        hold_run(Path(home), context.run_id)
        ready.send(context.run_id)
        os.kill(os.getpid(), 9)

    @dg.job
    def refit_months() -> None:
        stage()

    refit_months.execute_in_process(instance=instance)


def test_a_killed_run_is_closed_and_a_living_one_is_not(
    tmp_path: Path, home: Path, instance: dg.DagsterInstance
) -> None:
    here, there = multiprocessing.Pipe(duplex=False)
    arguments = (str(tmp_path / "dagster"), str(home), there)
    process = multiprocessing.get_context("spawn").Process(target=_start_and_die, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == -9
    assert here.poll(0)
    killed = here.recv()

    alive = dg.DagsterRun(job_name="x", status=dg.DagsterRunStatus.STARTED)
    instance.add_run(alive)
    hold_run(home, alive.run_id)
    assert orphaned_runs(instance, home) == [killed]
    assert close_orphaned_runs(instance, home) == [killed]
    assert orphaned_runs(instance, home) == []
    run = instance.get_run_by_id(killed)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert [file.name for file in (home / "locks" / "runs").iterdir()] == [alive.run_id]


@pytest.mark.parametrize(("retries", "promised"), [("2", "true"), ("0", "false")])
def test_a_killed_run_says_whether_it_is_retried_before_it_counts_as_failed(
    home: Path, monkeypatch: pytest.MonkeyPatch, retries: str, promised: str
) -> None:
    # A home's own instance, which retries what was killed.
    instance = open_instance(home)
    killed = dg.DagsterRun(job_name="x", status=dg.DagsterRunStatus.STARTED, tags={"dagster/max_retries": retries})
    instance.add_run(killed)
    (home / "locks" / "runs").mkdir(parents=True)
    (home / "locks" / "runs" / killed.run_id).touch()
    seen: list[tuple[dg.DagsterRunStatus, str | None]] = []
    report = instance.report_run_failed

    def looked_at(run: dg.DagsterRun, *given: Any) -> Any:
        stored = instance.get_run_by_id(run.run_id)
        assert stored is not None
        seen.append((stored.status, stored.tags.get("dagster/will_retry")))
        return report(run, *given)

    monkeypatch.setattr(instance, "report_run_failed", looked_at)
    assert close_orphaned_runs(instance, home) == [killed.run_id]
    assert seen == [(dg.DagsterRunStatus.STARTED, promised)]
    stored = instance.get_run_by_id(killed.run_id)
    assert stored is not None
    assert (stored.status, stored.tags["dagster/will_retry"]) == (dg.DagsterRunStatus.FAILURE, promised)
