"""Colours: even in lightness, symmetric around zero, apart for the colour-blind."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from weathersvq.maps import colours_of, error_colours, pretty_units, score_colours
from weathersvq.maps.colours import (
    DARKEST,
    DIVERGING,
    OTHER,
    SCORE,
    SEQUENTIAL,
    even_colours,
    lightness,
)
from weathersvq.variables import variable

Float = NDArray[np.float64]
ONE_SIDED = sorted({*SEQUENTIAL.values(), OTHER, SCORE})

# Machado, Oliveira and Fernandes (2009): deuteranopia, on linear RGB.
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
)
# sRGB to XYZ, white point D65 (IEC 61966-2-1).
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colours: Float) -> Float:
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def lab(linear_rgb: Float) -> Float:
    """CIE 1976 L*a*b*."""
    xyz = linear_rgb @ TO_XYZ.T / TO_XYZ.sum(axis=1)
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def colours(name: str) -> Float:
    """(256, 3)."""
    return np.asarray(even_colours(name)(np.linspace(0, 1, 256)))[:, :3]


def test_lightness_of_known_colours() -> None:
    # Black, white, and the published values of sRGB's red, green and blue.
    known = [[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(lightness(known), [0, 100, 53.24, 87.74, 32.30], atol=0.02)


@pytest.mark.parametrize("name", ONE_SIDED)
def test_equal_steps_of_value_are_equal_steps_of_lightness(name: str) -> None:
    light = lab(linear(colours(name)))[:, 0]
    steps = np.diff(light)
    assert np.ptp(light) > 50
    assert light.min() > DARKEST - 1
    assert np.all(np.sign(steps) == np.sign(steps[0]))
    np.testing.assert_allclose(steps, steps.mean(), atol=0.1 * abs(steps.mean()))


@pytest.mark.parametrize("name", DIVERGING)
def test_both_signs_look_equally_large(name: str) -> None:
    light = lab(linear(colours(name)))[:, 0]
    np.testing.assert_allclose(light, light[::-1], atol=0.5)
    assert np.all(np.diff(light[:128]) > 0)
    assert light[127] > 95, "no error is white"


@pytest.mark.parametrize("name", [*ONE_SIDED, *DIVERGING])
def test_the_colour_blind_see_the_steps(name: str) -> None:
    seen = lab(np.clip(linear(colours(name)) @ DEUTERANOPIA.T, 0, 1))
    # Sixteen steps, each well above the 2.3 that people just notice.
    steps = np.linalg.norm(np.diff(seen[::17], axis=0), axis=1)
    assert steps.min() > 3
    if name in DIVERGING:
        # Equally light as they are, the two signs have to differ in hue.
        apart = np.linalg.norm(seen - seen[::-1], axis=1)
        assert apart[:64].min() > 20


def test_limits() -> None:
    def field(values: list[float]) -> xr.DataArray:
        return xr.DataArray(values)

    wind = colours_of([field([-3.0, 10.0])], variable("u10"))
    assert wind.low == -wind.high
    assert colours_of([field([3.0, 10.0])], variable("ws10")).low == 0
    humidity = colours_of([field([40.0])], variable("r"))
    assert (humidity.low, humidity.high) == (0, 100)
    names = {colours_of([field([0.1, 0.2])], variable(n)).name for n in ("t2m", "r", "tcc", "z")}
    assert len(names) == 4
    error = error_colours(field([*np.linspace(-1, 1, 1000), 50.0]))
    assert -error.low == error.high < 2, "one wild cell must not bleach the map"
    assert error.extend == "both"
    score = score_colours(field([*np.linspace(0.5, 1, 1000), 50.0, np.nan]))
    assert (score.low, score.extend) == (0, "max")
    assert score.high < 2
    assert score_colours(field([0.0, 0.0])).high == 1
    assert pretty_units("m s-1") == "m s⁻¹"
