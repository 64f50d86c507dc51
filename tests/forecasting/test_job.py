"""Forecasts: right times, right units, right truth; a model and data that do not fit are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from weathersvq.checkpoint import Checkpoint, model_shape
from weathersvq.config import Experiment
from weathersvq.data.normalize import Normalization
from weathersvq.data.sources import open_source
from weathersvq.errors import InputError
from weathersvq.forecasting.job import choose_channels, choose_lead_steps, forecast, parse_inits
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.models import build_model
from weathersvq.variables import Channel

Make = Callable[..., Experiment]


def checkpoint_of(experiment: Experiment, grid: Grid = GLOBAL_5625) -> Checkpoint:
    torch.manual_seed(0)
    model = build_model(
        experiment.model, model_shape(experiment.data, grid, len(experiment.data.channels))
    )
    normalization = Normalization(("t2m", "u10"), (285.0, 0.0), (8.0, 5.0))
    return Checkpoint(experiment, grid, normalization, model.state_dict(), name="test.safetensors")


@pytest.fixture
def persistence(make_experiment: Make) -> Checkpoint:
    """The model whose forecast is known beforehand."""
    experiment = make_experiment()
    document = experiment.to_dict() | {"model": "persistence"}
    return checkpoint_of(Experiment.model_validate(document))


@pytest.fixture
def dataset(wave_store: Path) -> xr.Dataset:
    return open_source(wave_store)


def test_persistence_through_the_whole_road(persistence: Checkpoint, dataset: xr.Dataset) -> None:
    inits = parse_inits(["2017-01-01", "2017-01-02T03"])
    result = forecast(persistence, dataset, inits)
    assert result.t2m.dims == ("init_time", "lead_time", "latitude", "longitude")
    assert (result.lead_time / np.timedelta64(1, "h")).values.tolist() == [1, 2, 3, 4]
    for init in inits:
        now = dataset.t2m.sel(time=init).values
        later = dataset.t2m.sel(time=init + np.timedelta64(3, "h")).values
        there = result.sel(init_time=init)
        np.testing.assert_allclose(there.t2m.values, np.broadcast_to(now, (4, 32, 64)), atol=1e-3)
        np.testing.assert_allclose(there.t2m_truth[2], later)
        np.testing.assert_allclose(there.t2m_error[2], there.t2m[2] - later, atol=1e-4)


def test_leads_beyond_the_trained_ones_feed_the_output_back(
    make_experiment: Make, dataset: xr.Dataset
) -> None:
    checkpoint = checkpoint_of(make_experiment())
    init = parse_inits(["2017-01-01"])
    short = forecast(checkpoint, dataset, init)
    long = forecast(checkpoint, dataset, init, lead=np.timedelta64(10, "h"))
    assert long.sizes["lead_time"] == 10
    np.testing.assert_array_equal(long.t2m[:, :4], short.t2m)
    # The 5th to 8th step come from the first four, as if they had been observed.
    fed_back = dataset.copy()
    times = long.init_time.values[0] + long.lead_time.values[:4]
    for name in ("t2m", "u10"):
        values = fed_back[name].load().copy()
        values.loc[{"time": times}] = long[name][0, :4].values
        fed_back[name] = values
    again = forecast(checkpoint, fed_back, parse_inits(["2017-01-01T04"]))
    np.testing.assert_allclose(long.u10[0, 4:8], again.u10[0], atol=2e-4)


def test_inits_in_one_batch_or_alone_are_the_same(
    make_experiment: Make, dataset: xr.Dataset
) -> None:
    checkpoint = checkpoint_of(make_experiment())
    inits = parse_inits(["2017-01-01/2017-01-01T06/2h"])
    assert inits.size == 4
    together = forecast(checkpoint, dataset, inits, batch_size=3)
    alone = forecast(checkpoint, dataset, inits[2:3])
    np.testing.assert_allclose(together.t2m[2], alone.t2m[0], atol=1e-3)


def test_truth_is_nan_where_the_source_ends_and_absent_where_nothing_is_known(
    persistence: Checkpoint, dataset: xr.Dataset
) -> None:
    last = dataset.time.values[-1]
    partly = forecast(persistence, dataset, np.array([last - np.timedelta64(2, "h")]))
    known = np.isfinite(partly.t2m_truth[0]).all(("latitude", "longitude")).values
    assert known.tolist() == [True, True, False, False]
    unknown = forecast(persistence, dataset, np.array([last]))
    assert set(unknown.data_vars) == {"t2m", "u10"}


def test_only_the_channels_asked_for(persistence: Checkpoint, dataset: xr.Dataset) -> None:
    channels = choose_channels(persistence, "u10")
    result = forecast(persistence, dataset, parse_inits(["2017-01-01"]), channels=channels)
    assert set(result.data_vars) == {"u10", "u10_truth", "u10_error"}
    assert choose_channels(persistence, None) == (Channel("t2m"), Channel("u10"))
    with pytest.raises(InputError, match=r"does not forecast v10; it forecasts t2m, u10"):
        choose_channels(persistence, "uv10")


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ("2030-01-01", "not covered by the source, which has 2016-12-28T00:00 to 2017-01-06T23:00"),
        ("2016-12-28T01", r"needs the 4 times up to it; 2 of them are not .*2016-12-27T22:00"),
        ("2017-01-01T00:30", "4 of them are not in the source"),
    ],
)
def test_inits_that_the_source_lacks(
    persistence: Checkpoint, dataset: xr.Dataset, init: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        forecast(persistence, dataset, parse_inits([init]))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["2017-13-01"], "is not a time"),
        (["2017-01-01/2017-01-02"], "neither TIME nor START/STOP/STEP"),
        (["2017-01-02/2017-01-01/6h"], "ends before it starts"),
        (["2017-01-01", "2017-01-01T00"], "twice"),
        (["0001-01-01/9999-01-01/1s"], "names more than"),
        ([], "no initial time"),
    ],
)
def test_inits_that_cannot_be_read(texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_inits(texts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.isel(latitude=slice(4, 20)), "was trained on the grid 32 x 64"),
        (lambda d: d.isel(time=slice(None, None, 3)), "takes steps of 1h, but .* one of 3 h"),
        (lambda d: d[["t2m"]], "needs u10, which .* does not have; it has t2m"),
        (lambda d: d.assign(t2m=d.t2m - 273.15), "Celsius"),
        (lambda d: d.assign(u10=d.u10.where(d.latitude < 80)), "u10"),
    ],
    ids=["grid", "step", "variable", "celsius", "missing values"],
)
def test_data_that_do_not_fit_the_model(
    persistence: Checkpoint,
    dataset: xr.Dataset,
    change: Callable[[xr.Dataset], xr.Dataset],
    message: str,
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        forecast(persistence, change(dataset), parse_inits(["2017-01-01"]))
    assert "\n" not in str(caught.value)


def test_published_offsets_give_their_own_leads_only(make_experiment: Make) -> None:
    experiment = make_experiment(data={"inputs": [-5, -3, 0], "targets": [1, 4, 7]})
    checkpoint = checkpoint_of(experiment)
    assert choose_lead_steps(checkpoint, None) == (1, 4, 7)
    assert choose_lead_steps(checkpoint, np.timedelta64(5, "h")) == (1, 4)
    with pytest.raises(InputError, match="leads of 1h, 4h, 7h only"):
        choose_lead_steps(checkpoint, np.timedelta64(8, "h"))
    with pytest.raises(InputError, match="no multiple"):
        choose_lead_steps(checkpoint, np.timedelta64(90, "m"))
