"""Within the first step: NetCDF and GRIB files and Zarr stores, opened lazily as they are.

Whatever is wrong with a file ends in one line that names it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from weathersvq.data.chunks import CheckedStore
from weathersvq.errors import InputError
from weathersvq.variables import identify

if TYPE_CHECKING:
    from zarr.abc.store import Store

NETCDF = (".nc", ".nc4", ".netcdf", ".cdf")
GRIB = (".grib", ".grb", ".grib2", ".grb2")
# Dask chunks of files that have no chunks of their own: so many times, unless they take more room.
TIMES_A_CHUNK = 240
BYTES_A_CHUNK = 64 * 2**20
# Stored chunks of very many times are left whole up to this size.
LONGEST_CHUNK = 512 * 2**20


def open_file(
    file: str, suffix: str | None = None, label: str | None = None
) -> list[tuple[xr.Dataset, str]]:
    """Open a NetCDF or GRIB file.

    Args:
        file: path.
        suffix: tells the kind, `.nc` or `.grib`; that of the path if None.
        label: what to call it in messages; its path if None.

    Returns:
        Datasets with their labels: one, or several where the fields of a GRIB file do not fit in
        one (unlike heights).

    Raises:
        InputError: a file that is neither, or cut, or damaged.
    """
    label = label or file
    suffix = suffix or Path(file).suffix.lower()
    if suffix in NETCDF:
        datasets = [_open_netcdf(file, label)]
    elif suffix in GRIB:
        datasets = _open_grib(file, label)
    else:
        raise InputError(
            f"{label!r} ends in {suffix or 'nothing'!r}; expected NetCDF ({', '.join(NETCDF)}), "
            f"GRIB ({', '.join(GRIB)}) or a Zarr folder"
        )
    return [(chunked(with_time_axis(dataset)), label) for dataset in datasets]


def with_time_axis(dataset: xr.Dataset) -> xr.Dataset:
    """A file of one time, which may have no time axis but a label, gets an axis of length one."""
    for name in ("valid_time", "time"):
        label = dataset.coords.get(name)
        if label is not None and label.ndim == 0 and label.dtype.kind == "M":
            if "time" in dataset.dims:
                return dataset
            others = dataset.drop_vars([n for n in ("valid_time", "time") if n in dataset.coords])
            return others.expand_dims(time=[label.values])
    return dataset


def chunked(dataset: xr.Dataset) -> xr.Dataset:
    """Dask arrays whose chunks hold whole maps of consecutive times, in bounded memory."""
    time = next((d for d in ("time", "valid_time") if d in dataset.dims), None)
    if time is None:
        return dataset.chunk()
    count = min(TIMES_A_CHUNK, dataset.sizes[time])
    for field in dataset.data_vars.values():
        if time in field.dims and field.dtype.kind in "iuf":
            room = max(1, BYTES_A_CHUNK * field.sizes[time] // max(field.nbytes, 1))
            count = min(count, room)
    for field in dataset.data_vars.values():
        stored = field.encoding.get("preferred_chunks", {}).get(time, 1)
        # A stored chunk that two tasks share would be read and unpacked twice.
        if 1 < stored <= count:
            count -= count % stored
        elif stored > count and stored * (field.nbytes // field.sizes[time]) <= LONGEST_CHUNK:
            count = stored
    return dataset.chunk({time: count})


def _open_netcdf(file: str, label: str) -> xr.Dataset:
    try:
        raw = xr.open_dataset(file, engine="netcdf4", decode_cf=False)
        for field in raw.variables.values():
            fill = field.attrs.get("_FillValue")
            # Whole numbers can't be NaN; some tools write it all the same, and xarray warns.
            if (
                field.dtype.kind in "iu"
                and isinstance(fill, float | np.floating)
                and np.isnan(fill)
            ):
                del field.attrs["_FillValue"]
        dataset = xr.decode_cf(raw, decode_timedelta=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{label!r} is not a readable NetCDF file ({one_line(error)}); it may be truncated or "
            "of another kind"
        ) from error
    _check_complete(file, raw, label)
    return dataset


def _check_complete(file: str, raw: xr.Dataset, label: str) -> None:
    """Classic NetCDF has no checks of its own: what is cut off would be read as zeros."""
    with open(file, "rb") as stream:
        classic = stream.read(3) == b"CDF"
    least = sum(field.nbytes for field in raw.variables.values() if field.dtype.kind in "iuf")
    size = Path(file).stat().st_size
    if classic and size < least:
        raise InputError(
            f"{label!r} is truncated: it has {size} bytes, but its variables take {least}; fetch "
            "it again"
        )


def _open_grib(file: str, label: str) -> list[xr.Dataset]:
    try:
        import cfgrib
        import eccodes  # type: ignore[import-untyped]
    except (ImportError, RuntimeError) as error:  # RuntimeError: without the C library
        raise InputError(
            f"{label!r} is GRIB, which needs cfgrib; pip install 'weathersvq[grib]'"
        ) from error
    # No index file is left beside the user's data; nothing is skipped silently.
    options: dict[str, Any] = {"indexpath": "", "errors": "raise"}
    try:
        try:
            return [_grib_part(file, options)]
        except cfgrib.DatasetBuildError:
            return _open_unlike_grib(file, options, label)
    except (OSError, ValueError, EOFError, eccodes.GribInternalError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{label!r} is not a readable GRIB file ({one_line(error)}); it may be truncated or of "
            "another kind"
        ) from error


def _grib_part(file: str, options: dict[str, Any]) -> xr.Dataset:
    return xr.open_dataset(file, engine="cfgrib", backend_kwargs=options, decode_timedelta=False)


def _open_unlike_grib(file: str, options: dict[str, Any], label: str) -> list[xr.Dataset]:
    """Each known variable of a GRIB file as a dataset of its own.

    Fields of one file often don't fit in one dataset: t2m is 2 m and u10 is 10 m above ground. Of a
    variable on several kinds of levels, the one on pressure levels is kept.
    """
    import cfgrib

    found: dict[str, list[xr.Dataset]] = {}
    for dataset in cfgrib.open_datasets(file, backend_kwargs=options, decode_timedelta=False):
        for name, field in dataset.data_vars.items():
            kind = str(field.attrs.get("GRIB_typeOfLevel", ""))
            variable = identify(str(name), {"GRIB_typeOfLevel": kind})
            if variable is not None:
                alone = dataset[[name]].assign_attrs(kind=kind)
                found.setdefault(variable.name, []).append(alone)
    if not found:
        raise InputError(f"{label!r} holds no known variable in its GRIB messages")
    parts = []
    for short_name, several in found.items():
        pressure = [part for part in several if part.attrs["kind"].startswith("isobaric")]
        chosen = pressure or several
        if len(chosen) > 1:
            raise InputError(
                f"{label!r} has {short_name} several times, on {several[0].attrs['kind']} and "
                "others; keep one kind of them"
            )
        parts += chosen
    return parts


def open_zarr(store: str | Store, label: str | None = None) -> xr.Dataset:
    """Open a Zarr store.

    Args:
        store: path, or a store of Zarr's (see `data.remote`).
        label: what to call it in messages; its path if None.

    Raises:
        InputError: a store that can't be read.
        FileNotFoundError: a URL with nothing behind it.
        OSError: a fault of the disk or the network.
    """
    label = label or str(store)
    if isinstance(store, str) and "://" not in store:
        store = CheckedStore(store, read_only=True)
    try:
        try:
            # With consolidated metadata (one read instead of many) where the store has them.
            return chunked(_zarr_dataset(store, consolidated=True))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return chunked(_zarr_dataset(store, consolidated=False))
    except FileNotFoundError:
        if "://" in label:
            raise
        raise InputError(f"{label!r} is not a readable Zarr store") from None
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{label!r} is not a readable Zarr store ({one_line(error)})") from error


def _zarr_dataset(store: str | Store, *, consolidated: bool) -> xr.Dataset:
    # Without Dask's chunks at first: many stored chunks are then fetched together, not one by one.
    return xr.open_zarr(store, decode_timedelta=False, chunks=None, consolidated=consolidated)


def one_line(error: BaseException) -> str:
    """An error's message, shortened to fit in a line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
