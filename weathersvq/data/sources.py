"""First step of the flow: opens any archive, lazily, as one canonical dataset.

A source is `sample` (the bundled one), a WeatherBench 1 folder, a NetCDF or GRIB file (or several,
by a pattern), or a Zarr store; local or through fsspec (http://, gs://, memory:// ...).
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from weathersvq.bundled import bundled_sample
from weathersvq.data.canonical import select_channels, to_canonical
from weathersvq.data.regrid import regrid_dataset
from weathersvq.errors import InputError, near_misses
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.variables import VARIABLES, Channel

NETCDF = (".nc", ".nc4", ".netcdf", ".cdf")
GRIB = (".grib", ".grb", ".grib2", ".grb2")
# Times a Dask chunk of files that have no chunks of their own.
TIMES_A_CHUNK = 240

_WEATHERBENCH1 = re.compile(r"^(?P<folder>.+)_(?P<year>\d{4})_[\d.]+deg\.nc$")


def open_source(
    source: str | os.PathLike[str],
    channels: Sequence[Channel] | None = None,
    *,
    grid: Grid | None = None,
    method: str = "conservative",
) -> xr.Dataset:
    """Open a source as a canonical dataset (see `data.canonical`), without reading its fields.

    Args:
        source: `sample`, a folder, a file, a pattern, a Zarr store, or a URL.
        channels: variables and levels wanted; all that are known if None.
        grid: where global data that are on another grid go; 5.625 degrees if None. Regional data
            stay on their own.
        method: of regridding, `conservative` or `bilinear`.

    Returns:
        Dataset with dims (time, [level,] latitude, longitude), Dask arrays, float32; attribute
        `source_name`, and `regridded` and `missing_years` where they apply.

    Raises:
        InputError: nothing there, nothing that can be read, or a variable, level, axis or unit that
            is missing or unknown.
        OSError: a URL that can't be reached.
    """
    name = os.fspath(source)
    if name == "sample":
        dataset = _open_zarr(str(bundled_sample()))
    elif "://" in name:
        dataset = _open_url(name)
    else:
        dataset = _open_local(name, channels)
    canonical = to_canonical(dataset, name)
    if "missing_years" in dataset.attrs:
        canonical.attrs["missing_years"] = dataset.attrs["missing_years"]
    if channels is not None:
        canonical = select_channels(canonical, channels, name)
    own, target = Grid.of(canonical), grid or GLOBAL_5625
    if own.is_global and not own.matches(target):
        attributes = canonical.attrs
        canonical = regrid_dataset(canonical, target, method)
        canonical.attrs = attributes | canonical.attrs
    return canonical


def _open_local(name: str, channels: Sequence[Channel] | None) -> xr.Dataset:
    path = Path(name).expanduser()
    if any(letter in name for letter in "*?["):
        files = sorted(glob.glob(str(path)))
        if not files:
            raise InputError(f"no file matches {name!r}")
        return _open_files(files, name)
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(
            f"no source at {name!r}{near_misses(path.name, siblings)}; expected `sample`, a folder, "
            "a file, a Zarr store or a URL"
        )
    if path.is_file():
        return _open_files([str(path)], name)
    if any((path / marker).exists() for marker in (".zgroup", ".zmetadata", "zarr.json")):
        return _open_zarr(str(path))
    return _open_weatherbench1(path, channels)


def _open_files(files: Sequence[str], name: str) -> xr.Dataset:
    """NetCDF or GRIB files, one after the other along time."""
    parts = [_open_file(file) for file in files]
    if len(parts) == 1:
        return parts[0]
    try:
        together = xr.combine_by_coords(
            parts, combine_attrs="override", compat="no_conflicts", join="exact", data_vars=None
        )
        assert isinstance(together, xr.Dataset)  # of datasets
        return together
    except ValueError as error:
        raise InputError(
            f"the {len(files)} files of {name!r} don't fit together: {_one_line(error)}"
        ) from error


def _open_file(file: str) -> xr.Dataset:
    suffix = Path(file).suffix.lower()
    if suffix in GRIB:
        return _open_grib(file)
    if suffix not in NETCDF:
        raise InputError(
            f"{file!r} ends in {suffix or 'nothing'!r}; expected NetCDF ({', '.join(NETCDF)}), "
            f"GRIB ({', '.join(GRIB)}) or a Zarr folder"
        )
    try:
        dataset = xr.open_dataset(file, engine="netcdf4", decode_timedelta=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{file!r} is not a readable NetCDF file ({_one_line(error)}); it may be truncated or "
            "of another kind"
        ) from error
    return dataset.chunk({"time": TIMES_A_CHUNK} if "time" in dataset.dims else {})


def _open_grib(file: str) -> xr.Dataset:
    try:
        import cfgrib
    except ImportError as error:
        raise InputError(
            f"{file!r} is GRIB, which needs cfgrib; pip install 'weathersvq[grib]'"
        ) from error
    try:
        # No index file is left beside the user's data.
        dataset = xr.open_dataset(
            file, engine="cfgrib", backend_kwargs={"indexpath": ""}, decode_timedelta=False
        )
    except (OSError, ValueError, EOFError, cfgrib.DatasetBuildError) as error:
        raise InputError(f"{file!r} is not a readable GRIB file ({_one_line(error)})") from error
    if not dataset.data_vars:
        raise InputError(f"{file!r} holds no GRIB message that can be read; it may be empty")
    return dataset.chunk({"time": TIMES_A_CHUNK} if "time" in dataset.dims else {})


def _read_zarr(store: str) -> xr.Dataset:
    """With consolidated metadata (one read instead of many) where the store has them."""
    try:
        return xr.open_zarr(store, decode_timedelta=False, chunks={}, consolidated=True)
    except (OSError, ValueError, KeyError):
        return xr.open_zarr(store, decode_timedelta=False, chunks={}, consolidated=False)


def _open_zarr(store: str) -> xr.Dataset:
    try:
        return _read_zarr(store)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{store!r} is not a readable Zarr store ({_one_line(error)})") from error


def _open_url(url: str) -> xr.Dataset:
    """Zarr by its URL; NetCDF and GRIB are fetched by fsspec's cache first."""
    import fsspec

    protocol = url.split("://")[0].split("::")[-1]
    known = sorted(fsspec.available_protocols())
    if protocol not in known:
        raise InputError(f"unknown protocol in {url!r}; known are {', '.join(known)}")
    suffix = Path(url.split("?")[0]).suffix.lower()
    try:
        if suffix in NETCDF + GRIB:
            return _open_file(_fetched(url, suffix))
        return _read_zarr(url)
    except ImportError as error:
        raise InputError(
            f"{url!r} needs a package for {protocol}:// ({_one_line(error)}); "
            "pip install 'weathersvq[cloud]'"
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"nothing to read at {url!r}") from error
    except InputError:
        raise
    except (ValueError, KeyError) as error:
        raise InputError(f"{url!r} is not a readable Zarr store ({_one_line(error)})") from error


def _fetched(url: str, suffix: str) -> str:
    """A local copy with the same ending: the NetCDF and GRIB libraries read local files only."""
    import fsspec

    local = fsspec.open_local(f"simplecache::{url}", simplecache={"same_names": True})
    if not str(local).endswith(suffix):
        raise InputError(f"{url!r} could not be fetched as a {suffix} file")
    return str(local)


def _open_weatherbench1(root: Path, channels: Sequence[Channel] | None) -> xr.Dataset:
    """A folder with `{variable}_{year}_5.625deg.nc` files, at any depth.

    Only the wanted variables are opened; years that lack in the middle are left as gaps and named
    in the attribute `missing_years`.
    """
    wanted = {v.weatherbench1 for v in VARIABLES}
    if channels is not None:
        wanted = {channel.variable.weatherbench1 for channel in channels}
    years: dict[str, dict[int, Path]] = {}
    folders = set()
    for path in sorted(root.rglob("*.nc")):
        match = _WEATHERBENCH1.match(path.name)
        if match is None:
            continue
        folders.add(match["folder"])
        if match["folder"] in wanted:
            years.setdefault(match["folder"], {})[int(match["year"])] = path
    if not years:
        has = f"it has {', '.join(sorted(folders))}" if folders else "it has no such files"
        raise InputError(
            f"the folder {str(root)!r} is neither a Zarr store nor WeatherBench 1 files "
            f"(VARIABLE_YEAR_5.625deg.nc) of {', '.join(sorted(wanted))}; {has}"
        )
    parts, missing = [], []
    for folder, files in years.items():
        span = range(min(files), max(files) + 1)
        missing += [f"{folder} {year}" for year in span if year not in files]
        several = [_open_file(str(files[year])) for year in sorted(files)]
        # Levels and other coordinates are the same in all years of a variable.
        joined = xr.concat(
            several, dim="time", data_vars="minimal", coords="minimal", compat="override",
            join="exact", combine_attrs="override",
        )  # fmt: skip
        parts.append(joined)
    dataset = xr.merge(parts, join="inner", compat="override", combine_attrs="override")
    if dataset.sizes["time"] == 0:
        raise InputError(f"the variables in {str(root)!r} have no time in common")
    dataset.attrs = {"title": "WeatherBench 1", "source": str(root)}
    if missing:
        dataset.attrs["missing_years"] = ", ".join(missing)
    return dataset


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
