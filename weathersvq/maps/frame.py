"""Where a grid lies on paper: projection, border, grid lines, cells by their edges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cartopy.crs as ccrs
import numpy as np
from cartopy.mpl.geoaxes import GeoAxes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
from matplotlib.ticker import FixedLocator
from numpy.typing import ArrayLike, NDArray

from weathersvq.grid import Grid
from weathersvq.maps.colours import Colours

Float = NDArray[np.float64]

PLATE = ccrs.PlateCarree()

# Cells larger than this (degrees) are drawn in pieces, so that their edges follow the projection.
SMOOTH_EDGE = 2.0

# Distances of grid lines, degrees.
GRID_LINES = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)


@dataclass(frozen=True)
class Frame:
    """How a grid is laid out on paper.

    Attributes:
        projection: of the axes.
        outline: (n, 2) the border in the projection's coordinates; None: that of the globe.
        limits: x0, x1, y0, y1 in the projection's coordinates.
        reach: west, east, south, north in degrees.
    """

    projection: ccrs.Projection
    outline: Float | None
    limits: tuple[float, float, float, float]
    reach: tuple[float, float, float, float]

    @property
    def aspect(self) -> float:
        """Height over width."""
        x0, x1, y0, y1 = self.limits
        return (y1 - y0) / (x1 - x0)

    def points(self, longitude: ArrayLike, latitude: ArrayLike) -> tuple[Float, Float]:
        """x and y of places in degrees, in the projection's coordinates."""
        places = self.projection.transform_points(
            PLATE, np.asarray(longitude, np.float64), np.asarray(latitude, np.float64)
        )
        return places[..., 0], places[..., 1]


def frame_of(grid: Grid) -> Frame:
    """The globe on an equal-area projection; a region on one that suits its latitudes, cut out."""
    south, north = grid.latitude_edges[[0, -1]]
    west, east = grid.longitude_edges[[0, -1]]
    if grid.wraps:
        world = ccrs.EqualEarth(central_longitude=0.0)
        if grid.is_global:
            return Frame(world, None, (*world.x_limits, *world.y_limits), (-180, 180, -90, 90))
        west, east = -180.0 + 1e-6, 180.0 - 1e-6
        return _cut_out(world, west, east, south, north)
    middle = (west + east) / 2
    # Cones suit middle latitudes; they can't hold the equator's two sides or a pole.
    if min(abs(south), abs(north)) > 10 and south * north > 0 and max(abs(south), abs(north)) < 85:
        sixth = (north - south) / 6
        cone = ccrs.LambertConformal(
            central_longitude=middle,
            central_latitude=(south + north) / 2,
            standard_parallels=(south + sixth, north - sixth),
        )
        return _cut_out(cone, west, east, south, north)
    return _cut_out(ccrs.PlateCarree(central_longitude=middle), west, east, south, north)


def _cut_out(
    projection: ccrs.Projection, west: float, east: float, south: float, north: float
) -> Frame:
    along, up = np.linspace(west, east, 90), np.linspace(south, north, 90)
    longitude = np.concatenate([along, np.full(90, east), along[::-1], np.full(90, west)])
    latitude = np.concatenate([np.full(90, south), up, np.full(90, north), up[::-1]])
    outline = projection.transform_points(PLATE, longitude, latitude)[:, :2]
    (x0, y0), (x1, y1) = outline.min(axis=0), outline.max(axis=0)
    return Frame(projection, outline, (x0, x1, y0, y1), (west, east, south, north))


def add_axes(
    figure: Figure, frame: Frame, rectangle: tuple[float, float, float, float], *, labels: bool
) -> GeoAxes:
    """Axes at left, bottom, width, height in inches."""
    width, height = figure.get_size_inches()
    left, bottom, wide, high = rectangle
    axes = GeoAxes(
        figure,
        (left / width, bottom / height, wide / width, high / height),
        projection=frame.projection,
    )
    figure.add_axes(axes)
    if frame.outline is not None:
        axes.set_boundary(Outline(frame.outline))
    axes.set_xlim(frame.limits[:2])
    axes.set_ylim(frame.limits[2:])
    lines = axes.gridlines(linewidth=0.3, color="0.4", alpha=0.5, draw_labels=labels)
    lines.xlocator = FixedLocator(list(round_numbers(*frame.reach[:2])))
    lines.ylocator = FixedLocator(list(round_numbers(*frame.reach[2:])))
    if labels:
        lines.top_labels = lines.right_labels = False
        lines.x_inline = lines.y_inline = False
        lines.rotate_labels = False
        lines.xlabel_style = lines.ylabel_style = {"size": 7, "color": "0.3"}
    return axes


def round_numbers(low: float, high: float) -> Float:
    """Multiples of a round number of degrees inside a range, about five; longitudes in -180..180."""
    step = next((s for s in GRID_LINES if (high - low) / s <= 6), GRID_LINES[-1])
    lines = np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step
    return np.where(lines > 180, lines - 360, lines)


def unrolled(values: Float, grid: Grid, west: float) -> tuple[Float, Float]:
    """Columns of a grid that goes round the globe, from longitude `west` to `west` + 360.

    A column through which the cut goes is drawn on both sides of it.

    Args:
        values: (H, W).

    Returns:
        (W or W + 1, plus one) edges in degrees, (H, W or W + 1) values.
    """
    offsets = np.mod(grid.longitude_edges[:-1] - west, 360.0)
    # An edge on the cut itself, to within rounding, starts the map.
    offsets[offsets > 360.0 - 1e-6] = 0.0
    order = np.argsort(offsets)
    columns, starts = values[:, order], offsets[order]
    if starts[0] > 1e-6:
        columns = np.concatenate([columns[:, -1:], columns], axis=1)
        starts = np.concatenate([[0.0], starts])
    else:
        starts[0] = 0.0
    return west + np.concatenate([starts, [360.0]]), columns


def _finer(edges: Float) -> tuple[Float, int]:
    """Edges with each cell in as many pieces as make it small, and that number."""
    pieces = max(1, math.ceil(float(np.diff(edges).max()) / SMOOTH_EDGE))
    steps = np.arange(0, pieces * (edges.size - 1) + 1) / pieces
    return np.interp(steps, np.arange(edges.size), edges), pieces


def pieces(values: ArrayLike, grid: Grid) -> tuple[Float, Float, np.ma.MaskedArray]:
    """Cells cut into the pieces in which they are drawn.

    Args:
        values: (H, W), of the grid.

    Returns:
        (n + 1) longitudes and (m + 1) latitudes of the edges in degrees, (m, n) values, those
        that are missing masked.
    """
    values = np.asarray(values, dtype=np.float64)
    longitude = grid.longitude_edges
    if grid.wraps:
        longitude, values = unrolled(values, grid, west=-180.0)
        # The very edge of the map counts as either side of it.
        longitude[[0, -1]] += [1e-6, -1e-6]
    longitude, across = _finer(longitude)
    latitude, up = _finer(grid.latitude_edges)
    return longitude, latitude, np.ma.masked_invalid(values.repeat(up, 0).repeat(across, 1))


def draw_cells(
    axes: GeoAxes, values: ArrayLike, grid: Grid, frame: Frame, colours: Colours
) -> QuadMesh:
    """Fill the cells, in the projection's own coordinates: nothing to wrap, no seam."""
    longitude, latitude, small = pieces(values, grid)
    return axes.pcolormesh(
        *frame.points(*np.meshgrid(longitude, latitude)),
        small,
        cmap=colours.map,
        norm=colours.norm,
        rasterized=True,
    )
