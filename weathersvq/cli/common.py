"""What several verbs need. Heavy imports stay inside the functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def make_console() -> Console:
    """Where results are printed, as wide as the terminal."""
    from rich.console import Console

    return Console()
