"""Wind: directions true to the map, arrows apart, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver

from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.maps import frame_of, wind_map
from weathersvq.maps.wind import on_paper, thinned

Texts = Callable[[Figure], str]
BRITAIN = Grid(np.arange(50, 58.25, 0.25), np.arange(-10, 2.25, 0.25))
PACIFIC = Grid(np.arange(-20, 21, 2.0), np.arange(150, 231, 2.0))
# With a row on each pole and a column on the edge of the map.
WITH_POLES = Grid(np.linspace(-90, 90, 37), np.arange(0, 360, 5.0))


def field(grid: Grid, value: float, name: str) -> xr.DataArray:
    return xr.DataArray(
        np.full(grid.shape, value),
        {"latitude": grid.latitude, "longitude": grid.longitude},
        ("latitude", "longitude"),
        name=name,
    )


def arrows_of(figure: Figure) -> Quiver:
    return next(c for c in figure.axes[0].collections if isinstance(c, Quiver))


def test_a_flat_map_stretches_what_is_eastward() -> None:
    # At 60 degrees a degree of longitude is half as long but drawn as wide: a north-east wind
    # points 2 to the east for 1 to the north, at its own speed, 5 for (3, 4).
    frame = frame_of(PACIFIC)
    where = np.array([190.0]), np.array([60.0])
    x, y = on_paper(frame, *where, np.array([1.0]), np.array([1.0]))
    np.testing.assert_allclose([x[0], y[0]], np.sqrt(2 / 5) * np.array([2, 1]), rtol=1e-4)
    x, y = on_paper(frame, *where, np.array([3.0]), np.array([4.0]))
    np.testing.assert_allclose(np.hypot(x, y), 5, rtol=1e-12)


def test_a_conformal_map_keeps_angles() -> None:
    # On Lambert's cone, east and north stay at right angles: (1, 1) lies midway between them.
    longitude, latitude = np.meshgrid([-9.0, -4.0, 1.0], [51.0, 57.0])
    one, none = np.ones_like(latitude), np.zeros_like(latitude)
    frame = frame_of(BRITAIN)
    east, north, between = (
        np.array(on_paper(frame, longitude, latitude, u, v))
        for u, v in ((one, none), (none, one), (one, one))
    )
    # To within the flattening of the cone's ellipsoid, 1/298.
    np.testing.assert_allclose((east * north).sum(axis=0), 0, atol=3e-3)
    np.testing.assert_allclose(between, east + north, atol=3e-3)
    # Meridians lean towards the middle, 3.95 W: north points to the right of up in the west.
    assert north[0, 0, 0] > 0.05
    assert north[0, 0, 2] < -0.05


@pytest.mark.parametrize("longitude", [-180.0, -179.9, -60.0, 0.0, 120.0, 179.9])
@pytest.mark.parametrize("latitude", [-89.5, -45.0, 0.0, 45.0, 89.5])
def test_air_moves_where_the_arrow_points(longitude: float, latitude: float) -> None:
    """Followed for a little while over the sphere, away from the map's edge."""
    frame = frame_of(GLOBAL_5625)
    u, v = (-6.0 if longitude > 0 else 6.0), (-3.0 if latitude > 0 else 3.0)
    degrees = 1e-5
    stops = np.array([longitude, longitude + u * degrees / np.cos(np.deg2rad(latitude))])
    x, y = frame.points(stops, np.array([latitude, latitude + v * degrees]))
    went = np.array([np.diff(x)[0], np.diff(y)[0]])
    where = np.array([longitude]), np.array([latitude])
    points = np.concatenate(on_paper(frame, *where, np.array([u]), np.array([v])))
    np.testing.assert_allclose(points, went / np.hypot(*went) * np.hypot(u, v), atol=0.02)


def test_arrows_are_apart_everywhere() -> None:
    frame = frame_of(GLOBAL_5625)
    x, y = frame.points(*np.meshgrid(GLOBAL_5625.longitude, GLOBAL_5625.latitude))
    spacing = 3 * 360 / 64 / 360 * (frame.limits[1] - frame.limits[0]) * 0.95
    rows, columns = thinned(x, y, spacing)
    counts = {row: int((rows == row).sum()) for row in rows}
    # At the equator each third column of 64; the poles' line is 0.59 as long.
    assert counts[min(counts, key=lambda row: abs(row - 16))] == 21
    assert counts[min(counts)] <= 13
    for row in counts:
        there = np.sort(x[row, columns[rows == row]])
        assert np.diff(there).min() > 0.9 * spacing


@pytest.mark.parametrize("grid", [GLOBAL_5625, BRITAIN, PACIFIC, WITH_POLES],
                         ids=["global", "Britain", "Pacific", "poles"])  # fmt: skip
@pytest.mark.parametrize("style", ["arrows", "streamlines"])
def test_an_east_wind_blows_to_the_west_everywhere(
    grid: Grid, style: Literal["arrows", "streamlines"], texts: Texts
) -> None:
    u, v = field(grid, -12.0, "u10"), field(grid, 0.0, "v10")
    figure = wind_map(u, v, style=style, note="a note")
    mesh = next(c for c in figure.axes[0].collections if isinstance(c, QuadMesh))
    assert float(mesh.get_array().min()) == 12
    assert mesh.norm.vmin == 0
    text = texts(figure)
    assert "10 metre wind speed (m s⁻¹)" in text
    assert "a note" in text
    if style == "arrows":
        arrows = arrows_of(figure)
        assert np.all(np.asarray(arrows.U) < 0)
        np.testing.assert_allclose(np.hypot(arrows.U, arrows.V), 12, rtol=1e-5)
        assert 40 < arrows.N < 600
    else:
        lines = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
        drawn = max(lines, key=lambda each: each.get_zorder())
        steps = np.concatenate([np.diff(s[:, 0]) for s in drawn.get_segments()])
        assert steps.size > 100
        # Streamlines grow both ways from where they start, and are put together in order.
        assert np.all(steps < 1e-6)


def test_cells_without_wind_have_no_arrow() -> None:
    u, v = field(BRITAIN, 5.0, "u"), field(BRITAIN, 5.0, "v")
    everywhere = arrows_of(wind_map(u, v)).N
    west = u.where(u.longitude < -4)
    assert 0.4 < arrows_of(wind_map(west, v)).N / everywhere < 0.6
    wind_map(west, v, style="streamlines")
    assert arrows_of(wind_map(u * np.nan, v)).N == 0


def test_what_is_no_wind() -> None:
    u, v = field(BRITAIN, 1.0, "u10"), field(BRITAIN, 1.0, "v10")
    with pytest.raises(InputError, match="v10 and u10 are not the eastward and northward"):
        wind_map(v, u)
    with pytest.raises(InputError, match="u10 and v are not"):
        wind_map(u, v.rename("v"))
    with pytest.raises(InputError, match="differ in longitude"):
        wind_map(u, v.isel(longitude=slice(0, 9)))
    with pytest.raises(InputError, match=r"expected \(latitude, longitude\); choose one value"):
        wind_map(u.expand_dims("time"), v)
    with pytest.raises(InputError, match="unknown style 'arows'; did you mean 'arrows'"):
        wind_map(u, v, style="arows")  # type: ignore[arg-type]
