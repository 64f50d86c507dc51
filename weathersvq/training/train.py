"""From batches and a model to a checkpoint: one experiment trained by lightning, resumable."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel

from weathersvq.atomic import atomic_path
from weathersvq.batches import Batch, Batches
from weathersvq.checkpoint import Checkpoint
from weathersvq.config import (
    Experiment,
    Split,
    TrainConfig,
    config_differences,
    load_experiment,
)
from weathersvq.data.normalize import Normalization
from weathersvq.device import check_compiler, choose_device, choose_matrix_products
from weathersvq.errors import InputError, section
from weathersvq.models import build_model
from weathersvq.models.forecaster import Forecaster, Losses, Shape
from weathersvq.ranks import find_ranks
from weathersvq.series import Series, open_series
from weathersvq.training.runs import (
    CONFIG_FILE,
    CURVE_FILE,
    METRICS_FILE,
    MODEL_FILE,
    STATE_FILE,
    KeepRun,
    ReadingLine,
    ShowProgress,
)

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mae": functional.l1_loss,
    "mse": functional.mse_loss,
    "huber": functional.huber_loss,
}


def cosine_factor(step: int, total_steps: int, steps_per_epoch: int, config: TrainConfig) -> float:
    """Learning rate of the cosine schedule at an optimiser step, as a share of `config.lr`.

    A straight line from warmup_lr to lr over warmup_epochs, then half a cosine down to final_lr.
    """
    warmup = config.warmup_epochs * steps_per_epoch
    if step < warmup:
        start = config.warmup_lr / config.lr
        return start + (1 - start) * step / warmup
    share = min((step - warmup) / max(total_steps - 1 - warmup, 1), 1.0)
    final = config.final_lr / config.lr
    return final + (1 - final) * (1 + math.cos(math.pi * share)) / 2


def with_noise(x: Tensor, share: float) -> Tensor:
    """A share of the values multiplied by uniform noise in [-2, 2] (the paper's Table 5)."""
    if share == 0:
        return x
    factors = torch.empty_like(x).uniform_(-2, 2)
    return torch.where(torch.rand_like(x) < share, x * factors, x)


def moving_average(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]:
    """For `AveragedModel`: numbers move towards their present values; whole ones are taken over.

    torch's own average truncates integers, such as the levels of a quantizer.
    """

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], _count: Any) -> None:
        for kept, now in zip(averaged, current, strict=True):
            if kept.is_floating_point():
                kept.lerp_(now, 1 - decay)
            else:
                kept.copy_(now)

    return update


def compile_network(model: Forecaster, batch_size: int, device: torch.device) -> None:
    """Let torch compile the network for whole batches; the smaller last one goes the usual way.

    On a GPU, the compiled network is launched as one CUDA graph.
    """
    plain = model.advance
    mode = "reduce-overhead" if device.type == "cuda" else None
    compiled = torch.compile(plain, dynamic=False, mode=mode)

    def advance(x: Tensor) -> tuple[Tensor, Losses]:
        return compiled(x) if len(x) == batch_size else plain(x)

    model.advance = advance  # type: ignore[method-assign]


class ForecastModule(lightning.LightningModule):
    """The model with its loss, optimiser and physical validation error.

    Args:
        experiment: resolved config.
        shape: sizes of windows and maps.
        normalization: gives validation errors their physical units.
        steps_per_epoch: optimiser steps an epoch, for the schedule.
    """

    def __init__(
        self,
        experiment: Experiment,
        shape: Shape,
        normalization: Normalization,
        steps_per_epoch: int,
    ) -> None:
        super().__init__()
        self.experiment = experiment
        self.steps_per_epoch = steps_per_epoch
        self.model = build_model(experiment.model, shape)
        self.learns = any(p.requires_grad for p in self.model.parameters())
        # The trainer wants something to optimise, also where a model has nothing to learn.
        self.placeholder = None if self.learns else nn.Parameter(torch.zeros(()))
        self.loss = LOSSES[experiment.train.loss]
        self.std = torch.tensor(normalization.std)
        decay = experiment.train.ema
        self.average: AveragedModel | None = None
        if decay is not None:
            self.average = AveragedModel(
                self.model, multi_avg_fn=moving_average(decay), use_buffers=True
            )
        self.train_losses: list[Tensor] = []
        self._averaged_step = 0
        self._reset_validation()

    def _reset_validation(self) -> None:
        self._loss_sum, self._square_sum, self._windows = 0.0, torch.zeros(()), 0
        self.diagnostics: dict[str, float] = {}

    def calibrate(self, batches: Batches) -> None:
        """Let the model take what it needs from the training windows before its first step."""
        for model in {self.model, self.kept_model}:
            model.calibrate((batch.inputs, batch.targets) for batch in batches)

    @property
    def kept_model(self) -> Forecaster:
        """What is validated and kept: the averaged weights where there are any."""
        kept = self.model if self.average is None else self.average.module
        assert isinstance(kept, Forecaster)
        return kept

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        inputs = with_noise(batch.inputs, self.experiment.train.noise)
        predicted, auxiliary = self.model.forward_in_training(
            inputs, batch.targets, self.global_step, self.loss
        )
        # Processes average their gradients: with the shares, the mean is that over all windows.
        loss = self.loss(predicted, batch.targets) * batch.share
        self.train_losses.append(loss.detach())
        if self.placeholder is not None:
            loss = loss + self.placeholder
        extra = sum(auxiliary.values(), torch.zeros((), device=loss.device))
        return loss + extra * batch.share

    def train_loss(self) -> float:
        """Mean loss of the epoch's steps, over all processes; call it in all of them."""
        mean = torch.stack(self.train_losses).mean()
        return float(self.trainer.strategy.reduce(mean, reduce_op="mean"))

    def on_train_batch_end(self, *_: Any) -> None:
        # Batches whose gradients are only gathered change nothing.
        if self.average is not None and self.global_step > self._averaged_step:
            self.average.update_parameters(self.model)
            self._averaged_step = self.global_step

    def on_validation_epoch_start(self) -> None:
        self._reset_validation()
        self.kept_model.eval()

    def validation_step(self, batch: Batch, _index: int) -> None:
        if not batch.share:
            return
        predicted = self.kept_model(batch.inputs)
        if not self.diagnostics:
            # Of the first batch, the same in every epoch: a course, not a score.
            found = self.kept_model.diagnose(batch.inputs)
            self.diagnostics = {name: float(value) for name, value in found.items()}
        count = len(batch.inputs)
        self._loss_sum += float(self.loss(predicted, batch.targets)) * count
        # (B, T, C, H, W) -> one mean square a channel; the root is taken after the last batch.
        squares = (predicted - batch.targets).float().square().mean(dim=(0, 1, 3, 4))
        self._square_sum = self._square_sum + squares.cpu() * count
        self._windows += count

    def on_validation_epoch_end(self) -> None:
        # What each process found of its windows, added up: exact, however they were shared out.
        found = torch.cat(
            [torch.tensor([self._loss_sum, float(self._windows)]), self._square_sum.reshape(-1)]
        ).to(self.device)
        loss, windows, *squares = self.trainer.strategy.reduce(found, reduce_op="sum").tolist()
        self._loss_sum, self._windows = loss, round(windows)
        self._square_sum = torch.tensor(squares)

    def validation_loss(self) -> float:
        """Mean loss over the validation windows of the last pass, normalised."""
        return self._loss_sum / self._windows

    def validation_rmse(self) -> list[float]:
        """Root of the pooled mean square error by channel, unweighted, in physical units."""
        rmse = (self._square_sum / self._windows).sqrt() * self.std
        return [float(value) for value in rmse]

    def configure_optimizers(self) -> Any:
        config = self.experiment.train
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        if self.placeholder is not None:
            parameters.append(self.placeholder)
        # One pass over the parameters instead of a dozen, in a third of the time; lightning can't
        # clip gradients for it.
        fused = config.gradient_clip is None
        optimizer = torch.optim.Adam(parameters, lr=config.lr, fused=fused)
        total = config.epochs * self.steps_per_epoch
        schedule: LRScheduler
        if config.schedule == "constant":
            schedule = LambdaLR(optimizer, lambda _: 1.0)
        elif config.schedule == "onecycle":
            schedule = OneCycleLR(optimizer, config.lr, total_steps=total)
        else:
            schedule = LambdaLR(
                optimizer, lambda step: cosine_factor(step, total, self.steps_per_epoch, config)
            )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def _prepare_folder(folder: Path, experiment: Experiment, resume: bool, overwrite: bool) -> None:
    """Make the run's folder, or see that the one there may be used.

    Raises:
        InputError: a folder with a run that was neither to be resumed nor replaced, or with a run
            of another config.
    """
    config_path = folder / CONFIG_FILE
    if resume and config_path.is_file():
        # Read as a config is, so that keys that are newer than the run have their defaults.
        before = load_experiment(config_path)
        changed = config_differences(before.to_dict(), experiment.to_dict())
        if changed:
            raise InputError(
                f"can't resume {str(folder)!r}: it was started with another config "
                f"({'; '.join(changed[:3])}); use the same config or another --out"
            )
        return
    if config_path.exists() and not overwrite:
        raise InputError(
            f"{str(folder)!r} holds a run already; add --resume to go on with it, "
            "--overwrite to start again, or name another folder with --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (STATE_FILE, METRICS_FILE, MODEL_FILE, CURVE_FILE):
            (folder / name).unlink(missing_ok=True)
        with atomic_path(config_path) as temporary:
            temporary.write_text(experiment.to_yaml(), encoding="utf-8")
    except PermissionError as error:
        raise InputError(
            f"can't write to {str(folder)!r}; name another folder with --out"
        ) from error


def _read_split(
    series: Series,
    experiment: Experiment,
    normalization: Normalization,
    split: Split,
    folder: Path,
    progress: bool,
) -> Batches:
    """Batches of a split, training ones shuffled; scratch files go to the run's folder."""
    size = experiment.train.batch_size
    seed = experiment.seed if split == "train" else None
    if not progress:
        return series.batches(normalization, split, size, shuffle_seed=seed, scratch=folder)
    with ReadingLine(split) as line:
        batches = series.batches(
            normalization, split, size, shuffle_seed=seed, scratch=folder, report=line
        )
        line.finish(batches, series.windows(split), folder)
    return batches


def train(
    experiment: Experiment,
    folder: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    progress: bool = True,
) -> Path:
    """Train one experiment and keep its best epoch.

    With several devices or nodes each process trains on its part of every batch, and the outcome is
    that of one process with the whole batches, but for what is drawn by chance (dropped paths).

    Args:
        experiment: resolved config.
        folder: of the run.
        resume: go on with the run in `folder` (from the start where there is none).
        overwrite: replace the run in `folder`.
        device: `auto`, `cpu` or `cuda`.
        devices: processes a machine: GPUs, or processes on the CPU.
        nodes: machines, each of which is given the same call (docs/cluster.md).
        progress: whether to show a progress bar.

    Returns:
        Path of the best epoch's checkpoint.

    Raises:
        InputError: data, config or folder that do not fit (see `open_series`, `_prepare_folder`).
    """
    folder = Path(folder)
    config = experiment.train
    target = choose_device(device)
    if config.compile:
        check_compiler(target, "train.compile")
    choose_matrix_products(target, reduced=config.precision == "tf32")
    ranks = find_ranks(devices, nodes)
    here = torch.device("cuda", ranks.rank % devices) if target.type == "cuda" else target
    # The first process speaks for all.
    progress = progress and ranks.leads
    series = open_series(experiment.data)
    # Everything that can be wrong with the sizes and splits is found before data are read.
    torch.manual_seed(experiment.seed)
    with section("model"):
        build_model(experiment.model, series.shape)
    splits: tuple[Split, ...] = ("train", "validation", "test")
    for split in splits:
        series.windows(split)
    if ranks.leads:
        _prepare_folder(folder, experiment, resume, overwrite)
    if config.threads is not None:
        torch.set_num_threads(config.threads)

    normalization = series.fit_normalization()
    batches, validation = (
        _read_split(series, experiment, normalization, split, folder, progress)
        for split in ("train", experiment.data.selection)
    )
    identity = series.identity(normalization)

    torch.manual_seed(experiment.seed)
    steps = -(-len(batches) // config.accumulate)
    module = ForecastModule(experiment, series.shape, normalization, steps)
    module.calibrate(batches)
    if config.compile:
        # After the averaged copy was made, which is to be a model of its own.
        compile_network(module.model, config.batch_size // ranks.count, target)

    def make_checkpoint(weights: dict[str, Tensor], scores: dict[str, Any]) -> Checkpoint:
        return Checkpoint(
            experiment, series.grid, normalization, weights, identity, scores,
            name=experiment.name,
        )  # fmt: skip

    columns = [
        f"validation_rmse_{name}_{unit.replace(' ', '_')}"
        for name, unit in zip(series.channels, series.units, strict=True)
    ]
    keep = KeepRun(folder, experiment, make_checkpoint, columns, ranks)
    callbacks: list[Callback] = [keep]
    if progress:
        label = f"validation RMSE of {series.channels[0]}"
        callbacks.append(ShowProgress(config.epochs, steps, series.units[0], label))
    state = folder / STATE_FILE
    going_on = resume and state.is_file()
    if going_on:
        saved = torch.load(state, weights_only=True, map_location="cpu")
        keep.load_state_dict(saved["callbacks"][keep.state_key])
        if keep.history.is_finished(config):
            return folder / MODEL_FILE
    # Its notes on devices and on other products are not for our users.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = lightning.Trainer(
        accelerator="gpu" if target.type == "cuda" else "cpu",
        devices=devices,
        num_nodes=nodes,
        strategy="auto" if ranks.count == 1 else "ddp",
        # Batches share themselves out.
        use_distributed_sampler=False,
        # What does not learn is scored once.
        max_epochs=config.epochs if module.learns else 1,
        precision="bf16-mixed" if config.precision == "bf16" else "32-true",
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.gradient_clip,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    with warnings.catch_warnings():
        # lightning 2.6.6 itself uses a class that torch 2.13 deprecates; nothing to mend here.
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
        trainer.fit(
            module,
            train_dataloaders=batches.shared(ranks).on(here),
            val_dataloaders=validation.shared(ranks).on(here),
            ckpt_path=str(state) if going_on else None,
            weights_only=True,
        )
    if trainer.interrupted:
        raise KeyboardInterrupt
    return folder / MODEL_FILE
