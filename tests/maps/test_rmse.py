"""RMSE by cell: numbers by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from weathersvq.errors import InputError
from weathersvq.maps import rmse_map

Texts = Callable[[Figure], str]


def make_errors() -> xr.DataArray:
    """Rows of 0-30 and 30-60 N; nothing is known of the third time."""
    values = np.empty((3, 2, 12))
    values[:, 0] = np.array([3.0, -4.0, np.nan])[:, None]  # RMSE sqrt(12.5)
    values[:, 1] = np.array([0.0, 1.0, np.nan])[:, None]  # RMSE sqrt(0.5)
    times = np.datetime64("2017-01-01", "ns") + np.arange(3) * np.timedelta64(6, "h")
    coordinates = {
        "init_time": times,
        "latitude": [15.0, 45.0],
        "longitude": np.arange(0, 360, 30.0),
        "lead_time": np.timedelta64(12, "h"),
    }
    return xr.DataArray(values, coordinates, ("init_time", "latitude", "longitude"), "t2m_error")


def test_rmse_of_each_cell_and_of_all(texts: Texts) -> None:
    figure = rmse_map(make_errors())
    mesh = next(c for c in figure.axes[0].collections if isinstance(c, QuadMesh))
    np.testing.assert_allclose(np.unique(mesh.get_array()), np.sqrt([0.5, 12.5]))
    assert mesh.norm.vmin == 0
    text = texts(figure)
    assert "RMSE of 2 metre temperature, lead 12 h" in text
    # Rows with edges at 0, 30 and 60 N: sines 0, 0.5, 0.866; (12.5 x 0.5 + 0.5 x 0.366) / 0.866.
    assert "2.73 K area-weighted,  2 inits 2017-01-01 00:00 UTC to 2017-01-01 06:00 UTC" in text


def test_a_time_axis_of_another_name(texts: Texts) -> None:
    error = make_errors().rename(init_time="time").drop_vars("lead_time").isel(time=[0])
    assert "1 time 2017-01-01 00:00 UTC" in texts(rmse_map(error, title="Mine"))


def test_what_has_no_rmse() -> None:
    error = make_errors()
    with pytest.raises(InputError, match="no known value in t2m_error"):
        rmse_map(error.isel(init_time=[2]))
    with pytest.raises(InputError, match=r"expected .init_time or time, latitude, longitude"):
        rmse_map(error.isel(init_time=0))
