"""A forecast of one init as CF NetCDF, for people and for CF tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from weathersvq.atomic import atomic_path
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.output.form import (
    base_of,
    check_target,
    clean,
    disk_errors_name,
    plain_coordinates,
    with_described_grid,
)
from weathersvq.variables import Variable

# What stands for NaN: the library's own fill value for float32.
MISSING = np.float32(9.969209968386869e36)


def write_netcdf(forecast: xr.Dataset, path: Path | str, *, overwrite: bool = False) -> Path:
    """Write a forecast of one init as CF-1.8 NetCDF-4.

    Raises:
        InputError: several inits, or as `check_target`.
        OSError: the disk is full or fails.
    """
    path = check_target(path, overwrite=overwrite)
    inits = forecast.sizes["init_time"]
    if inits != 1:
        raise InputError(
            f"{path} would hold {inits} inits, and NetCDF output holds one; name it .zarr instead"
        )
    dataset = _as_netcdf(clean(forecast))
    encoding: dict[str, dict[str, Any]] = {
        str(name): {"zlib": True, "complevel": 4, "shuffle": True, "_FillValue": MISSING}
        for name in dataset.data_vars
    }
    encoding |= {str(name): {"_FillValue": None} for name in dataset.coords}
    since = pd.Timestamp(str(dataset["forecast_reference_time"].values)).isoformat(sep=" ")
    for name in ("time", "forecast_reference_time"):
        encoding[name] |= {"units": f"hours since {since}", "dtype": "float64"}
    with atomic_path(path) as fresh, disk_errors_name(path, dataset.nbytes):
        dataset.to_netcdf(fresh, engine="netcdf4", format="NETCDF4", encoding=encoding)
    return path


def _as_netcdf(forecast: xr.Dataset) -> xr.Dataset:
    """From one init of the form in memory to CF's: dims (time, [level,] latitude, longitude)."""
    grid = Grid.of(forecast)
    init = forecast["init_time"].values[0].astype("datetime64[ns]")
    lead = forecast["lead_time"].values.astype("timedelta64[ns]")
    dataset = forecast.isel(init_time=0, drop=True).rename(lead_time="time")
    dataset = dataset.assign_coords(
        time=(
            "time",
            init + lead,
            {"standard_name": "time", "long_name": "valid time", "axis": "T"},
        ),
        forecast_reference_time=(
            (),
            init,
            {"standard_name": "forecast_reference_time", "long_name": "start of the forecast"},
        ),
        forecast_period=(
            "time",
            lead / np.timedelta64(1, "h"),
            {"standard_name": "forecast_period", "long_name": "lead time", "units": "hours"},
        ),
    )
    dataset = with_described_grid(dataset)
    for name, edges in (("latitude", grid.latitude_edges), ("longitude", grid.longitude_edges)):
        bounds = np.stack([edges[:-1], edges[1:]], axis=1)
        dataset = dataset.assign_coords({f"{name}_bounds": ((name, "bounds"), bounds)})
        dataset[name].attrs["bounds"] = f"{name}_bounds"
    heights = _height_names([base_of(str(name))[0] for name in dataset.data_vars])
    for height, name in heights.items():
        attributes = {
            "standard_name": "height",
            "long_name": "height above the surface",
            "units": "m",
            "positive": "up",
            "axis": "Z",
        }
        dataset = dataset.assign_coords({name: ((), height, attributes)})
    for variable_name in dataset.data_vars:
        base, _ = base_of(str(variable_name))
        coordinates = ["forecast_reference_time", "forecast_period"]
        if base.height is not None:
            coordinates.append(heights[base.height])
        dataset[variable_name].encoding["coordinates"] = " ".join(coordinates)
    dataset.attrs = {"Conventions": "CF-1.8", **forecast.attrs}
    return dataset


def _height_names(variables: list[Variable]) -> dict[float, str]:
    """Height in metres -> name of its scalar coordinate: `height`, or one each if they differ."""
    heights = sorted({v.height for v in variables if v.height is not None})
    if len(heights) == 1:
        return {heights[0]: "height"}
    return {height: f"height_{height:g}m" for height in heights}


def from_netcdf(dataset: xr.Dataset) -> xr.Dataset:
    hours = dataset["forecast_period"].values
    init = dataset["forecast_reference_time"].values
    lead = np.round(hours * 3600).astype("timedelta64[s]").astype("timedelta64[ns]")
    keep = [name for name in dataset.data_vars if not str(name).endswith("_bounds")]
    forecast = dataset[keep].reset_coords(drop=True).rename(time="lead_time")
    forecast = forecast.assign_coords(lead_time=lead).expand_dims(init_time=[init])
    forecast.attrs = {k: v for k, v in dataset.attrs.items() if k != "Conventions"}
    return plain_coordinates(forecast)
