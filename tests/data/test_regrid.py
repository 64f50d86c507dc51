"""Regridding: constants and area means kept, NaN weighted out, any file as a plain sum over cells.

The references at the top are written cell by cell, in float64 and in the file's own order, and know
nothing of matrices or of the canonical form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isnan, nan, radians, sin

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from weathersvq.data.canonical import to_canonical
from weathersvq.data.regrid import (
    METHODS,
    Method,
    Regridder,
    band_edges,
    linear_weights,
    regrid_dataset,
    weighted_means,
)
from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid

# A share of exactly a half counts as enough, whichever way it is rounded.
HALF = 0.5 - 1e-6


@dataclass(frozen=True)
class Cells:
    """The cells of a file in its own order: centres and bounds in degrees."""

    latitude: list[float]
    longitude: list[float]
    row_height: float
    column_width: float

    def row_bounds(self, row: int) -> tuple[float, float]:
        centre, half = self.latitude[row], self.row_height / 2
        return max(centre - half, -90), min(centre + half, 90)


def overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    length = min(a[1], b[1]) - max(a[0], b[0])
    return length if length > 1e-9 else 0.0


def weighted_out(pairs: list[tuple[float, float]]) -> float:
    """Mean of (weight, value) pairs without missing values; NaN if these have most of the weight."""
    valid = [(weight, value) for weight, value in pairs if not isnan(value)]
    share = sum(weight for weight, _ in valid) / sum(weight for weight, _ in pairs)
    if share < HALF:
        return nan
    return sum(w * value for w, value in valid) / sum(w for w, _ in valid)


def mean_over_cell(cells: Cells, field: np.ndarray, target: Grid, row: int, column: int) -> float:
    south, north = target.latitude_edges[row : row + 2]
    west_east = tuple(target.longitude_edges[column : column + 2])
    pairs = []
    for j in range(len(cells.latitude)):
        low, high = cells.row_bounds(j)
        if overlap((low, high), (south, north)) == 0:
            continue
        height = sin(radians(min(high, north))) - sin(radians(max(low, south)))
        for i, centre in enumerate(cells.longitude):
            half = cells.column_width / 2
            width = sum(
                overlap((centre - half + turn, centre + half + turn), west_east)
                for turn in (-720, -360, 0, 360, 720)
            )
            if width > 0:
                pairs.append((height * width, float(field[j, i])))
    return weighted_out(pairs)


def value_at_centre(cells: Cells, field: np.ndarray, target: Grid, row: int, column: int) -> float:
    latitude = min(max(target.latitude[row], min(cells.latitude)), max(cells.latitude))
    longitude = target.longitude[column]

    def around(distances: list[float]) -> tuple[int, float]:
        nearest = min(range(len(distances)), key=lambda k: distances[k])
        return nearest, distances[nearest]

    far = 1e9  # points on the other side
    south, below = around([latitude - y if y <= latitude else far for y in cells.latitude])
    north, above = around([y - latitude if y >= latitude else far for y in cells.latitude])
    west, left = around([(longitude - x) % 360 for x in cells.longitude])
    east, right = around([(x - longitude) % 360 for x in cells.longitude])
    rows = [(south, 1.0)] if south == north else [(south, above), (north, below)]
    columns = [(west, 1.0)] if west == east else [(west, right), (east, left)]
    pairs = [(a * b, float(field[j, i])) for j, a in rows for i, b in columns if a * b > 1e-9]
    return weighted_out(pairs)


REFERENCES: dict[str, Callable[[Cells, np.ndarray, Grid, int, int], float]] = {
    "conservative": mean_over_cell,
    "bilinear": value_at_centre,
}


def reference(cells: Cells, field: np.ndarray, target: Grid, method: str) -> np.ndarray:
    rows, columns = (range(n) for n in target.shape)
    of = REFERENCES[method]
    return np.array([[of(cells, field, target, row, column) for column in columns] for row in rows])


def global_grid(rows: int, columns: int, first_longitude: float, poles: bool) -> Grid:
    """A regular grid of any size; with `poles`, its first and last centres lie on them."""
    half = 0 if poles else 90 / rows
    latitude = np.linspace(-90 + half, 90 - half, rows)
    return Grid(latitude, first_longitude + 360 / columns * np.arange(columns))


def gaussian_grid(rows: int) -> Grid:
    """The zeros of a Legendre polynomial: 48 rows are T31's, 160 are N80's."""
    latitude = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(rows)[0]))
    return Grid(latitude, 180 / rows * np.arange(2 * rows))


grids = st.builds(
    global_grid,
    rows=st.integers(3, 40),
    columns=st.integers(4, 60),
    first_longitude=st.floats(-180, 20),
    poles=st.booleans(),
)
small_targets = st.builds(
    global_grid,
    rows=st.integers(2, 7),
    columns=st.integers(2, 8),
    first_longitude=st.floats(-180, 20),
    poles=st.booleans(),
)


@st.composite
def global_files(draw: st.DrawFn) -> tuple[Cells, Grid]:
    """The cells of a global file in one of the orders that there are, and a target."""
    rows, columns = draw(st.integers(3, 14)), draw(st.integers(4, 18))
    grid = global_grid(rows, columns, 0.0, draw(st.booleans()))
    step = 360 / columns
    # From the prime meridian, from half a cell beside it, or from the date line.
    first = draw(st.sampled_from([0.0, step / 2, -180.0, -180.0 + step / 2]))
    longitude = (first + step * np.arange(columns)).tolist()
    height = float(grid.latitude[1] - grid.latitude[0])
    order = -1 if draw(st.booleans()) else 1
    return Cells(grid.latitude[::order].tolist(), longitude, height, step), draw(small_targets)


@st.composite
def regional_files(draw: st.DrawFn) -> tuple[Cells, Grid]:
    """The cells of a regional file, perhaps across the prime meridian, and a target within."""
    rows, columns = draw(st.integers(5, 14)), draw(st.integers(5, 18))
    south, west = draw(st.floats(-80, 20)), draw(st.floats(-170, 300))
    step = draw(st.floats(0.5, 4.0))
    latitude = south + step * np.arange(rows)
    longitude = west + step * np.arange(columns)
    if draw(st.booleans()):  # counted from 0 to 360, and broken where the region crosses 0
        longitude = longitude % 360
    order = -1 if draw(st.booleans()) else 1
    cells = Cells(latitude[::order].tolist(), longitude.tolist(), step, step)
    # Two by three cells, of any width, around the middle.
    height, width = draw(st.floats(0.2, 0.8)) * rows, draw(st.floats(0.2, 0.8)) * columns
    turn = draw(st.sampled_from([-360.0, 0.0]))
    target = Grid(
        south + step * ((rows - 1) / 2 + height * np.array([-0.25, 0.25])),
        west + turn + step * ((columns - 1) / 2 + width * np.array([-1, 0, 1]) / 3),
    )
    return cells, target


def area_mean(field: np.ndarray, grid: Grid) -> float:
    return float((field * grid.cell_areas()).sum() / grid.cell_areas().sum())


@settings(max_examples=100, deadline=None)
@given(
    file=st.one_of(global_files(), regional_files()),
    method=st.sampled_from(METHODS),
    missing=st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    chunks=st.tuples(st.integers(1, 3), st.integers(1, 14), st.integers(1, 18)),
    seed=st.integers(0, 2**31),
)
def test_any_file_comes_to_the_plain_sum_over_its_cells(
    file: tuple[Cells, Grid],
    method: Method,
    missing: float,
    chunks: tuple[int, int, int],
    seed: int,
) -> None:
    cells, target = file
    generator = np.random.default_rng(seed)
    shape = (3, len(cells.latitude), len(cells.longitude))
    values = generator.normal(280, 15, shape).astype(np.float32)
    values[generator.random(shape) < missing] = np.nan
    lazy = dask.array.from_array(values, chunks=chunks)
    dataset = xr.Dataset(
        {"t2m": (("time", "latitude", "longitude"), lazy, {"units": "K"})},
        coords={
            "time": np.datetime64("2000-01-01", "s") + np.arange(3) * np.timedelta64(1, "h"),
            "latitude": cells.latitude,
            "longitude": cells.longitude,
        },
    )
    regridded = regrid_dataset(to_canonical(dataset, "a file"), target, method)
    result = regridded.t2m.compute(scheduler="synchronous").to_numpy()
    assert result.dtype == np.float32
    for time in range(3):
        expected = reference(cells, values[time], target, method)
        np.testing.assert_allclose(result[time], expected, rtol=2e-6)


@settings(max_examples=40, deadline=None)
@given(
    file=global_files(),
    method=st.sampled_from(METHODS),
    bad=st.sampled_from([np.nan, np.inf]),
    where=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
)
def test_a_bad_value_reaches_the_cells_it_overlaps_and_no_other(
    file: tuple[Cells, Grid], method: Method, bad: float, where: tuple[float, float]
) -> None:
    cells, target = file
    # In canonical order, as `Regridder` takes it.
    latitude = sorted(cells.latitude)
    source = Grid(latitude, cells.longitude)
    cells = Cells(latitude, cells.longitude, cells.row_height, cells.column_width)
    field = np.random.default_rng(0).normal(280, 15, source.shape).astype(np.float32)
    regridder = Regridder(source, target, method)
    clean = regridder(field)
    position = tuple(int(share * n) for share, n in zip(where, source.shape, strict=True))
    field[position] = bad
    result = regridder(field)
    np.testing.assert_allclose(result, reference(cells, field, target, method), rtol=2e-6)
    marked = field.copy()
    marked[position] = np.inf
    overlapped = np.isinf(reference(cells, marked, target, method))
    assert np.array_equal(result[~overlapped], clean[~overlapped])


@settings(max_examples=60, deadline=None)
@given(source=grids, target=grids, seed=st.integers(0, 2**31))
def test_conservative_keeps_the_area_mean(source: Grid, target: Grid, seed: int) -> None:
    field = np.random.default_rng(seed).normal(280, 15, source.shape)
    result = Regridder(source, target)(field)
    assert area_mean(result, target) == pytest.approx(area_mean(field, source), rel=1e-9)


@pytest.mark.parametrize("rows", [48, 160])
@pytest.mark.parametrize("degrees", [5.625, 2.8125])
def test_gaussian_grids_keep_the_area_mean(rows: int, degrees: float) -> None:
    source, target = gaussian_grid(rows), Grid.equiangular(degrees)
    middle = (source.latitude[1:] + source.latitude[:-1]) / 2
    bands = np.diff(np.sin(np.deg2rad([-90, *middle, 90])))
    field = np.random.default_rng(3).normal(280, 15, source.shape)
    expected = np.average(field.mean(axis=1), weights=bands)
    result = Regridder(source, target)(field)
    assert area_mean(result, target) == pytest.approx(expected, rel=1e-12)
    single = Regridder(source, target)(field.astype(np.float32))
    assert area_mean(single, target) == pytest.approx(expected, rel=1e-6)
    # The mean of sin(latitude)^2 over the sphere is 1/3. Bands between half-way edges are those
    # of the quadrature to within 1 / rows^2.
    squared = np.sin(np.deg2rad(source.latitude))[:, None] ** 2 * np.ones(source.shape)
    assert area_mean(Regridder(source, target)(squared), target) == pytest.approx(
        1 / 3, rel=1 / rows**2
    )


def test_a_region_near_a_pole_stays_short_of_it() -> None:
    # Its last row ends at 88 and there would be room for two more.
    region = Grid(np.arange(70.5, 88, 1.0), np.arange(0, 360, 10.0))
    assert band_edges(region)[-1] == pytest.approx(np.sin(np.deg2rad(88)))
    assert band_edges(gaussian_grid(48))[[0, -1]].tolist() == [-1, 1]


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


def test_bands_are_weighted_by_their_area_by_hand() -> None:
    # Rows -90..-30, -30..30, 30..90 hold 1/4, 1/2, 1/4 of the sphere; a hemisphere takes its
    # half of the middle one: (1/4 a + 1/4 b) / (1/2).
    source = Grid([-60.0, 0.0, 60.0], [90.0, 270.0])
    target = Grid([-45.0, 45.0], [90.0, 270.0])
    field = np.repeat([[1.0], [2.0], [6.0]], 2, axis=1)
    np.testing.assert_allclose(Regridder(source, target)(field), [[1.5, 1.5], [4.0, 4.0]])


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


def test_slivers_of_rounding_are_no_overlaps() -> None:
    weights = weighted_means(np.array([[1e-15, 2.0, 2.0], [0.0, 1e-9, 3.0]]))
    assert weights.nnz == 4
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-15)


def test_missing_values_are_weighted_out_and_rare_ones_kept() -> None:
    # One target cell of four equal source cells: 1 missing of 4 is kept, 3 missing of 4 are not.
    source = Grid([-45.0, 45.0], [45.0, 135.0, 225.0, 315.0])
    target = Grid([-45.0, 45.0], [90.0, 270.0])
    field = np.array([[1.0, np.nan, 5.0, 7.0], [np.nan, np.nan, 4.0, 8.0]])
    result = Regridder(source, target)(field)
    np.testing.assert_allclose(result, [[1.0, 6.0], [np.nan, 6.0]])


@pytest.mark.parametrize("columns", [6, 10, 14, 54, 90])
def test_exactly_half_valid_is_enough_in_any_rounding(columns: int) -> None:
    source = global_grid(4, columns, 180 / columns, False)
    target = Grid(source.latitude, [90.0, 270.0])
    field = np.ones(source.shape, np.float32)
    # Half of the first target cell; with an odd number of columns in it, half a column more.
    field[:, : -(-columns // 4)] = np.nan
    valid = (columns // 2 - -(-columns // 4)) / (columns // 2)
    result = Regridder(source, target)(field)
    assert np.isnan(result[:, 0]).all() == (valid < 0.5)
    np.testing.assert_allclose(result[:, 1], 1)


def test_bilinear_weights_missing_points_out() -> None:
    # The target's centre lies between four points, a quarter of the way from the first column.
    source = global_grid(4, 4, 0.0, False)
    target = Grid([0.0, 45.0], [22.5, 202.5])
    field = np.zeros(source.shape)
    field[:, 0], field[:, 1] = 1.0, 5.0
    method = "bilinear"
    assert Regridder(source, target, method)(field)[0, 0] == pytest.approx(2.0)
    field[:, 1] = np.nan  # three quarters of the weight are left
    assert Regridder(source, target, method)(field)[0, 0] == pytest.approx(1.0)
    field[1, 0] = np.nan  # three eighths
    assert np.isnan(Regridder(source, target, method)(field)[0, 0])


@pytest.mark.parametrize(("rows", "columns"), [(32, 64), (2, 4)])
def test_float32_stays_and_its_area_mean_holds(rows: int, columns: int) -> None:
    # Sums of 130,000 single-precision values for a cell would miss this by a factor of two.
    source, target = global_grid(721, 1440, 0.0, True), global_grid(rows, columns, 0.0, False)
    field = np.random.default_rng(1).normal(285, 20, source.shape).astype(np.float32)
    for values in (field, np.full_like(field, 287.513)):
        result = Regridder(source, target)(values)
        assert result.dtype == np.float32
        assert area_mean(result, target) == pytest.approx(area_mean(values, source), rel=1e-6)


def test_a_field_gives_the_same_bytes_in_any_company_and_layout() -> None:
    source = global_grid(91, 180, 0.0, True)
    fields = np.random.default_rng(5).normal(280, 15, (2, 3, *source.shape)).astype(np.float32)
    fields[1, 1, 20:40, 30:70] = np.nan
    regridder = Regridder(source, GLOBAL_5625)
    result = regridder(fields)
    assert result.shape == (2, 3, 32, 64)
    layouts = {
        "alone": lambda f: f,
        "from the north": lambda f: np.ascontiguousarray(f[::-1])[::-1],
        "longitude first": lambda f: np.ascontiguousarray(f.T).T,
        "big-endian": lambda f: f.astype(">f4"),
    }
    for name, layout in layouts.items():
        for index in np.ndindex(2, 3):
            assert regridder(layout(fields[index])).tobytes() == result[index].tobytes(), name
    assert regridder(fields[:0]).shape == (0, 3, 32, 64)


@pytest.mark.parametrize(
    ("given_as", "becomes"),
    [("f4", "f4"), (">f4", "f4"), ("f8", "f8"), (">f8", "f8"), ("i2", "f4"), ("f2", "f4")],
)
def test_floating_types(given_as: str, becomes: str) -> None:
    source = global_grid(12, 24, 0.0, False)
    result = Regridder(source, GLOBAL_5625)(np.full(source.shape, 3, given_as))
    assert result.dtype == np.dtype(becomes)
    np.testing.assert_allclose(result, 3, rtol=1e-6)


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
    assert lazy.t2m.chunks[0] == (2, 2, 2)
    assert lazy.t2m.attrs["units"] == "K"
    assert lazy.t2m.dtype == np.float32
    # Not only close: chunks change nothing.
    assert np.array_equal(lazy.t2m.values, regrid_dataset(dataset, GLOBAL_5625).t2m.values)


class CountedReads:
    """An array that counts how often each of its values is read."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim
        self.counts = np.zeros(values.shape, int)

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        self.counts[key] += 1
        return self.values[key]


@pytest.mark.parametrize("chunks", [(1, 36, 72), (4, 36, 72), (2, 20, 30), (6, 7, 11)])
@pytest.mark.parametrize("first", [0.0, -180.0])
@pytest.mark.parametrize("northern_first", [False, True])
def test_each_chunk_of_the_source_is_read_once_and_only_when_asked(
    chunks: tuple[int, int, int], first: float, northern_first: bool
) -> None:
    grid = global_grid(36, 72, first, False)
    counted = CountedReads(np.random.default_rng(0).normal(8, 5, (6, 36, 72)).astype(np.float32))
    lazy = dask.array.from_array(counted, chunks=chunks)
    dataset = xr.Dataset(
        {"t2m": (("time", "lat", "lon"), lazy, {"units": "degC"})},
        coords={
            "time": np.datetime64("2000-01-01", "s") + np.arange(6) * np.timedelta64(1, "h"),
            "lat": grid.latitude[:: -1 if northern_first else 1],
            "lon": grid.longitude,
        },
    )
    counted.counts[:] = 0
    regridded = regrid_dataset(to_canonical(dataset, "a file"), GLOBAL_5625)
    assert not counted.counts.any()
    result = regridded.t2m.compute(scheduler="synchronous")
    assert (counted.counts == 1).all()
    # From -180 or 0, from the north or the south, the mean is that of the file, in kelvin.
    weights = np.diff(np.sin(np.deg2rad(np.linspace(-90, 90, 37))))
    expected = np.average(counted.values.astype(float).mean(axis=2), axis=1, weights=weights)
    means = [area_mean(field, GLOBAL_5625) for field in result.to_numpy()]
    np.testing.assert_allclose(means, expected + 273.15, rtol=1e-6)
