"""The verb `models`: what can be trained, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weathersvq.cli.common import make_console


def models(
    name: Annotated[
        str | None,
        typer.Argument(help="A model, translator or quantizer, to read about its options."),
    ] = None,
    benchmark: Annotated[
        str, typer.Option(help="Published benchmark whose models are listed.")
    ] = "weatherbench_s",
    case: Annotated[
        str | None, typer.Option(help="One of its shapes, such as uv10; the first if not given.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Experiment, YAML, whose benchmark and shape are taken.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every benchmark and shape.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="For documents.")] = False,
) -> None:
    """List models with parameters and multiply-accumulates, beside the published ones."""
    from weathersvq.cli import tables

    console = make_console()
    if name is not None:
        from weathersvq.models.catalogue import find_part

        tables.print_part(console, find_part(name))
        return
    from weathersvq.models.catalogue import size_lists

    if config is not None:
        from weathersvq.checkpoint import model_shape
        from weathersvq.config import load_experiment

        experiment = load_experiment(config)
        data = experiment.fields
        shape = model_shape(data, data.target_grid, len(data.channels))
        lists = size_lists(experiment.benchmark or benchmark, shape=shape)
    else:
        lists = size_lists(None if all_ else benchmark, case=case)
    with console.status("counting"):
        counted = list(lists)
    if json:
        print(tables.sizes_json(counted))
    elif markdown:
        print(tables.sizes_markdown(counted))
    else:
        for each in counted:
            tables.print_sizes(console, each)
