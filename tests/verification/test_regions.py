"""Regions: what belongs to them, and what does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.verification.regions import NAMED, find_regions, land_cells

BRITAIN = Grid(np.arange(50, 59, 1.0), np.arange(-8, 3, 1.0))
# As NCEP's: rows on the equator and on 20 degrees.
COARSE = Grid(np.arange(-90, 91, 10.0), np.arange(0, 360, 10.0))


def cells(grid: Grid, *wanted: str) -> np.ndarray:
    """(H, W) of the last region asked for."""
    return find_regions(grid, wanted).cells[:, -1].reshape(grid.shape).astype(bool)


def at(grid: Grid, latitude: float, longitude: float) -> tuple[int, int]:
    away = np.abs((grid.longitude - longitude + 180) % 360 - 180)
    return int(np.abs(grid.latitude - latitude).argmin()), int(away.argmin())


def test_all_named_ones_of_the_globe() -> None:
    regions = find_regions(GLOBAL_5625)
    assert regions.names == tuple(NAMED)
    share = dict(zip(regions.names, regions.area.sum(axis=0), strict=True))
    assert share["globe"] == pytest.approx(1)
    assert share["northern_hemisphere"] == pytest.approx(0.5)
    # Edges of the rows with centres below 20 degrees lie at 22.5.
    assert share["tropics"] == pytest.approx(np.sin(np.deg2rad(22.5)))
    # Land is 29.2% of the earth.
    assert share["land"] == pytest.approx(0.292, abs=0.02)


@pytest.mark.parametrize("grid", [GLOBAL_5625, COARSE, Grid.equiangular(11.25)], ids=Grid.describe)
def test_parts_make_the_whole(grid: Grid) -> None:
    regions = find_regions(grid)
    one = {name: regions.cells[:, i] for i, name in enumerate(regions.names)}
    for parts in (("land", "sea"), ("tropics", "extratropics"),
                  ("tropics", "northern_extratropics", "southern_extratropics")):  # fmt: skip
        np.testing.assert_array_equal(sum(one[part] for part in parts), one["globe"])
    hemispheres = one["northern_hemisphere"] + one["southern_hemisphere"]
    on_equator = np.repeat(grid.latitude == 0, grid.shape[1])
    np.testing.assert_array_equal(hemispheres, ~on_equator)
    np.testing.assert_allclose(regions.area, regions.cells * regions.area[:, :1])


def test_land_is_where_land_is() -> None:
    land = land_cells(GLOBAL_5625)
    for name, latitude, longitude in (
        ("Sahara", 20, 10), ("Siberia", 60, 100), ("Amazon", -5, -60), ("Australia", -25, 135),
        ("Antarctica", -80, 90), ("South Pole", -87, 0), ("Greenland", 72, -40), ("Kansas", 38, -98),
    ):  # fmt: skip
        assert land[at(GLOBAL_5625, latitude, longitude)], name
    for name, latitude, longitude in (
        ("Pacific", 0, -140), ("Pacific at 180", -30, 180), ("Atlantic at 0", -10, 0),
        ("Indian Ocean", -30, 80), ("North Pole", 87, 0), ("Southern Ocean", -60, 0),
    ):  # fmt: skip
        assert not land[at(GLOBAL_5625, latitude, longitude)], name


def test_a_regional_grid_has_what_reaches_into_it() -> None:
    regions = find_regions(BRITAIN)
    # All of it is north of the tropics: that would say nothing.
    assert regions.names == ("domain", "land", "sea")
    america = Grid(np.arange(15, 76, 2.5), np.arange(200, 331, 2.5))
    assert find_regions(america).names == ("domain", "tropics", "extratropics", "land", "sea")
    land = regions.cells[:, 1].reshape(BRITAIN.shape)
    assert land[at(BRITAIN, 52, -1)] == 1, "the Midlands"
    assert land[at(BRITAIN, 50, -7)] == 0, "south-west of Cornwall"
    np.testing.assert_allclose(regions.area.sum(axis=0)[0], 1)


def test_longitudes_from_minus_180_or_from_0_are_the_same_places() -> None:
    turned = Grid(GLOBAL_5625.latitude, np.sort((GLOBAL_5625.longitude + 180) % 360 - 180))
    for wanted in ("land", "35,70,-12,42"):
        np.testing.assert_array_equal(
            cells(turned, wanted), np.roll(cells(GLOBAL_5625, wanted), 32, axis=1)
        )


@pytest.mark.parametrize(
    ("box", "columns"),
    [
        ("0,10,-20,20", {340, 350, 0, 10, 20}),
        ("0,10,340,20", {340, 350, 0, 10, 20}),
        ("0,10,170,190", {170, 180, 190}),
        ("0,10,170,-170", {170, 180, 190}),
        ("0,10,0,360", set(range(0, 360, 10))),
        ("0,10,-180,180", set(range(0, 360, 10))),
        ("0,10,20,340", set(range(20, 350, 10))),
        ("0,10,30,30", {30}),
    ],
)
def test_boxes_run_eastwards_also_across_0_and_180(box: str, columns: set[int]) -> None:
    found = cells(COARSE, box)
    assert set(COARSE.longitude[found.any(axis=0)]) == columns
    assert COARSE.latitude[found.any(axis=1)].tolist() == [0, 10]


@settings(max_examples=50, deadline=None)
@given(st.integers(-180, 179), st.integers(1, 359))
def test_a_box_and_the_rest_of_its_belt(west: int, width: int) -> None:
    # Edges half-way between whole degrees, on which all centres lie: no cell belongs to both.
    grid = Grid([-10, 0, 10], np.arange(0, 360, 5.0))
    west_edge = west + 0.5
    east_edge = (west_edge + width + 180) % 360 - 180
    boxes = (west_edge, east_edge), (east_edge, west_edge)
    total = np.zeros(grid.shape)
    for west_side, east_side in boxes:
        # Between two centres there may be none: a box is refused then.
        inside = (grid.longitude - west_side) % 360 < (east_side - west_side) % 360
        if inside.any():
            total += cells(grid, f"-20,20,{west_side},{east_side}")
        else:
            with pytest.raises(InputError, match="has no cell"):
                cells(grid, f"-20,20,{west_side},{east_side}")
    np.testing.assert_array_equal(total, 1)


def test_masks(tmp_path: Path) -> None:
    field = np.zeros(BRITAIN.shape)
    field[2, 3] = field[4, 5] = 1
    labels = {"latitude": BRITAIN.latitude, "longitude": BRITAIN.longitude}
    mask = xr.DataArray(field, labels, ("latitude", "longitude"), name="mine")
    # North first, and turned round: labels count, not positions.
    mask.sortby("latitude", ascending=False).T.to_netcdf(tmp_path / "moors.nc")
    regions = find_regions(BRITAIN, [f"{tmp_path}/moors.nc", f"again={tmp_path}/moors.nc"])
    assert regions.names == ("domain", "moors", "again")
    np.testing.assert_array_equal(regions.cells[:, 1].reshape(BRITAIN.shape), field)
    with pytest.raises(InputError, match=r"moors.nc is on the grid 9 x 11.*regrid the mask"):
        find_regions(GLOBAL_5625, [f"{tmp_path}/moors.nc"])
    mask.rename(latitude="y").to_netcdf(tmp_path / "odd.nc")
    with pytest.raises(InputError, match="no variable with dims"):
        find_regions(BRITAIN, [f"{tmp_path}/odd.nc"])
    with pytest.raises(InputError, match=r"no mask at 'none.nc'"):
        find_regions(BRITAIN, ["none.nc"])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["tropic"], "'tropic' is not known.*tropics"),
        (["70,35,0,10"], "is not a box"),
        (["1,2,3"], "is not a box"),
        (["nan,1,2,3"], "is not a box"),
        (["0,95,0,10"], "is not a box"),
        (["1,2,3,4"], "has no cell of the grid 32 x 64"),
        (["land", "land"], "names land twice"),
    ],
)
def test_refused(wanted: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_regions(GLOBAL_5625, wanted)


def test_names_of_the_users() -> None:
    regions = find_regions(GLOBAL_5625, ["globe", "europe=35,70,-12,42", "ground=land"])
    assert regions.names == ("globe", "europe", "ground")
    np.testing.assert_array_equal(regions.cells[:, 2], land_cells(GLOBAL_5625).ravel())
