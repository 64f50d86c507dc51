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
from weathersvq.data.sources import open_source
from weathersvq.data.windows import Period
from weathersvq.errors import InputError
from weathersvq.evaluate import evaluate, evaluation_inits, training_climatology
from weathersvq.train import train


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
