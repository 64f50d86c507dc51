"""Models: checkpoints read, and trained as the verb `train` does."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weathersvq.errors import InputError, SectionError

if TYPE_CHECKING:
    from weathersvq.api.arguments import AnyPath, Model
    from weathersvq.checkpoint import Checkpoint
    from weathersvq.config import Experiment


def load_model(model: Model = "bundled") -> Checkpoint:
    """A trained model with everything that its use depends on.

    Args:
        model: `bundled`, or a checkpoint (.safetensors); one in memory is given back.

    Raises:
        InputError: no checkpoint there, or a file that can't be read as one.
    """
    from weathersvq.bundled import bundled_model
    from weathersvq.checkpoint import Checkpoint, load_checkpoint

    if isinstance(model, Checkpoint):
        return model
    return load_checkpoint(bundled_model() if model == "bundled" else Path(model))


def train(
    config: AnyPath | Experiment | Mapping[str, Any],
    settings: Mapping[str, object] | None = None,
    *,
    out: AnyPath | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    progress: bool = True,
) -> Checkpoint:
    """Train the model of a config and keep its best epoch.

    Args:
        config: YAML file, an experiment, or its sections as a dictionary.
        settings: changes of keys, such as `{"train.lr": 1e-3, "model": "predrnn"}`.
        out: folder of the run; runs/NAME if None.
        resume: whether to go on with the run there.
        overwrite: whether to replace the run there.
        device: `auto`, `cpu` or `cuda`.
        progress: whether a line shows how far it is.

    Returns:
        The model of the best epoch; its `path` is the file.

    Raises:
        InputError: a config that is not one, data that it does not fit, a run that is there.
    """
    from weathersvq.config import Experiment, experiment_from_dict, load_experiment, with_settings

    changes = [f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()]
    origin = "config"
    if isinstance(config, Experiment):
        experiment = experiment_from_dict(with_settings(config.to_dict(), changes))
    elif isinstance(config, Mapping):
        experiment = experiment_from_dict(with_settings(dict(config), changes))
    else:
        origin = os.fspath(config)
        experiment = load_experiment(origin, changes)
    path = run_training(
        experiment, origin, out, resume=resume, overwrite=overwrite, device=device,
        progress=progress,
    )  # fmt: skip
    return load_model(path)


def run_training(
    experiment: Experiment,
    origin: str,
    out: AnyPath | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    progress: bool = True,
) -> Path:
    """Train an experiment in a folder, `train`'s and the verb's common part.

    Args:
        origin: what the experiment was read from, for messages.
        devices: processes a machine.
        nodes: machines.
        experiment, out, resume, overwrite, device, progress: see `train`.

    Returns:
        The checkpoint's file, in a folder of the run's.
    """
    try:
        from weathersvq.training.train import train as run
    except ModuleNotFoundError as error:
        if error.name != "lightning":
            raise
        raise InputError(
            "training needs lightning, which is not installed; pip install 'weathersvq[train]'"
        ) from error

    folder = Path("runs") / experiment.name if out is None else Path(out)
    try:
        return run(
            experiment, folder, resume=resume, overwrite=overwrite, device=device,
            devices=devices, nodes=nodes, progress=progress,
        )  # fmt: skip
    except SectionError as error:
        raise InputError(f"{origin}: {error}") from error
