"""The last step: maps of forecast, truth and error, with coastlines that need no network.

Figures are matplotlib's own objects, made without pyplot: nothing global, no display, no window.
Cells are drawn as they are, by their edges, so that a map shows the grid that the model works on.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import cartopy
import cartopy.crs as ccrs
import numpy as np
import pandas as pd
import xarray as xr
from cartopy.feature import ShapelyFeature
from cartopy.io import shapereader
from cartopy.mpl.geoaxes import GeoAxes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
from matplotlib.ticker import FixedLocator
from numpy.typing import NDArray

from weathersvq.atomic import atomic_path
from weathersvq.bundled import bundled_coastline
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.variables import Variable, variable

Float = NDArray[np.float64]

SIMULATED_NOTE = "climate simulation, not past weather"
PLATE = ccrs.PlateCarree()

# Colour maps that grow evenly in lightness, by units: temperatures, moisture, clouds (clear sky is
# blue, cloud is white), the rest. What has a sign is drawn around zero instead.
SEQUENTIAL = {
    "K": "plasma",
    "%": "YlGnBu",
    "kg kg-1": "YlGnBu",
    "m": "YlGnBu",
    "1": "Blues_r",
}
OTHER = "viridis"
SIGNED = "PuOr_r"
ERROR = "RdBu_r"
# Shares have limits of their own.
FIXED_LIMITS = {"%": (0.0, 100.0), "1": (0.0, 1.0)}

# Inches.
GLOBAL_WIDTH, REGIONAL_WIDTH = 7.0, 4.6
MARGIN, GAP, TITLE_HEIGHT, PANEL_TITLE_HEIGHT = 0.25, 0.25, 0.62, 0.28
BAR_HEIGHT, BAR_ROOM = 0.14, 0.68
LABEL_ROOM, NOTE_ROOM = 0.42, 0.15
DOTS_PER_INCH = 130

# Cells larger than this (degrees) are drawn in pieces, so that their edges follow the projection.
SMOOTH_EDGE = 2.0

# Distances of grid lines, degrees.
GRID_LINES = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)


# Coastlines


def coastline_file(resolution: str) -> Path | None:
    """The coastline of this resolution (110m, 50m, 10m) that is on this machine, or None.

    Looked for in cartopy's own folders and then in the bundled one, never on the network: cartopy
    would otherwise download while drawing, and wait for a network that isn't there.
    """
    configured = (cartopy.config[key] for key in ("pre_existing_data_dir", "data_dir"))
    name = Path("shapefiles", "natural_earth", "physical", f"ne_{resolution}_coastline.shp")
    for folder in (*configured, bundled_coastline()):
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    return None


@functools.cache
def _coastline(path: Path) -> ShapelyFeature:
    # One object a file: cartopy keeps the projected lines for as long as it lives.
    return ShapelyFeature(list(shapereader.Reader(str(path)).geometries()), PLATE)


def add_coastlines(axes: GeoAxes, *, resolution: str | None = None) -> None:
    """Draw coastlines: the given resolution, or 50m on maps of a region where it is at hand."""
    if resolution is None:
        west, east, south, north = axes.get_extent(PLATE)
        resolution = "110m" if max(east - west, north - south) > 120 else "50m"
    path = coastline_file(resolution) or coastline_file("110m")
    if path is None:
        raise FileNotFoundError(f"the bundled coastline is missing from {bundled_coastline()}")
    # A light line below the dark one, so that coasts show on dark colours, too.
    for colour, width, opacity in (("white", 1.5, 0.5), ("0.1", 0.6, 1.0)):
        axes.add_feature(
            _coastline(path), facecolor="none", edgecolor=colour, linewidth=width, alpha=opacity
        )


# Projection and frame


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


def _add_axes(
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


def _draw_cells(
    axes: GeoAxes, field: xr.DataArray, grid: Grid, frame: Frame, colours: Colours
) -> QuadMesh:
    """Fill the cells, in the projection's own coordinates: nothing to wrap, no seam."""
    values = np.asarray(field.transpose("latitude", "longitude").values, dtype=np.float64)
    longitude = grid.longitude_edges
    if grid.wraps:
        longitude, values = unrolled(values, grid, west=-180.0)
        # The very edge of the map counts as either side of it.
        longitude[[0, -1]] += [1e-6, -1e-6]
    longitude, across = _finer(longitude)
    latitude, up = _finer(grid.latitude_edges)
    values = values.repeat(up, axis=0).repeat(across, axis=1)
    points = frame.projection.transform_points(PLATE, *np.meshgrid(longitude, latitude))
    return axes.pcolormesh(
        points[..., 0],
        points[..., 1],
        np.ma.masked_invalid(values),
        cmap=colours.name,
        norm=Normalize(colours.low, colours.high),
        rasterized=True,
    )


# Colours


@dataclass(frozen=True)
class Colours:
    """A colour map by name, its limits, and whether values go beyond them."""

    name: str
    low: float
    high: float
    extend: str


def colours_of(fields: list[xr.DataArray], quantity: Variable) -> Colours:
    """Colours for maps of a quantity that are to be compared: the same limits for all fields."""
    values = np.concatenate([np.ravel(field.values) for field in fields])
    values = values[np.isfinite(values)]
    if quantity.units in FIXED_LIMITS:
        low, high = FIXED_LIMITS[quantity.units]
        return Colours(SEQUENTIAL[quantity.units], low, high, "neither")
    if quantity.valid_range[0] == -quantity.valid_range[1]:
        return _around_zero(values, SIGNED)
    if not values.size or np.ptp(values) == 0:
        middle = float(values[0]) if values.size else 0.0
        return Colours(SEQUENTIAL.get(quantity.units, OTHER), middle - 1, middle + 1, "neither")
    low, high = np.percentile(values, [0.2, 99.8])
    return Colours(
        SEQUENTIAL.get(quantity.units, OTHER), float(low), float(high), _beyond(values, low, high)
    )


def error_colours(error: xr.DataArray) -> Colours:
    """Colours around zero; the largest half per cent of the errors go beyond the limits."""
    values = np.ravel(error.values)
    return _around_zero(values[np.isfinite(values)], ERROR)


def _around_zero(values: Float, name: str) -> Colours:
    reach = float(np.percentile(np.abs(values), 99.5)) if values.size else 0.0
    reach = reach or 1.0
    return Colours(name, -reach, reach, _beyond(values, -reach, reach))


def _beyond(values: Float, low: float, high: float) -> str:
    below, above = bool(np.any(values < low)), bool(np.any(values > high))
    return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]


# Figures


@dataclass(frozen=True)
class Panel:
    """One map of a figure."""

    field: xr.DataArray
    title: str
    colours: Colours


def draw_map(
    field: xr.DataArray,
    *,
    title: str | None = None,
    label: str | None = None,
    colours: Colours | None = None,
    note: str | None = None,
) -> Figure:
    """One map of a field.

    Args:
        field: dims (latitude, longitude), ascending coordinates.
        title: above the map; default: the field's name.
        label: of the colour bar; default: the long name and units of the variable of that name.
        colours: default: those of the variable of the field's name.
        note: small print below the map.

    Raises:
        InputError: no colours given and a name that is no variable's.
    """
    if colours is None or label is None:
        quantity = variable(str(field.name))
        colours = colours or colours_of([field], quantity)
        label = label or quantity_label(quantity)
    return _figure([Panel(field, "", colours)], [label], title or str(field.name), note)


def forecast_map(
    forecast: xr.Dataset,
    name: str,
    init: np.datetime64 | str,
    lead: np.timedelta64,
    *,
    level: int | None = None,
) -> Figure:
    """The forecast of one variable at one lead.

    Args:
        forecast: dims (init_time, lead_time, [level,] latitude, longitude).
        name: short name.
        level: hPa, for a variable on levels.

    Raises:
        InputError: the forecast doesn't hold this variable, init, lead or level.
    """
    field = _select(forecast, name, init, lead, level)
    quantity = variable(name)
    return _figure(
        [Panel(field, "", colours_of([field], quantity))],
        [quantity_label(quantity)],
        _title("Forecast of", quantity, field),
        _note(forecast),
    )


def error_map(
    forecast: xr.Dataset,
    name: str,
    init: np.datetime64 | str,
    lead: np.timedelta64,
    *,
    level: int | None = None,
) -> Figure:
    """Forecast, truth (in the same colours) and error, side by side.

    Args and errors as `forecast_map`; the forecast must hold the truth of the variable.
    """
    if f"{name}_truth" not in forecast:
        raise InputError(
            f"no truth for {name} in this forecast; its source ends too early to draw an error"
        )
    field = _select(forecast, name, init, lead, level)
    truth = _select(forecast, f"{name}_truth", init, lead, level)
    error = field - truth
    quantity = variable(name)
    shared = colours_of([field, truth], quantity)
    label = quantity_label(quantity)
    return _figure(
        [
            Panel(field, "Forecast", shared),
            Panel(truth, "Truth", shared),
            Panel(error, f"Error: {_summary(error, quantity)}", error_colours(error)),
        ],
        [label, label, f"forecast minus truth ({pretty_units(quantity.units)})"],
        _title("Forecast, truth and error of", quantity, field),
        _note(forecast),
    )


def save_figure(figure: Figure, path: Path | str) -> Path:
    """Write a figure as PNG, PDF or SVG (by suffix); the file appears when it is complete."""
    path = Path(path)
    with atomic_path(path) as fresh:
        figure.savefig(fresh, dpi=DOTS_PER_INCH)
    return path


def pretty_units(units: str) -> str:
    """`m s-1` -> `m s⁻¹`; a share without units is `0 to 1`."""
    if units == "1":
        return "0 to 1"
    superscript = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    words = [word[:1] + word[1:].translate(superscript) for word in units.split()]
    # kg, hPa and the like have no exponents: only digits and signs were changed.
    return " ".join(words)


def quantity_label(quantity: Variable) -> str:
    """Name and units, for a colour bar."""
    return f"{quantity.long_name} ({pretty_units(quantity.units)})"


def _note(forecast: xr.Dataset) -> str | None:
    return SIMULATED_NOTE if forecast.attrs.get("simulated") == "true" else None


def _select(
    forecast: xr.Dataset,
    name: str,
    init: np.datetime64 | str,
    lead: np.timedelta64,
    level: int | None,
) -> xr.DataArray:
    """(latitude, longitude) one map of a forecast."""
    if name not in forecast:
        held = ", ".join(sorted(map(str, forecast.data_vars)))
        raise InputError(f"no {name} in this forecast; it holds {held}")
    array = forecast[name]
    wanted: dict[str, object] = {
        "init_time": np.datetime64(init).astype("datetime64[ns]"),
        "lead_time": lead.astype("timedelta64[ns]"),
    }
    if "level" in array.dims:
        wanted["level"] = level
    for dim, value in wanted.items():
        held_values = array[dim].values
        if value not in held_values:
            raise InputError(
                f"this forecast of {name} holds no {dim.replace('_', ' ')} "
                f"{pd.Timedelta(lead) if dim == 'lead_time' else value}; "
                f"it reaches from {held_values[0]} to {held_values[-1]}"
            )
    return array.sel(wanted)


def _title(what: str, quantity: Variable, field: xr.DataArray) -> str:
    init = pd.Timestamp(str(field["init_time"].values))
    lead = pd.Timedelta(int(field["lead_time"].values.astype("timedelta64[ns]").astype(np.int64)))
    at = f" at {int(field['level'])} hPa" if "level" in field.coords else ""
    hours = lead / pd.Timedelta(hours=1)
    start, valid = (f"{time:%Y-%m-%d %H:%M} UTC" for time in (init, init + lead))
    return f"{what} {quantity.long_name}{at}\ninit {start},  lead {hours:g} h,  valid {valid}"


def _summary(error: xr.DataArray, quantity: Variable) -> str:
    """Area-weighted scores of one map of errors."""
    weights = xr.DataArray(Grid.of(error).area_weights(), {"latitude": error["latitude"]})
    area = ("latitude", "longitude")
    root = float((error**2).weighted(weights).mean(area)) ** 0.5
    bias = float(error.weighted(weights).mean(area))
    units = "" if quantity.units == "1" else f" {pretty_units(quantity.units)}"
    return f"RMSE {root:.3g}{units}, bias {bias:+.2g}{units}"


def _figure(panels: list[Panel], labels: list[str], title: str, note: str | None) -> Figure:
    """Maps side by side; neighbours with the same colours share one colour bar."""
    grid = Grid.of(panels[0].field)
    frame = frame_of(grid)
    regional = not grid.wraps
    wide = REGIONAL_WIDTH if regional else GLOBAL_WIDTH
    if len(panels) > 1:
        wide *= 0.75
    high = wide * frame.aspect
    label_room = LABEL_ROOM if regional else 0.0
    named = any(panel.title for panel in panels)
    step = label_room + wide + GAP
    width = 2 * MARGIN + len(panels) * step - GAP
    below = BAR_ROOM + MARGIN / 2 + (LABEL_ROOM / 2 if regional else 0) + (NOTE_ROOM if note else 0)
    height = below + high + TITLE_HEIGHT + (PANEL_TITLE_HEIGHT if named else 0.0)
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
    bars: dict[Colours, tuple[float, float, QuadMesh, str]] = {}
    for number, (panel, label) in enumerate(zip(panels, labels, strict=True)):
        left = MARGIN + number * step + label_room
        axes = _add_axes(figure, frame, (left, below, wide, high), labels=regional)
        mesh = _draw_cells(axes, panel.field, grid, frame, panel.colours)
        add_coastlines(axes)
        axes.set_title(panel.title, fontsize=10)
        start = bars[panel.colours][0] if panel.colours in bars else left
        bars[panel.colours] = (start, left + wide, mesh, label)
    for colours, (start, end, mesh, label) in bars.items():
        length = min(end - start, GLOBAL_WIDTH) * 0.8
        place = ((start + end - length) / 2 / width, (below - 0.12 - BAR_HEIGHT) / height)
        if regional:
            place = (place[0], place[1] - LABEL_ROOM / 2 / height)
        bar_axes = figure.add_axes((*place, length / width, BAR_HEIGHT / height))
        bar = figure.colorbar(mesh, cax=bar_axes, orientation="horizontal", extend=colours.extend)
        bar.set_label(label, fontsize=9)
        bar_axes.tick_params(labelsize=8)
    figure.suptitle(
        title, fontsize=10.5 if regional and len(panels) == 1 else 11, y=1 - 0.1 / height, va="top"
    )
    if note:
        figure.text(
            1 - MARGIN / 2 / width, 0.06 / height, note,
            ha="right", va="bottom", fontsize=8, style="italic", color="0.35",
        )  # fmt: skip
    return figure
