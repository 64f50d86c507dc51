"""Beside training: what a run writes into its folder and shows while it goes on.

A run is one folder: `config.yaml` (resolved), `metrics.csv`, `learning_curve.png`,
`model.safetensors` (best epoch so far) and `state.ckpt` (to go on from the last whole epoch).
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from weathersvq.atomic import atomic_path
from weathersvq.batches import Batches, Frames
from weathersvq.checkpoint import Checkpoint, load_checkpoint
from weathersvq.config import Experiment, TrainConfig
from weathersvq.data.windows import Windows, describe_left_out
from weathersvq.errors import InputError
from weathersvq.ranks import Ranks

CONFIG_FILE, METRICS_FILE, CURVE_FILE = "config.yaml", "metrics.csv", "learning_curve.png"
MODEL_FILE, STATE_FILE = "model.safetensors", "state.ckpt"


@dataclass
class History:
    """What a run has been through: one row an epoch, and its best."""

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf

    def is_finished(self, config: TrainConfig) -> bool:
        done = len(self.rows)
        return done >= config.epochs or done - self.best_epoch >= config.patience


class KeepRun(Callback):
    """Writes the run's folder after every epoch, and stops the run when it no longer improves.

    Everything that a resumed run needs travels in this callback's state, and every file is written
    whole, so a run killed anywhere goes on from its last whole epoch and ends as if unbroken.
    """

    def __init__(
        self,
        folder: Path,
        experiment: Experiment,
        make_checkpoint: Callable[[dict[str, Tensor], dict[str, Any]], Checkpoint],
        rmse_columns: list[str],
        ranks: Ranks,
    ) -> None:
        self.folder, self.experiment, self.ranks = folder, experiment, ranks
        self.make_checkpoint, self.rmse_columns = make_checkpoint, rmse_columns
        self.history = History()
        self._started = self._drawn = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {
            "rows": self.history.rows,
            "best_epoch": self.history.best_epoch,
            "best_loss": self.history.best_loss,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = History(**state_dict)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._started = time.monotonic()
        # The order of windows and the dropped paths depend on (seed, epoch) alone, so an epoch
        # is the same whether the run was broken before it or not.
        trainer.train_dataloader.epoch = trainer.current_epoch
        seed = (self.experiment.seed << 20) + trainer.current_epoch
        torch.manual_seed((self.ranks.rank << 48) + seed)
        pl_module.train_losses.clear()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        history, config = self.history, self.experiment.train
        epoch = trainer.current_epoch + 1
        row = {
            "epoch": epoch,
            "train_loss": pl_module.train_loss(),
            "validation_loss": pl_module.validation_loss(),
            **dict(zip(self.rmse_columns, pl_module.validation_rmse(), strict=True)),
            **pl_module.diagnostics,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": round(time.monotonic() - self._started, 2),
        }
        if not math.isfinite(row["train_loss"] + row["validation_loss"]):
            raise InputError(
                f"the loss is no longer finite in epoch {epoch}; "
                "lower train.lr or set train.gradient_clip, then start again"
            )
        history.rows.append(row)
        better = row["validation_loss"] < history.best_loss
        if better:
            history.best_loss, history.best_epoch = row["validation_loss"], epoch
        if self.ranks.leads:
            self._write(trainer, pl_module, row if better else None)
        else:
            # All processes meet in it; only the first one writes.
            trainer.save_checkpoint(self.folder / STATE_FILE, weights_only=False)
        if history.is_finished(config):
            trainer.should_stop = True

    def _write(self, trainer: Any, pl_module: Any, best: dict[str, float] | None) -> None:
        """Every file of the run; the model where this epoch is the `best` so far."""
        history = self.history
        if best is not None:
            self.make_checkpoint(
                pl_module.kept_model.state_dict(),
                {
                    "best_epoch": history.best_epoch,
                    "selection": self.experiment.data.selection,
                    "validation_loss": best["validation_loss"],
                    **{name: best[name] for name in self.rmse_columns},
                },
            ).save(self.folder / MODEL_FILE)
        write_metrics(self.folder / METRICS_FILE, history.rows)
        with atomic_path(self.folder / STATE_FILE) as temporary:
            trainer.save_checkpoint(temporary, weights_only=False)
        finished = history.is_finished(self.experiment.train)
        if time.monotonic() - self._drawn > 20 or finished:
            draw_learning_curve(self.folder / CURVE_FILE, history, self.experiment)
            self._drawn = time.monotonic()


class ReadingLine:
    """One line while a split is read, and another on what was read and what left out."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
            transient=True,
        )
        self.task = self.bar.add_task(f"reading {split}", total=None)

    def __enter__(self) -> ReadingLine:
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        # In a log file the bar would leave an empty line.
        if self.console.is_terminal:
            self.bar.stop()

    def __call__(self, done: int, of: int) -> None:
        self.bar.update(self.task, completed=done, total=of)

    def finish(self, batches: Batches, windows: Windows, folder: Path) -> None:
        """Say how many windows there are, where their frames are, and what was left out."""
        self._stop()
        text = describe_split(self.split, batches, windows, folder)
        self.console.print(text, highlight=False, soft_wrap=True)


def describe_split(split: str, batches: Batches, windows: Windows, folder: Path) -> str:
    """Such as `train: 5,241 windows, 120,000 frames (4.9 GB in memory); left out: ...`."""
    line = f"{split}: {windows.origins.size:,} windows"
    if isinstance(batches.read, Frames):
        frames = batches.read.values
        where = f"in a scratch file in {folder}" if batches.read.on_disk else "in memory"
        line += f", {len(frames):,} frames ({frames.nbytes / 1e9:.2g} GB {where})"
    left_out = windows.describe_left_out()
    return f"{line}; left out: {left_out}" if left_out else line


class ShowProgress(Callback):
    """One line: epochs, steps, loss, physical validation error, time left."""

    def __init__(self, total_epochs: int, steps_per_epoch: int, unit: str, label: str) -> None:
        self.unit, self.label = unit, label
        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
        )
        self.task = self.bar.add_task("training", total=total_epochs * steps_per_epoch, figures="")
        self.loss, self.rmse = math.nan, math.nan

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        # In a notebook rich asks for widgets that may not be there; the epochs' lines do.
        if not self.bar.console.is_jupyter:
            self.bar.start()

    def _update(self, trainer: Any) -> None:
        self.bar.update(
            self.task,
            completed=trainer.global_step,
            description=f"epoch {trainer.current_epoch + 1}",
            figures=f"loss {self.loss:.4f}  {self.label} {self.rmse:.3f} {self.unit}",
        )

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        # Reading a loss waits for the device: not at every step.
        if trainer.global_step % 10 == 0:
            self.loss = float(pl_module.train_losses[-1])
        self._update(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.rmse = pl_module.validation_rmse()[0]
        self._update(trainer)
        if not self.bar.console.is_terminal:
            self.bar.console.print(
                f"epoch {trainer.current_epoch + 1}: {self.label} {self.rmse:.4f} {self.unit}, "
                f"validation loss {pl_module.validation_loss():.5f}"
            )

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.bar.stop()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.bar.stop()


def write_metrics(path: Path, rows: list[dict[str, float]]) -> None:
    """All epochs as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_path(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def draw_learning_curve(path: Path, history: History, experiment: Experiment) -> None:
    """Losses (normalised) and the learning rate by epoch, with the best epoch marked."""
    epochs = [row["epoch"] for row in history.rows]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(epochs, [row["train_loss"] for row in history.rows], label="training")
    axes.plot(epochs, [row["validation_loss"] for row in history.rows], label="validation")
    axes.axvline(history.best_epoch, color="0.6", linestyle=":", label="best epoch")
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{experiment.train.loss.upper()} (normalised fields)")
    axes.set_title(f"{experiment.name}, seed {experiment.seed}")
    rate = axes.twinx()
    rate.plot(epochs, [row["learning_rate"] for row in history.rows], color="0.75", linewidth=1)
    rate.set_ylabel("learning rate")
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


def run_summary(folder: Path) -> str:
    """One line on a finished run: best epoch, its scores, and training windows left out."""
    checkpoint = load_checkpoint(folder / MODEL_FILE, weights=False)
    scores = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in checkpoint.scores.items()
    )
    line = f"{checkpoint.experiment.name}: {scores}"
    counts = (
        int(checkpoint.training_data.get(f"windows_left_out_for_{why}", 0))
        for why in ("gaps", "flags")
    )
    left_out = describe_left_out(*counts)
    return f"{line}; training windows left out: {left_out}" if left_out else line
