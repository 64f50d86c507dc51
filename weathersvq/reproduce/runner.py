"""Runs of a table, each once: finished ones are kept, broken ones go on, failed ones are listed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weathersvq.atomic import atomic_path
from weathersvq.config import config_differences, load_experiment
from weathersvq.data.workers import Workers
from weathersvq.reproduce.tables import Run

# What a run's folder holds beside what training writes. `run` itself is imported only in the
# processes that train: it takes seconds.
EXPERIMENT_FILE, RESULT_FILE, LOG_FILE = "experiment.yaml", "result.json", "run.log"
# Mean squared errors by cell: arrays `model` and `persistence` (T, C, H, W), physical units.
MAPS_FILE = "errors.npz"
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
# Results of another form are made again, without training.
RESULT_FORMAT = 2


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        folder: of the run.
        failure: empty, or the last line that it left.
    """

    folder: Path
    failure: str = ""


def prepare_folder(run: Run, folder: Path) -> Path:
    """The run's own folder with its experiment in it; one that is there is kept as it is."""
    own = folder / run.folder_name
    own.mkdir(parents=True, exist_ok=True)
    path = own / EXPERIMENT_FILE
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_text(run.experiment.to_yaml(), encoding="utf-8")
    return own


def read_result(folder: Path) -> dict[str, Any] | None:
    """What a finished run wrote; None where it has not finished, or in another form."""
    path = folder / RESULT_FILE
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content if content.get("format") == RESULT_FORMAT else None


def gpu_count(devices: Path = Path("/dev")) -> int:
    """GPUs of this machine that may be used, without torch, which takes seconds to import."""
    chosen = os.environ.get(VISIBLE_GPUS)
    if chosen is not None:
        return len([each for each in chosen.split(",") if each.strip() not in ("", "-1")])
    return len(list(devices.glob("nvidia[0-9]*")))


def own_gpu(worker: object, gpus: int) -> dict[str, str]:
    """What gives each process of a local cluster a GPU of its own.

    Args:
        worker: its name: a number in a cluster of this program's; whoever starts workers elsewhere
            gives them their GPUs.
        gpus: of this machine.

    Returns:
        Environment variables.
    """
    if not isinstance(worker, int) or gpus < 2:
        return {}
    chosen = os.environ.get(VISIBLE_GPUS, ",".join(map(str, range(gpus)))).split(",")
    return {VISIBLE_GPUS: chosen[worker % gpus]}


def _worker_name() -> object:
    """The name of the Dask worker that this is; None outside of a cluster."""
    from distributed import get_worker

    try:
        return get_worker().name
    except ValueError:
        return None


def do_run(folder: str) -> Outcome:
    """Train and score in a process of its own, with its log in the folder."""
    own = Path(folder)
    with (own / LOG_FILE).open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-m", "weathersvq.reproduce.run", folder],
            stdout=log, stderr=subprocess.STDOUT, check=False,
            env=os.environ | own_gpu(_worker_name(), gpu_count()),
        )  # fmt: skip
    # lightning ends with 0 where it is told to stop.
    if done.returncode == 0 and read_result(own) is not None:
        return Outcome(own)
    lines = (own / LOG_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return Outcome(own, lines[-1] if lines else f"ended with {done.returncode}, no result")


def do_runs(
    runs: Sequence[Run], folder: Path, workers: Workers, report: Callable[[Outcome], None]
) -> list[Outcome]:
    """Do what is not yet done.

    Args:
        runs: of one or several tables; the same experiment is done once.
        folder: of all runs.
        workers: who does them.
        report: told of each run as it ends.

    Returns:
        Those that failed; the others have a result.
    """
    failed, waiting = [], []
    for run in {run.folder_name: run for run in runs}.values():
        own = prepare_folder(run, folder)
        if read_result(own) is not None:
            continue
        strange = _made_otherwise(run, own)
        if strange:
            failed.append(Outcome(own, strange))
            report(failed[-1])
        else:
            waiting.append(str(own))
    for outcome in workers.map(do_run, waiting):
        report(outcome)
        if outcome.failure:
            failed.append(outcome)
    return failed


def _made_otherwise(run: Run, own: Path) -> str:
    """What is different where a folder of this name was made from another config; it is kept."""
    before = load_experiment(own / EXPERIMENT_FILE).to_dict()
    changed = config_differences(before, run.experiment.to_dict())
    changed = [each for each in changed if not each.startswith(("description:", "benchmark:"))]
    if not changed:
        return ""
    return (
        f"{own} was made from another config ({'; '.join(changed[:3])}); it is kept as it is: move "
        "it away, or give another --out"
    )
