"""Runs of a table, each once: finished ones are kept, broken ones go on, failed ones are listed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weathersvq.atomic import atomic_path
from weathersvq.data.workers import Workers
from weathersvq.reproduce.tables import Run

# As in `run`, which is imported only in the processes that train: it takes seconds.
EXPERIMENT_FILE, RESULT_FILE, LOG_FILE = "experiment.yaml", "result.json", "run.log"


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
    """What a finished run wrote; None where it has not finished."""
    path = folder / RESULT_FILE
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def do_run(folder: str) -> Outcome:
    """Train and score in a process of its own, with its log in the folder."""
    own = Path(folder)
    with (own / LOG_FILE).open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-m", "weathersvq.reproduce.run", folder],
            stdout=log, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode == 0:
        return Outcome(own)
    lines = (own / LOG_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return Outcome(own, lines[-1] if lines else f"ended with {done.returncode}")


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
    folders = {run.folder_name: prepare_folder(run, folder) for run in runs}
    waiting = [str(own) for own in folders.values() if read_result(own) is None]
    failed = []
    for outcome in workers.map(do_run, waiting):
        report(outcome)
        if outcome.failure:
            failed.append(outcome)
    return failed
