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

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from zarr.core.buffer import Buffer
from zarr.core.buffer.cpu import Buffer as CpuBuffer
from zarr.storage import MemoryStore

from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.variables import AXES, VARIABLES, Variable, variable

SUFFIXES = (".nc", ".zarr")
TRUTH, ERROR = "_truth", "_error"

# What every file says of itself (CF 2.6.2); forecast.py sets them.
GLOBAL_ATTRIBUTES = ("title", "institution", "source", "history", "references", "comment")
# Attributes in which two forecasts must agree to share one Zarr store.
SAME_IN_A_STORE = ("model", "simulated")

# What stands for NaN in NetCDF: the library's own fill value for float32.
MISSING = np.float32(9.969209968386869e36)

# Bytes of one chunk of a Zarr array: it holds one init, all of the map and as many leads as fit.
CHUNK_BYTES = 16 * 2**20


@contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """A path to write to instead of `target`, moved there when the block ends without an exception.

    It has the target's own name, in a hidden folder beside it (the same disk, so that the move is a
    rename). The block makes a file or a folder there. An older file or folder at `target` stays
    untouched until the move; after an exception everything new is removed.

    Raises:
        InputError: the folder of `target` can't be made or written.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise InputError(
            f"cannot write in folder {target.parent}: {error.strerror}; choose another with --out"
        ) from error
    try:
        fresh = folder / target.name
        yield fresh
        if target.is_dir() and not target.is_symlink():
            # A folder can't be renamed over one that holds something: the old one steps aside.
            old = folder / "old"
            os.rename(target, old)
            try:
                os.rename(fresh, target)
            except BaseException:
                os.rename(old, target)
                raise
        else:
            os.replace(fresh, target)
    finally:
        shutil.rmtree(folder)


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
            return _from_zarr(xr.open_zarr(path, consolidated=True, decode_timedelta=True))
        with xr.open_dataset(path, engine="netcdf4", decode_timedelta=False) as dataset:
            return _from_netcdf(dataset.load())
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} can't be read as a forecast ({error}); expected one that weathersvq wrote"
        ) from error


# --- names


def _base(name: str) -> tuple[Variable, str]:
    """`t2m_error` -> (variable t2m, "_error"); `t2m` -> (variable t2m, "")."""
    for suffix in (TRUTH, ERROR):
        if name.endswith(suffix):
            return variable(name.removesuffix(suffix)), suffix
    return variable(name), ""


def _described(name: str) -> dict[str, str]:
    """CF attributes of a data variable. An error has no standard name: it is no temperature."""
    base, suffix = _base(name)
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


def _clean(forecast: xr.Dataset) -> xr.Dataset:
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
        clean[name] = clean[name].astype(np.float32)
        clean[name].attrs = _described(str(name))
    return clean


def _described_grid(dataset: xr.Dataset) -> xr.Dataset:
    for name in ("level", "latitude", "longitude"):
        if name in dataset.coords:
            dataset[name].attrs = dict(AXES[name])
    if "level" in dataset.coords:
        dataset = dataset.assign_coords(level=dataset["level"].astype(np.int32))
    return dataset


def _coarsest_unit(durations: np.ndarray[Any, Any]) -> str:
    """The longest unit in which these durations are whole numbers: hours, as a rule."""
    seconds = durations.astype("timedelta64[s]").astype(np.int64)
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if not np.any(seconds % length):
            return unit
    return "seconds"


@contextmanager
def _disk_errors_name(path: Path, size: int) -> Iterator[None]:
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


# --- CF NetCDF


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
    dataset = _as_netcdf(_clean(forecast))
    encoding: dict[str, dict[str, Any]] = {
        str(name): {"zlib": True, "complevel": 4, "shuffle": True, "_FillValue": MISSING}
        for name in dataset.data_vars
    }
    encoding |= {str(name): {"_FillValue": None} for name in dataset.coords}
    since = pd.Timestamp(str(dataset["forecast_reference_time"].values)).isoformat(sep=" ")
    for name in ("time", "forecast_reference_time"):
        encoding[name] |= {"units": f"hours since {since}", "dtype": "float64"}
    with atomic_path(path) as fresh, _disk_errors_name(path, dataset.nbytes):
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
    dataset = _described_grid(dataset)
    for name, edges in (("latitude", grid.latitude_edges), ("longitude", grid.longitude_edges)):
        bounds = np.stack([edges[:-1], edges[1:]], axis=1)
        dataset = dataset.assign_coords({f"{name}_bounds": ((name, "bounds"), bounds)})
        dataset[name].attrs["bounds"] = f"{name}_bounds"
    heights = _height_names([_base(str(name))[0] for name in dataset.data_vars])
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
        base, _ = _base(str(variable_name))
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


def _from_netcdf(dataset: xr.Dataset) -> xr.Dataset:
    hours = dataset["forecast_period"].values
    init = dataset["forecast_reference_time"].values
    lead = np.round(hours * 3600).astype("timedelta64[s]").astype("timedelta64[ns]")
    keep = [name for name in dataset.data_vars if not str(name).endswith("_bounds")]
    forecast = dataset[keep].reset_coords(drop=True).rename(time="lead_time")
    forecast = forecast.assign_coords(lead_time=lead).expand_dims(init_time=[init])
    forecast.attrs = {k: v for k, v in dataset.attrs.items() if k != "Conventions"}
    return _plain_coordinates(forecast)


# --- WeatherBench Zarr


def write_zarr(
    forecast: xr.Dataset, path: Path | str, *, overwrite: bool = False, append: bool = False
) -> Path:
    """Write a forecast as a Zarr store (format 2, consolidated), or append its inits to one.

    Appending, too, leaves the old store until the new one is complete: the pieces already there are
    hard-linked into it, never rewritten.

    Raises:
        InputError: as `check_target`; when appending, inits that are not after those in the store,
            or another grid, other leads, levels, variables or another model.
        OSError: the disk is full or fails.
    """
    path = check_target(path, overwrite=overwrite, append=append)
    dataset = _as_zarr(_clean(forecast))
    old = path if append and path.exists() else None
    contents: dict[str, Buffer] = {}
    if old is None:
        # Made in memory first: zarr's own writer would log a traceback for a full disk.
        dataset.to_zarr(
            MemoryStore(contents), mode="w", zarr_format=2, consolidated=True,
            encoding=_zarr_encoding(dataset),
        )  # fmt: skip
    else:
        contents |= _head(old)
        with xr.open_zarr(old, consolidated=True, decode_timedelta=True) as stored:
            _check_appended(dataset, stored, path)
            dataset.attrs = _joined_attributes(stored.attrs, dataset.attrs)
        dataset.to_zarr(
            MemoryStore(contents), mode="a", append_dim="time", zarr_format=2, consolidated=True
        )
    with atomic_path(path) as fresh, _disk_errors_name(path, dataset.nbytes):
        fresh.mkdir()
        if old is not None:
            _link_pieces(old, fresh, except_for=set(contents))
        for key, content in contents.items():
            file = fresh / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.to_bytes())
    return path


def _as_zarr(forecast: xr.Dataset) -> xr.Dataset:
    """To WeatherBench's form: its names, and dims (time, prediction_timedelta, ...)."""
    names = {name: _long_name(str(name)) for name in forecast.data_vars}
    dataset = forecast.rename(
        {"init_time": "time", "lead_time": "prediction_timedelta", **names}
    ).assign_coords(
        time=forecast["init_time"].values.astype("datetime64[ns]"),
        prediction_timedelta=forecast["lead_time"].values.astype("timedelta64[ns]"),
    )
    dataset["time"].attrs = {
        "standard_name": "forecast_reference_time",
        "long_name": "start of the forecast",
    }
    dataset["prediction_timedelta"].attrs = {
        "standard_name": "forecast_period",
        "long_name": "lead time",
    }
    return _described_grid(dataset)


def _long_name(name: str) -> str:
    base, suffix = _base(name)
    return base.weatherbench2 + suffix


def _zarr_encoding(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    """One init and the whole map a chunk; times as whole seconds, so that any later init fits."""
    encoding: dict[str, dict[str, Any]] = {
        name: {"_FillValue": None} for name in ("latitude", "longitude")
    }
    encoding["time"] = {
        "units": "seconds since 1970-01-01",
        "dtype": "int64",
        "chunks": (4096,),
    }
    unit = _coarsest_unit(dataset["prediction_timedelta"].values)
    encoding["prediction_timedelta"] = {"units": unit, "dtype": "int64"}
    for name, array in dataset.data_vars.items():
        leads = array.sizes["prediction_timedelta"]
        fitting = max(1, CHUNK_BYTES * leads * array.sizes["time"] // max(array.nbytes, 1))
        encoding[str(name)] = {"chunks": (1, min(leads, fitting), *array.shape[2:])}
    return encoding


def _head(store: Path) -> dict[str, Buffer]:
    """A store's metadata and coordinates, without its fields: what appending reads and rewrites."""
    group = zarr.open_group(store, mode="r", zarr_format=2)
    fields = {name for name, array in group.arrays() if array.ndim > 2}
    head: dict[str, Buffer] = {}
    for file in sorted(store.rglob("*")):
        key = file.relative_to(store)
        if file.is_file() and (file.name.startswith(".z") or key.parts[0] not in fields):
            head[key.as_posix()] = CpuBuffer.from_bytes(file.read_bytes())
    return head


def _link_pieces(old: Path, fresh: Path, *, except_for: set[str]) -> None:
    """Take the old store's files over into the fresh one, as hard links where the disk has them."""
    for file in sorted(old.rglob("*")):
        key = file.relative_to(old).as_posix()
        if file.is_file() and key not in except_for:
            target = fresh / key
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, target)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise
                shutil.copy2(file, target)


def _check_appended(fresh: xr.Dataset, stored: xr.Dataset, path: Path) -> None:
    """Whether the inits of `fresh` continue the store.

    Raises:
        InputError: they don't; the message says in what.
    """

    def refuse(what: str, given: object, expected: object) -> None:
        raise InputError(
            f"cannot append to {path}: {what} {given}, but the store has {expected}; "
            "write to another store"
        )

    if set(fresh.data_vars) != set(stored.data_vars):
        refuse(
            "the variables are",
            ", ".join(sorted(map(str, fresh.data_vars))),
            ", ".join(sorted(map(str, stored.data_vars))),
        )
    for name in stored.data_vars:
        if fresh[name].dims != stored[name].dims:
            refuse(f"{name} has the dimensions", fresh[name].dims, stored[name].dims)
        # Fields already there are linked, not rewritten, which holds only for one init a chunk.
        if stored[name].encoding["chunks"][0] != 1:
            refuse("one init a chunk is written", "", "several in one")
    if not Grid.of(fresh).matches(Grid.of(stored)):
        refuse("the grid is", Grid.of(fresh).describe(), Grid.of(stored).describe())
    for name, what in (("prediction_timedelta", "leads"), ("level", "levels")):
        given, expected = (d[name].values if name in d else np.zeros(0) for d in (fresh, stored))
        if not np.array_equal(given, expected):
            refuse(f"the {what} are", *(_listed(values) for values in (given, expected)))
    for name in SAME_IN_A_STORE:
        if fresh.attrs.get(name) != stored.attrs.get(name):
            refuse(f"{name} is", fresh.attrs.get(name), stored.attrs.get(name))
    last = stored["time"].values.max()
    repeated = np.intersect1d(fresh["time"].values, stored["time"].values)
    if repeated.size:
        refuse("init", pd.Timestamp(repeated[0]), "it already")
    if fresh["time"].values.min() < last:
        refuse("init", pd.Timestamp(fresh["time"].values.min()), f"later ones, to {last}")


def _listed(values: np.ndarray[Any, Any]) -> str:
    """A few values for a message, leads in hours: `1, 2, 3 .. 12 h (12)`."""
    unit = ""
    if values.dtype.kind == "m":
        values, unit = values / np.timedelta64(1, "h"), " h"
    words = [f"{value:g}" for value in values]
    shown = words if len(words) <= 5 else [*words[:3], "..", words[-1]]
    return f"{', '.join(shown).replace(', .., ', ' .. ')}{unit} ({len(words)})"


def _joined_attributes(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """The store's attributes, with the newcomers' history as a further line."""
    history = "\n".join([*str(stored.get("history", "")).splitlines(), str(fresh["history"])])
    return {**stored, "history": history}


def _from_zarr(dataset: xr.Dataset) -> xr.Dataset:
    short = {
        _long_name(v.name + suffix): v.name + suffix
        for v in VARIABLES
        for suffix in ("", TRUTH, ERROR)
    }
    names = {name: short[str(name)] for name in dataset.data_vars}
    forecast = dataset.rename({"time": "init_time", "prediction_timedelta": "lead_time", **names})
    return _plain_coordinates(forecast)


def _plain_coordinates(forecast: xr.Dataset) -> xr.Dataset:
    """Without the files' attributes of coordinates and dims, which `_clean` would drop anyway."""
    forecast = forecast.drop_encoding()
    for coordinate in forecast.coords.values():
        coordinate.attrs = {}
    return forecast
