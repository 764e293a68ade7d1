"""The rules of the layout: which way data flows, what is loaded when, how large a file may be."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import volassets
from volassets.clock import utc_now

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "volassets"
FLOW = ("market", "features", "models", "evaluation", "reporting")
SHARED = (
    "clock", "errors", "file_lock", "names", "notifications", "object_io", "parent_watch", "settings",
    "settings_file", "timing",
)  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))
TEST_FILES = sorted((ROOT / "volassets_tests").rglob("*.py"))
# From the lowest to the highest; what is below imports nothing that is above.
ABOVE = ("warehouse", "pipeline", "notebook", "orchestration", "definitions", "commands", "cli")
MAX_LINES = 400
CLOCK = PACKAGE / "clock.py"
TIMED = (*FILES, *TEST_FILES, *(ROOT / "benchmarks").rglob("*.py"))
# What reads the clock, by the last name of what has it.
READERS = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "Timestamp": {"now", "utcnow", "today"},
    "Period": {"now"},
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime", "clock_gettime"},
}
PARSERS = {"Timestamp", "to_datetime", "datetime64", "Period", "DatetimeIndex"}
# Below the commands and Dagster's code only a source of prices, which asks for what has happened until now.
PURE = ("market", "features", "models", "evaluation", "reporting", "warehouse")
EDGE = ("volassets/market/yahoo.py",)


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def layer_of(file: Path) -> str:
    part = file.relative_to(PACKAGE).parts[0]
    return part.removesuffix(".py")


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


def imports(file: Path) -> Iterator[str]:
    """Yield every module that a file imports, at its top or in a function."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(file)} imports relatively"
            yield node.module or ""
            if node.module == "volassets":
                yield from (f"volassets.{alias.name}" for alias in node.names)


def own_layers(file: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(file) if name.startswith("volassets.")}


def in_layer(*layers: str) -> list[Path]:
    return [file for file in FILES if layer_of(file) in layers]


@pytest.mark.parametrize("layer", FLOW)
def test_data_flows_one_way(layer):
    allowed = {*FLOW[: FLOW.index(layer) + 1], *SHARED}
    files = in_layer(layer)
    assert files
    against = {name_of(file): own_layers(file) - allowed for file in files}
    assert not {name: layers for name, layers in against.items() if layers}


@pytest.mark.parametrize("layers", [(*FLOW, *SHARED), ("warehouse",), ("pipeline",)])
def test_nothing_below_imports_what_is_above(layers):
    files = in_layer(*layers)
    assert {layer_of(file) for file in files} == set(layers)
    above = {*ABOVE[ABOVE.index(layers[0]) + 1 :]} if layers[0] in ABOVE else {*ABOVE}
    against = {name_of(file): own_layers(file) & above for file in files}
    assert not {name: layers for name, layers in against.items() if layers}


def test_only_the_orchestration_imports_dagster():
    using = [file for file in FILES if any(name.split(".")[0] == "dagster" for name in imports(file))]
    assert {layer_of(file) for file in using} == {"orchestration", "definitions"}


def test_no_file_is_longer_than_a_reader_can_hold():
    long = {name_of(file): len(file.read_text("utf-8").splitlines()) for file in (*FILES, *TEST_FILES)}
    assert not {name: lines for name, lines in long.items() if lines > MAX_LINES}


def names_of_imports(tree: ast.Module) -> dict[str, str]:
    """Return what every imported name stands for, dotted."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def readings(source: str) -> Iterator[int]:
    """Yield the line of every expression that reads the clock, called or passed on."""
    tree = ast.parse(source)
    names = names_of_imports(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            first, *rest = ast.unparse(node).split(".")
            *_, owner, name = ["", *names.get(first, first).split("."), *rest]
            if name in READERS.get(owner, ()):
                yield node.lineno
        elif isinstance(node, ast.Call) and node.args and ast.unparse(node.func).split(".")[-1] in PARSERS:
            word = node.args[0]
            yield from [node.lineno] * (isinstance(word, ast.Constant) and word.value in ("now", "today"))


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner in READERS for name in sorted(READERS[owner])])
def test_readings_are_found(owner: str, name: str) -> None:
    assert list(readings(f"import {owner}\n{owner}.{name}()")) == [2]
    assert list(readings(f"import lib as short\nfield(default_factory=short.{owner}.{name})")) == [2]
    assert list(readings(f"from {owner} import {name} as it\nit()")) == [2]
    assert list(readings(f"from lib import {owner} as it\nit.{name}('UTC')")) == [2]


def test_a_word_for_the_time_is_a_reading_and_a_stopwatch_is_none() -> None:
    assert list(readings("import pandas as pd\npd.Timestamp('now')\npd.to_datetime('today')")) == [2, 3]
    assert not list(readings("import time\ntime.monotonic() + time.perf_counter()\ntime.sleep(1)"))
    assert not list(readings("pd.Timestamp('2024-02-29'), context.today, self.now()"))


def test_the_clock_is_read_in_one_place() -> None:
    found = {name_of(file): list(readings(file.read_text("utf-8"))) for file in TIMED if file != CLOCK}
    assert not {name: lines for name, lines in found.items() if lines}
    assert len(list(readings(CLOCK.read_text("utf-8")))) == 1


def test_only_the_edge_asks_for_the_time() -> None:
    pure = {f"volassets/{layer}" for layer in PURE} | {"volassets_tests"}
    asking = {name_of(file) for file in TIMED if "volassets.clock.utc_now" in names_of_imports(tree_of(file)).values()}
    inside = {name for name in asking if any(name.startswith(f"{folder}/") for folder in pure)}
    assert inside == {*EDGE, "volassets_tests/test_structure.py"}


def test_the_time_is_aware_and_in_utc() -> None:
    assert utc_now().utcoffset().total_seconds() == 0


def functions(file: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Yield the public functions and classes of a module, and the public methods of those classes."""
    for node in tree_of(file).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


def statements(node: ast.FunctionDef | ast.ClassDef) -> str:
    """Return the code of a body without its docstring."""
    return "\n".join(ast.unparse(part) for part in node.body[bool(ast.get_docstring(node)) :])


def test_everything_public_has_a_docstring():
    # A property of a protocol that only names a field has nothing to add to it.
    bare = [
        f"{name_of(file)}: {name}"
        for file in FILES
        for name, node in functions(file)
        if not ast.get_docstring(node) and statements(node) != "..."
    ]
    bare += [name_of(file) for file in FILES if tree_of(file).body and not ast.get_docstring(tree_of(file))]
    assert not bare


def test_nothing_is_left_to_do():
    left = [
        f"{name_of(file)}:{number}: {line.strip()}"
        for file in (*FILES, *(ROOT / "benchmarks").rglob("*.py"))
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line)
    ]
    assert not left


def test_what_a_base_class_leaves_open_is_filled_in():
    public = [item for file in FILES for item in functions(file) if isinstance(item[1], ast.FunctionDef)]
    filled = {name.split(".")[-1] for name, node in public if statements(node) not in ("raise NotImplementedError", "")}
    left_open = {name for name, node in public if "raise NotImplementedError" in statements(node)}
    assert not [name for name in left_open if "." not in name or name.split(".")[1] not in filled]


def test_nothing_is_read_when_a_module_is_imported():
    """Settings are read when a command runs, so that importing a module never depends on where one stands."""
    readers = ("os.environ", "os.getenv", "open", "Path.cwd", "os.getcwd", "load_settings")
    found = []
    for file in FILES:
        for node in _at_import(tree_of(file)):
            text = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if text in readers or (isinstance(node, ast.Attribute) and ast.unparse(node) == "os.environ"):
                found.append(f"{name_of(file)}:{node.lineno}")
    assert not found


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _at_import(child)


def loaded_by(statement: str, home: Path) -> set[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("VOLASSETS_")}
    environment |= {"VOLASSETS_HOME": str(home), "DAGSTER_HOME": ""}
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=environment, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return {name.split(".")[0] for name in result.stdout.split()}


def test_the_package_itself_loads_nothing_but_its_version(tmp_path):
    assert list(imports(PACKAGE / "__init__.py")) == ["importlib"]
    statement = "import volassets; assert volassets.__version__"
    assert loaded_by(statement, tmp_path) - loaded_by("pass", tmp_path) == {"volassets"}


def test_the_version_is_declared_once():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    assert parser["metadata"]["version"] == "attr: volassets.__version__"
    deployed = [path for path in (ROOT / "deploy").rglob("*.yaml") if "volassets" in path.read_text("utf-8")]
    tags = {
        name_of(path): set(re.findall(r"(?:volassets:|\btag: )([\d.]+)", path.read_text("utf-8"))) for path in deployed
    }
    assert any(tags.values())
    assert not {name: found for name, found in tags.items() if found - {volassets.__version__}}


def test_the_command_line_loads_nothing_heavy(tmp_path):
    heavy = {"torch", "dagster", "matplotlib", "pandas", "arch", "sklearn", "statsmodels", "duckdb", "rich"}
    assert not loaded_by("import volassets.cli", tmp_path) & heavy


def test_settings_load_no_model_library(tmp_path):
    heavy = {"torch", "dagster", "matplotlib", "arch", "sklearn", "statsmodels", "yfinance", "duckdb"}
    assert not loaded_by("from volassets.settings import load_settings; load_settings()", tmp_path) & heavy


CODE_LOCATION = """
from volassets.definitions import build_definitions
from volassets.settings import load_settings
build_definitions(load_settings())
"""
BUNDLED_PRICES = """
from volassets.market.bundled import BundledSource
for name in ('^GSPC', '^IXIC', '^VIX', 'AAPL'):
    assert len(BundledSource().fetch(name)) > 1000
"""


@pytest.mark.parametrize("statement", [CODE_LOCATION, BUNDLED_PRICES], ids=["code location", "bundled prices"])
def test_no_model_library_is_loaded_before_a_model_is(tmp_path, statement):
    heavy = {"torch", "matplotlib", "arch", "sklearn", "statsmodels", "yfinance"}
    assert not loaded_by(statement, tmp_path) & heavy


@cache
def requirements() -> dict[str, Requirement]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    extras = parser["options.extras_require"]
    texts = [parser["options"]["install_requires"], *(extras[name] for name in extras)]
    lines = [line for text in texts for line in text.split("\n") if line.strip()]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


@cache
def pins() -> dict[str, str]:
    lines = [line.strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs)
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.parametrize("category", [RuntimeWarning, DeprecationWarning, PendingDeprecationWarning, FutureWarning])
@pytest.mark.parametrize("module", ["volassets.models.garch", "volassets_tests.test_structure"])
def test_a_warning_that_our_own_lines_cause_is_an_error(category, module):
    with pytest.raises(category, match="old"):
        warnings.warn_explicit("an old call", category, "file.py", 1, module=module)


def test_every_warning_of_a_library_that_is_let_through_is_named_with_its_reason():
    text = (ROOT / "setup.cfg").read_text("utf-8").split("filterwarnings =\n")[1]
    previous = ""
    for line in text.splitlines():
        if line.strip().startswith("ignore"):
            assert re.match(r"\s+ignore:[^:]{12,}:\w", line), line
            assert previous.strip().startswith(("#", "ignore")), line
        previous = line


def test_every_pin_lies_in_its_range():
    outside = {
        name: (str(wanted.specifier), pins()[name])
        for name, wanted in requirements().items()
        if name in pins() and pins()[name] not in wanted.specifier
    }
    assert not outside


def test_every_requirement_is_pinned():
    assert not set(requirements()) - set(pins()) - {"psycopg2-binary", "dagster-celery", "redis"}


def test_the_pins_that_the_design_asks_for():
    assert pins()["torch"] == "2.13.0"
    assert pins()["duckdb"].startswith("1.5.")
    assert "2" not in requirements()["duckdb"].specifier


def test_every_pin_before_the_plain_ones_has_its_reason():
    special = (ROOT / "constraints.txt").read_text().split("# --- Pins that make")[0]
    groups = re.findall(r"((?:^# .*\n)+)((?:^\w.*\n)+)", special, re.MULTILINE)
    pinned = [line for _, lines in groups for line in lines.split()]
    assert len(pinned) == len(re.findall(r"^\w.*==", special, re.MULTILINE))


def test_every_library_that_is_imported_is_required():
    known = importlib.metadata.packages_distributions()
    top = {name.split(".")[0] for file in FILES for name in imports(file)}
    foreign = top - set(sys.stdlib_module_names) - {"volassets", ""}
    # What a requirement brings is used only where that requirement is.
    brought = {"PIL": "matplotlib", "sqlalchemy": "dagster", "yaml": "dagster", "pydantic_core": "pydantic"}
    missing = {
        name: known.get(name, [])
        for name in foreign - set(brought)
        if not {canonicalize_name(dist) for dist in known.get(name, [name])} & set(requirements())
    }
    assert not missing


@pytest.mark.parametrize("target", ["run", "test", "ui", "bench", "lint", "format"])
def test_make_has_the_target(target):
    result = subprocess.run(
        ["make", "-n", "-C", str(ROOT), target], capture_output=True, text=True, env={**os.environ, "MAKEFLAGS": ""}
    )
    assert result.returncode == 0, result.stderr
    expected = {"run": "volassets run", "test": "pytest", "ui": "volassets ui", "bench": "-m benchmarks"}
    assert expected.get(target, "ruff") in result.stdout


def test_the_files_of_the_layout_are_there():
    names = (
        "README.md LICENSE Makefile pyproject.toml setup.cfg constraints.txt workspace.yaml dagster.yaml "
        ".ci/run .ci/resolve volassets/definitions.py volassets/cli.py volassets_tests/leakage volassets_tests/golden "
        "volassets_tests/end_to_end benchmarks/__main__.py"
    )
    assert not [name for name in names.split() if not (ROOT / name).exists()]
    assert all(os.access(ROOT / ".ci" / name, os.X_OK) for name in ("run", "resolve"))
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_the_tests_mirror_the_package():
    packages = {
        file.parent.relative_to(PACKAGE)
        for file in FILES
        if layer_of(file) in (*FLOW, "warehouse", "pipeline", "orchestration")
    }
    tops = {package.parts[0] for package in packages if package.parts}
    assert not [name for name in tops if not list((ROOT / "volassets_tests" / name).glob("test_*.py"))]
    assert not [
        name_of(folder) for folder in {file.parent for file in TEST_FILES} if not (folder / "__init__.py").exists()
    ]
