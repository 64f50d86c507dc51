"""Colours of maps: even in lightness, legible to the colour-blind, signed around zero."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.colors import Colormap, ListedColormap, Normalize
from numpy.typing import ArrayLike, NDArray

from weathersvq.variables import Variable

Float = NDArray[np.float64]

# By units: temperatures, moisture and rain, wind speed (white where calm), clouds (clear sky is
# blue, cloud is white), the rest. What has a sign is drawn around zero instead.
SEQUENTIAL = {
    "K": "plasma",
    "%": "YlGnBu",
    "kg kg-1": "YlGnBu",
    "m": "YlGnBu",
    "m s-1": "BuPu",
    "1": "Blues_r",
}
OTHER = "viridis"
SIGNED = "PuOr_r"
ERROR = "RdBu_r"
DIVERGING = (SIGNED, ERROR)
# L* below which no map goes: coastlines, arrows and streamlines are to be seen on it.
DARKEST = 30.0
# How large errors are, without their sign: light where they are small.
SCORE = "YlOrRd"
# Shares have limits of their own.
FIXED_LIMITS = {"%": (0.0, 100.0), "1": (0.0, 1.0)}


@dataclass(frozen=True)
class Colours:
    """A colour map by name, its limits, and whether values go beyond them."""

    name: str
    low: float
    high: float
    extend: str

    @property
    def map(self) -> Colormap:
        """Of this name, even in lightness."""
        return even_colours(self.name)

    @property
    def norm(self) -> Normalize:
        """From values to places on the colour map."""
        return Normalize(self.low, self.high)


@functools.cache
def even_colours(name: str) -> Colormap:
    """A colour map of matplotlib's, resampled so that equal steps of value look equally large.

    Lightness grows linearly from one end to the other; that of a diverging map falls from the
    middle to both ends alike, so that neither sign looks the larger one.
    """
    table = np.asarray(colormaps[name](np.linspace(0.0, 1.0, 257)), np.float64)
    if name not in DIVERGING:
        first, last = np.maximum(lightness(table[[0, -1]]), DARKEST)
        return ListedColormap(_resampled(table, first, last, 256), name=name)
    below, above = table[:129], table[128:]
    dark = max(DARKEST, *lightness(table[[0, -1]]))
    light = float(lightness(table[128]))
    halves = [_resampled(below, dark, light, 128), _resampled(above, light, dark, 128)]
    return ListedColormap(np.concatenate(halves), name=name)


def _resampled(table: Float, first: float, last: float, size: int) -> Float:
    """(size, 4) colours from one lightness to another in equal steps.

    Args:
        table: (n, 4) colours that only grow lighter, or only darker.
    """
    light, wanted = lightness(table), np.linspace(first, last, size)
    if light[0] > light[-1]:
        table, light = table[::-1], light[::-1]
    return np.stack([np.interp(wanted, light, part) for part in table.T], axis=1)


def lightness(colours: ArrayLike) -> Float:
    """CIE 1976 lightness L* (0 black, 100 white) of sRGB colours.

    Args:
        colours: (..., 3 or 4) red, green, blue in 0..1; opacity is left aside.
    """
    encoded = np.asarray(colours, np.float64)[..., :3]
    # IEC 61966-2-1: the way back from sRGB to linear light.
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    dark = luminance <= (6 / 29) ** 3
    root = np.where(dark, luminance / (3 * (6 / 29) ** 2) + 4 / 29, np.cbrt(luminance))
    return np.asarray(116 * root - 16, np.float64)


def colours_of(fields: list[xr.DataArray], quantity: Variable) -> Colours:
    """Colours for maps of a quantity that are to be compared: the same limits for all fields."""
    values = np.concatenate([np.ravel(field.values) for field in fields])
    values = values[np.isfinite(values)]
    if quantity.units in FIXED_LIMITS:
        low, high = FIXED_LIMITS[quantity.units]
        return Colours(SEQUENTIAL[quantity.units], low, high, "neither")
    if quantity.valid_range[0] == -quantity.valid_range[1]:
        return _around_zero(values, SIGNED)
    name = SEQUENTIAL.get(quantity.units, OTHER)
    if quantity.standard_name == "wind_speed":
        return _from_zero(values, name)
    if not values.size or np.ptp(values) == 0:
        middle = float(values[0]) if values.size else 0.0
        return Colours(name, middle - 1, middle + 1, "neither")
    low, high = np.percentile(values, [0.2, 99.8])
    return Colours(name, float(low), float(high), _beyond(values, low, high))


def error_colours(error: xr.DataArray) -> Colours:
    """Colours around zero; the largest half per cent of the errors go beyond the limits."""
    return _around_zero(_finite(error), ERROR)


def score_colours(score: xr.DataArray) -> Colours:
    """Colours from zero, light where errors are small; the largest half per cent go beyond."""
    return _from_zero(_finite(score), SCORE)


def _finite(field: xr.DataArray) -> Float:
    values = np.ravel(field.values)
    return np.asarray(values[np.isfinite(values)], np.float64)


def _around_zero(values: Float, name: str) -> Colours:
    reach = _reach(np.abs(values))
    return Colours(name, -reach, reach, _beyond(values, -reach, reach))


def _from_zero(values: Float, name: str) -> Colours:
    reach = _reach(values)
    return Colours(name, 0.0, reach, _beyond(values, 0.0, reach))


def _reach(sizes: Float) -> float:
    return (float(np.percentile(sizes, 99.5)) if sizes.size else 0.0) or 1.0


def _beyond(values: Float, low: float, high: float) -> str:
    below, above = bool(np.any(values < low)), bool(np.any(values > high))
    return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]
