"""One message about what went wrong in a run, to a command or a URL. It only informs: nothing here fails a run."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from urllib.request import Request, urlopen

from volassets.object_io import is_url
from volassets.settings import Settings

SECONDS = 10
TEXT_LIMIT = 1000
SHOWN = 20


def notify(settings: Settings, message: Mapping[str, object]) -> str:
    """Send a message where the setting `notify`, or `webhook`, says.

    Parameters
    ----------
    settings : Settings
        A URL is sent the message as JSON; a command reads it as JSON on its standard input and is stopped after ten
        seconds.
    message : mapping
        `text`, one line, and what it was made of.

    Returns
    -------
    str
        What went wrong; empty if nothing did, or nobody is to be notified.
    """
    target = settings.notify or settings.webhook
    if not target:
        return ""
    return post(target, message) if is_url(target) or not settings.notify else run(target, message)


def post(url: str, message: Mapping[str, object]) -> str:
    """Post `message` as JSON; return what went wrong, empty if nothing did."""
    try:
        data = json.dumps(message).encode()
        with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=SECONDS) as answer:
            answer.read()
    except (OSError, ValueError) as error:
        return f"the webhook did not take the message: {error}"
    return ""


def run(command: str, message: Mapping[str, object]) -> str:
    """Give `message` as JSON to a command's standard input; return what went wrong, empty if nothing did."""
    try:
        done = subprocess.run(
            shlex.split(command), input=json.dumps(message).encode(), capture_output=True, timeout=SECONDS
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return f"the command of notify did not take the message: {error}"
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[:200]
        return f"the command of notify ended with {done.returncode}: {said}"
    return ""


def run_message(name: str, events: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """Return the one message of a run.

    Parameters
    ----------
    name : str
        Of the run, such as ``run`` or ``daily_update``.
    events : mapping of str to sequence of str
        Kind of event (failed, check, violation, stale) to one line each; kinds without lines are left out.

    Returns
    -------
    dict
        `text`, one line that says how many of each kind and names the first ones; `events`, up to 20 lines of each.
    """
    there = {kind: list(lines) for kind, lines in events.items() if lines}
    counts = ", ".join(f"{len(lines)} {kind}" for kind, lines in there.items())
    firsts = "; ".join(lines[0] for lines in there.values())
    text = " ".join(f"volassets: {name}: {counts}. {firsts}".split())[:TEXT_LIMIT]
    return {"text": text, "run": name, "events": {kind: lines[:SHOWN] for kind, lines in there.items()}}
