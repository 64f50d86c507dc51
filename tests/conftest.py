"""What every test may use: a warm wave that travels round the globe, and the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from weathersvq.cli import program
from weathersvq.config import Experiment, experiment_from_dict
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.variables import variable


def travelling_wave(
    start: str = "2016-12-28",
    steps: int = 240,
    step_hours: int = 1,
    names: tuple[str, ...] = ("t2m",),
    grid: Grid = GLOBAL_5625,
) -> xr.Dataset:
    """Canonical dataset: a zonal wave moving east at 2.5 degrees an hour over a warm equator."""
    hours = np.arange(steps) * step_hours
    time = np.datetime64(start, "s") + hours * np.timedelta64(3600, "s")
    latitude = np.deg2rad(grid.latitude)[None, :, None]
    phase = np.deg2rad(3 * grid.longitude[None, None, :] - 7.5 * hours[:, None, None])
    wave = np.cos(latitude) * np.cos(phase)
    scale = {"t2m": (285.0, 8.0), "t": (285.0, 8.0), "r": (60.0, 15.0), "tcc": (0.5, 0.3)}
    fields = {}
    for number, name in enumerate(names):
        mean, amplitude = scale.get(name, (0.0, 8.0))
        values = mean + amplitude * np.roll(wave, 5 * number, axis=2)
        if name in ("t2m", "t"):
            values = values + 20 * (np.cos(latitude) - 0.6)
        attributes = {"units": variable(name).units}
        fields[name] = (("time", "latitude", "longitude"), values.astype(np.float32), attributes)
    return xr.Dataset(
        fields,
        coords={"time": time, "latitude": grid.latitude, "longitude": grid.longitude},
        attrs={"title": "a travelling wave", "institution": "tests", "source": "conftest"},
    )


@pytest.fixture(scope="session")
def make_wave() -> Callable[..., xr.Dataset]:
    return travelling_wave


@pytest.fixture
def wave_store(tmp_path: Path) -> Path:
    """Ten days of the travelling wave as a local Zarr store."""
    path = tmp_path / "wave.zarr"
    travelling_wave(names=("t2m", "u10")).to_zarr(path, zarr_format=2, consolidated=True)
    return path


@pytest.fixture
def make_experiment(wave_store: Path) -> Callable[..., Experiment]:
    """A tiny experiment on the wave; keyword arguments change its sections."""

    def make(**changes: dict[str, Any]) -> Experiment:
        document: dict[str, Any] = {
            "name": "tiny",
            "seed": 3,
            "data": {
                "source": str(wave_store),
                "channels": ["t2m", "u10"],
                "inputs": 4,
                "targets": 4,
                "train": "2016-12-28/2017-01-01",
                "validation": "2017-01-02/2017-01-03",
                "test": "2017-01-04/2017-01-06",
                "train_every": 3,
                "evaluate_every": 5,
            },
            "model": {
                "kind": "simvp",
                "hid_spatial": 4,
                "hid_temporal": 8,
                "depth_temporal": 2,
                "translator": {"kind": "gsta", "mlp_ratio": 2, "drop_path": 0.1},
                "quantizer": {"kind": "svq", "codebook_size": 16},
            },
            "train": {"epochs": 4, "warmup_epochs": 1, "batch_size": 8, "lr": 5e-3},
        }
        for section, options in changes.items():
            document[section] = document[section] | options
        return experiment_from_dict(document)

    return make


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Give a command in an empty folder; (exit code, standard output, standard error)."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    # Wide, so that no line of a message is wrapped.
    monkeypatch.setenv("COLUMNS", "250")

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["weathersvq", *map(str, arguments)])
        code: object = 0
        try:
            program.main()
        except SystemExit as stop:
            code = stop.code or 0
        printed = capsys.readouterr()
        assert isinstance(code, int)
        return code, printed.out, printed.err

    return command
