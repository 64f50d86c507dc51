"""Wind: speed as colours, direction as arrows or streamlines, true to the map's projection."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.quiver import Quiver
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from weathersvq.errors import InputError, near_misses
from weathersvq.grid import Grid
from weathersvq.maps.colours import colours_of
from weathersvq.maps.fields import quantity_of, same_places, with_dims
from weathersvq.maps.frame import PLATE, Frame
from weathersvq.maps.sheet import Panel, Sheet, side_by_side
from weathersvq.maps.words import heading, pretty_units, quantity_label
from weathersvq.variables import VARIABLES, Variable

Float = NDArray[np.float64]
Style = Literal["arrows", "streamlines"]
STYLES: tuple[Style, ...] = get_args(Style)

# Inches: between arrows, and the length of those of strong winds (the 95th percentile).
ARROW_SPACING, STRONG_LENGTH = 0.18, 0.32
REFERENCES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
DARK = "0.1"
# Points across the map between which streamlines are followed, and matplotlib's density an inch.
STREAM_POINTS, STREAM_DENSITY = 150, 0.32
# Degrees over which a wind is followed to find its direction on the map.
NUDGE = 1e-3


def wind_map(
    u: xr.DataArray,
    v: xr.DataArray,
    *,
    style: Style = "arrows",
    title: str | None = None,
    note: str | None = None,
) -> Figure:
    """Speed as colours from zero, with arrows (and one for reference) or streamlines over it.

    Args:
        u, v: dims (latitude, longitude), eastward and northward wind in m s-1: u10 and v10, or u
            and v at one level.
        title: default: quantity, level and times as far as the coordinates tell.
        note: small print below.

    Raises:
        InputError: other dims, names that are no pair, another grid, another style.
    """
    style = check_style(style)
    quantity = _speed_of(u, v)
    u, v = with_dims(u), with_dims(v)
    same_places(u, v)
    speed = (u**2 + v**2) ** 0.5
    panel = Panel(speed, "", colours_of([speed], quantity), quantity_label(quantity))
    name = quantity.long_name.removesuffix(" speed")
    text = title or heading("", name[:1].upper() + name[1:], u)
    # The reference arrow stands in the line of the note.
    sheet = side_by_side([panel], text, note, foot=style == "arrows")
    if style == "arrows":
        _add_arrows(sheet, u.values, v.values, quantity)
    else:
        _add_streamlines(sheet, u.values, v.values)
    return sheet.figure


def check_style(style: str) -> Style:
    """One of the styles in which wind is drawn.

    Raises:
        InputError: another word.
    """
    for known in STYLES:
        if style == known:
            return known
    raise InputError(
        f"unknown style {style!r}{near_misses(style, STYLES)}; expected {' or '.join(STYLES)}"
    )


def _speed_of(u: xr.DataArray, v: xr.DataArray) -> Variable:
    """The speed of which these are the components."""
    one, other = quantity_of(u), quantity_of(v)
    if (one.standard_name, other.standard_name, one.height) != (
        "eastward_wind", "northward_wind", other.height,
    ):  # fmt: skip
        raise InputError(
            f"{u.name} and {v.name} are not the eastward and northward components of one wind; "
            "expected u10 and v10, or u and v"
        )
    return next(
        each
        for each in VARIABLES
        if each.standard_name == "wind_speed" and each.height == one.height
    )


def on_paper(
    frame: Frame, longitude: Float, latitude: Float, u: Float, v: Float
) -> tuple[Float, Float]:
    """A wind's components along the map's x and y: its direction there, its own speed.

    The direction is that of the line that air would draw on the map. Degrees of longitude are
    short near the poles and an equal-area map is sheared, so that it is neither u and v themselves
    nor a turned (u, v).

    Args:
        longitude, latitude, u, v: all of one shape; degrees, m s-1.
    """
    # Steps go towards the middle of the map, never over its edge or a pole.
    longitude = _turned(frame, longitude)
    east = np.where(longitude > _middle(frame), -NUDGE, NUDGE)
    north = np.where(latitude > 0, -NUDGE, NUDGE)
    x, y = frame.points(longitude, latitude)
    east_x, east_y = frame.points(longitude + east, latitude)
    north_x, north_y = frame.points(longitude, latitude + north)
    # Degrees that air goes in a given time: more of longitude where they are short.
    across, along = u / np.cos(np.deg2rad(latitude)) / east, v / north
    dx = across * (east_x - x) + along * (north_x - x)
    dy = across * (east_y - y) + along * (north_y - y)
    length = np.hypot(dx, dy)
    scale = np.divide(np.hypot(u, v), length, out=np.zeros_like(length), where=length > 0)
    return dx * scale, dy * scale


def _middle(frame: Frame) -> float:
    return (frame.reach[0] + frame.reach[1]) / 2


def _turned(frame: Frame, longitude: Float) -> Float:
    """The same longitudes, from 180 degrees west of the map's middle to less than 180 east of it."""
    west = _middle(frame) - 180
    return west + np.mod(longitude - west, 360)


def thinned(x: Float, y: Float, spacing: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of cells that lie at least about `spacing` apart on the map.

    Each row has its own distance of columns, since rows are shorter towards the poles.

    Args:
        x, y: (H, W) of the centres, and in their units `spacing`.
    """

    def every(dx: Float, dy: Float, size: int) -> NDArray[np.intp]:
        # The median leaves out the one step over the map's edge.
        stride = max(1, math.ceil(spacing / float(np.median(np.hypot(dx, dy))) - 1e-6))
        # Evenly, so that the last is no neighbour of the first, round the globe.
        count = max(1, size // stride)
        return ((np.arange(count) + 0.5) * size / count).astype(np.intp)

    rows, columns = [], []
    for row in every(np.diff(x, axis=0), np.diff(y, axis=0), x.shape[0]):
        some = every(np.diff(x[row]), np.diff(y[row]), x.shape[1])
        rows.append(np.full(some.size, row))
        columns.append(some)
    return np.concatenate(rows), np.concatenate(columns)


def _add_arrows(sheet: Sheet, u: Float, v: Float, quantity: Variable) -> Quiver:
    frame, grid, axes = sheet.frame, sheet.grid, sheet.axes[0]
    longitude, latitude = np.meshgrid(grid.longitude, grid.latitude)
    x, y = frame.points(longitude, latitude)
    inch = (frame.limits[1] - frame.limits[0]) / (axes.get_position().width * sheet.width)
    at = thinned(x, y, ARROW_SPACING * inch)
    # A wind has no direction at a pole, and some grids have a row there.
    keep = np.isfinite(u[at] + v[at]) & (np.abs(latitude[at]) < 90 - 2 * NUDGE)
    at = at[0][keep], at[1][keep]
    speeds = np.hypot(u[at], v[at])
    strong = (float(np.percentile(speeds, 95)) if speeds.size else 0.0) or 1.0
    reference = max((r for r in REFERENCES if r <= strong), default=REFERENCES[0])
    arrows = axes.quiver(
        x[at], y[at], *on_paper(frame, longitude[at], latitude[at], u[at], v[at]),
        angles="xy", pivot="middle", units="inches", width=0.012, scale_units="inches",
        scale=strong / STRONG_LENGTH, color=DARK, edgecolor="white", linewidth=0.3, zorder=3,
    )  # fmt: skip
    axes.quiverkey(
        arrows, 0.45, 0.13, reference, f"{reference:g} {pretty_units(quantity.units)}",
        coordinates="inches", labelpos="E", labelsep=0.06, fontproperties={"size": 8},
    )  # fmt: skip
    return arrows


def _add_streamlines(sheet: Sheet, u: Float, v: Float) -> None:
    frame, grid, axes = sheet.frame, sheet.grid, sheet.axes[0]
    wide = axes.get_position().width * sheet.width
    x0, x1, y0, y1 = frame.limits
    x = np.linspace(x0, x1, STREAM_POINTS)
    y = np.linspace(y0, y1, max(2, round(STREAM_POINTS * frame.aspect)))
    places = PLATE.transform_points(frame.projection, *np.meshgrid(x, y))
    longitude, latitude = places[..., 0], places[..., 1]
    west, east, south, north = frame.reach
    # Beyond the map's border the way back does not lead to where it came from.
    there = np.isfinite(longitude) & np.isfinite(latitude)
    longitude, latitude = np.where(there, longitude, west), np.where(there, latitude, south)
    back = np.hypot(*(a - b for a, b in zip(
        frame.points(longitude, latitude), np.meshgrid(x, y), strict=True
    )))  # fmt: skip
    there &= (back < 1e-6 * (x1 - x0)) & (np.abs(latitude) < 90 - 2 * NUDGE)
    there &= (latitude > south) & (latitude < north)
    there &= np.abs(_turned(frame, longitude) - _middle(frame)) < (east - west) / 2
    wind = [_between(field, grid, longitude, latitude) for field in (u, v)]
    there &= np.isfinite(wind[0] + wind[1])
    latitude = np.where(there, latitude, 0.0)
    across, along = (
        np.ma.masked_where(~there, part) for part in on_paper(frame, longitude, latitude, *wind)
    )
    # Not cartopy's own: it would interpolate once more, from points that are no grid.
    lines = Axes.streamplot(
        axes, x, y, across, along, density=(STREAM_DENSITY * wide, STREAM_DENSITY * wide * frame.aspect),
        linewidth=0.7, arrowsize=0.7, color=DARK, zorder=3,
    ).lines  # fmt: skip
    lines.set_path_effects([withStroke(linewidth=1.7, foreground="white", alpha=0.5)])


def _between(field: Float, grid: Grid, longitude: Float, latitude: Float) -> Float:
    """Bilinear between the centres of cells; beyond the outer ones, as there."""
    centres = grid.longitude
    if grid.wraps:
        centres = np.concatenate([centres, [centres[0] + 360]])
        field = np.concatenate([field, field[:, :1]], axis=1)
    start = grid.longitude_edges[0] if not grid.wraps else centres[0]
    turned = start + np.mod(longitude - start, 360.0)
    inside = (
        np.clip(latitude, *grid.latitude[[0, -1]]),
        np.clip(turned, centres[0], centres[-1]),
    )
    values = RegularGridInterpolator((grid.latitude, centres), field)(inside)
    return np.asarray(values, np.float64)
