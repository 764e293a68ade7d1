"""The graph's public names, and what the files at the root say of it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

import volassets
from volassets.definitions import build_definitions
from volassets.orchestration.instance import INSTANCE_FILE, WORKSPACE_FILE
from volassets.orchestration.resources import Home
from volassets.settings import Settings, load_settings

ASSETS = [
    "benchmark_forecasts",
    "combined_forecasts",
    "comparison_reports",
    "feature_importance",
    "garch_fits",
    "garch_forecasts",
    "lag_analysis",
    "linear_fits",
    "linear_forecasts",
    "lstm_fits",
    "lstm_forecasts",
    "panel_report",
    "raw_prices",
    "realized_vol_features",
    "risk_backtests",
    "risk_forecasts",
    "selected_features",
    "transformer_fits",
    "transformer_forecasts",
]
CHECKS = {
    "bars_current": ("raw_prices", False),
    "bars_plausible": ("raw_prices", False),
    "bars_valid": ("raw_prices", True),
    "benchmark_forecasts_sane": ("benchmark_forecasts", False),
    "combined_forecasts_sane": ("combined_forecasts", False),
    "features_finite": ("realized_vol_features", True),
    "forecasts_current": ("comparison_reports", False),
    "garch_fits_converged": ("garch_fits", False),
    "garch_forecasts_sane": ("garch_forecasts", False),
    "intervals_cover": ("comparison_reports", False),
    "linear_fits_converged": ("linear_fits", False),
    "linear_forecasts_sane": ("linear_forecasts", False),
    "lstm_fits_converged": ("lstm_fits", False),
    "lstm_forecasts_sane": ("lstm_forecasts", False),
    "no_leakage": ("comparison_reports", False),
    "issued_stands": ("comparison_reports", False),
    "tables_complete": ("comparison_reports", True),
    "selection_not_empty": ("selected_features", True),
    "transformer_fits_converged": ("transformer_fits", False),
    "transformer_forecasts_sane": ("transformer_forecasts", False),
}
TICKER_ASSETS = {"raw_prices", "realized_vol_features", "risk_backtests", "comparison_reports"}


def _repository(home: Path) -> dg.RepositoryDefinition:
    return build_definitions(load_settings(home)).get_repository_def()


def test_names_of_everything(home: Path) -> None:
    repository = _repository(home)
    graph = repository.asset_graph
    assert sorted(key.to_user_string() for key in graph.get_all_asset_keys()) == ASSETS
    checks = {key.name: (key.asset_key.to_user_string(), graph.get(key).blocking) for key in graph.asset_check_keys}
    assert checks == CHECKS
    assert sorted(s.name for s in repository.schedule_defs) == ["daily_update", "monthly_refit", "refresh_prices"]
    sensors = ["close_killed", "follow_updates", "tell_failures", "tell_findings", "watch_ages", "watch_settings"]
    assert sorted(s.name for s in repository.sensor_defs) == sensors
    assert all(s.description for s in (*repository.sensor_defs, *repository.schedule_defs))
    jobs = sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__"))
    assert jobs == ["compare", "compare_panel", "refit_months", "refresh_prices"]


def test_partitions_policies_and_descriptions(home: Path) -> None:
    graph = _repository(home).asset_graph
    for key in graph.get_all_asset_keys():
        node, name = graph.get(key), key.to_user_string()
        assert node.description, name
        assert node.group_name != "default", name
        if name == "panel_report":
            assert node.partitions_def is None
            continue
        assert node.backfill_policy == dg.BackfillPolicy.single_run(), name
        grid = isinstance(node.partitions_def, dg.MultiPartitionsDefinition)
        assert grid is (name not in TICKER_ASSETS), name


@pytest.mark.parametrize("update", ["0 22 * * 1-5", "30 18 * * *", "*/5 * * * *", "0 22 1,15 * *"])
def test_prices_and_forecasts_are_fresh_on_every_day_of_an_update(home: Path, update: str) -> None:
    assets = _repository(home).asset_graph.assets_defs
    assert not any(spec.freshness_policy for each in assets for spec in each.specs)
    settings = load_settings(home, {"source": "yfinance", "update_schedule": update, "models": ("naive", "garch")})
    graph = build_definitions(settings).get_repository_def().asset_graph
    policies = {spec.key.path[-1]: spec.freshness_policy for each in graph.assets_defs for spec in each.specs}
    with_one = {name: policy for name, policy in policies.items() if policy}
    assert set(with_one) == {"raw_prices", "benchmark_forecasts", "garch_forecasts"}
    assert {policy.deadline_cron for policy in with_one.values()} == {f"59 23 {update.split(None, 2)[2]}"}


def test_the_resource_shows_the_home_and_gives_its_settings_back(home: Path) -> None:
    home.mkdir()
    own = '[garch]\nwindow = 800\n[lstm]\nseeds = 2\n[sources."A"]\nsource = "yfinance"\n'
    (home / "volassets.toml").write_text(f'tickers = ["A", "B"]\nwebhook = "http://not-shown"\n{own}', "utf-8")
    settings = load_settings(home)
    resource = Home.of(settings)
    assert resource.loaded() == settings.model_copy(update={"webhook": ""})
    assert resource.loaded().source_of("A").source == "yfinance"
    assert resource.loaded().chosen_models == settings.chosen_models
    (shown,) = [each for each in _shown_resources(settings) if each.name == "home"]
    assert "lambda" not in str(shown)
    assert str(home) in str(shown.configured_values["folder"])
    assert "not-shown" not in str(shown)
    assert shown.resource_snapshot.description.startswith("A home")


def _shown_resources(settings: Settings) -> list[Any]:
    from dagster._core.remote_representation.external_data import RepositorySnap

    return list(RepositorySnap.from_def(build_definitions(settings).get_repository_def()).resources)


def test_every_asset_links_the_function_that_computes_it(home: Path) -> None:
    graph = _repository(home).asset_graph
    for key in graph.get_all_asset_keys():
        (reference,) = graph.get(key).metadata["dagster/code_references"].code_references
        line = Path(reference.file_path).read_text("utf-8").splitlines()[reference.line_number - 1]
        assert line.startswith(f"def {reference.label.partition(': ')[2]}("), key


def test_the_projects_dagster_yaml_differs_from_a_homes_in_its_places_alone() -> None:
    root = Path(volassets.__file__).parents[1]
    ours, homes = (yaml.safe_load(file.read_text("utf-8")) for file in (root / "dagster.yaml", INSTANCE_FILE))
    places = {"run_storage", "event_log_storage", "schedule_storage", "compute_logs", "local_artifact_storage"}
    assert {name: part for name, part in ours.items() if name not in places} == {
        name: part for name, part in homes.items() if name not in places
    }
    interval, log = "backfill_interval_seconds", "event_log_storage"
    assert ours[log]["config"].pop(interval) == homes[log]["config"].pop(interval)
    configs = [ours[name]["config"].values() for name in places]
    assert all(str(path).startswith("data/dagster") for values in configs for path in values)
    assert (root / "workspace.yaml").read_bytes() == WORKSPACE_FILE.read_bytes()


def test_many_processes_may_create_the_instance_at_once(home: Path) -> None:
    program = "import sys; from pathlib import Path; from volassets.orchestration.instance import prepare_instance;"
    command = [sys.executable, "-c", f"{program} prepare_instance(Path(sys.argv[1]))", str(home)]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(6)]
    assert [process.wait(120) for process in started] == [0] * 6
    with closing(sqlite3.connect(home / "dagster" / "schedules" / "schedules.db")) as connection:
        assert len(connection.execute("SELECT version_num FROM alembic_version").fetchall()) == 1
