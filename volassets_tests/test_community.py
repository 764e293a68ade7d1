"""The files for those who join: what they name is there, and is the same as elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import volassets

ROOT = Path(__file__).parents[1]
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def loaded(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def test_the_workflow_runs_what_ci_runs_and_a_first_hour_on_macos() -> None:
    jobs = loaded(".github/workflows/ci.yml")["jobs"]
    lines = {name: " ".join(step.get("run", "") for step in job["steps"]) for name, job in jobs.items()}
    assert ".ci/run" in lines["linux"]
    assert "volassets run" in lines["macos"]
    assert jobs["macos"]["runs-on"].startswith("macos")
    used = re.findall(r"make ([\w./-]+)", lines["macos"])
    makefile = (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv")
    assert used
    assert all(re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE) for target in used)


def test_hooks_are_the_programs_of_make_lint() -> None:
    (repo,) = loaded(".pre-commit-config.yaml")["repos"]
    entries = {hook["entry"] for hook in repo["hooks"]}
    lint = (ROOT / "Makefile").read_text().split("lint:")[1].split("\n\n")[0]
    wanted = {line.strip().replace("$(BIN)", ".venv/bin").removesuffix(" .") for line in lint.splitlines()[1:]}
    assert entries == wanted


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_an_issue_asks_for_the_report(template: Path) -> None:
    form = yaml.safe_load(template.read_text("utf-8"))
    assert form["name"]
    assert form["description"]
    assert any("volassets status --report" in part["attributes"]["label"] for part in form["body"])


def test_the_citation_has_the_version() -> None:
    citation = loaded("CITATION.cff")
    assert citation["version"] == volassets.__version__
    assert citation["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


def test_what_contributors_are_sent_to_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = set(re.findall(r"`((?:volassets|volassets_tests|docs|deploy|golden)/[\w/.-]+)`", text))
    assert len(named) > 8
    missing = {name for name in named if not (ROOT / name).exists() and not (ROOT / "volassets_tests" / name).exists()}
    assert not missing
    modules = re.findall(r"python -m\s+(volassets[\w.]+)", text)
    assert modules
    assert all(ROOT.joinpath(*name.split(".")).with_suffix(".py").exists() for name in modules)
    assert not set(re.findall(r"`make (\w+)", text)) - set(
        re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    )


def test_windows_is_answered() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert "Windows" in text
    assert "fcntl" in text


def test_ci_names_test_files_that_exist() -> None:
    text = (ROOT / ".ci" / "run").read_text("utf-8")
    folder, names = re.search(r"networks=\((\S+)/test_\{([\w,]+)\}\.py\)", text).groups()
    assert not [name for name in names.split(",") if not (ROOT / folder / f"test_{name}.py").exists()]
