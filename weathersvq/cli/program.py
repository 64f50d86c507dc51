"""The program: its verbs, and what becomes of errors."""

from __future__ import annotations

import atexit
import gc
import sys

import typer

from weathersvq.cli.evaluate import evaluate
from weathersvq.cli.export import export
from weathersvq.cli.forecast import forecast
from weathersvq.cli.inspect import inspect
from weathersvq.cli.map import map
from weathersvq.cli.models import models
from weathersvq.cli.prepare import prepare
from weathersvq.cli.reproduce import reproduce
from weathersvq.cli.train import train

# In the order of `--help`.
VERBS = (forecast, map, train, prepare, evaluate, reproduce, inspect, export, models)

# New objects after which garbage is looked for.
GARBAGE_THRESHOLD = 50_000

app = typer.Typer(
    name="weathersvq",
    help="Short-range forecasts on gridded climate data with SimVP and SVQ.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for verb in VERBS:
    app.command()(verb)


def main() -> None:
    """Entry point: a user's mistake ends in one line and exit code 2, a fault of the world in 1."""
    # Imports make a million objects that stay; to look them through for garbage as often as Python
    # does takes a fifth of the start-up.
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
    # And to look them all through once more at the end takes longer than a forecast.
    atexit.register(gc.freeze)
    from weathersvq.errors import InputError

    try:
        app()
    except InputError as error:
        print(f"weathersvq: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"weathersvq: {error}", file=sys.stderr)
        sys.exit(1)
