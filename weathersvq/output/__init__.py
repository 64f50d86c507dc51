"""The step after the forecast: writes it as CF NetCDF or as a WeatherBench Zarr store.

In memory, a forecast is a dataset with dims (init_time, lead_time, [level,] latitude, longitude)
and short variable names; where the truth is known, `t2m_truth` and `t2m_error` (forecast minus
truth) ride along.

- NetCDF (`.nc`) holds one init, for people and for CF tools: dims (time = valid time, ...).
- Zarr (`.zarr`) holds many, for programs: dims (time = init, prediction_timedelta, ...) and the
  long names of WeatherBench 2, so that WeatherBench-X reads it as it is.

Both are read back into the form in memory. Everything is written beside its target and renamed into
place: an interrupted run leaves the old file or none.
"""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from weathersvq.errors import InputError
from weathersvq.output.form import check_target
from weathersvq.output.netcdf import from_netcdf, write_netcdf
from weathersvq.output.stores import from_zarr, write_zarr, zarr_stream

__all__ = [
    "check_target",
    "read_forecast",
    "write_forecast",
    "write_netcdf",
    "write_zarr",
    "zarr_stream",
]


def write_forecast(
    forecast: xr.Dataset, path: Path | str, *, overwrite: bool = False, append: bool = False
) -> Path:
    """Write a forecast as NetCDF or Zarr, as the suffix of `path` says.

    Raises:
        InputError: as `check_target`, `write_netcdf` and `write_zarr`.
        OSError: the disk is full or fails.
    """
    path = check_target(path, overwrite=overwrite, append=append)
    if path.suffix == ".nc":
        return write_netcdf(forecast, path, overwrite=overwrite)
    return write_zarr(forecast, path, overwrite=overwrite, append=append)


def read_forecast(path: Path | str) -> xr.Dataset:
    """A forecast written by `write_forecast`, in the form in which it was given.

    NetCDF is read whole; Zarr stays lazy.

    Raises:
        InputError: nothing there, not readable, or not a forecast.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no forecast at {path}; name a .nc file or a .zarr store")
    try:
        if path.is_dir():
            return from_zarr(xr.open_zarr(path, consolidated=True, decode_timedelta=True))
        with xr.open_dataset(path, engine="netcdf4", decode_timedelta=False) as dataset:
            return from_netcdf(dataset.load())
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} can't be read as a forecast ({error}); expected one that weathersvq wrote"
        ) from error
