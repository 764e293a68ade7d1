"""What the documents tell a reader to type works, and where they point to is there.

A command is run in the order of the page, README first, in a home of its own with three quick models. One that a
comment marks (``# long``, ``# needs the network``, ``# needs your files``) is parsed and not run.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from volassets.cli import cli
from volassets.models.registry import MODELS
from volassets.settings import Settings
from volassets.settings_sources import HOME_VARIABLE, PREFIX
from volassets_tests.command_lines import split, understood
from volassets_tests.models.windows import origins_after, window_of

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
SHELLS = ("sh", "bash", "shell", "console")
NOT_RUN = re.compile(r"#.*\b(long|needs)\b")
# Places of somebody else: a bucket, a server, a shared directory.
ELSEWHERE = re.compile(r"\w+://|parquet:|(^|[\s=])/\w")
QUICK = {"VOLASSETS_MODELS": "naive,gjr,log_har", "VOLASSETS_IMPORTANCE": "never", "VOLASSETS_JOBS": "2"}


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    page: str
    line: int
    text: str

    @property
    def words(self) -> list[str]:
        """The words without what is set in front of them and without what a pipe does with the answer."""
        words = split(self.text)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        return words[: next((i for i, word in enumerate(words) if word in ("|", ">", "&&", ";", "&")), len(words))]


@cache
def blocks() -> tuple[Block, ...]:
    found = []
    for page in PAGES:
        text = page.read_text("utf-8") if page.exists() else ""
        for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text[: match.start()].count("\n") + 2
            found.append(Block(str(page.relative_to(ROOT)), line, match[1], match[2]))
    return tuple(found)


def shell_commands() -> Iterator[Command]:
    for block in blocks():
        if block.language in SHELLS:
            joined = re.sub(r"\\\n\s*", " ", block.text)
            for number, line in enumerate(joined.splitlines()):
                text = line.strip().removeprefix("$ ")
                if text and not text.startswith("#"):
                    yield Command(block.page, block.line + number, text)


COMMANDS = list(shell_commands())
OURS = [command for command in COMMANDS if command.words[:1] == ["volassets"]]
RUN = [command for command in OURS if not NOT_RUN.search(command.text) and not ELSEWHERE.search(command.text)]


def named(command: Command) -> str:
    return f"{command.page}:{command.line} {command.text[:60]}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("docs")


def test_the_readme_has_commands_to_run():
    assert any(command.page == "README.md" and command.words[1] == "run" for command in RUN)
    assert any(command.page == "README.md" and command.words[1] == "query" for command in RUN)


@pytest.mark.parametrize("command", OURS, ids=named)
def test_a_command_has_the_options_that_its_page_gives_it(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prices").mkdir()
    understood(command.words[1:])


@pytest.mark.slow
@pytest.mark.parametrize("command", RUN, ids=named)
def test_a_command_runs_as_its_page_says(command, place):
    environment = {name: text for name, text in os.environ.items() if not name.startswith((PREFIX, "DAGSTER"))}
    environment |= QUICK | {HOME_VARIABLE: str(place / "data")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.text],
        cwd=place, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.strip()
    assert "Traceback" not in result.stderr


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_make_target_that_a_page_names_is_there():
    asked = {command.words[1] for command in COMMANDS if command.words[:1] == ["make"] and command.words[1:]}
    asked |= {name for page in PAGES for name in re.findall(r"`make ([a-z]+)", page.read_text("utf-8"))}
    assert asked >= {"run", "test"}
    assert not asked - make_targets()


def test_every_command_that_a_page_names_is_there():
    named_ones = {name for page in PAGES for name in re.findall(r"`volassets ([a-z]+)", page.read_text("utf-8"))}
    assert not named_ones - set(cli.commands)


def test_every_variable_that_a_page_names_is_one():
    known = {HOME_VARIABLE} | {PREFIX + key.upper() for key in Settings.model_fields}
    for name, model in MODELS.items():
        known |= {f"{PREFIX}{name}_{key}".upper() for key in getattr(model, "__pydantic_fields__", {})}
    asked = {name for page in PAGES for name in re.findall(r"(?<!_)\bVOLASSETS_[A-Z][A-Z_]*", page.read_text("utf-8"))}
    assert not asked - known


def test_every_module_that_a_command_starts_is_there():
    modules = {
        command.words[command.words.index("-m") + 1]
        for command in COMMANDS
        if "-m" in command.words and command.words[0].startswith("python")
    }
    ours = [name for name in modules if name.split(".")[0] in ("volassets", "benchmarks", "volassets_tests")]
    assert not [name for name in ours if not _module_exists(name)]


def _module_exists(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "", text)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = unquote(link).partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_and_images_of_a_page_lead_somewhere(page):
    assert not [link for link in links(page) if not re.match(r"[a-z]+:", link) and not leads_somewhere(page, link)]


def test_every_page_is_reached_from_the_readme():
    reached = {(ROOT / "README.md")}
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        for link in links(page):
            target = (page.parent / unquote(link).partition("#")[0]).resolve()
            found = [target] if target.suffix == ".md" else sorted(target.glob("*.md")) if target.is_dir() else []
            for file in found:
                if file.exists() and file not in reached:
                    reached.add(file)
                    waiting.append(file)
    assert not [str(page.relative_to(ROOT)) for page in PAGES if page not in reached]


def test_every_image_is_shown():
    shown = {(page.parent / unquote(link)).resolve() for page in PAGES for link in links(page)}
    images = {file for file in (ROOT / "docs").rglob("*") if file.suffix in (".png", ".svg", ".gif", ".jpg")}
    assert not [str(image.relative_to(ROOT)) for image in images - shown]


@pytest.mark.parametrize(
    "block", [block for block in blocks() if block.language == "python"], ids=lambda block: f"{block.page}:{block.line}"
)
def test_python_is_python(block):
    ast.parse(block.text)


def linted(file: Path) -> None:
    """Refuse what `make lint` would refuse, so that a copy of an example passes."""
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml")]
    for command in ([*ruff, "check", *config, str(file)], [*ruff, "format", "--check", *config, str(file)]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_asset_of_the_developer_guide_is_one(sp500_features, tmp_path, monkeypatch):
    from volassets.models.window import training_rows
    from volassets.pipeline.cells import Partition
    from volassets.pipeline.step import Inputs, Step
    from volassets.settings import load_settings
    from volassets.warehouse import columns, schema_reports
    from volassets.warehouse.declarations import Table

    step_block, table_block = [each for each in blocks() if each.page == "CONTRIBUTING.md" and "uiet_days" in each.text]
    (tmp_path / "asset_of_the_guide.py").write_text(step_block.text)
    linted(tmp_path / "asset_of_the_guide.py")
    monkeypatch.syspath_prepend(tmp_path)
    guide = importlib.import_module("asset_of_the_guide")
    settings = load_settings(tmp_path / "home", {})
    (step,) = guide.quiet_steps(settings, ())
    assert isinstance(step, Step)
    month = sp500_features.index[900].to_period("M").to_timestamp()
    place = Partition("^GSPC", month)

    def computed(features):
        found = {"^GSPC": features}
        return step.compute(Inputs(settings, place, None, "", {}, found, None, {}, lambda _path: b"")).tables[
            "quiet_days"
        ]

    rows = computed(sp500_features)
    assert 0 < rows["share"].iloc[0] < 1
    assert computed(training_rows(sp500_features, month)).equals(rows)
    names = {**vars(columns), **vars(schema_reports), "Table": Table}
    exec(table_block.text, names)
    assert names["QUIET_DAYS"].name == step.table
    assert set(rows) < set(names["QUIET_DAYS"].column_names)


def test_the_model_of_the_developer_guide_is_one(sp500_features, tmp_path, monkeypatch):
    from volassets.models.protocol import Model

    (block,) = [each for each in blocks() if each.page == "README.md" and "def forecast(" in each.text]
    (tmp_path / "model_of_the_guide.py").write_text(block.text)
    linted(tmp_path / "model_of_the_guide.py")
    monkeypatch.syspath_prepend(tmp_path)
    guide = importlib.import_module("model_of_the_guide")
    (kind,) = [value for value in vars(guide).values() if getattr(value, "__module__", "") == guide.__name__]
    model = kind()
    assert isinstance(model, Model)
    window, origins = window_of(sp500_features), origins_after(sp500_features)
    fit = model.fit(window)
    forecast = model.forecast(fit, sp500_features, origins)
    assert list(forecast.index) == list(origins)
    assert list(forecast.columns) == list(window.horizons)
    assert np.isfinite(forecast.to_numpy()).all()
    assert (forecast.to_numpy() > 0).all()
    until_then = sp500_features.loc[: origins[3]]
    assert model.forecast(fit, until_then, origins[:4]).equals(forecast.iloc[:4])


def test_no_page_promises_an_output_that_is_not_there():
    left = [
        f"{page.relative_to(ROOT)}: {found}"
        for page in PAGES
        for found in re.findall(r"<!-- output.*?-->|\bTBD\b|\bTODO\b", page.read_text("utf-8"))
        if not re.search(re.escape(found) + r"\s*```", page.read_text("utf-8"))
    ]
    assert not left
