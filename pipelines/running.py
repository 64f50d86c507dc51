"""How every script here ends: a user's mistake in one line and exit code 2, the world's in 1."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from weathersvq.errors import InputError


def run_script(main: Callable[..., None]) -> None:
    """Run `main` with the options of the command line."""
    try:
        typer.run(main)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 1)
