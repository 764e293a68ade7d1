"""The site of the documentation: its navigation names pages that are there, and none of ours is forgotten."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import volassets

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "docs" / "mkdocs.yml"


def navigation() -> set[str]:
    def pages(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        values = entry.values() if isinstance(entry, dict) else entry
        return [page for value in values for page in pages(value)]

    return set(pages(yaml.safe_load(CONFIG.read_text("utf-8"))["nav"]))


def test_every_page_below_docs_is_in_the_navigation_and_nothing_else():
    own = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")}
    assert own <= navigation()
    assert not [page for page in navigation() if not (ROOT / page).exists()]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason='mkdocs is not installed: pip install "volassets[docs]"')
@pytest.mark.parametrize("spoiled", [False, True])
def test_the_site_is_built_and_a_page_that_no_link_reaches_is_refused(spoiled, tmp_path):
    config = CONFIG
    if spoiled:
        config = tmp_path / "mkdocs.yml"
        text = CONFIG.read_text("utf-8").replace("docs_dir: images", "docs_dir: empty")
        config.write_text(text.replace("[site_hooks.py]", "[hooks.py]").replace("  - Start", "  - lost.md\n  - Start"))
        (tmp_path / "empty").mkdir()
        lost = 'found.append(File.generated(config, "lost.md", content="# Lost"))\n    decisions ='
        hooks = (ROOT / "docs" / "site_hooks.py").read_text("utf-8").replace("decisions =", lost, 1)
        place = f"ROOT = Path({str(ROOT)!r})"
        (tmp_path / "hooks.py").write_text(hooks.replace("ROOT = Path(__file__).resolve().parents[1]", place))
    command = [sys.executable, "-m", "mkdocs", "build", "-f", str(config), "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode != 0) is spoiled, done.stderr
    if spoiled:
        assert "no link leads from the README to lost" in done.stderr
        return
    for name in volassets._PUBLIC:
        page = tmp_path / "site" / "docs" / "reference" / name / "index.html"
        text = re.sub(r"<[^>]+>", "", page.read_text("utf-8"))
        assert f"volassets.{name}" in text
        assert re.search(rf"\bva\.{name}\b", text.partition("From the page in Python")[2])
