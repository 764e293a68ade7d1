"""A report that could not be written is written by the next run, also by one that has nothing to compute."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from volassets.cli import cli


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("VOLASSETS_", "DAGSTER_HOME"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "volassets.toml").write_text('models = ["naive", "ewma"]\njobs = 1\n')
    monkeypatch.setenv("VOLASSETS_HOME", str(folder))
    monkeypatch.setenv("DAGSTER_HOME", "")
    return folder


def run() -> Result:
    return CliRunner().invoke(cli, ["run", "--ticker", "^GSPC", "--from", "2018-11", "--to", "2018-12"])


@pytest.mark.slow
def test_the_next_run_writes_what_could_not_be_written(home: Path) -> None:
    reports = home / "reports"
    reports.write_text("a file where the directory should be")
    refused = run()
    assert refused.exit_code != 0
    assert "cannot be written" in refused.stderr
    reports.unlink()
    late = run()
    assert late.exit_code == 0, late.output
    assert f"report    {reports / '^GSPC.html'}" in late.stdout
    assert f"report    {reports / 'panel.html'}" in late.stdout
    pages = {path: path.read_bytes() for path in reports.glob("*.html")}
    assert len(pages) == 2
    assert "report    " not in run().stdout
    # One that was lost, and one of an earlier comparison.
    (reports / "panel.html").unlink()
    (reports / "^GSPC.html").write_text("<html><head>\n</head></html>")
    assert run().stdout.count("report    ") == 2
    assert {path: path.read_bytes() for path in reports.glob("*.html")} == pages


@pytest.mark.slow
def test_a_new_portfolio_is_on_the_panels_page_although_no_ticker_changed(home: Path) -> None:
    assert run().exit_code == 0
    panel = home / "reports" / "panel.html"
    assert "portfolio_core.html" not in panel.read_text("utf-8")
    with (home / "volassets.toml").open("a") as file:
        file.write('portfolio_model = "ewma"\n[portfolios.core]\n"^GSPC" = 1.0\n')
    late = run()
    assert late.exit_code == 0, late.output
    assert 'href="portfolio_core.html"' in panel.read_text("utf-8")
