"""Coastlines that need no network."""

from __future__ import annotations

import functools
from pathlib import Path

import cartopy
from cartopy.feature import ShapelyFeature
from cartopy.io import shapereader
from cartopy.mpl.geoaxes import GeoAxes

from weathersvq.bundled import bundled_coastline
from weathersvq.maps.frame import PLATE


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


def add_coastlines(axes: GeoAxes, *, resolution: str | None = None, weight: float = 1.0) -> None:
    """Draw coastlines: the given resolution, or 50m on maps of a region where it is at hand.

    Args:
        weight: of the lines; below one for small maps.
    """
    if resolution is None:
        west, east, south, north = axes.get_extent(PLATE)
        resolution = "110m" if max(east - west, north - south) > 120 else "50m"
    path = coastline_file(resolution) or coastline_file("110m")
    if path is None:
        raise FileNotFoundError(f"the bundled coastline is missing from {bundled_coastline()}")
    # A light line below the dark one, so that coasts show on dark colours, too.
    for colour, width, opacity in (("white", 1.5, 0.5), ("0.1", 0.6, 1.0)):
        axes.add_feature(
            _coastline(path),
            facecolor="none",
            edgecolor=colour,
            linewidth=width * weight,
            alpha=opacity,
        )
