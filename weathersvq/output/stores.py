"""Forecasts of many inits as a Zarr store in WeatherBench's form, for programs."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pandas as pd
import xarray as xr
import zarr
from zarr.core.buffer import Buffer
from zarr.core.buffer.cpu import Buffer as CpuBuffer
from zarr.storage import MemoryStore

from weathersvq.atomic import atomic_path
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.output.form import (
    ERROR,
    TRUTH,
    base_of,
    check_target,
    clean,
    coarsest_unit,
    disk_errors_name,
    plain_coordinates,
    with_described_grid,
)
from weathersvq.variables import VARIABLES

# Attributes in which two forecasts must agree to share one Zarr store.
SAME_IN_A_STORE = ("model", "simulated")

# Bytes of one chunk of an array: it holds one init, all of the map and as many leads as fit.
CHUNK_BYTES = 16 * 2**20


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
    if not (append and path.exists()):
        with zarr_stream(path, forecast["init_time"].values, overwrite=True) as write:
            write(forecast)
        return path
    dataset = _as_zarr(clean(forecast))
    contents = _head(path)
    with xr.open_zarr(path, consolidated=True, decode_timedelta=True) as stored:
        _check_appended(dataset, stored, path)
        dataset.attrs = _joined_attributes(stored.attrs, dataset.attrs)
    dataset.to_zarr(
        MemoryStore(contents), mode="a", append_dim="time", zarr_format=2, consolidated=True
    )
    with atomic_path(path) as fresh, disk_errors_name(path, dataset.nbytes):
        fresh.mkdir()
        _link_pieces(path, fresh, except_for=set(contents))
        _write_files(fresh, contents)
    return path


@contextmanager
def zarr_stream(
    path: Path | str, inits: np.ndarray[Any, Any], *, overwrite: bool = False
) -> Iterator[Callable[[xr.Dataset], None]]:
    """Write a forecast part by part; the store is the same as that of the whole at once.

    It has its name when the block ends and all inits are in it; interrupted, nothing is there. Of
    the store no more is held in memory than the part that is being written.

    Args:
        path: of the store.
        inits: (n,) of all parts together.

    Yields:
        What writes a part: a forecast (see `write_zarr`) of the next inits, in their order.

    Raises:
        InputError: as `check_target`.
        ValueError: a part that is not next, or parts that lack; a programming error.
        OSError: the disk is full or fails.
    """
    path = check_target(path, overwrite=overwrite)
    with atomic_path(path) as fresh:
        fresh.mkdir()
        stream = _Stream(fresh, np.asarray(inits).astype("datetime64[ns]"))

        def write(part: xr.Dataset) -> None:
            with disk_errors_name(path, part.nbytes):
                stream.write(part)

        yield write
        if stream.done != stream.inits.size:
            raise ValueError(f"{stream.done} of {stream.inits.size} inits were written to {path}")


class _Stream:
    """A store in the making.

    Attributes:
        folder: of the store.
        inits: of all parts.
        done: inits that are written.
        head: metadata and coordinates of the whole store.
    """

    def __init__(self, folder: Path, inits: np.ndarray[Any, Any]) -> None:
        self.folder, self.inits = folder, inits
        self.done = 0
        self.head: dict[str, Buffer] = {}

    def write(self, part: xr.Dataset) -> None:
        dataset = _as_zarr(clean(part))
        here = slice(self.done, self.done + dataset.sizes["time"])
        if not np.array_equal(dataset["time"].values, self.inits[here]):
            raise ValueError(f"the part from {dataset['time'].values[0]} on is not the next one")
        # Made in memory first: zarr's own writer would log a traceback for a full disk.
        if not self.head:
            _lazily(dataset, self.inits).to_zarr(
                MemoryStore(self.head), mode="w", zarr_format=2, consolidated=True, compute=False,
                encoding=_zarr_encoding(dataset),
            )  # fmt: skip
            _write_files(self.folder, self.head)
        contents = dict(self.head)
        group = zarr.open_group(MemoryStore(contents), mode="r+", zarr_format=2)
        for name, field in dataset.data_vars.items():
            group[str(name)][here] = field.to_numpy()  # type: ignore[index]
        _write_files(self.folder, {k: v for k, v in contents.items() if k not in self.head})
        self.done = here.stop


def _lazily(dataset: xr.Dataset, inits: np.ndarray[Any, Any]) -> xr.Dataset:
    """A dataset like this one of all inits, with fields that are not there yet."""
    fields = {}
    for name, field in dataset.data_vars.items():
        shape = (inits.size, *field.shape[1:])
        # One block, whatever the size: a task for each chunk would be made for nothing.
        values = dask.array.zeros(shape, dtype=field.dtype, chunks=shape)
        fields[name] = (field.dims, values, field.attrs)
    times = dataset["time"].attrs
    return xr.Dataset(
        fields, {**dataset.coords, "time": ("time", inits, times)}, dict(dataset.attrs)
    )


def _write_files(folder: Path, contents: Mapping[str, Buffer]) -> None:
    for key, content in contents.items():
        file = folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.to_bytes())


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
    return with_described_grid(dataset)


def _long_name(name: str) -> str:
    base, suffix = base_of(name)
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
    unit = coarsest_unit(dataset["prediction_timedelta"].values)
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


def from_zarr(dataset: xr.Dataset) -> xr.Dataset:
    short = {
        _long_name(v.name + suffix): v.name + suffix
        for v in VARIABLES
        for suffix in ("", TRUTH, ERROR)
    }
    names = {name: short[str(name)] for name in dataset.data_vars}
    forecast = dataset.rename({"time": "init_time", "prediction_timedelta": "lead_time", **names})
    return plain_coordinates(forecast)
