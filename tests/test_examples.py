"""Real weather, briefly: the two example configs go from file to verified, mapped forecast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weathersvq.checkpoint import load_checkpoint
from weathersvq.config import load_experiment
from weathersvq.forecasting.job import forecast
from weathersvq.maps import error_map
from weathersvq.output import read_forecast, write_forecast
from weathersvq.series import FieldSeries
from weathersvq.training.train import train
from weathersvq.verification.evaluation import evaluate
from weathersvq.verification.plan import make_plan
from weathersvq.verification.results import Results

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["era5_uk_t2m", "ncep_namerica_t"])
def test_from_file_to_map(name: str, tmp_path: Path) -> None:
    path = ROOT / "configs" / "examples" / f"{name}.yaml"
    document = load_experiment(path)
    source = (ROOT / document.data.source).resolve()
    if not source.exists():
        pytest.skip(f"the real file {source.name} is not there")
    if source.suffix == ".grib":
        pytest.importorskip("cfgrib", reason="GRIB needs the extra `grib`")
    experiment = load_experiment(
        path,
        [
            f"data.source={source}", "data.train_every=40", "data.evaluate_every=30",
            "model.hid_temporal=16", "model.depth_temporal=2", "model.predict=change",
            "train.epochs=2", "train.warmup_epochs=0", "train.precision=fp32",
        ],
    )  # fmt: skip
    model = train(experiment, tmp_path / "run", progress=False)
    checkpoint = load_checkpoint(model)
    dataset = FieldSeries(experiment.data).dataset
    plan = make_plan([f"model={model}"], source=str(source), limit=20)
    # A single March has no annual course, sixteen months allow two waves.
    waves = {"era5_uk_t2m": "mean by hour of day", "ncep_namerica_t": "2 annual harmonics"}[name]
    assert waves in plan.climatology_period
    inits = plan.inits
    channel = experiment.data.channels[0]
    rmse = Results(plan, evaluate(plan)).scores(("lead",)).sel(metric="rmse", channel=channel)
    # Persistence can be computed by hand.
    lead = rmse["lead_time"][0]
    field = dataset[channel].load()
    later = field.sel(time=inits + lead.values)
    difference = (later.values - field.sel(time=inits).values).astype(np.float64)
    weights = np.broadcast_to(checkpoint.grid.area_weights()[:, None], difference.shape[1:])
    by_hand = np.sqrt((difference**2 * weights).mean())
    assert float(rmse.sel(forecast="persistence", lead_time=lead)) == pytest.approx(by_hand, 1e-3)
    assert 0 < float(rmse.sel(forecast="model").max()) < 30

    result = forecast(checkpoint, dataset, inits[:1])
    write_forecast(result, tmp_path / "forecast.nc")
    again = read_forecast(tmp_path / "forecast.nc")
    np.testing.assert_allclose(again[channel], result[channel])
    figure = error_map(result, channel, init=inits[0], lead=lead.values)
    assert len(figure.axes) >= 3
