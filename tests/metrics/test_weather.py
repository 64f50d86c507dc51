"""Scores against numbers derived by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scores.continuous import additive_bias, mae, mse
from scores.processing import aggregate

from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.metrics.weather import (
    METRICS,
    _area_means,
    metrics,
    persistence,
    pooled,
    statistics,
    verify,
)

# Rows 90S-30S, 30S-30N, 30N-90N. Their areas are differences of the sine of latitude: 0.5, 1, 0.5
# of a total of 2, so that the weights (mean one) are 0.75, 1.5, 0.75 and the shares 1/4, 1/2, 1/4.
GRID = Grid([-60.0, 0.0, 60.0], [0.0, 90.0, 180.0, 270.0])
DIMS = ("init_time", "lead_time", "latitude", "longitude")
START = np.datetime64("2017-01-01", "ns")
HOUR = np.timedelta64(3600, "s").astype("timedelta64[ns]")


def on_grid(rows: list[float]) -> np.ndarray:
    return np.repeat(np.array(rows)[:, None], 4, axis=1)


def make_forecast(errors: np.ndarray, truth: float | np.ndarray = 280.0) -> xr.Dataset:
    """Forecast = truth + errors; errors (init, lead, row), the same in each column."""
    inits, leads, _ = errors.shape
    known = np.broadcast_to(truth, (inits, leads, 3, 4)).astype(np.float32)
    return xr.Dataset(
        {
            "t2m": (DIMS, known + errors[..., None].astype(np.float32)),
            "t2m_truth": (DIMS, known),
        },
        {
            "init_time": START + np.arange(inits) * HOUR,
            "lead_time": np.arange(1, leads + 1) * HOUR,
            "latitude": GRID.latitude,
            "longitude": GRID.longitude,
        },
    )


def test_area_weights_enter() -> None:
    # Errors 1, 2, 4 K by row with shares 1/4, 1/2, 1/4:
    #   mean square (1 + 2 * 4 + 16) / 4 = 6.25, root 2.5; mean (1 + 4 + 4) / 4 = 2.25;
    #   unweighted (1 + 4 + 16) / 3 = 7 and (1 + 2 + 4) / 3.
    scores = verify(make_forecast(np.array([[[1.0, 2.0, 4.0]]])))["t2m"]
    assert scores.dims == ("metric", "lead_time")
    assert tuple(scores["metric"].values) == METRICS
    expected = {
        "rmse": 2.5,
        "bias": 2.25,
        "mae": 2.25,
        "mse_unweighted": 7.0,
        "mae_unweighted": 7 / 3,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(scores.sel(metric=name), [value], rtol=1e-6, err_msg=name)


def test_sign_of_bias() -> None:
    # Too cold by 1, 1, 3 K: bias -(1 + 2 + 3) / 4 = -1.5, and mae the same without its sign.
    scores = verify(make_forecast(np.array([[[-1.0, -1.0, -3.0]]])))["t2m"]
    np.testing.assert_allclose(scores.sel(metric=["bias", "mae"])[:, 0], [-1.5, 1.5])


def test_root_comes_after_the_mean_over_inits() -> None:
    # Uniform errors of 1 and 7 K in two inits: root of (1 + 49) / 2 = 5, not (1 + 7) / 2 = 4. At
    # the second lead 3 and 3 K.
    errors = np.array([[1.0, 3.0], [7.0, 3.0]])[..., None] * np.ones(3)
    scores = verify(make_forecast(errors))["t2m"]
    np.testing.assert_allclose(scores.sel(metric="rmse"), [5.0, 3.0])


def test_statistics_of_parts_give_the_whole() -> None:
    errors = np.random.default_rng(0).normal(size=(6, 2, 3))
    forecast = make_forecast(errors)
    parts = [statistics(forecast.isel(init_time=s)) for s in (slice(0, 1), slice(1, 6))]
    joined = xr.concat(parts, "init_time", join="exact")
    xr.testing.assert_allclose(metrics(joined), verify(forecast))


def test_missing_truth_counts_neither_in_the_mean_nor_in_the_weights() -> None:
    forecast = make_forecast(np.array([[[1.0, 2.0, 4.0]], [[3.0, 3.0, 3.0]]]))
    forecast["t2m_truth"][0, 0, 1] = np.nan
    # First init: rows 0 and 2 are left, half of the area: (1 + 16) / 2 = 8.5. Second: 9, all of it.
    # Together (8.5 * 1/2 + 9 * 1) / 1.5 = 8.8333; unweighted, 2 of 3 rows: (8.5 * 2/3 + 9) / (5/3).
    scores = verify(forecast)["t2m"]
    np.testing.assert_allclose(scores.sel(metric="rmse") ** 2, [13.25 / 1.5], rtol=1e-6)
    np.testing.assert_allclose(
        scores.sel(metric="mse_unweighted"), [(8.5 * 2 / 3 + 9) * 3 / 5], rtol=1e-6
    )


def test_nothing_known_gives_nan() -> None:
    forecast = make_forecast(np.ones((2, 2, 3)))
    forecast["t2m_truth"][:, 1] = np.nan
    scores = verify(forecast)["t2m"]
    assert np.isnan(scores.sel(lead_time=2 * HOUR)).all()
    np.testing.assert_allclose(scores.sel(lead_time=HOUR, metric="rmse"), 1.0)


def test_nan_in_the_forecast_is_an_error() -> None:
    forecast = make_forecast(np.ones((1, 1, 3)))
    forecast["t2m"][0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="forecast of t2m has missing values in 1 cells"):
        verify(forecast)
    forecast["t2m_truth"][0, 0, 0, 0] = np.nan
    np.testing.assert_allclose(verify(forecast)["t2m"].sel(metric="rmse"), [1.0])


class TestTruthFromASource:
    def make_truth(self, hours: int = 4) -> xr.Dataset:
        times = START + np.arange(hours) * HOUR
        field = 280.0 + np.arange(hours)[:, None, None] + on_grid([0, 1, 2])
        coords = {"time": times, "latitude": GRID.latitude, "longitude": GRID.longitude}
        return xr.Dataset({"t2m": (("time", "latitude", "longitude"), field)}, coords)

    def test_valid_time_is_init_plus_lead(self) -> None:
        # Persistence of a truth that warms by 1 K an hour is too cold by the lead in hours.
        truth = self.make_truth(6)
        forecast = persistence(truth.isel(time=[0, 1]), np.array([1, 2, 3]) * HOUR)
        assert forecast["t2m"].dims == DIMS
        scores = verify(forecast, truth)["t2m"]
        np.testing.assert_allclose(scores.sel(metric="bias"), [-1, -2, -3])
        np.testing.assert_allclose(scores.sel(metric="rmse"), [1, 2, 3])

    def test_times_beyond_the_source_are_unknown(self) -> None:
        truth = self.make_truth(3)  # hours 0, 1, 2
        forecast = persistence(truth.isel(time=[0, 1]), np.array([1, 2]) * HOUR)
        scores = verify(forecast, truth)["t2m"]
        # The second lead is known for the first init alone.
        np.testing.assert_allclose(scores.sel(metric="bias"), [-1, -2])

    def test_centres_may_be_rounded(self) -> None:
        truth = self.make_truth()
        forecast = persistence(truth.isel(time=[0]), np.array([1]) * HOUR)
        truth = truth.assign_coords(latitude=truth["latitude"] + 1e-5)
        np.testing.assert_allclose(verify(forecast, truth)["t2m"].sel(metric="bias"), [-1])

    def test_another_grid(self) -> None:
        truth = self.make_truth()
        forecast = persistence(truth.isel(time=[0]), np.array([1]) * HOUR)
        with pytest.raises(InputError, match="t2m to verify against is on the grid 2 x 4"):
            verify(forecast, truth.isel(latitude=slice(0, 2)))

    def test_levels(self) -> None:
        truth = self.make_truth().rename(t2m="t").expand_dims(level=[850, 500])
        truth["t"] = truth["t"] * xr.DataArray([1.0, 2.0], {"level": [850, 500]})
        forecast = persistence(truth.isel(time=[0]), np.array([1, 2]) * HOUR)
        scores = verify(forecast, truth.isel(level=[1, 0]))["t"]
        assert scores.dims == ("metric", "lead_time", "level")
        np.testing.assert_allclose(scores.sel(metric="bias"), [[-1, -2], [-2, -4]])
        pooled_too = metrics(pooled(statistics(forecast, truth)))["t"]
        np.testing.assert_allclose(pooled_too.sel(metric="rmse", level=500), [2, 4])

    def test_no_truth_at_all(self) -> None:
        truth = self.make_truth()
        forecast = persistence(truth.isel(time=[0]), np.array([1]) * HOUR)
        with pytest.raises(InputError, match="no truth for t2m"):
            verify(forecast)


@pytest.mark.parametrize("sizes", [(7,), (1, 6), (3, 1, 3), (1,) * 7])
def test_pooled_parts_score_as_the_whole(sizes: tuple[int, ...]) -> None:
    # Truth that ends, part of a map that is unknown: all weights are at work.
    generator = np.random.default_rng(0)
    forecast = make_forecast(
        generator.normal(size=(7, 2, 3)), 280 + generator.normal(size=(7, 2, 3, 4))
    )
    forecast["t2m_truth"][5:, 1] = np.nan
    forecast["t2m_truth"][2, :, 0] = np.nan
    whole = metrics(statistics(forecast))
    edges = np.cumsum([0, *sizes])
    total: xr.Dataset | None = None
    for start, stop in pairwise(edges):
        part = statistics(forecast.isel(init_time=slice(start, stop)))
        both = part if total is None else xr.concat([total, part], dim="init_time")
        total = pooled(both)
        assert total.sizes["init_time"] == 1
    assert total is not None
    xr.testing.assert_allclose(metrics(total), whole)
    assert np.isfinite(whole["t2m"]).all()


@pytest.mark.parametrize("unknown", [0.0, 0.3])
def test_the_statistics_of_the_library_scores(unknown: float) -> None:
    generator = np.random.default_rng(1)
    # More maps than a block holds, and an init of which nothing is known.
    forecast = make_forecast(
        generator.normal(size=(5, 7, 3)), 280 + generator.normal(size=(5, 7, 3, 4))
    )
    truth = forecast["t2m_truth"]
    if unknown:
        truth.values[generator.random(truth.shape) < unknown] = np.nan
        truth.values[3] = np.nan
    found = _area_means(forecast["t2m"], truth)
    error = (forecast["t2m"].astype(float) - truth).astype(float)
    weights = xr.DataArray(GRID.area_weights(), {"latitude": GRID.latitude})
    area = ["latitude", "longitude"]
    pair = (forecast["t2m"].astype(float), truth.astype(float))
    weighed: dict[str, Any] = {"reduce_dims": area, "weights": weights}
    expected = {
        "squared_error": mse(*pair, **weighed),
        "absolute_error": mae(*pair, **weighed),
        "error": additive_bias(*pair, **weighed),
        "squared_error_unweighted": mse(*pair, reduce_dims=area),
        "absolute_error_unweighted": mae(*pair, reduce_dims=area),
        "known_area": aggregate(error.notnull().astype(float), **weighed),
        "known_cells": error.notnull().mean(area),
    }
    assert list(found["statistic"].values) == list(expected)
    for name, values in expected.items():
        one = found.sel(statistic=name)
        assert one.dims == ("init_time", "lead_time")
        np.testing.assert_allclose(one, values, rtol=1e-9, atol=1e-12, err_msg=name)
