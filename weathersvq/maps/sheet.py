"""The paper that maps are drawn on, measured in inches: maps, colour bars, heading, small print."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr
from cartopy.mpl.geoaxes import GeoAxes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from weathersvq.grid import Grid
from weathersvq.maps.coastlines import add_coastlines
from weathersvq.maps.colours import Colours
from weathersvq.maps.frame import add_axes, draw_cells, frame_of, pieces

# Inches.
GLOBAL_WIDTH, REGIONAL_WIDTH = 7.0, 4.6
MARGIN, GAP, TITLE_HEIGHT, PANEL_TITLE_HEIGHT = 0.25, 0.25, 0.62, 0.28
BAR_HEIGHT, BAR_ROOM = 0.14, 0.68
LABEL_ROOM, NOTE_ROOM = 0.42, 0.15
# Maps that are narrower have thinner coastlines.
FULL_WEIGHT_WIDTH = 4.0
# Letters an inch along a colour bar that stands.
LETTERS_PER_INCH = 14
DOTS_PER_INCH = 130


@dataclass(frozen=True)
class Panel:
    """One map of a figure: dims (latitude, longitude), a title and what its colours mean."""

    field: xr.DataArray
    title: str
    colours: Colours
    label: str


class Sheet:
    """A figure with maps of one grid.

    Args:
        width, height: inches.

    Attributes:
        figure: made without pyplot.
        axes, meshes: of the maps, in the order in which they were added.
    """

    def __init__(self, grid: Grid, width: float, height: float) -> None:
        self.grid, self.frame = grid, frame_of(grid)
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
        self.axes: list[GeoAxes] = []
        self.meshes: list[QuadMesh] = []

    def add_map(
        self, panel: Panel, left: float, bottom: float, wide: float, *, labels: bool
    ) -> QuadMesh:
        """A map at this place, as high as its projection makes it."""
        place = (left, bottom, wide, wide * self.frame.aspect)
        axes = add_axes(self.figure, self.frame, place, labels=labels)
        mesh = draw_cells(axes, _values(panel.field), self.grid, self.frame, panel.colours)
        add_coastlines(axes, weight=min(1.0, wide / FULL_WEIGHT_WIDTH))
        axes.set_title(panel.title, fontsize=10)
        self.axes.append(axes)
        self.meshes.append(mesh)
        return mesh

    def show(self, number: int, field: xr.DataArray) -> None:
        """Other values, (latitude, longitude), on a map that is there already."""
        self.meshes[number].set_array(pieces(_values(field), self.grid)[2])

    def add_bar(
        self,
        mesh: QuadMesh,
        panel: Panel,
        rectangle: tuple[float, float, float, float],
    ) -> None:
        """The colour bar of a map at left, bottom, width, height; it lies along its longer side."""
        left, bottom, wide, high = rectangle
        axes = self.figure.add_axes(
            (left / self.width, bottom / self.height, wide / self.width, high / self.height)
        )
        lies = wide > high
        bar = self.figure.colorbar(
            mesh, cax=axes, orientation="horizontal" if lies else "vertical",
            extend=panel.colours.extend,
        )  # fmt: skip
        bar.set_label(panel.label if lies else _lines(panel.label, high), fontsize=9)
        axes.tick_params(labelsize=8)

    def set_heading(self, text: str, size: float = 11) -> None:
        """Above the maps; a second time it replaces the first."""
        self.figure.suptitle(text, fontsize=size, y=1 - 0.1 / self.height, va="top")

    def add_note(self, text: str | None) -> None:
        """Small print at the bottom right."""
        if text:
            self.figure.text(
                1 - MARGIN / 2 / self.width, 0.06 / self.height, text,
                ha="right", va="bottom", fontsize=8, style="italic", color="0.35",
            )  # fmt: skip


def side_by_side(
    panels: Sequence[Panel],
    heading: str,
    note: str | None,
    *,
    scale: float = 1.0,
    foot: bool = False,
) -> Sheet:
    """Maps in a row; neighbours with the same colours share one colour bar.

    Args:
        scale: of the maps' width, beside that of still figures.
        foot: whether room for small print is left even without a note.
    """
    grid = Grid.of(panels[0].field)
    regional = not grid.wraps
    wide = (REGIONAL_WIDTH if regional else GLOBAL_WIDTH) * scale
    if len(panels) > 1:
        wide *= 0.75
    label_room = LABEL_ROOM if regional else 0.0
    step = label_room + wide + GAP
    width = 2 * MARGIN + len(panels) * step - GAP
    below = BAR_ROOM + MARGIN / 2 + label_room / 2 + (NOTE_ROOM if note or foot else 0)
    named = any(panel.title for panel in panels)
    above = TITLE_HEIGHT + (PANEL_TITLE_HEIGHT if named else 0.0)
    sheet = Sheet(grid, width, below + wide * frame_of(grid).aspect + above)
    # First left edge, last right edge, and a map, of each set of colours.
    shared: dict[Colours, tuple[float, float, QuadMesh, Panel]] = {}
    for number, panel in enumerate(panels):
        left = MARGIN + number * step + label_room
        mesh = sheet.add_map(panel, left, below, wide, labels=regional)
        start = shared[panel.colours][0] if panel.colours in shared else left
        shared[panel.colours] = (start, left + wide, mesh, panel)
    for start, end, mesh, panel in shared.values():
        length = min(end - start, GLOBAL_WIDTH) * 0.8
        bottom = below - 0.12 - BAR_HEIGHT - label_room / 2
        sheet.add_bar(mesh, panel, ((start + end - length) / 2, bottom, length, BAR_HEIGHT))
    sheet.set_heading(heading, 10.5 if regional and len(panels) == 1 else 11)
    sheet.add_note(note)
    return sheet


def _lines(label: str, high: float) -> str:
    """A label in lines of so many inches, its units kept together."""
    whole = re.sub(r"\(.*\)$", lambda units: units[0].replace(" ", "\xa0"), label)
    return textwrap.fill(whole, round(high * LETTERS_PER_INCH))


def _values(field: xr.DataArray) -> ArrayLike:
    return field.transpose("latitude", "longitude").values
