"""The container, compose, Celery and Kubernetes files against what their readers publish; no network, no cluster."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CONTAINER = DEPLOY / "Dockerfile"
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))
WITHOUT_SCHEMAS = find_spec("check_jsonschema") is None
needs_schemas = pytest.mark.skipif(WITHOUT_SCHEMAS, reason='pip install "volassets[dev]" brings check-jsonschema')

# By schema, as check-jsonschema brings it: the files, and a misspelling that it must find.
SCHEMAS = {
    "compose-spec": (["deploy/compose.yaml"], "restart:", "restarts:"),
    "github-workflows": ([".github/workflows/ci.yml"], "runs-on:", "run-on:"),
    "github-issue-forms": (
        [f".github/ISSUE_TEMPLATE/{path.name}" for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))],
        "attributes:",
        "attribute:",
    ),
    "citation-file-format": (["CITATION.cff"], "authors:", "author:"),
}


def validate(schema: str, *files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, files)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@needs_schemas
@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_file_follows_the_published_schema_and_a_misspelt_key_does_not(schema, tmp_path):
    files, right, wrong = SCHEMAS[schema]
    done = validate(schema, *(ROOT / name for name in files))
    assert done.returncode == 0, done.stdout + done.stderr
    text = (ROOT / files[0]).read_text("utf-8")
    assert right in text
    spoiled = tmp_path / Path(files[0]).name
    spoiled.write_text(text.replace(right, wrong), "utf-8")
    assert validate(schema, spoiled).returncode == 1


@pytest.mark.skipif(HADOLINT is None, reason='pip install "volassets[dev]" brings hadolint')
def test_the_container_file_has_no_finding_of_its_linter(tmp_path):
    done = subprocess.run([HADOLINT, "--no-color", str(CONTAINER)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    spoiled = tmp_path / "Dockerfile"
    spoiled.write_text(CONTAINER.read_text("utf-8").replace("python:3.11-slim", "python").replace("USER 10001\n", ""))
    found = subprocess.run([HADOLINT, "--no-color", str(spoiled)], capture_output=True, text=True, timeout=60)
    assert found.returncode == 1
    assert "DL3006" in found.stdout


def test_the_container_installs_by_the_steps_of_make():
    """README.md installs with `make`: torch alone first, then the package, both pinned. The image does the same."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    steps = re.findall(r"^\t@\$\(PIP\) (-c .*)$", makefile.split("$(VENV)/.torch:")[1], re.MULTILINE)
    torch, package = steps[:2]
    (line,) = [line for line in CONTAINER.read_text("utf-8").splitlines() if "pip install" in line]
    ours = [shlex.split(part.strip()) for part in line.removeprefix("RUN ").split("&&")]
    options = ["pip", "install", "--no-cache-dir"]
    assert ours[0] == [*options, *shlex.split(torch)]
    # A copy in the image: not editable, with what several machines need.
    assert ours[1] == [*options, *shlex.split(package.replace("-e .", ".[scale]"))]


def test_what_the_image_leaves_out_is_what_git_does_not_keep():
    left_out = set((ROOT / ".dockerignore").read_text("utf-8").splitlines())
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()}
    assert {".git", ".venv", "data", "build"} <= left_out
    assert {name.removeprefix("**/") for name in left_out if not name.startswith("#")} <= ignored | {".git"}


def celery_settings() -> dict[str, dict[str, object]]:
    worker = yaml.safe_load((DEPLOY / "celery-worker.yaml").read_text("utf-8"))["execution"]["config"]
    launcher = yaml.safe_load((DEPLOY / "dagster-celery.yaml").read_text("utf-8"))["run_launcher"]["config"]
    return {"worker": worker["config_source"], "launcher": launcher["config_source"]}


@pytest.mark.parametrize("who", ["worker", "launcher"])
def test_celery_knows_every_setting(who):
    """Dagster hands `config_source` on unread, and Celery ignores what it does not know."""
    defaults = pytest.importorskip("celery.app.defaults")
    known = dict(defaults.flatten(defaults.NAMESPACES))
    kinds = {"bool": bool, "int": int, "dict": dict}
    for name, value in celery_settings()[who].items():
        assert name in known, f"Celery has no setting {name}"
        # None is Celery's word for "no limit".
        assert value is None or isinstance(value, kinds.get(known[name].type, object)), name
    assert "worker_max_tasks_per_childs" not in known


@pytest.mark.parametrize("name", ["compose-workspace.yaml", "systemd/workspace.yaml"])
def test_a_workspace_is_what_dagster_accepts(name):
    from dagster._core.workspace.config_schema import ensure_workspace_config

    text = (DEPLOY / name).read_text("utf-8")
    ensure_workspace_config(yaml.safe_load(text), name)
    with pytest.raises(Exception, match="location_names"):
        ensure_workspace_config(yaml.safe_load(text.replace("location_name:", "location_names:")), name)


def snake(value: object) -> object:
    """Return a mapping with its keys as Dagster's own files write them, at every level."""
    if not isinstance(value, dict):
        return value
    return {re.sub("(?<=[a-z0-9])([A-Z])", r"_\1", key).lower(): snake(inner) for key, inner in value.items()}


def test_the_charts_values_say_what_the_plain_instance_says():
    pytest.importorskip("dagster_k8s")
    from dagster._config import process_config
    from dagster_k8s import K8sRunLauncher

    values = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text("utf-8"))
    plain = yaml.safe_load((DEPLOY / "dagster-kubernetes.yaml").read_text("utf-8"))
    daemon = snake(values["dagsterDaemon"])
    assert daemon["run_monitoring"] == plain["run_monitoring"]
    assert daemon["run_retries"] == plain["run_retries"]
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    own = snake({key: value for key, value in launcher.items() if key != "runK8sConfig"})
    # What the chart fills in by itself.
    chart = {"service_account_name": "dagster", "instance_config_map": "i", "dagster_home": "/h"}
    assert process_config(K8sRunLauncher.config_type(), {**chart, **own}).success
    assert not process_config(K8sRunLauncher.config_type(), {**chart, **own, "job_name_space": "x"}).success
    assert own.items() <= plain["run_launcher"]["config"].items()
    assert snake(launcher["runK8sConfig"]) == plain["run_launcher"]["config"]["run_k8s_config"]
