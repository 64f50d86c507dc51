"""A machine without a network, a small forecast, and what is written on a figure."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import cartopy
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from weathersvq.grid import GLOBAL_5625, Grid


@pytest.fixture(autouse=True)
def no_network_and_no_downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without a network, whose cartopy has never downloaded anything."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a map asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setitem(cartopy.config, "data_dir", tmp_path)
    monkeypatch.setitem(cartopy.config, "pre_existing_data_dir", tmp_path)


@pytest.fixture
def make_course() -> Callable[..., xr.DataArray]:
    """(lead_time, latitude, longitude) a field that is 280 + lead in hours everywhere."""

    def make(hours: int = 12, grid: Grid = GLOBAL_5625, name: str = "t2m") -> xr.DataArray:
        leads = np.arange(1, hours + 1)
        values = np.broadcast_to(280.0 + leads[:, None, None], (hours, *grid.shape))
        return xr.DataArray(
            values.copy(),
            {
                "lead_time": leads * np.timedelta64(3600, "s").astype("timedelta64[ns]"),
                "latitude": grid.latitude,
                "longitude": grid.longitude,
                "init_time": np.datetime64("2017-01-01T06", "ns"),
            },
            ("lead_time", "latitude", "longitude"),
            name=name,
        )

    return make


@pytest.fixture
def texts() -> Callable[[Figure], str]:
    """Everything written on a figure."""

    def read(figure: Figure) -> str:
        figure.canvas.draw()
        parts = [text.get_text() for text in figure.texts]
        if figure._suptitle is not None:
            parts.append(figure._suptitle.get_text())
        for axes in figure.axes:
            parts += [axes.get_title(), axes.get_xlabel(), axes.get_ylabel()]
        return " | ".join(parts)

    return read
