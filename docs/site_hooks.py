"""The pages of the site: the Markdown of the repository at its paths, and a page per public name of the package."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import volassets

ROOT = Path(__file__).resolve().parents[1]
TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "CITATION.cff", "LICENSE")
SHOWN = (".md", ".png", ".ipynb")
PYTHON, DECISIONS = "docs/python.md", "docs/decisions/index.md"
# A folder is no page: its list is one.
FOLDERS = re.compile(r"\]\((docs/|\.\./)?decisions\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Return the files of the site in the place of those below ``docs_dir``; the theme's stay."""
    found = Files([file for file in files if file.src_uri.startswith("assets/")])
    folders = (path for name in ("docs", "benchmarks/results") for path in sorted((ROOT / name).rglob("*")))
    for path in (*(ROOT / name for name in TOP), *(path for path in folders if path.suffix in SHOWN)):
        found.append(File.generated(config, str(path.relative_to(ROOT)), abs_src_path=str(path)))
    for name in sorted(volassets._PUBLIC):
        found.append(File.generated(config, f"docs/reference/{name}.md", content=_reference(name)))
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    listed = "".join(f"- [{_title(path)}]({path.name})\n" for path in decisions)
    found.append(File.generated(config, DECISIONS, content=f"# Decisions\n\n{listed}"))
    return found


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links to a folder lead to its list, and the page about Python to the reference."""
    markdown = FOLDERS.sub(lambda found: f"]({found[1] or ''}decisions/index.md)", markdown)
    if page.file.src_uri == PYTHON:
        names = "".join(f"- [`volassets.{name}`](reference/{name}.md)\n" for name in sorted(volassets._PUBLIC))
        markdown += f"\n## Reference\n\n{names}"
    return markdown


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site with a page that no chain of links reaches from the README."""
    root = Path(config.site_dir).resolve()
    pages = {path.resolve() for path in root.rglob("*.html")} - {root / "404.html"}
    reached, waiting = {root / "index.html"}, [root / "index.html"]
    while waiting:
        page = waiting.pop()
        # The navigation stands on every page and would reach what it lists.
        article = page.read_text("utf-8").partition("<article")[2].partition("</article>")[0]
        for link in re.findall(r'href="([^":#]+)', article):
            target = (page.parent / unquote(link)).resolve()
            target = target / "index.html" if target.is_dir() else target
            if target in pages - reached:
                reached.add(target)
                waiting.append(target)
    lost = sorted(str(path.relative_to(root)) for path in pages - reached)
    if lost:
        raise PluginError(f"no link leads from the README to {', '.join(lost)}")


def _reference(name: str) -> str:
    module, inside = volassets._PUBLIC[name]
    # The examples of the page about Python, which the tests run.
    blocks = re.findall(r"^```pycon\n.*?^```$", (ROOT / PYTHON).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    example = "\n\n".join(block for block in blocks if re.search(rf"\bva\.{name}\b", block))
    heading = "## Example\n\nFrom the page [in Python](../python.md), in whose order names are defined."
    return f"# volassets.{name}\n\n::: {module}{f'.{inside}' if inside else ''}\n\n{heading}\n\n{example}\n"


def _title(path: Path) -> str:
    return path.read_text("utf-8").partition("\n")[0].removeprefix("# ")
