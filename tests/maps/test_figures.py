"""Maps: cells where they belong, shared and symmetric colours, honest titles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.maps import (
    SIMULATED_NOTE,
    draw_map,
    error_map,
    forecast_map,
    picture_beside,
    save_figure,
)
from weathersvq.variables import Channel

Texts = Callable[[Figure], str]
BRITAIN = Grid(np.arange(50, 58.25, 0.25), np.arange(-10, 2.25, 0.25))
INIT = np.datetime64("2017-01-01T06", "ns")


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


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


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


def test_titles_say_what_when_and_in_which_units(texts: Texts) -> None:
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
def test_error_maps(grid: Grid, tmp_path: Path, texts: Texts) -> None:
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


def test_no_error_where_the_truth_is_unknown() -> None:
    forecast = make_forecast(BRITAIN)
    forecast["t2m_truth"] = forecast["t2m_truth"].where(forecast.lead_time < forecast.lead_time[1])
    error_map(forecast, "t2m", INIT, np.timedelta64(1, "h"))
    with pytest.raises(InputError, match="truth for t2m is not known"):
        error_map(forecast, "t2m", INIT, np.timedelta64(12, "h"))


def test_an_error_by_its_name_is_drawn_around_zero(texts: Texts) -> None:
    error = make_forecast(BRITAIN)["t2m_error"].isel(init_time=0, lead_time=0)
    figure = draw_map(error)
    mesh = next(c for c in figure.axes[0].collections if isinstance(c, QuadMesh))
    assert mesh.norm.vmin == -mesh.norm.vmax
    assert "forecast minus truth (K)" in texts(figure)


def test_where_pictures_go(tmp_path: Path) -> None:
    assert picture_beside(Path("a/week.zarr"), None, "wind") == Path("a/week_wind.png")
    assert picture_beside(Path("a/week.nc"), Channel("t", 850), "animation", ".gif") == Path(
        "a/week_t850_animation.gif"
    )
    with pytest.raises(InputError, match=r"picture 'a.jpg' ends in '.jpg'; expected .png or"):
        save_figure(Figure(), "a.jpg")
