"""The files below deploy/ against the schemas of the programs that read them."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from volassets.orchestration.instance import INSTANCE_FILE

DEPLOY = Path(__file__).parents[2] / "deploy"
INSTANCES = ("local", "checkout", "postgres", "celery", "kubernetes")
FILES = {name: DEPLOY / f"dagster-{name}.yaml" for name in INSTANCES} | {
    "local": INSTANCE_FILE,
    "checkout": DEPLOY.parent / "dagster.yaml",
}
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def checked_instance(file: Path, folder: Path) -> list[str]:
    """Parse a dagster.yaml as Dagster does, without connecting to anything; return the classes it names."""
    from dagster._config import process_config
    from dagster._core.instance.ref import InstanceRef

    folder.mkdir(exist_ok=True)
    shutil.copy(file, folder / "dagster.yaml")
    reference = InstanceRef.from_dir(str(folder))
    names = []
    for data in (
        reference.storage_data,
        reference.compute_logs_data,
        reference.run_coordinator_data,
        reference.run_launcher_data,
    ):
        if data is None:
            continue
        named = getattr(import_module(data.module_name), data.class_name)
        result = process_config(named.config_type(), yaml.safe_load(data.config_yaml) or {})
        assert result.success, f"{file.name}: {data.class_name}: {[error.message for error in result.errors or []]}"
        if "run_k8s_config" in result.value:
            # The launcher leaves this part to Kubernetes' own models.
            from dagster_k8s.job import UserDefinedDagsterK8sConfig

            UserDefinedDagsterK8sConfig.from_dict(result.value["run_k8s_config"])
        names.append(data.class_name)
    return names


@pytest.fixture
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DAGSTER_PG_URL": "postgresql+psycopg2://u:p@127.0.0.1/d",
        "CELERY_BROKER_URL": "redis://127.0.0.1/0",
        "CELERY_RESULT_BACKEND": "redis://127.0.0.1/1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("name", INSTANCES)
def test_an_instance_is_what_dagster_accepts(name: str, tmp_path: Path) -> None:
    for module in ("dagster_celery", "dagster_postgres", "dagster_k8s"):
        pytest.importorskip(module)
    classes = checked_instance(FILES[name], tmp_path)
    assert ("PostgresStorage" in classes or "DagsterPostgresStorage" in classes) == (name not in ("local", "checkout"))
    launcher = {"celery": "WatchedCeleryRunLauncher", "kubernetes": "K8sRunLauncher"}.get(name, "DefaultRunLauncher")
    assert launcher in classes or launcher == "DefaultRunLauncher"


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("local", "max_retries:", "max_tries:"),
        ("celery", "missing_seconds:", "missing_second:"),
        ("kubernetes", "job_namespace:", "job_name_space:"),
        ("kubernetes", "backoff_limit:", "backof_limit:"),
    ],
)
def test_a_misspelt_key_is_found(name: str, right: str, wrong: str, tmp_path: Path) -> None:
    for module in ("dagster_celery", "dagster_k8s"):
        pytest.importorskip(module)
    text = FILES[name].read_text()
    assert right in text
    file = tmp_path / "wrong.yaml"
    file.write_text(text.replace(right, wrong))
    with pytest.raises(Exception, match=re.escape(wrong.rstrip(":"))):
        checked_instance(file, tmp_path / "home")


@pytest.mark.usefixtures("_environment")
def test_the_workers_and_the_launcher_agree() -> None:
    dagster_celery = pytest.importorskip("dagster_celery.cli")
    worker = dagster_celery.get_validated_config(str(DEPLOY / "celery-worker.yaml"))
    launcher = yaml.safe_load((DEPLOY / "dagster-celery.yaml").read_text())["run_launcher"]["config"]
    options = "broker_transport_options"
    assert worker["config_source"][options] == launcher["config_source"][options]
    assert worker["config_source"]["worker_concurrency"] == 1


def test_the_charts_values_have_the_names_of_kubernetes() -> None:
    pytest.importorskip("dagster_k8s")
    import kubernetes
    from dagster_k8s.models import k8s_snake_case_dict

    values = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
    runs = values["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    models = {"containerConfig": kubernetes.client.V1Container, "jobSpecConfig": kubernetes.client.V1JobSpec}
    assert set(runs) <= set(models)
    plain = yaml.safe_load((DEPLOY / "dagster-kubernetes.yaml").read_text())["run_launcher"]["config"]["run_k8s_config"]
    for key, model in models.items():
        snake = k8s_snake_case_dict(model, runs[key])
        assert snake == plain[re.sub("([A-Z])", r"_\1", key).lower()]
    with pytest.raises(Exception, match="Unexpected keys"):
        k8s_snake_case_dict(kubernetes.client.V1JobSpec, {"backofLimit": 0})


def command_lines() -> dict[str, list[str]]:
    """Return every command line of the units and the compose file, by where it stands."""
    lines = {}
    for unit in UNITS:
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read(unit)
        lines[unit.name] = shlex.split(parser["Service"]["ExecStart"])
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    ours = {name: service["command"] for name, service in services.items() if "build" in service}
    assert set(ours) == {"code", "webserver", "daemon", "worker"}
    return lines | {f"compose {name}": command for name, command in ours.items()}


@pytest.mark.parametrize("where", sorted(command_lines()))
def test_a_programs_options_exist(where: str, tmp_path: Path) -> None:
    program, *arguments = command_lines()[where]
    path = Path(sys.executable).parent / Path(program).name
    if not path.exists():
        pytest.skip(f'{path.name} is not installed: pip install "volassets[dev]"')
    # Only the options matter: the files that they name lie on the machine that is set up.
    arguments = [str(DEPLOY / Path(a).name) if a.endswith("celery-worker.yaml") else a for a in arguments]
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path)}
    done = subprocess.run([path, *arguments, "--help"], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert "No such option" not in done.stderr


def test_compose_mounts_what_is_there() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"]
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
    assert (DEPLOY / "Dockerfile").exists()


def test_a_unit_installs_and_restarts() -> None:
    for unit in UNITS:
        text = unit.read_text()
        for line in ("User=volassets", "Restart=always", "EnvironmentFile=/etc/volassets/environment", "[Install]"):
            assert line in text, f"{unit.name} lacks {line}"
