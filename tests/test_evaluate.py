"""Evaluation: model, persistence and climatology over the same inits, against plain computations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import weathersvq.evaluate as room
from weathersvq.bundled import bundled_model
from weathersvq.checkpoint import load_checkpoint
from weathersvq.config import Experiment
from weathersvq.data.climatology import climatology_sums, merge_sums, solve_climatology
from weathersvq.data.sources import open_source
from weathersvq.data.windows import Period
from weathersvq.errors import InputError
from weathersvq.evaluate import (
    evaluate,
    evaluation_inits,
    evaluation_windows,
    training_climatology,
)
from weathersvq.training.train import train


@pytest.fixture
def scores(
    make_experiment: Callable[..., Experiment],
    wave_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[xr.Dataset, xr.Dataset, np.ndarray]:
    """(scores, data, inits) of a briefly trained model, in parts of seven inits."""
    monkeypatch.setattr(room, "INITS_AT_ONCE", 7)
    experiment = make_experiment(train={"epochs": 2, "warmup_epochs": 0})
    checkpoint = load_checkpoint(train(experiment, tmp_path / "run", progress=False))
    dataset = open_source(wave_store)
    inits = evaluation_inits(checkpoint, dataset, Period.parse("2017-01-04/2017-01-05"), 3)
    climatology = training_climatology(checkpoint, dataset, harmonics=0)
    return evaluate(checkpoint, dataset, inits, climatology), dataset, inits


def test_baselines_by_hand(scores: tuple[xr.Dataset, xr.Dataset, np.ndarray]) -> None:
    result, dataset, inits = scores
    # 48 hours, 4 inputs and 4 targets: 48 - 8 + 1 = 41 windows, every third of them: 14.
    assert inits.size == 14
    mse = result.t2m.sel(metric="mse_unweighted")
    field = dataset.t2m.load()
    for lead in (1, 4):
        valid = inits + np.timedelta64(lead, "h")
        truth = field.sel(time=valid).values.astype(np.float64)
        now = field.sel(time=inits).values
        by_hand = np.square(now - truth).mean()
        lead_time = np.timedelta64(lead, "h")
        assert float(mse.sel(forecast="persistence", lead_time=lead_time)) == pytest.approx(
            by_hand, rel=1e-5
        )
        # Without harmonics the climatology is the mean by hour of the day of the training period.
        training = field.sel(time=slice("2016-12-28", "2017-01-01"))
        by_hour = training.groupby("time.hour").mean()
        normal = by_hour.sel(hour=xr.DataArray(valid).dt.hour).values
        assert float(mse.sel(forecast="climatology", lead_time=lead_time)) == pytest.approx(
            np.square(normal - truth).mean(), rel=1e-3
        )


def test_all_forecasts_have_all_metrics(scores: tuple[xr.Dataset, xr.Dataset, np.ndarray]) -> None:
    result, _, _ = scores
    assert result.forecast.values.tolist() == ["model", "persistence", "climatology"]
    assert set(result.data_vars) == {"t2m", "u10"}
    model = result.t2m.sel(forecast="model")
    assert np.isfinite(model).all()
    # The root of a mean square is never below the mean of absolute values.
    assert (model.sel(metric="rmse") >= model.sel(metric="mae")).all()


def test_flagged_times_are_left_out_of_the_scores(
    make_experiment: Callable[..., Experiment], wave_store: Path, tmp_path: Path
) -> None:
    experiment = make_experiment(train={"epochs": 1, "warmup_epochs": 0})
    checkpoint = load_checkpoint(train(experiment, tmp_path / "run", progress=False))
    dataset = open_source(wave_store).load()
    usable = np.ones(240, dtype=bool)
    usable[[10, 180]] = False  # in the training period, and at noon of 4 January
    dataset.t2m[10] = np.nan
    dataset.t2m[180, 2, 3] = np.nan
    flagged = dataset.assign_coords(usable=("time", usable))
    period = Period.parse("2017-01-04/2017-01-04")
    # 24 hours hold 17 windows of 8 hours; 4 January 12 h spoils those with origins from 8 h to 15 h.
    inits = evaluation_inits(checkpoint, flagged, period)
    hours = (inits - np.datetime64("2017-01-04")) // np.timedelta64(1, "h")
    assert hours.tolist() == [3, 4, 5, 6, 7, 16, 17, 18, 19]
    assert evaluation_windows(checkpoint, flagged, period).flagged == 8
    climatology = training_climatology(checkpoint, flagged, harmonics=0)
    scores = evaluate(checkpoint, flagged, inits, climatology)
    assert set(scores.coords) == {"forecast", "metric", "lead_time"}
    assert np.isfinite(scores.t2m.sel(forecast=["model", "persistence"])).all()
    assert np.isfinite(scores.t2m.sel(metric="rmse")).all()
    with pytest.raises(InputError, match=r"left out: 1 that touch flagged times\)"):
        evaluation_inits(checkpoint, flagged, Period.parse("2017-01-04T08/2017-01-04T15"))


def test_a_stored_climatology_serves_as_well_as_a_fitted_one(
    make_experiment: Callable[..., Experiment], wave_store: Path, tmp_path: Path
) -> None:
    experiment = make_experiment(train={"epochs": 1, "warmup_epochs": 0})
    checkpoint = load_checkpoint(train(experiment, tmp_path / "run", progress=False))
    dataset = open_source(wave_store)
    fitted = training_climatology(checkpoint, dataset, harmonics=0)
    # As the tasks of `prepare` make it, day by day.
    training = dataset.sel(time=slice("2016-12-28", "2017-01-01"))
    days = (training.isel(time=slice(start, start + 24)) for start in range(0, 120, 24))
    sums = merge_sums(climatology_sums(day, harmonics=0) for day in days)
    marked = solve_climatology(sums, dataset).assign(t2m=lambda c: c.t2m + np.float32(1))
    marked.to_zarr(wave_store, group="climatology", mode="a", zarr_format=2, consolidated=False)
    stored = training_climatology(checkpoint, dataset, harmonics=0)
    # The degree shows that it is the stored one; else they are the same.
    xr.testing.assert_allclose(stored.u10, fitted.u10, rtol=1e-6, atol=1e-6)
    xr.testing.assert_allclose(stored.t2m - 1, fitted.t2m, rtol=1e-6)
    assert stored.attrs == fitted.attrs
    assert (
        training_climatology(checkpoint, dataset.isel(time=slice(1, None)), 0).attrs != stored.attrs
    )


def test_a_period_without_windows() -> None:
    sample = open_source("sample")
    checkpoint = load_checkpoint(bundled_model())
    with pytest.raises(InputError, match="holds no window"):
        evaluation_inits(checkpoint, sample, Period.parse("2017-01-01T00/2017-01-01T05"))


def test_the_bundled_model_beats_persistence_at_every_lead() -> None:
    # 2017 is test time: neither weights nor the choice of the epoch have seen it.
    sample = open_source("sample").sel(time=slice("2016-12-31T13", None))
    checkpoint = load_checkpoint(bundled_model())
    inits = evaluation_inits(checkpoint, sample, Period.parse("2017"), every=19)
    climatology = room.fit_climatology(sample, harmonics=0)
    rmse = evaluate(checkpoint, sample, inits, climatology).t2m.sel(metric="rmse")
    ratio = rmse.sel(forecast="model") / rmse.sel(forecast="persistence")
    assert float(ratio.max()) < 1
    assert float(ratio.mean()) < 0.8
