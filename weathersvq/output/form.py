"""What NetCDF and Zarr forecasts share: where they may go, names, attributes, a full disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from weathersvq.errors import InputError
from weathersvq.variables import AXES, Variable, variable

SUFFIXES = (".nc", ".zarr")
TRUTH, ERROR = "_truth", "_error"

# What every file says of itself (CF 2.6.2); forecast.py sets them.
GLOBAL_ATTRIBUTES = ("title", "institution", "source", "history", "references", "comment")


def check_target(path: Path | str, *, overwrite: bool = False, append: bool = False) -> Path:
    """Whether a forecast may be written to `path`; to be asked before the work is done.

    Raises:
        InputError: a suffix that is neither .nc nor .zarr, a target that exists and is not to be
            replaced, a folder that can't be written.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"output {path} ends in {path.suffix or 'nothing'!r}; expected .nc (NetCDF, one init) "
            "or .zarr (Zarr, any number of inits)"
        )
    if append and path.suffix != ".zarr":
        raise InputError(f"{path} can't be appended to; only .zarr stores take further inits")
    if path.exists():
        holds_zarr = any((path / name).exists() for name in (".zgroup", "zarr.json"))
        expected = holds_zarr if path.suffix == ".zarr" else path.is_file()
        if not expected:
            raise InputError(
                f"{path} exists and is not a {'Zarr store' if path.suffix == '.zarr' else 'file'}; "
                "it will not be replaced, choose another name"
            )
        if not (overwrite or append):
            raise InputError(f"{path} exists already; choose another name or give --overwrite")
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        reason = "no write permission" if folder.is_dir() else f"{folder} is not a folder"
        raise InputError(
            f"cannot write in folder {path.parent}: {reason}; choose another with --out"
        )
    return path


def base_of(name: str) -> tuple[Variable, str]:
    """`t2m_error` -> (variable t2m, "_error"); `t2m` -> (variable t2m, "")."""
    for suffix in (TRUTH, ERROR):
        if name.endswith(suffix):
            return variable(name.removesuffix(suffix)), suffix
    return variable(name), ""


def described(name: str) -> dict[str, str]:
    """CF attributes of a data variable. An error has no standard name: it is no temperature."""
    base, suffix = base_of(name)
    attributes = {
        "long_name": base.long_name,
        "units": base.units,
        "cell_methods": base.cell_methods,
    }
    if suffix == TRUTH:
        attributes["long_name"] = f"{base.long_name} that followed (truth)"
    if suffix == ERROR:
        attributes["long_name"] = f"error of forecast {base.long_name} (forecast minus truth)"
    elif base.standard_name:
        attributes["standard_name"] = base.standard_name
    return attributes


def clean(forecast: xr.Dataset) -> xr.Dataset:
    """The forecast in memory, float32, in canonical order, without what reading left on it."""
    order = [
        d
        for d in ("init_time", "lead_time", "level", "latitude", "longitude")
        if d in forecast.dims
    ]
    missing = [name for name in GLOBAL_ATTRIBUTES if name not in forecast.attrs]
    if missing:
        raise ValueError(f"forecast lacks the global attributes {', '.join(missing)}")
    clean = forecast.compute().drop_encoding().transpose(*order)
    for coordinate in clean.coords.values():
        coordinate.attrs = {}
    for name in clean.data_vars:
        clean[name] = clean[name].astype(np.float32, copy=False)
        clean[name].attrs = described(str(name))
    return clean


def with_described_grid(dataset: xr.Dataset) -> xr.Dataset:
    for name in ("level", "latitude", "longitude"):
        if name in dataset.coords:
            dataset[name].attrs = dict(AXES[name])
    if "level" in dataset.coords:
        dataset = dataset.assign_coords(level=dataset["level"].astype(np.int32))
    return dataset


def coarsest_unit(durations: np.ndarray[Any, Any]) -> str:
    """The longest unit in which these durations are whole numbers: hours, as a rule."""
    seconds = durations.astype("timedelta64[s]").astype(np.int64)
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if not np.any(seconds % length):
            return unit
    return "seconds"


@contextmanager
def disk_errors_name(path: Path, size: int) -> Iterator[None]:
    """Tell a failed write in one line. `size` (bytes) serves to recognise a full disk."""
    try:
        yield
    # The NetCDF library reports any failed write as RuntimeError.
    except (OSError, RuntimeError) as error:
        code = getattr(error, "errno", None)
        reason = os.strerror(code) if code else str(error)
        if code is None and shutil.disk_usage(path.parent).free < size:
            code, reason = errno.ENOSPC, os.strerror(errno.ENOSPC)
        raise OSError(
            code or errno.EIO, f"could not write {path} ({reason}); nothing new is left there"
        ) from error


def plain_coordinates(forecast: xr.Dataset) -> xr.Dataset:
    """Without the files' attributes of coordinates and dims, which `clean` would drop anyway."""
    forecast = forecast.drop_encoding()
    for coordinate in forecast.coords.values():
        coordinate.attrs = {}
    return forecast
