"""Wheel and sdist: built from a copy, the wheel installed into an empty environment, one month run there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import volassets

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "data", "build", "dist", "*.egg-info")
DATA = (".yaml", ".html", ".css", ".js", ".txt")


def call(*words: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    hidden = ("VOLASSETS_", "DAGSTER_", "PYTHONPATH", "VIRTUAL_ENV", "PYTHONWARNINGS", "MAKE")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(hidden)} | variables
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the sdist of a copy of the checkout, and in `again` the wheel of the sdist."""
    folder = tmp_path_factory.mktemp("packages")
    shutil.copytree(ROOT, folder / "copy", ignore=NOT_COPIED)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-qq", "--no-deps"]
    call(*pip, "-w", folder, folder / "copy", cwd=folder)
    call(sys.executable, "-m", "uv", "--no-cache", "build", "--sdist", "-o", folder, folder / "copy", cwd=folder)
    call(*pip, "-w", folder / "again", *folder.glob("*.tar.gz"), cwd=folder)
    return folder


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


def test_the_wheel_has_the_package_with_its_data_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"volassets-{volassets.__version__}-py3-none-any.whl"
    files = {name for name in contents(wheel) if not name.startswith("volassets-")}
    package = {path for path in (built / "copy" / "volassets").rglob("*") if path.suffix in (".py", *DATA)}
    assert files == {str(path.relative_to(built / "copy")) for path in package}
    assert any(name.endswith(DATA) for name in files)


def test_the_sdist_builds_the_same_wheel(built: Path) -> None:
    (wheel,), (again,) = built.glob("*.whl"), (built / "again").glob("*.whl")
    assert contents(again) == contents(wheel)


def closure(package: Distribution) -> list[Distribution]:
    """Return what a package requires without extras, and what that requires, as they are installed here."""
    found: dict[tuple[str, str], Distribution] = {}
    due = [(package, "")]
    while due:
        current, wanted = due.pop()
        for text in current.requires or []:
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({"extra": wanted}):
                continue
            for extra in ("", *requirement.extras):
                key = (canonicalize_name(requirement.name), extra)
                if key not in found:
                    found[key] = distribution(requirement.name)
                    due.append((found[key], extra))
    return list({str(one.metadata["Name"]): one for one in found.values()}.values())


def link(package: Distribution, folder: Path) -> None:
    """Put a package's files into `folder` as links."""
    for file in package.files or []:
        if ".." not in file.parts:
            place = folder / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(Path(str(file.locate())))


def test_a_month_of_one_ticker_runs_with_what_the_wheel_requires_and_nothing_else(built: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python, program = tmp_path / "venv" / "bin" / "python", tmp_path / "venv" / "bin" / "volassets"
    (wheel,) = built.glob("*.whl")
    uv = [sys.executable, "-m", "uv", "--no-cache", "pip"]
    call(*uv, "install", "--offline", "--no-deps", "--python", python, wheel, cwd=tmp_path)
    (folder,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (package,) = distributions(path=[str(folder)])
    # Linked and not installed once more, which takes minutes of a slow machine; `make install` installs them.
    for required in closure(package):
        link(required, folder)
    call(*uv, "check", "--python", python, cwd=tmp_path)
    assert call(python, "-c", "import sys; print(*sys.path)", cwd=tmp_path).stdout.split()[-1] == str(folder)
    for unasked in ("pytest", "dagster_celery", "mkdocs"):
        assert not (folder / unasked).exists()
    place = call(python, "-c", "import volassets; print(volassets.__file__)", cwd=tmp_path).stdout
    assert place.startswith(str(tmp_path / "venv"))
    assert call(program, "--version", cwd=tmp_path).stdout == f"volassets, version {volassets.__version__}\n"
    month = ["--from", "2018-12", "--to", "2018-12"]
    done = call(program, "run", "--ticker", "^GSPC", *month, "--models", "naive,gjr,log_har,lstm", cwd=tmp_path)
    assert "Traceback" not in done.stdout + done.stderr
    assert (tmp_path / "data" / "reports" / "^GSPC.html").exists()
    query = "SELECT model, count(*) AS n FROM forecasts WHERE horizon = 1 GROUP BY model ORDER BY model"
    answer = call(program, "query", query, "--format", "csv", cwd=tmp_path).stdout.split()
    assert answer[0] == "model,n"
    assert [line.split(",")[0] for line in answer[1:]] == ["gjr", "log_har", "lstm", "naive"]
    assert "Dagster's record and the tables agree." in call(program, "status", cwd=tmp_path).stdout


def test_make_says_a_line_for_each_thing_that_it_installs(built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    shutil.copytree(built / "copy", folder, ignore=NOT_COPIED)
    venv.create(folder / ".venv", with_pip=True)
    # What it needs is there already; only the package itself is installed.
    (own,) = (folder / ".venv" / "lib").glob("python*/site-packages")
    (own / "outer.pth").write_text(sysconfig.get_path("purelib"))
    done = call("make", "-o", ".venv/bin/python", "-o", ".venv/.torch", ".venv/.installed", cwd=folder)
    assert done.stdout == "installing volassets and what it needs, about half a minute\n"
    assert done.stderr == ""
