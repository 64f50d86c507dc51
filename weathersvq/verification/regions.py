"""Verification, where: which cells of a grid belong to a region, and how much area each has."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
import xarray as xr
from cartopy.io import shapereader
from numpy.typing import NDArray

from weathersvq.errors import InputError, near_misses
from weathersvq.grid import Grid
from weathersvq.maps import coastline_file

Float = NDArray[np.float64]
Cells = NDArray[np.bool_]

# Latitude that parts tropics from extratropics, degrees, as WeatherBench 2 has it.
TROPICS = 20.0
# In the middle of the Atlantic.
AT_SEA = (-30.0, 0.0)
# Land and sea are told apart at points no further apart than this (degrees): what the coastline
# (1:110 million) can tell.
COAST_STEP = 0.7


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of one grid.

    Attributes:
        names: R of them, the whole grid first.
        area: (H * W, R) share of the whole grid's area that each cell has; 0 outside the region.
        cells: (H * W, R) 1 in the region, 0 outside.
    """

    names: tuple[str, ...]
    area: Float
    cells: Float


def find_regions(grid: Grid, wanted: Sequence[str] = ()) -> Regions:
    """The regions asked for, or all named ones that the grid reaches into.

    Args:
        grid: of the forecasts.
        wanted: names of `NAMED`; `LAT0,LAT1,LON0,LON1` (degrees; longitudes may run across 0 or
            180) or `FILE.nc` with a mask, both also as `NAME=...`.

    Returns:
        The whole grid first, named `globe` or, of a region, `domain`.

    Raises:
        InputError: an unknown name, a box that is none, a region with no cell, one named twice.
    """
    whole = "globe" if grid.is_global else "domain"
    found: dict[str, Cells] = {whole: np.ones(grid.shape, dtype=bool)}
    if wanted:
        for text in wanted:
            name, cells = _region(grid, text)
            if name == whole or (name in NAMED and text == "globe"):
                continue
            if name in found:
                raise InputError(f"--region names {name} twice; call one otherwise: OTHER={text}")
            if not cells.any():
                raise InputError(
                    f"--region {text!r} has no cell of the grid {grid.describe()}; "
                    "choose one that holds the centre of a cell"
                )
            found[name] = cells
    else:
        for name, make in NAMED.items():
            cells = make(grid)
            # One that is empty, or the same as another, says nothing of a regional grid.
            if cells.any() and not any(np.array_equal(cells, other) for other in found.values()):
                found[name] = cells
    area = grid.cell_areas()
    members = np.stack([each.ravel() for each in found.values()], axis=1).astype(np.float64)
    return Regions(tuple(found), members * (area / area.sum()).reshape(-1, 1), members)


def _region(grid: Grid, text: str) -> tuple[str, Cells]:
    name, equals, what = text.partition("=")
    if not equals:
        name, what = text, text
    if what in NAMED:
        return name, NAMED[what](grid)
    if Path(what).suffix == ".nc":
        return (name if equals else Path(what).stem), _mask(grid, Path(what))
    if "," in what:
        return name, _box(grid, what)
    raise InputError(
        f"--region {text!r} is not known{near_misses(what, NAMED)}; expected one of "
        f"{', '.join(NAMED)}, [NAME=]LAT0,LAT1,LON0,LON1 or [NAME=]MASK.nc"
    )


def _box(grid: Grid, text: str) -> Cells:
    try:
        south, north, west, east = (float(part) for part in text.split(","))
    except ValueError:
        south = north = west = east = math.nan
    if not (-90 <= south < north <= 90 and abs(west) <= 360 and abs(east) <= 360):
        raise InputError(
            f"--region {text!r} is not a box; expected LAT0,LAT1,LON0,LON1 in degrees, LAT0 below "
            "LAT1, such as 35,70,-12,42"
        )
    rows = (grid.latitude >= south) & (grid.latitude <= north)
    # Eastwards from the western side; a full turn is the whole circle.
    width = east - west if abs(east - west) >= 360 else (east - west) % 360
    columns = (grid.longitude - west) % 360 <= abs(width)
    return rows[:, None] & columns


def _mask(grid: Grid, path: Path) -> Cells:
    if not path.is_file():
        raise InputError(f"no mask at {str(path)!r}; expected a NetCDF file")
    with xr.open_dataset(path) as dataset:
        names = [n for n, v in dataset.data_vars.items() if {*v.dims} == {"latitude", "longitude"}]
        if not names:
            raise InputError(f"{path} holds no variable with dims (latitude, longitude) as a mask")
        field = dataset[names[0]].sortby("latitude").transpose("latitude", "longitude").load()
    if not Grid.of(field).matches(grid):
        raise InputError(
            f"the mask {path} is on the grid {Grid.of(field).describe()}, the forecasts on "
            f"{grid.describe()}; regrid the mask first"
        )
    return np.asarray(field.values > 0.5)


def _rows(inside: Callable[[Float], Cells]) -> Callable[[Grid], Cells]:
    def make(grid: Grid) -> Cells:
        return np.repeat(inside(grid.latitude)[:, None], grid.shape[1], axis=1)

    return make


def land_cells(grid: Grid) -> Cells:
    """(H, W) cells of which at least a half is land, by Natural Earth's 110 m coastline.

    Great lakes count as land, the Caspian Sea as sea, as that coastline has it.
    """
    land = _land()
    shapely.prepare(land)

    def inside(edges: Float) -> tuple[Float, int]:
        pieces = max(1, math.ceil(float(np.diff(edges).max()) / COAST_STEP))
        steps = (np.arange(pieces * (edges.size - 1)) + 0.5) / pieces
        return np.interp(steps, np.arange(edges.size), edges), pieces

    latitude, up = inside(grid.latitude_edges)
    longitude, across = inside(grid.longitude_edges)
    points = np.meshgrid((longitude + 180) % 360 - 180, latitude)
    on_land = shapely.contains_xy(land, *points)
    share = on_land.reshape(grid.shape[0], up, grid.shape[1], across).mean(axis=(1, 3))
    return np.asarray(share >= 0.5)


@functools.cache
def _land() -> shapely.Geometry:
    """Polygons of all land, made of the coastline: what lies across an odd number of coasts from
    the open sea."""
    path = coastline_file("110m")
    if path is None:
        raise FileNotFoundError("the bundled coastline is missing; install weathersvq again")
    coast = shapely.union_all(list(shapereader.Reader(str(path)).geometries()))
    faces = shapely.polygonize([shapely.union(coast, shapely.box(-180, -90, 180, 90).boundary)])
    land = []
    for face in shapely.get_parts(faces):
        inside = shapely.point_on_surface(face)
        way = shapely.LineString([AT_SEA, (inside.x, inside.y)])
        if len(shapely.get_parts(shapely.intersection(way, coast))) % 2:
            land.append(face)
    return shapely.union_all(land)


NAMED: dict[str, Callable[[Grid], Cells]] = {
    "globe": _rows(lambda latitude: np.ones_like(latitude, dtype=bool)),
    # A row on the equator belongs to neither hemisphere.
    "northern_hemisphere": _rows(lambda latitude: latitude > 0),
    "southern_hemisphere": _rows(lambda latitude: latitude < 0),
    "tropics": _rows(lambda latitude: np.abs(latitude) < TROPICS),
    "extratropics": _rows(lambda latitude: np.abs(latitude) >= TROPICS),
    "northern_extratropics": _rows(lambda latitude: latitude >= TROPICS),
    "southern_extratropics": _rows(lambda latitude: latitude <= -TROPICS),
    "land": land_cells,
    "sea": lambda grid: ~land_cells(grid),
}
