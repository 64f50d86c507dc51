"""Regridding: constants and area means kept, rows sum to one, NaN weighted out, orientation-free."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from weathersvq.data.regrid import METHODS, Regridder, linear_weights, regrid_dataset
from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid


def global_grid(rows: int, columns: int, first_longitude: float, poles: bool) -> Grid:
    """A regular grid of any size; with `poles`, its first and last centres lie on them."""
    half = 0 if poles else 90 / rows
    latitude = np.linspace(-90 + half, 90 - half, rows)
    return Grid(latitude, first_longitude + 360 / columns * np.arange(columns))


grids = st.builds(
    global_grid,
    rows=st.integers(3, 40),
    columns=st.integers(4, 60),
    first_longitude=st.floats(-180, 20),
    poles=st.booleans(),
)


def area_mean(field: np.ndarray, grid: Grid) -> float:
    return float((field * grid.cell_areas()).sum() / grid.cell_areas().sum())


@settings(max_examples=60, deadline=None)
@given(source=grids, target=grids, seed=st.integers(0, 2**31))
def test_conservative_keeps_the_area_mean(source: Grid, target: Grid, seed: int) -> None:
    field = np.random.default_rng(seed).normal(280, 15, source.shape)
    result = Regridder(source, target)(field)
    assert area_mean(result, target) == pytest.approx(area_mean(field, source), rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(source=grids, target=grids, method=st.sampled_from(METHODS))
def test_rows_sum_to_one_and_constants_are_kept(source: Grid, target: Grid, method: str) -> None:
    regridder = Regridder(source, target, method)
    np.testing.assert_allclose(regridder.rows.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(regridder.columns.sum(1), 1, rtol=1e-12)
    constant = np.full((2, *source.shape), 287.5, np.float32)
    np.testing.assert_allclose(regridder(constant), 287.5, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(turn=st.integers(0, 47), method=st.sampled_from(METHODS))
def test_where_the_longitudes_start_does_not_matter(turn: int, method: str) -> None:
    base = global_grid(24, 48, 0.0, False)
    field = np.random.default_rng(7).normal(size=base.shape)
    turned = Grid(base.latitude, base.longitude[0] - 7.5 * turn + 7.5 * np.arange(48))
    expected = Regridder(base, GLOBAL_5625, method)(field)
    result = Regridder(turned, GLOBAL_5625, method)(np.roll(field, turn, axis=1))
    np.testing.assert_allclose(result, expected, atol=1e-9)


def test_halving_by_hand() -> None:
    # Two columns of 90 degrees make one of 180; rows -90..0 and 0..90 stay as they are.
    source = Grid([-45.0, 45.0], [45.0, 135.0, 225.0, 315.0])
    target = Grid([-45.0, 45.0], [90.0, 270.0])
    result = Regridder(source, target)(np.array([[1.0, 3.0, 5.0, 7.0], [2.0, 2.0, 4.0, 8.0]]))
    np.testing.assert_allclose(result, [[2, 6], [2, 6]])


def test_bilinear_is_exact_for_linear_fields() -> None:
    source, target = Grid.equiangular(2.0), Grid.equiangular(5.625)
    field = np.broadcast_to(source.latitude[:, None], source.shape)
    inside = np.abs(target.latitude) < 89
    result = Regridder(source, target, "bilinear")(field.copy())
    np.testing.assert_allclose(result[inside], np.tile(target.latitude[inside, None], 64))


def test_linear_weights_go_round() -> None:
    # 350 lies half-way between 340 and 0 (= 360).
    weights = linear_weights(np.array([0.0, 100.0, 340.0]), np.array([350.0]), 360.0)
    np.testing.assert_allclose(weights, [[0.5, 0, 0.5]])


def test_missing_values_are_weighted_out_and_rare_ones_kept() -> None:
    # One target cell of four equal source cells: 1 missing of 4 is kept, 3 missing of 4 are not.
    source = Grid([-45.0, 45.0], [45.0, 135.0, 225.0, 315.0])
    target = Grid([-45.0, 45.0], [90.0, 270.0])
    field = np.array([[1.0, np.nan, 5.0, 7.0], [np.nan, np.nan, 4.0, 8.0]])
    result = Regridder(source, target)(field)
    np.testing.assert_allclose(result, [[1.0, 6.0], [np.nan, 6.0]])


def test_float32_stays_and_its_area_mean_holds() -> None:
    source = global_grid(361, 720, 0.0, True)
    field = np.random.default_rng(1).normal(285, 20, source.shape).astype(np.float32)
    result = Regridder(source, GLOBAL_5625)(field)
    assert result.dtype == np.float32
    assert area_mean(result, GLOBAL_5625) == pytest.approx(area_mean(field, source), rel=1e-6)


def test_target_beyond_a_regional_source_is_refused() -> None:
    region = Grid(np.arange(50, 58, 0.5), np.arange(-10, 2, 0.5))
    for method in METHODS:
        with pytest.raises(InputError, match="reaches beyond"):
            Regridder(region, GLOBAL_5625, method)
    inside = Grid([52.0, 54.0], [-6.0, -4.0])
    assert Regridder(region, inside)(np.ones(region.shape)).shape == (2, 2)


def test_unknown_method_and_wrong_shape() -> None:
    with pytest.raises(InputError, match="nearest"):
        Regridder(GLOBAL_5625, GLOBAL_5625, "nearest")
    with pytest.raises(InputError, match="3 x 4"):
        Regridder(GLOBAL_5625, GLOBAL_5625)(np.ones((3, 4)))


def test_dataset_is_regridded_lazily_with_its_attributes() -> None:
    source = Grid.equiangular(2.5)
    data = np.random.default_rng(0).normal(size=(6, *source.shape)).astype(np.float32)
    dataset = xr.Dataset(
        {"t2m": (("time", "latitude", "longitude"), data, {"units": "K"})},
        coords={"time": np.arange(6), "latitude": source.latitude, "longitude": source.longitude},
    )
    lazy = regrid_dataset(dataset.chunk({"time": 2, "longitude": 50}), GLOBAL_5625)
    assert lazy.t2m.chunks is not None
    assert lazy.t2m.attrs["units"] == "K"
    assert lazy.t2m.dtype == np.float32
    np.testing.assert_allclose(
        lazy.t2m.values, regrid_dataset(dataset, GLOBAL_5625).t2m.values, rtol=1e-6
    )
