"""Shared by the training pipelines: several variants of an experiment, trained side by side."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from weathersvq.config import Experiment, load_experiment
from weathersvq.training.runs import METRICS_FILE, MODEL_FILE

console = Console(stderr=True)


@dataclass(frozen=True)
class Variant:
    """One run: a config, what is changed in it, and its folder."""

    config: Path
    overrides: tuple[str, ...]
    folder: Path

    def experiment(self) -> Experiment:
        return load_experiment(self.config, self.overrides)

    @property
    def model(self) -> Path:
        return self.folder / MODEL_FILE

    def command(self) -> list[str]:
        """`weathersvq train` with --resume: what is done is kept, what was cut off goes on."""
        changes = [part for override in self.overrides for part in ("--set", override)]
        return [
            sys.executable, "-m", "weathersvq.cli", "train", str(self.config), *changes,
            "--out", str(self.folder), "--resume",
        ]  # fmt: skip

    def epochs_done(self) -> int:
        metrics = self.folder / METRICS_FILE
        return len(metrics.read_text().splitlines()) - 1 if metrics.is_file() else 0


def train_all(variants: Sequence[Variant], jobs: int) -> None:
    """Train every variant, `jobs` at a time, each in a process of its own with its log beside it.

    Raises:
        RuntimeError: a run that failed; the others are finished first.
    """
    waiting, running, failed = list(variants), dict[Variant, subprocess.Popen[bytes]](), []
    total = sum(variant.experiment().train.epochs for variant in variants)
    with Progress(console=console) as bar:
        task = bar.add_task("epochs of all runs", total=total)
        while waiting or running:
            while waiting and len(running) < jobs:
                variant = waiting.pop(0)
                variant.folder.mkdir(parents=True, exist_ok=True)
                with (variant.folder / "train.log").open("ab") as log:
                    running[variant] = subprocess.Popen(
                        variant.command(), stdout=log, stderr=subprocess.STDOUT
                    )
            time.sleep(0.5)
            for variant, process in list(running.items()):
                if process.poll() is not None:
                    del running[variant]
                    if process.returncode != 0:
                        failed.append(variant)
                    console.print(f"{variant.folder}: exit code {process.returncode}")
            bar.update(task, completed=sum(variant.epochs_done() for variant in variants))
        bar.update(task, completed=total)
    if failed:
        logs = ", ".join(str(variant.folder / "train.log") for variant in failed)
        raise RuntimeError(f"{len(failed)} of {len(variants)} runs failed; see {logs}")
