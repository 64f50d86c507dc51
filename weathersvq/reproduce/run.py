"""One run in a process of its own: trained, scored on the test split, and written down.

    python -m weathersvq.reproduce.run FOLDER

FOLDER holds `experiment.yaml`; the result is `result.json` there. A run that was cut off goes on.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

from weathersvq import __version__
from weathersvq.atomic import atomic_path
from weathersvq.batches import Batches
from weathersvq.checkpoint import load_checkpoint
from weathersvq.config import Experiment, load_experiment
from weathersvq.data.normalize import Normalization
from weathersvq.device import choose_device
from weathersvq.models.forecaster import Forecaster, rollout
from weathersvq.runs import METRICS_FILE
from weathersvq.series import Series, open_series
from weathersvq.train import train

EXPERIMENT_FILE, RESULT_FILE = "experiment.yaml", "result.json"


@torch.inference_mode()
def score(
    model: Forecaster, batches: Batches, normalization: Normalization, device: torch.device
) -> dict[str, list[list[float]]]:
    """Errors over all windows, by lead and channel, in physical units, unweighted over cells.

    Returns:
        mse and mae of the model, and of the last input frame (`persistence_`), each [lead][channel].
    """
    sums: dict[str, torch.Tensor] = {}
    count = 0
    for batch in batches:
        inputs, targets = batch.inputs.to(device), batch.targets.to(device)
        for prefix, predicted in (
            ("", rollout(model, inputs, targets.shape[1])),
            ("persistence_", inputs[:, -1:]),
        ):
            error = (predicted.float() - targets).double()
            for name, values in ((f"{prefix}mse", error.square()), (f"{prefix}mae", error.abs())):
                total = values.mean(dim=(3, 4)).sum(dim=0).cpu()
                sums[name] = sums[name] + total if name in sums else total
        count += len(inputs)
    std = torch.tensor(normalization.std, dtype=torch.float64)
    return {
        name: (total / count * (std.square() if name.endswith("mse") else std)).tolist()
        for name, total in sums.items()
    }


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
    result = _result(experiment, path, open_series(experiment.data))
    result |= {
        "seconds": round(time.monotonic() - started, 1),
        "training_seconds": round(_training_seconds(folder), 1),
        # Kilobytes on Linux.
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    with atomic_path(folder / RESULT_FILE) as temporary:
        temporary.write_text(json.dumps(result, indent=1), encoding="utf-8")


def _result(experiment: Experiment, path: Path, series: Series) -> dict[str, Any]:
    checkpoint = load_checkpoint(path)
    device = choose_device("auto")
    model = checkpoint.build().to(device)
    batches = series.batches(checkpoint.normalization, "test", experiment.train.batch_size)
    return {
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
        "errors": score(model, batches, checkpoint.normalization, device),
        "codebook": diagnose(model, batches, device),
    }


def _training_seconds(folder: Path) -> float:
    header, *rows = (folder / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    column = header.split(",").index("seconds")
    return sum(float(row.split(",")[column]) for row in rows)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
