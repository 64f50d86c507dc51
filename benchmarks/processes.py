"""Two processes that train together beside one, on as many cores: `weathersvq train --devices 2`.

SimVP + SVQ for t2m as published, bf16 (4 windows a step over all processes), on the bundled sample,
with one thread a process; seconds an epoch as the runs themselves note them, without the first.

    python benchmarks/processes.py            one run of each, six epochs
    python benchmarks/processes.py --quick    one run of each, two epochs
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import Row, paired_ratio, print_rows
from rich.progress import track

CONFIG = Path(__file__).parents[1] / "configs" / "weatherbench_s" / "t2m.yaml"
# 121 windows, of which every sixteenth is taken: eight, two whole steps an epoch.
SETTINGS = (
    "data.source=sample",
    "data.train=2016-12-20/2016-12-25",
    "data.train_every=16",
    "data.validation=2016-12-27/2016-12-28",
    "data.test=2017-01-01/2017-01-02",
    "data.evaluate_every=24",
    "train.batch_size=4",
    "train.precision=bf16",
    "train.schedule=constant",
    "train.threads=1",
)


def epoch_seconds(devices: int, epochs: int) -> list[float]:
    """Of each epoch but the first, of a run of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "weathersvq.cli", "train", str(CONFIG), "--device", "cpu",
            "--devices", str(devices), "--out", folder, "--overwrite",
        ]  # fmt: skip
        for setting in (*SETTINGS, f"train.epochs={epochs}"):
            command += ["--set", setting]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
        with (Path(folder) / "metrics.csv").open() as file:
            return [float(row["seconds"]) for row in csv.DictReader(file)][1:]


def main() -> None:
    parser = argparse.ArgumentParser(description="training by two processes beside one")
    parser.add_argument("--quick", action="store_true", help="one run of each, two epochs")
    options = parser.parse_args()
    epochs = 2 if options.quick else 6
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for devices in track(seconds, "measuring"):
        seconds[devices] = epoch_seconds(devices, epochs)
    rows = [
        Row(
            "processes", f"{devices} process{'es' if devices > 1 else ''}",
            statistics.median(found), "s/epoch", "speed of 1 process",
            paired_ratio(seconds[1], found),
        )
        for devices, found in seconds.items()
    ]  # fmt: skip
    print_rows(
        "Training, one thread a process: median epochs, ratios of speeds epoch by epoch", rows
    )


if __name__ == "__main__":
    main()
