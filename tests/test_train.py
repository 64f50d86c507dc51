"""Training: the loss falls, a killed run ends as an unbroken one, schedules follow their formulas."""

from __future__ import annotations

import csv
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from weathersvq.checkpoint import load_checkpoint
from weathersvq.config import Experiment, TrainConfig
from weathersvq.errors import InputError
from weathersvq.train import cosine_factor, train

Make = Callable[..., Experiment]


def metrics(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_a_run_learns_and_leaves_everything_in_its_folder(
    make_experiment: Make, tmp_path: Path
) -> None:
    path = train(make_experiment(), tmp_path / "run", progress=False)
    assert {p.name for p in path.parent.iterdir()} == {
        "config.yaml", "metrics.csv", "learning_curve.png", "model.safetensors", "state.ckpt"
    }  # fmt: skip
    rows = metrics(path.parent)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["train_loss"] < 0.7 * rows[0]["train_loss"]
    checkpoint = load_checkpoint(path)
    best = min(rows, key=lambda row: row["validation_loss"])
    assert checkpoint.scores["best_epoch"] == best["epoch"]
    assert checkpoint.scores["selection"] == "validation"
    # The wave's standard deviation is about 8 K: normalised and physical errors belong together.
    ratio = best["validation_rmse_t2m_K"] / checkpoint.normalization.std[0]
    assert ratio == pytest.approx(best["validation_loss"], rel=0.8)
    assert checkpoint.training_data["period"] == "2016-12-28/2017-01-01"


def test_same_seed_same_weights_other_seed_others(make_experiment: Make, tmp_path: Path) -> None:
    options = {"epochs": 2, "warmup_epochs": 0}
    first, again, other = (
        load_checkpoint(train(experiment, tmp_path / name, progress=False)).weights
        for name, experiment in (
            ("a", make_experiment(train=options)),
            ("b", make_experiment(train=options)),
            ("c", make_experiment(train=options).model_copy(update={"seed": 4})),
        )
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


RUN = """
import sys, yaml
from pathlib import Path
from weathersvq.config import load_experiment
from weathersvq.train import train
train(load_experiment(sys.argv[1]), sys.argv[2], resume=True, progress=False)
"""


def test_killed_and_resumed_ends_with_the_same_weights(
    make_experiment: Make, tmp_path: Path
) -> None:
    experiment = make_experiment(train={"epochs": 6, "ema": 0.9, "threads": 1})
    config = tmp_path / "experiment.yaml"
    config.write_text(experiment.to_yaml())
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = [sys.executable, "-c", RUN, str(config)]
    subprocess.run([*command, str(whole)], check=True, timeout=200)
    process = subprocess.Popen([*command, str(broken)])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (broken / "state.ckpt").is_file():
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(metrics(broken)) < 6
    subprocess.run([*command, str(broken)], check=True, timeout=200)

    assert [r["validation_loss"] for r in metrics(broken)] == [
        r["validation_loss"] for r in metrics(whole)
    ]
    expected = load_checkpoint(whole / "model.safetensors").weights
    weights = load_checkpoint(broken / "model.safetensors").weights
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    last = [
        torch.load(folder / "state.ckpt", weights_only=True)["state_dict"]
        for folder in (whole, broken)
    ]
    assert all(torch.equal(last[0][key], last[1][key]) for key in last[0])
    # A finished run stays as it is.
    before = (broken / "model.safetensors").stat().st_mtime_ns
    train(experiment, broken, resume=True, progress=False)
    assert (broken / "model.safetensors").stat().st_mtime_ns == before


def test_early_stopping_keeps_the_best_epoch(make_experiment: Make, tmp_path: Path) -> None:
    # A learning rate this high makes things worse after the first epochs.
    experiment = make_experiment(
        train={"epochs": 30, "patience": 2, "lr": 0.5, "schedule": "constant"}
    )
    path = train(experiment, tmp_path / "run", progress=False)
    rows = metrics(path.parent)
    best = int(load_checkpoint(path).scores["best_epoch"])
    assert len(rows) == best + 2 < 30
    assert rows[best - 1]["validation_loss"] == min(r["validation_loss"] for r in rows)


def test_bf16_and_clipping_and_huber_run(make_experiment: Make, tmp_path: Path) -> None:
    experiment = make_experiment(
        train={"precision": "bf16", "gradient_clip": 1.0, "loss": "huber", "schedule": "onecycle",
               "epochs": 2}
    )  # fmt: skip
    rows = metrics(train(experiment, tmp_path / "run", progress=False).parent)
    assert all(math.isfinite(row["train_loss"]) for row in rows)


def test_an_existing_run_is_not_lost_by_mistake(make_experiment: Make, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(make_experiment(train={"epochs": 2}), folder, progress=False)
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="holds a run already"):
        train(make_experiment(), folder, progress=False)
    with pytest.raises(InputError, match=r"another config \(train.epochs: 2 -> 4\)"):
        train(make_experiment(), folder, resume=True, progress=False)
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"step": "6h"}, "data.step is 6h, but .* has a step of 1 h"),
        ({"test": "2017-02"}, r"data.test \(2017-02\) holds no window"),
        ({"channels": ["v10"]}, "v10"),
    ],
)
def test_bad_data_is_found_before_anything_is_written(
    make_experiment: Make, tmp_path: Path, section: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(make_experiment(data=section), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_missing_values_stop_the_run(
    make_experiment: Make, wave_store: Path, tmp_path: Path
) -> None:
    dataset = xr.open_zarr(wave_store, consolidated=True).load()
    dataset.t2m[150, 0, 0] = np.nan  # in the validation period
    dataset.to_zarr(wave_store, mode="w", zarr_format=2, consolidated=True)
    with pytest.raises(InputError, match="t2m has missing values at 2017-01-03"):
        train(make_experiment(), tmp_path / "run", progress=False)


def test_cosine_schedule_by_hand() -> None:
    config = TrainConfig(epochs=50, lr=5e-3, warmup_epochs=5, warmup_lr=1e-5, final_lr=1e-6)

    def rate(step: int) -> float:
        return 5e-3 * cosine_factor(step, 500, 10, config)

    assert rate(0) == pytest.approx(1e-5)
    assert rate(25) == pytest.approx((1e-5 + 5e-3) / 2)
    assert rate(50) == pytest.approx(5e-3)
    # Half-way down the cosine: the mean of its ends. Steps 50 to 499 have their middle at 274.5.
    assert (rate(274) + rate(275)) / 2 == pytest.approx((5e-3 + 1e-6) / 2, rel=1e-3)
    assert rate(499) == pytest.approx(1e-6)
