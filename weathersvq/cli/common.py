"""What several verbs need. Heavy imports stay inside the functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from weathersvq.checkpoint import Checkpoint


def make_console() -> Console:
    """Where results are printed, as wide as the terminal."""
    from rich.console import Console

    return Console()


def open_model(name: str) -> Checkpoint:
    """A checkpoint by its file, or the one that comes with the package by `bundled`.

    Raises:
        InputError: no checkpoint there.
    """
    from weathersvq.bundled import bundled_model
    from weathersvq.checkpoint import load_checkpoint

    return load_checkpoint(bundled_model() if name == "bundled" else name)
