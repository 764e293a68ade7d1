"""Errors that a user meets: each message names the value, the rule and the remedy."""

from __future__ import annotations


class VolassetsError(Exception):
    """Base of every error raised on purpose; shown without a traceback."""


class InputError(VolassetsError):
    """Wrong input (a setting, a ticker, a file, a month). Nothing has been written; exit code 2."""


class SourceError(VolassetsError):
    """A price source cannot answer now (network, rate limit, broken answer); the input may be right."""
