"""Errors of every step: how a user's mistake is told apart from a fault of the program."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A mistake in what the user gave: an option, a config, a file.

    The message is one line that names the offending value, what was expected and what to do.
    The command line prints it without a traceback and ends with exit code 2.
    """


def near_misses(name: str, known: Iterable[str]) -> str:
    """Suggestion to append to a message, such as ``; did you mean 't2m'?``, or an empty string."""
    close = difflib.get_close_matches(name.lower(), [k for k in known], n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
