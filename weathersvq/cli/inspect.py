"""The verb `inspect`: what a file holds."""

from __future__ import annotations

from typing import Annotated

import typer

from weathersvq.cli.common import make_console


def inspect(
    path: Annotated[
        str, typer.Argument(help="`sample`, `bundled`, a store, a checkpoint or a forecast.")
    ],
) -> None:
    """Say what a store, a checkpoint or a forecast holds."""
    from weathersvq.cli.describe import describe
    from weathersvq.cli.tables import print_rows

    print_rows(make_console(), describe(path))
