"""Maps: offline coastlines, cells where they belong, symmetric error colours, honest titles."""

from __future__ import annotations

import socket
from pathlib import Path

import cartopy
import numpy as np
import pytest
import xarray as xr
from cartopy.io import shapereader
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.maps import (
    SIMULATED_NOTE,
    coastline_file,
    colours_of,
    draw_map,
    error_colours,
    error_map,
    forecast_map,
    frame_of,
    pretty_units,
    save_figure,
    unrolled,
)
from weathersvq.variables import variable

BRITAIN = Grid(np.arange(50, 58.25, 0.25), np.arange(-10, 2.25, 0.25))
INIT = np.datetime64("2017-01-01T06", "ns")


@pytest.fixture(autouse=True)
def no_network_and_no_downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without a network, whose cartopy has never downloaded anything."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a map asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setitem(cartopy.config, "data_dir", tmp_path)
    monkeypatch.setitem(cartopy.config, "pre_existing_data_dir", tmp_path)


def make_forecast(grid: Grid, name: str = "t2m", simulated: str = "false") -> xr.Dataset:
    rows, columns = np.meshgrid(grid.latitude, grid.longitude, indexing="ij")
    truth = 300 - rows**2 / 100 + np.cos(np.deg2rad(columns))
    error = np.sin(np.deg2rad(3 * columns)) - 0.25
    fields = {name: truth + error, f"{name}_truth": truth, f"{name}_error": error}
    leads = np.array([1, 12], "timedelta64[h]").astype("timedelta64[ns]")
    dims = ("init_time", "lead_time", "latitude", "longitude")
    return xr.Dataset(
        {k: (dims, np.broadcast_to(v, (1, 2, *grid.shape)).copy()) for k, v in fields.items()},
        {
            "init_time": [INIT],
            "lead_time": leads,
            "latitude": grid.latitude,
            "longitude": grid.longitude,
        },
        {"simulated": simulated},
    )


def texts(figure: Figure) -> str:
    """Everything written on a figure."""
    figure.canvas.draw()
    parts = [text.get_text() for text in figure.texts]
    if figure._suptitle is not None:
        parts.append(figure._suptitle.get_text())
    for axes in figure.axes:
        parts += [axes.get_title(), axes.get_xlabel(), axes.get_ylabel()]
    return " | ".join(parts)


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def test_the_bundled_coastline_has_no_lines_across_the_map() -> None:
    path = coastline_file("110m")
    assert path is not None
    lines = [np.asarray(line.coords) for shape in shapereader.Reader(str(path)).geometries()
             for line in getattr(shape, "geoms", [shape])]  # fmt: skip
    assert len(lines) > 100
    for line in lines:
        assert np.abs(np.diff(line[:, 0])).max() < 180
        assert line[:, 1].min() > -86  # the ice shelves end at 85.61 S
        on_the_date_line = np.isclose(np.abs(line[:, 0]), 180)
        assert not (on_the_date_line[1:] & on_the_date_line[:-1]).any()
    # Africa's west coast at Dakar (14.7 N, 17.5 W) is there to within 110m accuracy.
    points = np.concatenate(lines)
    assert np.hypot(points[:, 0] + 17.5, points[:, 1] - 14.7).min() < 1.0


def test_missing_finer_coastlines_are_never_fetched() -> None:
    assert coastline_file("10m") is None


def test_a_global_map_has_no_seam_and_no_hole() -> None:
    # All cells have the same value, so every pixel of the globe has the same colour.
    field = xr.DataArray(
        np.full(GLOBAL_5625.shape, 290.0),
        {"latitude": GLOBAL_5625.latitude, "longitude": GLOBAL_5625.longitude},
        ("latitude", "longitude"),
        name="t2m",
    )
    figure = draw_map(field)
    axes = figure.axes[0]
    for artist in (*axes.collections, *axes.lines, *axes.artists):
        artist.set_visible(isinstance(artist, QuadMesh))
    image = pixels(figure)
    mesh = next(c for c in axes.collections if isinstance(c, QuadMesh))
    colour = np.round(np.array(mesh.cmap(mesh.norm(290.0))[:3]) * 255)
    box = axes.get_window_extent()
    height = image.shape[0]
    middle = image[int(height - (box.y0 + box.y1) / 2)]
    inside = middle[int(box.x0) + 4 : int(box.x1) - 4]
    # Thin grey grid lines shade it a little; a hole would be white, 135 grey levels away.
    assert np.abs(inside - colour).max() < 60
    # The poles: the first and last rows of the globe, in the middle of the map.
    centre = int((box.x0 + box.x1) / 2)
    column = image[int(height - box.y1) + 4 : int(height - box.y0) - 4, centre]
    assert np.abs(column - colour).max() < 60


def test_columns_are_unrolled_by_hand() -> None:
    # Columns centred on 0, 90, 180, 270; the cut at 180 W runs through the one centred on 180.
    grid = Grid([-45.0, 45.0], [0.0, 90.0, 180.0, 270.0])
    edges, values = unrolled(np.array([[0.0, 1, 2, 3], [4, 5, 6, 7]]), grid, west=-180.0)
    np.testing.assert_allclose(edges, [-180, -135, -45, 45, 135, 180])
    np.testing.assert_allclose(values, [[2, 3, 0, 1, 2], [6, 7, 4, 5, 6]])


def test_frames_fit_their_grids() -> None:
    assert frame_of(GLOBAL_5625).outline is None
    frame = frame_of(BRITAIN)
    assert frame.reach == (-10.125, 2.125, 49.875, 58.125)
    assert 1 < frame.aspect < 2.5  # 8 degrees of latitude by 12 of longitude at 54 N


def test_titles_say_what_when_and_in_which_units() -> None:
    forecast = make_forecast(GLOBAL_5625, simulated="true")
    text = texts(forecast_map(forecast, "t2m", INIT, np.timedelta64(12, "h")))
    assert "2 metre temperature (K)" in text
    assert "init 2017-01-01 06:00 UTC" in text
    assert "lead 12 h" in text
    assert "valid 2017-01-01 18:00 UTC" in text
    assert SIMULATED_NOTE in text
    real = make_forecast(GLOBAL_5625)
    assert SIMULATED_NOTE not in texts(forecast_map(real, "t2m", INIT, np.timedelta64(1, "h")))


@pytest.mark.parametrize("grid", [GLOBAL_5625, BRITAIN], ids=["global", "regional"])
def test_error_maps(grid: Grid, tmp_path: Path) -> None:
    forecast = make_forecast(grid)
    figure = error_map(forecast, "t2m", INIT, np.timedelta64(1, "h"))
    text = texts(figure)
    assert all(
        word in text for word in ("Forecast", "Truth", "Error: RMSE", "forecast minus truth")
    )
    meshes = [c for axes in figure.axes for c in axes.collections if isinstance(c, QuadMesh)]
    maps = [mesh for mesh in meshes if mesh.get_array().size > 1000]
    # Forecast and truth share their colours; the error's are centred on zero.
    assert maps[0].norm.vmin == maps[1].norm.vmin
    assert maps[0].norm.vmax == maps[1].norm.vmax
    assert maps[2].norm.vmin == -maps[2].norm.vmax
    path = save_figure(figure, tmp_path / "maps" / "error.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_colours() -> None:
    def field(values: list[float]) -> xr.DataArray:
        return xr.DataArray(values)

    wind = colours_of([field([-3.0, 10.0])], variable("u10"))
    assert wind.low == -wind.high
    assert (colours_of([field([40.0])], variable("r")).low, wind.name) != (0.0, "plasma")
    assert colours_of([field([40.0])], variable("r")).high == 100
    error = error_colours(field([*np.linspace(-1, 1, 1000), 50.0]))
    assert -error.low == error.high < 2, "one wild cell must not bleach the map"
    assert error.extend == "both"
    assert pretty_units("m s-1") == "m s⁻¹"


@pytest.mark.parametrize(
    ("name", "init", "lead", "message"),
    [
        ("u10", INIT, 1, "no u10 in this forecast; it holds t2m"),
        ("t2m", np.datetime64("2018-01-01"), 1, "holds no init time"),
        ("t2m", INIT, 7, "holds no lead time 7 h; it has 1 h, 12 h"),
    ],
)
def test_maps_that_cannot_be_drawn(name: str, init: np.datetime64, lead: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        forecast_map(make_forecast(BRITAIN), name, init, np.timedelta64(lead, "h"))


def test_no_truth_no_error_map() -> None:
    forecast = make_forecast(BRITAIN)[["t2m"]]
    with pytest.raises(InputError, match="no truth for t2m"):
        error_map(forecast, "t2m", INIT, np.timedelta64(1, "h"))
