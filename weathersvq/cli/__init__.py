"""The command line: one verb, one module. Heavy imports stay inside the verbs."""

from weathersvq.cli.program import app, main

__all__ = ["app", "main"]
