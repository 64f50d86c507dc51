"""The same model on frames as on weather: training, checkpoint, forecast, command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

from weathersvq import batches as batches_room
from weathersvq.batches import picture_reader
from weathersvq.checkpoint import load_checkpoint
from weathersvq.cli import app
from weathersvq.cli.describe import describe
from weathersvq.config import Experiment, FrameDataConfig, experiment_from_dict
from weathersvq.data.frames import write_frame_store
from weathersvq.data.frames.arrays import ArrayFrames
from weathersvq.data.frames.base import Channels, Clip
from weathersvq.errors import InputError
from weathersvq.forecasting.frames import (
    forecast_frames,
    open_frame_series,
    parse_windows,
    split_origins,
    write_frames,
)
from weathersvq.forecasting.job import check_fit
from weathersvq.grid import PixelGrid
from weathersvq.models.simvp import SimVP
from weathersvq.series import FrameSeries, open_series
from weathersvq.training.train import train

Make = Callable[..., Experiment]
TRAFFIC = Channels(("inflow", "outflow"), ("vehicles", "vehicles"), -1.0, 1.0)
LENGTHS = {"train": (12, 9, 3), "validation": (10,), "test": (11, 8)}


def make_frames() -> ArrayFrames:
    """Waves that travel through 10 x 12 cells, in clips of several lengths."""
    clips = tuple(
        Clip(f"{split}{number}", length, split)  # type: ignore[arg-type]
        for split, lengths in LENGTHS.items()
        for number, length in enumerate(lengths)
    )
    rows, columns = np.mgrid[0:10, 0:12]
    times = np.arange(sum(clip.length for clip in clips))[:, None, None]
    wave = np.sin(2 * np.pi * (columns / 12 + times / 8) + rows / 5)
    array = np.stack([wave, -0.5 * wave], axis=1).astype(np.float32)
    return ArrayFrames("waves", clips, TRAFFIC, (10, 12), "30 min", array=array)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frame_store(make_frames(), tmp_path_factory.mktemp("frames") / "waves.zarr")


@pytest.fixture(scope="module")
def experiment(store: Path) -> Experiment:
    return experiment_from_dict(
        {
            "name": "waves",
            "data": {"kind": "frames", "source": str(store), "inputs": 3, "targets": 2},
            "model": {
                "kind": "simvp", "hid_spatial": 4, "hid_temporal": 8, "depth_temporal": 2,
                "quantizer": {"kind": "svq", "codebook_size": 16},
            },
            "train": {"epochs": 6, "warmup_epochs": 0, "batch_size": 4, "lr": 1e-2},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(experiment, tmp_path_factory.mktemp("runs") / "run", progress=False)


def test_windows_by_hand(experiment: Experiment) -> None:
    series = open_series(experiment.data)
    # Windows take 5 frames: 12 - 4 and 9 - 4 in the first two clips, none in the third.
    windows = series.windows("train")
    assert windows.origins.size == 8 + 5
    assert windows.describe_left_out() == "1 clip shorter than a window"
    assert windows.origins.tolist() == [*range(2, 10), *range(14, 19)]
    assert series.windows("test").origins.size == 7 + 4


def test_the_same_class_learns_weather_and_frames(
    model: Path, make_experiment: Make, tmp_path: Path
) -> None:
    on_frames = load_checkpoint(model)
    on_weather = load_checkpoint(train(make_experiment(), tmp_path / "run", progress=False))
    built = [checkpoint.build() for checkpoint in (on_frames, on_weather)]
    assert type(built[0]) is type(built[1]) is SimVP
    assert type(on_frames.experiment.model) is type(on_weather.experiment.model)
    assert (on_frames.grid, on_frames.normalization.channels) == (
        PixelGrid(10, 12), ("inflow", "outflow")
    )  # fmt: skip
    rows = (model.parent / "metrics.csv").read_text().splitlines()
    header = rows[0].split(",")
    assert "validation_rmse_inflow_vehicles" in header
    assert "perplexity" in header
    first, last = (float(row.split(",")[header.index("train_loss")]) for row in (rows[1], rows[-1]))
    assert last < 0.8 * first


def test_range_becomes_0_to_1_and_nothing_is_fitted(experiment: Experiment) -> None:
    series = open_series(experiment.data)
    normalization = series.fit_normalization()
    assert (normalization.mean, normalization.std) == ((-1.0, -1.0), (2.0, 2.0))
    assert normalization.origin == "declared"
    batch = next(iter(series.batches(normalization, "train", 2)))
    assert batch.inputs.shape == (2, 3, 2, 10, 12)
    assert batch.targets.shape == (2, 2, 2, 10, 12)
    expected = (make_frames().array[:3] + 1) / 2
    np.testing.assert_allclose(batch.inputs[0].numpy(), expected, atol=1e-6)


def test_windows_are_read_when_they_do_not_fit_into_memory(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = open_series(experiment.data)
    normalization = series.fit_normalization()
    kept = next(iter(series.batches(normalization, "test", 3)))
    monkeypatch.setattr(batches_room, "MEMORY_LIMIT_BYTES", 0)
    read = next(iter(series.batches(normalization, "test", 3)))
    assert torch.equal(kept.inputs, read.inputs)
    assert torch.equal(kept.targets, read.targets)
    told: list[tuple[int, int]] = []
    frames = make_frames()
    picture_reader(frames, normalization, 2, 8, 2**20, report=lambda *n: told.append(n))
    assert told == [(7, 7)]


def test_names_and_units_reach_the_zarr(model: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(model)
    series = open_frame_series(checkpoint)
    origins = split_origins(series)
    result = forecast_frames(checkpoint, series, origins[[0, 6, 10]], steps=5, batch_size=2)
    path = write_frames(result, tmp_path / "f.zarr")
    with xr.open_zarr(path) as stored:
        assert dict(stored.sizes) == {"window": 3, "lead": 5, "row": 10, "column": 12}
        assert stored["inflow"].attrs["units"] == "vehicles"
        assert stored["clip"].values.tolist() == ["test0", "test0", "test1"]
        # The last window of a clip of 11: inputs end at its 9th frame, two true ones follow.
        assert stored["last_input"].values.tolist() == [2, 8, 5]
        known = np.isfinite(stored["outflow_truth"].values).all(axis=(2, 3))
        assert known.tolist() == [[True] * 5, [True, True, False, False, False],
                                  [True, True, False, False, False]]  # fmt: skip
        frames = make_frames().array
        start = sum(LENGTHS["train"]) + sum(LENGTHS["validation"])
        np.testing.assert_allclose(
            stored["outflow_truth"][0].values, frames[start + 3 : start + 8, 1], atol=1e-6
        )
        np.testing.assert_allclose(
            stored["inflow_last_input"][0].values, frames[start + 2, 0], atol=1e-6
        )
        error = stored["inflow"] - stored["inflow_truth"]
        np.testing.assert_allclose(stored["inflow_error"].values, error.values)
        chunks = stored["inflow"].encoding["chunks"]
    assert chunks == (1, 5, 10, 12)


def test_command_line(model: Path, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.nc"
    arguments = ["forecast", "--model", str(model), "--init", "0/10/5", "--out", str(out)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "inflow [vehicles]: RMSE" in result.output
    assert "over 3 windows and 2 frames" in result.output
    assert out.exists()
    rows = dict(describe(str(store)))
    assert rows["channels"] == "inflow [vehicles], outflow [vehicles]"
    assert rows["clips for train"] == "3, 3 to 12 frames each"
    assert dict(describe(str(model)))["grid"] == "10 x 12 pixels"


def test_prepare_frames(tmp_path: Path) -> None:
    source, out = tmp_path / "digits.npy", tmp_path / "digits.zarr"
    np.save(source, np.zeros((6, 20, 8, 8), np.uint8))  # Moving MNIST: (T, N, H, W)
    arguments = ["prepare", "--frames", "--source", str(source), "--out", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--option", "layout=tnhw"])
    assert result.exit_code == 0, result.output
    assert "120 frames of 1 x 8 x 8 in 20 clips" in result.output
    assert FrameSeries(
        FrameDataConfig(kind="frames", source=str(out), inputs=2, targets=2)
    ).grid == PixelGrid(8, 8)
    with pytest.raises(InputError, match="KEY=VALUE"):
        CliRunner().invoke(app, [*arguments, "--option", "layout"], catch_exceptions=False)


def test_mistakes(model: Path, experiment: Experiment, store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not among the 11 windows 0 to 10"):
        parse_windows(["11"], 11)
    with pytest.raises(InputError, match="'2017-01-01' is not a window's number"):
        parse_windows(["2017-01-01"], 11)
    assert parse_windows(["0/6/3", "2"], 11).tolist() == [0, 2, 3, 6]
    too_long = experiment.data.model_copy(update={"inputs": tuple(range(-29, 1))})
    with pytest.raises(
        InputError, match="of its 3 train clips the longest has 12 frames, and a window takes 32"
    ):
        open_series(too_long).windows("train")
    checkpoint = load_checkpoint(model)
    with pytest.raises(InputError, match="forecasts pictures of 10 x 12 pixels, not fields"):
        check_fit(checkpoint, xr.Dataset(coords={"latitude": [0.0, 1.0], "longitude": [0.0, 1.0]}))
    other = tmp_path / "other.npy"
    np.save(other, np.zeros((12, 6, 7), np.uint8))
    with pytest.raises(InputError, match="was trained on frames of 10 x 12 pixels, but"):
        open_frame_series(checkpoint, str(other))
    with pytest.raises(InputError, match=r"neither NAME\.zarr nor NAME\.nc"):
        write_frames(xr.Dataset(), tmp_path / "f.txt")
    with pytest.raises(InputError, match="waves is about frames"):
        _ = experiment.fields
    with pytest.raises(InputError, match="unknown kind of data; known: weather, frames"):
        experiment_from_dict({"name": "x", "data": {"kind": "sound"}, "model": "simvp"})
