"""The verb `export`: a model as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weathersvq.cli.common import make_console


def export(
    model: Annotated[str, typer.Argument(help="`bundled`, or a checkpoint (.safetensors).")],
    to: Annotated[str, typer.Option(help="torch-export (.pt2) or onnx (.onnx).")],
    out: Annotated[
        Path | None, typer.Option(help="The file; named as the checkpoint if not given.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Data to compare on; the sample if it fits the model.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Turn a model into a file for other programs: physical units in and out, any number of windows."""
    from weathersvq.api.models import load_model
    from weathersvq.cli.tables import print_checks
    from weathersvq.forecasting.export import export_model, export_target, real_inputs

    checkpoint = load_model(model)
    path = export_target(checkpoint.name, to, out, overwrite=overwrite)
    real = real_inputs(checkpoint, source)
    checks = export_model(checkpoint, to, path, real=real, overwrite=overwrite)
    console = make_console()
    print_checks(console, checks, checkpoint.units)
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)
