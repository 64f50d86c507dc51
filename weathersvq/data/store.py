"""The form of a prepared store: its variables, chunks and flags, and what of it is finished.

A prepared store is a canonical dataset in Zarr whose time axis is regular. Beside each variable X
lies `X_status` (time, [level]), which says of each field whether it is good or what was wrong with
it. It is cut into the same blocks of time as the fields and written after them: a block whose flags
are all set is finished, whatever happened to the program since.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal

import dask.array
import numcodecs
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from weathersvq.data.axes import DIMENSIONS
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.variables import AXES, Channel, variable

# Attribute that marks a prepared store; its value is the version of the form below.
MARK = "weathersvq_store"
FORM = "1"
RECIPE = "recipe"

# A chunk holds whole maps of one variable and level, of as many times as fit into this: see
# docs/preparing.md for the measurement behind it.
CHUNK_BYTES = 2 * 2**20
STATUS_SUFFIX = "_status"


class Status(IntEnum):
    """What is known of one field (a variable at a time and level)."""

    UNFINISHED = 0
    GOOD = 1
    ABSENT = 2
    MISSING = 3
    INCOMPLETE = 4
    CONSTANT = 5
    OUT_OF_RANGE = 6
    REPEATED = 7
    LEFT_OUT = 8


MEANINGS: Mapping[Status, str] = {
    Status.ABSENT: "the source has no such time",
    Status.MISSING: "no value is there",
    Status.INCOMPLETE: "a part of the map has no value",
    Status.CONSTANT: "all values are the same",
    Status.OUT_OF_RANGE: "values are beyond what is possible",
    Status.REPEATED: "the source has the time twice, with unlike values",
    Status.LEFT_OUT: "another variable is bad at that time",
}


def status_name(name: str) -> str:
    return f"{name}{STATUS_SUFFIX}"


def chunk_steps(grid: Grid, step: np.timedelta64) -> int:
    """Times in a chunk: as many as fit into `CHUNK_BYTES`, in whole days where a day fits."""
    fitting = max(1, CHUNK_BYTES // (4 * grid.shape[0] * grid.shape[1]))
    day = max(1, round(np.timedelta64(1, "D") / step))
    return fitting - fitting % day if fitting >= day else fitting


def empty_dataset(
    fields: Mapping[str, Sequence[int]],
    static: Iterable[str],
    times: NDArray[np.datetime64],
    grid: Grid,
    chunk: int,
    attributes: Mapping[str, str],
    comments: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """The whole store as a lazy dataset in which nothing is finished.

    Args:
        fields: levels (hPa) of each variable with times; empty for one near the surface.
        static: variables without times.
        times: (T,) of the store.
        grid: of the store.
        chunk: times in a chunk.
        attributes: of the store.
        comments: on variables, such as how they were derived.
    """
    levels = sorted({level for several in fields.values() for level in several})
    coords: dict[str, Any] = {
        "time": ("time", times, AXES["time"]),
        "latitude": ("latitude", grid.latitude, AXES["latitude"]),
        "longitude": ("longitude", grid.longitude, AXES["longitude"]),
    }
    if levels:
        coords["level"] = ("level", np.array(levels, dtype=np.int32), AXES["level"])
    sizes = {name: len(value[1]) for name, value in coords.items()}
    blocks = {"time": chunk, "level": 1, "latitude": grid.shape[0], "longitude": grid.shape[1]}

    def lazily(dims: Sequence[str], value: float, dtype: Any) -> tuple[Sequence[str], Any]:
        shape = tuple(sizes[d] for d in dims)
        chunks = tuple(blocks[d] for d in dims)
        return dims, dask.array.full(shape, value, dtype=dtype, chunks=chunks)

    variables: dict[str, Any] = {}
    for name, several in fields.items():
        dims = [d for d in DIMENSIONS if d != "level" or several]
        flags = [d for d in dims if d not in ("latitude", "longitude")]
        about = _cf_attributes(name) | {"ancillary_variables": status_name(name)}
        if comments and name in comments:
            about["comment"] = comments[name]
        variables[name] = (*lazily(dims, np.nan, np.float32), about)
        variables[status_name(name)] = (
            *lazily(flags, Status.UNFINISHED, np.int8),
            {
                "long_name": f"status of {variable(name).long_name}",
                "flag_values": [int(s) for s in Status],
                "flag_meanings": " ".join(s.name.lower() for s in Status),
            },
        )
    for name in static:
        dims = ["latitude", "longitude"]
        variables[name] = (*lazily(dims, np.nan, np.float32), _cf_attributes(name))
    return xr.Dataset(variables, coords, dict(attributes))


def _cf_attributes(name: str) -> dict[str, str]:
    known = variable(name)
    attributes = {
        "standard_name": known.standard_name,
        "long_name": known.long_name,
        "units": known.units,
        "cell_methods": "" if known.static else known.cell_methods,
    }
    return {key: value for key, value in attributes.items() if value}


def write_empty(dataset: xr.Dataset, target: Path) -> None:
    """Write the coordinates and attributes of `empty_dataset`, and none of its fields."""
    compressor = numcodecs.Blosc(cname="zstd", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)
    encoding: dict[str, dict[str, Any]] = {}
    for name, field in dataset.data_vars.items():
        encoding[str(name)] = {"compressors": (compressor,), "chunks": _chunks(field)}
        # Flags have no fill value: zero is a flag.
        encoding[str(name)]["_FillValue"] = np.nan if field.dtype.kind == "f" else None
    first = dataset["time"].values[0].astype("datetime64[s]").item()
    encoding["time"] = {
        "dtype": "int64",
        "units": f"seconds since {first:%Y-%m-%d %H:%M:%S}",
        "calendar": "proleptic_gregorian",
        "chunks": (dataset.sizes["time"],),
    }
    for name in set(dataset.coords) - {"time"}:
        encoding[str(name)] = {"_FillValue": None}
    dataset.to_zarr(target, compute=False, encoding=encoding, zarr_format=2, consolidated=True)


def _chunks(field: xr.DataArray) -> tuple[int, ...]:
    assert field.chunks is not None
    return tuple(sizes[0] for sizes in field.chunks)


def write_block(
    folder: Path,
    first: int,
    fields: Mapping[str, NDArray[np.float32]],
    flags: Mapping[str, NDArray[np.int8]],
) -> None:
    """Write fields (n, [level,] H, W) and then their flags (n, [level]) from time index `first` on.

    `first` is the start of a chunk, so that tasks side by side never share one.
    """
    for name, values in fields.items():
        _array(folder, name, "r+")[first : first + values.shape[0]] = values
    for name, verdicts in flags.items():
        _array(folder, status_name(name), "r+")[first : first + verdicts.shape[0]] = verdicts


def _array(folder: Path, name: str, mode: Literal["r", "r+"]) -> zarr.Array:
    return zarr.open_array(folder / name, mode=mode, zarr_format=2)


def write_static(folder: Path, maps: Mapping[str, NDArray[np.float32]]) -> None:
    """Write maps (H, W) that have no times."""
    for name, values in maps.items():
        _array(folder, name, "r+")[:] = values


def read_flags(folder: Path, names: Iterable[str]) -> dict[str, NDArray[np.int8]]:
    """(T, [level]) flags of each variable, as they are on disk now."""
    return {name: np.asarray(_array(folder, status_name(name), "r")[:], np.int8) for name in names}


def unfinished(flags: Mapping[str, NDArray[np.int8]], blocks: Sequence[slice]) -> list[int]:
    """Numbers of the blocks (slices of time) in which any flag is not set."""
    return [
        number
        for number, block in enumerate(blocks)
        if any((values[block] == Status.UNFINISHED).any() for values in flags.values())
    ]


def is_prepared(dataset: xr.Dataset) -> bool:
    """Whether a dataset, as its file has it, is a prepared store."""
    return MARK in dataset.attrs


def store_attributes(folder: Path) -> dict[str, str]:
    """Attributes of a local Zarr v2 store as they are now; none where there is no such store."""
    file = folder / ".zattrs"
    if not file.is_file():
        return {}
    attributes: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return attributes


def recipe_of(folder: Path) -> dict[str, Any] | None:
    """How a store was made; None if it is no prepared store.

    Raises:
        InputError: a store in a form of another version of this program.
    """
    attributes = store_attributes(folder)
    if MARK not in attributes:
        return None
    if attributes[MARK] != FORM:
        raise InputError(
            f"{str(folder)!r} is a prepared store of form {attributes[MARK]}; this version reads "
            f"form {FORM}: prepare it again"
        )
    recipe: dict[str, Any] = json.loads(attributes[RECIPE])
    return recipe


def usable_times(dataset: xr.Dataset, channels: Iterable[Channel]) -> NDArray[np.bool_]:
    """(T,) whether all of these channels are good at each time of a prepared store.

    Args:
        dataset: as the store has it.
        channels: without a level, all levels of the variable count.
    """
    usable = np.ones(dataset.sizes["time"], dtype=bool)
    for channel in channels:
        flags = dataset.get(status_name(channel.name))
        if flags is None:  # a static map
            continue
        if channel.level is not None:
            flags = flags.sel(level=channel.level)
        good = flags.to_numpy() == Status.GOOD
        usable &= good if good.ndim == 1 else good.all(axis=1)
    return usable
