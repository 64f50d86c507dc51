"""The verb `train`: a config becomes a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weathersvq.cli.common import make_console


def train(
    config: Annotated[Path, typer.Argument(help="Experiment, YAML.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key, such as train.lr=1e-3; may be given again."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; runs/NAME if not given.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run there.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run there.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Processes a machine, one a GPU.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines that train together.")] = 1,
) -> None:
    """Train the model of a config and keep its best epoch."""
    from weathersvq.api.models import run_training
    from weathersvq.config import load_experiment
    from weathersvq.ranks import find_ranks

    path = run_training(
        load_experiment(config, set_ or []), str(config), out, resume=resume, overwrite=overwrite,
        device=device, devices=devices, nodes=nodes,
    )  # fmt: skip
    if not find_ranks(devices, nodes).leads:
        return
    from weathersvq.training.runs import run_summary

    console = make_console()
    console.print(run_summary(path.parent), highlight=False, soft_wrap=True)
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)
