"""The grids: the 5.625 degree grid by hand, areas that add up to the sphere."""

from __future__ import annotations

import numpy as np
import pytest

from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid


def test_the_weatherbench_grid() -> None:
    assert GLOBAL_5625.shape == (32, 64)
    assert GLOBAL_5625.latitude[0] == -87.1875
    assert GLOBAL_5625.latitude[-1] == 87.1875
    assert GLOBAL_5625.longitude[-1] == 354.375
    assert GLOBAL_5625.latitude_edges[-1] == 90
    assert GLOBAL_5625.is_global


@pytest.mark.parametrize("degrees", [5.625, 2.8125, 1.40625, 0.25])
def test_areas_add_up_to_the_sphere(degrees: float) -> None:
    grid = Grid.equiangular(degrees)
    assert grid.cell_areas().sum() == pytest.approx(4 * np.pi, rel=1e-12)
    assert grid.area_weights().mean() == pytest.approx(1)


def test_grid_with_centres_on_the_poles() -> None:
    # ERA5: 721 rows, the polar ones half as high; still the whole sphere.
    grid = Grid(np.linspace(-90, 90, 721), np.arange(1440) / 4)
    assert grid.is_global
    assert grid.cell_areas().sum() == pytest.approx(4 * np.pi, rel=1e-12)


def test_row_weights_by_hand() -> None:
    # Bands -90..-30, -30..30, 30..90: sines -1, -1/2, 1/2, 1, so areas 1/2 : 1 : 1/2.
    weights = Grid([-60.0, 0.0, 60.0], [0.0, 120.0, 240.0]).area_weights()
    np.testing.assert_allclose(weights, [0.75, 1.5, 0.75])


def test_regional_grid() -> None:
    region = Grid(np.arange(50, 58.25, 0.25), np.arange(-10, 2.25, 0.25))
    assert not region.wraps
    assert not region.is_global
    assert region.describe() == "33 x 49, 50.0N..58.0N, 10.0W..2.0E"
    assert region.matches(Grid(region.latitude + 1e-5, region.longitude))
    assert not region.matches(GLOBAL_5625)


def test_wrapping_band_is_not_global() -> None:
    band = Grid(np.arange(-20.0, 21.0, 5), np.arange(0.0, 360.0, 5))
    assert band.wraps
    assert not band.is_global


@pytest.mark.parametrize(
    ("latitude", "longitude", "message"),
    [
        ([10.0, 0.0], [0.0, 1.0], "ascending"),
        ([0.0], [0.0, 1.0], "at least two"),
        ([0.0, 95.0], [0.0, 1.0], "-90 to 90"),
        ([0.0, 1.0], [0.0, 1.0, 3.0], "not equally spaced"),
        ([0.0, 1.0], np.arange(0.0, 400.0, 10), "at most 360"),
    ],
)
def test_bad_grids(latitude: list[float], longitude: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Grid(latitude, longitude)


def test_bad_spacing() -> None:
    with pytest.raises(InputError, match="does not divide"):
        Grid.equiangular(7.0)
