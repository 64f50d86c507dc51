"""The same on a GPU: forecasts, training, the store held there. Skipped where there is none."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from weathersvq.batches import Frames
from weathersvq.bundled import bundled_model
from weathersvq.checkpoint import load_checkpoint
from weathersvq.config import Experiment
from weathersvq.forecasting.inference import inference_form
from weathersvq.series import open_series
from weathersvq.training.train import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

Make = Callable[..., Experiment]
QUIET = {"translator": {"kind": "gsta", "mlp_ratio": 2, "drop_path": 0}}


def course(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open() as file:
        return [float(row["validation_loss"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({}, 1e-3),
        ({"precision": "tf32"}, 1e-2),
        ({"precision": "bf16"}, 3e-2),
        ({"compile": True}, 1e-3),
        ({"compile": True, "precision": "bf16"}, 3e-2),
    ],
    ids=["fp32", "tf32", "bf16", "compiled", "compiled bf16"],
)
def test_training_goes_as_on_the_cpu(
    make_experiment: Make, tmp_path: Path, options: dict[str, object], tolerance: float
) -> None:
    common = {"epochs": 2, "lr": 1e-3}
    plain = make_experiment(model=QUIET, train=common)
    train(plain, tmp_path / "cpu", device="cpu", progress=False)
    other = make_experiment(model=QUIET, train=common | options)
    train(other, tmp_path / "cuda", device="cuda", progress=False)
    assert course(tmp_path / "cuda") == pytest.approx(course(tmp_path / "cpu"), rel=tolerance)


@pytest.mark.parametrize("share", [0.25, 0.0], ids=["held there", "sent there"])
def test_batches_come_on_the_device(
    make_experiment: Make, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr("weathersvq.batches.DEVICE_SHARE", share)
    series = open_series(make_experiment().data)
    plain = series.batches(series.fit_normalization(), "train", 4)
    there = plain.on(torch.device("cuda", 0))
    assert isinstance(there.read, Frames)
    assert there.read.values.is_cuda == bool(share)
    for one, other in zip(plain, there, strict=True):
        assert other.inputs.is_cuda
        assert other.targets.is_cuda
        torch.testing.assert_close(other.inputs.cpu(), one.inputs, rtol=0, atol=0)
        torch.testing.assert_close(other.targets.cpu(), one.targets, rtol=0, atol=0)


@pytest.mark.parametrize("compiled", [False, True])
def test_forecasts_are_those_of_the_cpu(compiled: bool) -> None:
    checkpoint = load_checkpoint(bundled_model())
    mean, std = checkpoint.normalization.scale()
    noise = np.random.default_rng(0).normal(size=(3, *checkpoint.shape.inputs))
    fields = (mean + std * noise).astype(np.float32)
    there = inference_form(checkpoint, compiled=compiled, device="cuda").predict(fields, 2)
    here = inference_form(checkpoint, device="cpu").predict(fields, 2)
    np.testing.assert_allclose(there / std, here / std, rtol=0, atol=2e-3)
