"""Stored forecasts of the travelling wave whose errors are known, and evaluations of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from weathersvq.output import write_forecast
from weathersvq.verification.evaluation import evaluate
from weathersvq.verification.plan import make_plan
from weathersvq.verification.results import Results

HOUR = np.timedelta64(3600, "s")
START = np.datetime64("2016-12-28", "s")

Errors = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
MakeForecast = Callable[..., Path]


@pytest.fixture(scope="session")
def wave(make_wave: Callable[..., xr.Dataset]) -> xr.Dataset:
    """Ten days of t2m and u10, hourly from 28 December 2016."""
    return make_wave(names=("t2m", "u10"))


@pytest.fixture(scope="session")
def source(wave: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wave") / "wave.zarr"
    wave.to_zarr(path, zarr_format=2, consolidated=True)
    return path


@pytest.fixture(scope="session")
def make_forecast(wave: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> MakeForecast:
    """Write the truth plus an error as a stored forecast."""

    def make(
        name: str,
        error: float | Errors = 0.0,
        *,
        hours: Sequence[int] = range(24, 216, 4),
        leads: Sequence[int] = (1, 2, 3),
        truth: xr.Dataset | None = None,
        names: Sequence[str] = ("t2m", "u10"),
    ) -> Path:
        known = wave if truth is None else truth
        inits = START + np.asarray(hours) * HOUR
        lead_time = np.asarray(leads) * HOUR
        coordinates = {
            "init_time": inits,
            "lead_time": lead_time,
            "latitude": known["latitude"].values,
            "longitude": known["longitude"].values,
        }
        random = np.random.default_rng(len(name))
        fields = {}
        for one in names:
            values = known[one].sel(time=xr.DataArray(inits[:, None] + lead_time)).values
            off = error(random, values.shape) if callable(error) else error
            fields[one] = (tuple(coordinates), (values + off).astype(np.float32))
        needed = ("institution", "source", "history", "references", "comment")
        attributes = {"title": f"the wave and {name}"} | dict.fromkeys(needed, "tests")
        forecast = xr.Dataset(fields, coordinates, attributes)
        return write_forecast(forecast, tmp_path_factory.mktemp("forecasts") / f"{name}.zarr")

    return make


def noise(size: float) -> Errors:
    return lambda random, shape: random.normal(0, size, shape)


@pytest.fixture(scope="session")
def good(make_forecast: MakeForecast) -> Path:
    """Off by noise of 1 K and 1 m/s: 48 initial times, four hours apart."""
    return make_forecast("good", noise(1.0))


@pytest.fixture(scope="session")
def bad(make_forecast: MakeForecast) -> Path:
    return make_forecast("worse", noise(2.0))


@pytest.fixture(scope="session")
def results(good: Path, bad: Path, source: Path) -> Results:
    """Both over the whole wave, all regions."""
    plan = make_plan(
        [f"good={good}", f"bad={bad}"], source=str(source), climatology="2016-12-28/2016-12-31"
    )
    return Results(plan, evaluate(plan))


@pytest.fixture(scope="session")
def spread(results: Results) -> Results:
    """The same as if the initial times were two days apart: enough blocks for intervals."""
    inits = results.tally.inits[0] + np.arange(48) * np.timedelta64(172800, "s")
    best, worst = (
        tuple(case and replace(case, init=inits[0]) for case in cases)
        for cases in (results.tally.best, results.tally.worst)
    )
    return Results(results.plan, replace(results.tally, inits=inits, best=best, worst=worst))
