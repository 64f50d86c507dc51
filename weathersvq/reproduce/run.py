"""One run in a process of its own: trained, scored on the test split, and written down.

    python -m weathersvq.reproduce.run FOLDER

FOLDER holds `experiment.yaml`; the results are `result.json` and `errors.npz` there. A run that was
cut off goes on.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weathersvq import __version__
from weathersvq.atomic import atomic_path
from weathersvq.batches import Batches
from weathersvq.checkpoint import load_checkpoint
from weathersvq.config import FrameDataConfig, load_experiment
from weathersvq.data.normalize import Normalization
from weathersvq.device import choose_device
from weathersvq.errors import InputError
from weathersvq.metrics.images import FrameScores
from weathersvq.models.forecaster import Forecaster, rollout
from weathersvq.reproduce.memory import peak_memory_mib
from weathersvq.reproduce.runner import EXPERIMENT_FILE, MAPS_FILE, RESULT_FILE, RESULT_FORMAT
from weathersvq.series import open_series
from weathersvq.training.runs import METRICS_FILE
from weathersvq.training.train import train


@dataclass(frozen=True)
class Errors:
    """Errors over all windows of a split, in physical units.

    Attributes:
        squares: mean squared error by cell, (T, C, H, W), of the `model` and of `persistence`,
            which repeats the last input.
        absolute: likewise the mean absolute error.
        frames: of pictures, scores by lead, see `metrics.images.FrameScores`.
    """

    squares: dict[str, NDArray[np.float64]]
    absolute: dict[str, NDArray[np.float64]]
    frames: dict[str, dict[str, list[float]]]

    def by_lead(self) -> dict[str, list[list[float]]]:
        """mse and mae of the model, and those of persistence, [lead][channel], all cells alike."""
        found = {}
        for prefix, name in (("", "model"), ("persistence_", "persistence")):
            found[f"{prefix}mse"] = self.squares[name].mean(axis=(2, 3)).tolist()
            found[f"{prefix}mae"] = self.absolute[name].mean(axis=(2, 3)).tolist()
        return found


@torch.inference_mode()
def score(
    model: Forecaster,
    batches: Batches,
    normalization: Normalization,
    device: torch.device,
    pictures: bool,
) -> Errors:
    """Errors of a model and of persistence over all windows.

    Args:
        model: in normalised units.
        batches: of the split.
        normalization: gives errors their physical units.
        device: where the model is.
        pictures: whether frames are scored as pictures too.
    """
    squares: dict[str, torch.Tensor] = {}
    absolute: dict[str, torch.Tensor] = {}
    frames = {"model": FrameScores(), "persistence": FrameScores()}
    count = 0
    for batch in batches:
        inputs, targets = batch.inputs.to(device), batch.targets.to(device)
        for name, predicted in (
            ("model", rollout(model, inputs, targets.shape[1]).float()),
            ("persistence", inputs[:, -1:].expand_as(targets)),
        ):
            error = (predicted - targets).double()
            for sums, values in ((squares, error.square()), (absolute, error.abs())):
                total = values.sum(dim=0).cpu()
                sums[name] = sums[name] + total if name in sums else total
            if pictures:
                # Normalised, frames reach from 0 to 1.
                frames[name].update(predicted, targets)
        count += len(inputs)
    std = np.asarray(normalization.std)[:, None, None]
    return Errors(
        {name: total.numpy() / count * std**2 for name, total in squares.items()},
        {name: total.numpy() / count * std for name, total in absolute.items()},
        {
            name: {metric: values.tolist() for metric, values in each.by_lead().items()}
            for name, each in frames.items()
            if pictures
        },
    )


def diagnose(model: Forecaster, batches: Batches, device: torch.device) -> dict[str, float]:
    """The codebook's use over the first batch of the test split."""
    for batch in batches:
        return {
            name: float(value) for name, value in model.diagnose(batch.inputs.to(device)).items()
        }
    return {}


def run(folder: Path) -> None:
    """Train what `experiment.yaml` says and write `result.json`."""
    experiment = load_experiment(folder / EXPERIMENT_FILE)
    started = time.monotonic()
    path = train(experiment, folder, resume=True, progress=False)
    series = open_series(experiment.data)
    checkpoint = load_checkpoint(path)
    device = choose_device("auto")
    model = checkpoint.build().to(device)
    batches = series.batches(checkpoint.normalization, "test", experiment.train.batch_size)
    pictures = isinstance(experiment.data, FrameDataConfig)
    errors = score(model, batches, checkpoint.normalization, device, pictures)
    with atomic_path(folder / MAPS_FILE) as temporary, temporary.open("wb") as file:
        model_squares, still = (errors.squares[name] for name in ("model", "persistence"))
        np.savez(file, model=model_squares.astype(np.float32), persistence=still.astype(np.float32))
    result = {
        "format": RESULT_FORMAT,
        "name": experiment.name,
        "seed": experiment.seed,
        "version": __version__,
        "selection": experiment.data.selection,
        "title": checkpoint.training_data.get("title", ""),
        "channels": list(series.channels),
        "units": list(series.units),
        "step": experiment.data.step,
        "targets": list(experiment.data.targets),
        "test_windows": int(series.windows("test").origins.size),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "scores": dict(checkpoint.scores),
        "errors": errors.by_lead(),
        "frames": errors.frames,
        "codebook": diagnose(model, batches, device),
        "device": device.type,
        "seconds": round(time.monotonic() - started, 1),
        "training_seconds": round(_training_seconds(folder), 1),
        "peak_memory_mib": _peak_memory_mib(folder),
    }
    with atomic_path(folder / RESULT_FILE) as temporary:
        temporary.write_text(json.dumps(result, indent=1), encoding="utf-8")


def _peak_memory_mib(folder: Path) -> int:
    """Of this process, or of an earlier one that trained where this one only scores again."""
    path = folder / RESULT_FILE
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return max(round(peak_memory_mib()), before.get("peak_memory_mib", 0))


def _training_seconds(folder: Path) -> float:
    header, *rows = (folder / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    column = header.split(",").index("seconds")
    return sum(float(row.split(",")[column]) for row in rows)


if __name__ == "__main__":
    try:
        run(Path(sys.argv[1]))
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
