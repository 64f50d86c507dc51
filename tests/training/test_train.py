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
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from weathersvq import batches
from weathersvq.checkpoint import load_checkpoint
from weathersvq.cli.describe import describe
from weathersvq.config import Experiment, TrainConfig
from weathersvq.data.normalize import merge_moments, moments, statistics_to_json
from weathersvq.data.sources import open_source
from weathersvq.data.store import FORM, MARK, Status, status_name
from weathersvq.data.windows import Period
from weathersvq.device import check_compiler
from weathersvq.errors import InputError
from weathersvq.forecasting.job import forecast
from weathersvq.grid import Grid
from weathersvq.models import validate_model_config
from weathersvq.series import FieldSeries
from weathersvq.training import train as room
from weathersvq.training.runs import run_summary
from weathersvq.training.train import cosine_factor, train
from weathersvq.variables import parse_channels

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
from typing import Any
from weathersvq.config import load_experiment
from weathersvq.training.train import train
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


@pytest.fixture
def flagged_store(wave_store: Path) -> Path:
    """The wave as a prepared store: u10 is absent at hour 50 (30 December, 2 h), all good else."""
    dataset = xr.open_zarr(wave_store, consolidated=True).load()
    dataset.u10[50] = np.nan
    period, channels = Period.parse("2016-12-28/2017-01-01"), parse_channels("t2m,u10")
    parts = [moments(dataset.isel(time=slice(a, a + 40)), channels) for a in (0, 40, 80)]
    for name in ("t2m", "u10"):
        flags = np.full(dataset.sizes["time"], Status.GOOD, dtype=np.int8)
        if name == "u10":
            flags[50] = Status.ABSENT
        dataset[status_name(name)] = ("time", flags)
    dataset.attrs |= {MARK: FORM, "statistics": statistics_to_json(merge_moments(parts), period)}
    dataset.to_zarr(wave_store, mode="w", zarr_format=2, consolidated=True)
    return wave_store


def test_flagged_times_are_never_trained_on_and_counted(
    make_experiment: Make, flagged_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = make_experiment(train={"epochs": 1, "warmup_epochs": 0})
    path = train(experiment, tmp_path / "run")
    # 120 hours hold 113 windows of 8 hours; 8 of them touch hour 50, and every third is kept.
    trained = load_checkpoint(path).training_data
    assert trained["windows"] == 35 == len(range(0, 105, 3))
    assert trained["windows_left_out_for_flags"] == 8
    assert trained["windows_left_out_for_gaps"] == 0
    assert trained["statistics"] == "stored"
    assert ("trained on: windows_left_out_for_flags", "8") in describe(str(path))
    # The last of those 35 windows ends at hour 117.
    said = "left out: 8 that touch flagged times"
    assert f"train: 35 windows, 118 frames (0.0019 GB in memory); {said}" in capsys.readouterr().err
    assert run_summary(path.parent).endswith(f"; training windows {said}")
    origins = FieldSeries(experiment.data).windows("train").origins
    spans = origins[:, None] + np.arange(-3, 5)
    assert not (spans == 50).any()
    # u10 alone is bad there: t2m alone may use that time.
    alone = make_experiment(data={"channels": ["t2m"]})
    assert FieldSeries(alone.data).windows("train").flagged == 0


def test_a_split_that_is_all_flagged_says_so(
    make_experiment: Make, flagged_store: Path, tmp_path: Path
) -> None:
    experiment = make_experiment(data={"train": "2016-12-30T00/2016-12-30T07"})
    with pytest.raises(InputError, match=r"left out: 1 that touch flagged times\); the data reach"):
        train(experiment, tmp_path / "run", progress=False)


def test_gaps_are_counted(make_experiment: Make, wave_store: Path, tmp_path: Path) -> None:
    dataset = xr.open_zarr(wave_store, consolidated=True).load().drop_isel(time=[50])
    dataset.to_zarr(wave_store, mode="w", zarr_format=2, consolidated=True)
    experiment = make_experiment(train={"epochs": 1, "warmup_epochs": 0})
    trained = load_checkpoint(train(experiment, tmp_path / "run", progress=False)).training_data
    assert (trained["windows_left_out_for_gaps"], trained["windows_left_out_for_flags"]) == (8, 0)
    assert trained["statistics"] == "computed"


def test_stopped_and_resumed_from_a_scratch_file_is_as_unbroken_in_memory(
    make_experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make_experiment(train={"epochs": 3})
    whole = load_checkpoint(train(experiment, tmp_path / "whole", progress=False))
    monkeypatch.setattr(batches, "MEMORY_LIMIT_BYTES", 0)
    step = room.ForecastModule.training_step

    def stop_in_third_epoch(self: room.ForecastModule, batch: batches.Batch, index: int) -> object:
        if self.current_epoch == 2:
            raise OSError("stopped")
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(room.ForecastModule, "training_step", stop_in_third_epoch)
        with pytest.raises(OSError, match="stopped"):
            train(experiment, tmp_path / "broken", progress=False)
    assert len(metrics(tmp_path / "broken")) == 2
    resumed = load_checkpoint(train(experiment, tmp_path / "broken", resume=True, progress=False))
    assert all(torch.equal(whole.weights[key], resumed.weights[key]) for key in whole.weights)
    assert whole.training_data == resumed.training_data


def test_a_run_older_than_a_key_can_be_resumed(make_experiment: Make, tmp_path: Path) -> None:
    experiment = make_experiment(train={"epochs": 1, "warmup_epochs": 0})
    path = train(experiment, tmp_path / "run", progress=False)
    config = path.with_name("config.yaml")
    lines = config.read_text().splitlines(keepends=True)
    assert "  grid: '5.625'\n" in lines
    config.write_text("".join(line for line in lines if "grid:" not in line))
    assert train(experiment, path.parent, resume=True, progress=False) == path
    with pytest.raises(InputError, match=r"data.grid: 5\.625 -> 2\.8125"):
        train(make_experiment(data={"grid": "2.8125"}), path.parent, resume=True, progress=False)


def test_finer_grids_go_through_training_and_forecasting(
    make_experiment: Make, make_wave: Callable[..., xr.Dataset], tmp_path: Path
) -> None:
    store = tmp_path / "fine.zarr"
    make_wave(steps=216, names=("t2m", "u10"), grid=Grid.equiangular(2.8125)).to_zarr(
        store, zarr_format=2, consolidated=True
    )
    experiment = make_experiment(
        data={"source": str(store), "grid": "2.8125", "train_every": 12, "evaluate_every": 24},
        train={"epochs": 1, "warmup_epochs": 0},
    )
    checkpoint = load_checkpoint(train(experiment, tmp_path / "run", progress=False))
    assert checkpoint.grid.shape == (64, 128)
    assert checkpoint.experiment.data.grid == "2.8125"
    dataset = open_source(store, parse_channels("t2m,u10"), grid=checkpoint.grid)
    assert "regridded" not in dataset.attrs
    result = forecast(checkpoint, dataset, np.array(["2017-01-04"], dtype="datetime64[s]"))
    assert result.t2m.shape == (1, 4, 64, 128)
    assert np.isfinite(result.t2m_error).all()
    # A store on that grid is taken to 5.625 degrees where the config says nothing else.
    assert FieldSeries(make_experiment(data={"source": str(store)}).data).grid.shape == (32, 64)


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


def test_average_takes_whole_numbers_over() -> None:
    averaged, current = (
        [torch.tensor([1.0]), torch.tensor(2)],
        [torch.tensor([2.0]), torch.tensor(3)],
    )
    room.moving_average(0.75)(averaged, current, 1)
    assert [float(each) for each in averaged] == [1.25, 3.0]


@pytest.mark.parametrize("kind", ["persistence", "climatology"])
def test_models_without_weights_are_calibrated_and_scored_once(
    make_experiment: Make, tmp_path: Path, kind: str
) -> None:
    model = validate_model_config(kind)
    experiment = make_experiment().model_copy(update={"model": model})
    path = train(experiment, tmp_path / "run", progress=False)
    rows = metrics(path.parent)
    assert len(rows) == 1
    checkpoint = load_checkpoint(path)
    assert checkpoint.scores["best_epoch"] == 1
    if kind == "climatology":
        # The wave's mean over the training windows, no cell of which is empty.
        assert checkpoint.weights["mean"].isfinite().all()
        assert checkpoint.weights["mean"].abs().max() > 0.01


def test_sizes_that_cannot_work_are_laid_to_their_section(
    make_experiment: Make, tmp_path: Path
) -> None:
    model = {"kind": "simvp", "hid_temporal": 16, "translator": {"kind": "vit", "heads": 7}}
    with pytest.raises(InputError, match=r"^model\.translator: 7 heads cannot share"):
        train(make_experiment(model=model), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "model",
    [
        {"kind": "predrnnv2", "hidden": 8, "depth": 2},
        {"kind": "dmvfn", "widths": [8, 8], "scales": [2, 1]},
        {"kind": "simvp", "hid_spatial": 4, "hid_temporal": 8, "depth_temporal": 2,
         "translator": "tau", "quantizer": {"kind": "residual_vq", "codebook_size": 16}},
    ],
    ids=lambda model: model["kind"],
)  # fmt: skip
def test_other_models_train_and_forecast_alike(
    make_experiment: Make, tmp_path: Path, model: dict[str, Any]
) -> None:
    experiment = make_experiment(train={"epochs": 3, "ema": 0.9}).model_copy(
        update={"model": validate_model_config(model)}
    )
    path = train(experiment, tmp_path / "run", progress=False)
    rows = metrics(path.parent)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert ("perplexity" in rows[0]) is (model["kind"] == "simvp")
    checkpoint = load_checkpoint(path)
    dataset = FieldSeries(experiment.fields).dataset
    inits = dataset["time"].values[[200, 203]].astype("datetime64[s]")
    result = forecast(checkpoint, dataset, inits, lead=np.timedelta64(6, "h"))
    assert result.sizes["lead_time"] == 6
    assert np.isfinite(result.t2m).all()
    # A forecast is the same again, though training draws at random.
    again = forecast(checkpoint, dataset, inits, lead=np.timedelta64(6, "h"))
    xr.testing.assert_equal(result.t2m, again.t2m)


def test_gathered_gradients_are_those_of_the_whole_batch(
    make_experiment: Make, tmp_path: Path
) -> None:
    """Two batches of 4 before a step learn what one of 8 learns: same windows, same mean."""
    quiet = {"translator": {"kind": "gsta", "mlp_ratio": 2, "drop_path": 0}}
    # 72 hours hold 65 windows of 8; every ninth makes 8: whole batches of either size.
    data = {"train": "2016-12-28/2016-12-30", "train_every": 9}
    courses = []
    for size, gathered in ((8, 1), (4, 2)):
        options = {"batch_size": size, "accumulate": gathered, "epochs": 2, "lr": 1e-3}
        experiment = make_experiment(data=data, model=quiet, train=options)
        folder = tmp_path / str(size)
        train(experiment, folder, device="cpu", progress=False)
        rows = csv.DictReader((folder / "metrics.csv").read_text().splitlines())
        courses.append([float(row["validation_loss"]) for row in rows])
    assert courses[0] == pytest.approx(courses[1], rel=1e-4)
    assert courses[0][1] != pytest.approx(courses[0][0], rel=1e-3), "it has learnt something"


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")  # torch's own
@pytest.mark.parametrize("ema", [None, 0.5])
def test_compiled_training_learns_the_same(
    make_experiment: Make, tmp_path: Path, ema: float | None
) -> None:
    try:
        check_compiler(torch.device("cpu"), "train.compile")
    except InputError as error:
        pytest.skip(str(error))
    # 65 windows: eight whole batches, which are compiled, and one of a single window, which is not.
    data = {"train": "2016-12-28/2016-12-30"}
    courses = []
    for compiled in (False, True):
        options = {"batch_size": 8, "epochs": 2, "lr": 1e-3, "compile": compiled, "ema": ema}
        # Small, as compiling takes long.
        experiment = make_experiment(data=data, train=options).model_copy(
            update={"model": validate_model_config({"kind": "autoregression"})}
        )
        folder = tmp_path / str(compiled)
        path = train(experiment, folder, device="cpu", progress=False)
        assert set(load_checkpoint(path).weights) == set(load_checkpoint(path).build().state_dict())
        courses.append([row["validation_loss"] for row in metrics(folder)])
    assert courses[0] == pytest.approx(courses[1], rel=1e-5)
    assert courses[0][1] != pytest.approx(courses[0][0], rel=1e-3), "it has learnt something"


def test_compiled_training_without_a_compiler(
    make_experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"^train\.compile needs .* or leave train\.compile away"):
        train(make_experiment(train={"compile": True}), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
