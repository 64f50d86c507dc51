"""Errors of every step: how a user's mistake is told apart from a fault of the program."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """A mistake in what the user gave: an option, a config, a file.

    The message is one line that names the offending value, what was expected and what to do.
    The command line prints it without a traceback and ends with exit code 2.
    """


class SectionError(InputError):
    """An `InputError` that a section of a config is to blame for; its key path comes first."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


@contextmanager
def section(name: str) -> Iterator[None]:
    """Lay what goes wrong inside at the door of a config's section; sections may be nested."""
    try:
        yield
    except SectionError as error:
        raise SectionError(f"{name}.{error.path}", error.reason) from error
    except InputError as error:
        raise SectionError(name, str(error)) from error


def near_misses(name: str, known: Iterable[str]) -> str:
    """Suggestion to append to a message, such as ``; did you mean 't2m'?``, or an empty string."""
    close = difflib.get_close_matches(name.lower(), [k for k in known], n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
