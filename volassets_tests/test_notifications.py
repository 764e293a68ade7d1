"""The message of a run: what is in it, who gets it, and that its failure is only named."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from volassets import notifications
from volassets.notifications import notify, post, run, run_message
from volassets.settings import Settings


def reader(place: Path, code: str) -> str:
    """Return a command that runs `code` with its standard input as `text`."""
    script = place / "tell.py"
    script.write_text(f"import sys, time\ntext = sys.stdin.read()\n{code}\n")
    return f"'{sys.executable}' '{script}' '{place / 'got'}'"


def test_one_line_says_how_many_of_each_kind_and_names_the_first():
    message = run_message("daily_update", {"failed": ["A: x", "B: y"], "failed check": [], "stale": ["C:\n old"] * 30})
    assert message["text"] == "volassets: daily_update: 2 failed, 30 stale. A: x; C: old"
    assert message["events"] == {"failed": ["A: x", "B: y"], "stale": ["C:\n old"] * 20}


def test_a_command_reads_the_message(tmp_path):
    command = reader(tmp_path, "open(sys.argv[1], 'w').write(text)")
    assert notify(Settings(notify=command), {"text": "a line"}) == ""
    assert json.loads((tmp_path / "got").read_text()) == {"text": "a line"}


def test_nobody_is_notified_without_a_setting_and_notify_wins_over_webhook(tmp_path):
    assert notify(Settings(), {"text": "a line"}) == ""
    command = reader(tmp_path, "open(sys.argv[1], 'w').write(text)")
    assert notify(Settings(notify=command, webhook="http://127.0.0.1:9/"), {"text": "a line"}) == ""
    assert (tmp_path / "got").exists()
    assert "did not take" in notify(Settings(webhook="http://127.0.0.1:9/"), {"text": "a line"})


@pytest.mark.parametrize(
    ("code", "words"),
    [("sys.exit('no route')", "ended with 1: no route"), ("time.sleep(30)", "did not take the message")],
)
def test_a_command_that_fails_or_hangs_is_named_and_raises_nothing(tmp_path, monkeypatch, code, words):
    monkeypatch.setattr(notifications, "SECONDS", 2)
    assert words in run(reader(tmp_path, code), {"text": "a line"})


def test_what_is_no_command_and_no_url_is_named(tmp_path):
    assert "did not take" in run(str(tmp_path / "none"), {})
    assert "did not take" in run("'unbalanced", {})
    assert "did not take" in post("not a url", {})
