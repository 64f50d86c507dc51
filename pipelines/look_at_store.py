"""Looks at a prepared store: for each channel its mean map, its course in time and its bad times.

python pipelines/look_at_store.py era5_32x64.zarr [picture.png]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from cartopy import crs
from cartopy.mpl.geoaxes import GeoAxes
from matplotlib.figure import Figure
from running import run_script

from weathersvq.data.channels import available_channels, channel_field
from weathersvq.data.files import open_zarr
from weathersvq.data.sources import open_canonical
from weathersvq.data.store import usable_times
from weathersvq.grid import Grid
from weathersvq.maps import add_coastlines, colours_of, save_figure

# Times of which means are taken; more would not change the picture.
MOST_TIMES = 400


def look_at(store: Path, picture: Path) -> Path:
    """Draw a store; gives the picture's path.

    Raises:
        InputError: no store there.
    """
    dataset = open_canonical(store)
    raw = open_zarr(str(store))
    channels = available_channels(dataset)
    grid = Grid.of(dataset)
    weights = grid.area_weights()[:, None] * np.ones(grid.shape[1])
    times = dataset["time"].values
    # An odd stride goes through all hours of the day.
    some = np.arange(0, times.size, max(1, times.size // MOST_TIMES) | 1)
    figure = Figure(figsize=(11, 2.4 * len(channels) + 0.6), layout="constrained")
    figure.suptitle(f"{dataset.attrs.get('title', store.name)}\n{dataset.attrs['grid']}")
    for row, channel in enumerate(channels):
        field = channel_field(dataset, channel)
        values = field.isel(time=some).load()
        mean = values.mean("time", keep_attrs=True)
        centre = 180.0 if grid.wraps else float(grid.longitude.mean())
        flat = crs.Robinson(centre) if grid.is_global else crs.PlateCarree(centre)
        axes = figure.add_subplot(len(channels), 2, 2 * row + 1, projection=flat)
        assert isinstance(axes, GeoAxes)
        colours = colours_of([mean], channel.variable)
        mesh = axes.pcolormesh(
            grid.longitude_edges, grid.latitude_edges, mean.values, transform=crs.PlateCarree(),
            cmap=colours.map, norm=colours.norm,
        )  # fmt: skip
        add_coastlines(axes)
        axes.set_title(f"{channel}: mean of {some.size} times", fontsize=9)
        figure.colorbar(mesh, ax=axes, label=channel.variable.units, shrink=0.8)
        course = figure.add_subplot(len(channels), 2, 2 * row + 2)
        filled = np.where(np.isnan(values.values), 0, values.values)
        share = (weights * ~np.isnan(values.values)).sum(axis=(1, 2))
        series = np.divide(
            (filled * weights).sum(axis=(1, 2)), share, out=np.full(some.size, np.nan),
            where=share > 0,
        )  # fmt: skip
        course.plot(times[some], series, linewidth=0.8)
        bad = times[~usable_times(raw, [channel])]
        for time in bad[:200]:
            course.axvline(time, color="tab:red", linewidth=0.6)
        course.set_title(
            f"area mean [{channel.variable.units}], area-weighted; {bad.size} bad times (red)",
            fontsize=9,
        )
        course.tick_params(labelsize=7)
    save_figure(figure, picture)
    return picture


def main(
    store: Annotated[Path, typer.Argument(help="A prepared store.")],
    picture: Annotated[Path | None, typer.Argument(help="PNG; beside the store.")] = None,
) -> None:
    """Draw what a prepared store holds."""
    print(look_at(store, picture or store.with_suffix(".png")))


if __name__ == "__main__":
    run_script(main)
