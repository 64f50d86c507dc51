"""First step of the flow: opens any archive, lazily, as one canonical dataset.

A source is `sample` (the bundled one), a WeatherBench 1 folder, a NetCDF or GRIB file (or several,
by a pattern), or a Zarr store; local or through fsspec (http://, gs://, memory:// ...).
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import xarray as xr

from weathersvq.bundled import bundled_sample
from weathersvq.data.axes import with_horizontal_axes
from weathersvq.data.canonical import (
    join_parts,
    known_variables,
    select_channels,
    to_canonical,
)
from weathersvq.data.files import GRIB, NETCDF, one_line, open_file, open_zarr
from weathersvq.data.regrid import regrid_dataset
from weathersvq.errors import InputError, near_misses
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.variables import VARIABLES, Channel

# Protocols whose packages come with the extra `cloud`.
CLOUD = ("http", "https", "gs", "gcs")

_WEATHERBENCH1 = re.compile(r"^(?P<folder>.+)_(?P<year>\d{4})_(?P<resolution>[\d.]+deg)\.nc$")

# A dataset as its file has it, and what to call the file in messages.
Part = tuple[xr.Dataset, str]


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
        Dataset with dims (time, [level,] latitude, longitude), Dask arrays, float32; attributes
        `source_name` and `grid`, and `regridded` and `missing_years` where they apply.

    Raises:
        InputError: nothing there, nothing that can be read, or a variable, level, axis or unit that
            is missing or unknown.
        OSError: a URL that can't be reached.
    """
    name = os.fspath(source)
    wanted = None if channels is None else dict.fromkeys(channel.name for channel in channels)
    attributes: dict[str, str] = {}
    if name == "sample":
        parts = [(open_zarr(str(bundled_sample())), name)]
    elif "://" in name:
        parts = _open_url(name)
    else:
        parts, attributes = _open_local(name, channels)
    canonical = _canonical(parts, name, wanted).assign_attrs(attributes)
    if channels is not None:
        canonical = select_channels(canonical, channels, name)
    return _on_target_grid(canonical, grid or GLOBAL_5625, method)


def _canonical(parts: Sequence[Part], name: str, wanted: Collection[str] | None) -> xr.Dataset:
    """The parts of a source as one dataset."""
    ready = [to_canonical(dataset, label, wanted) for dataset, label in parts]
    found = {variable for part in ready for variable in part.data_vars}
    lacking = [variable for variable in wanted or () if variable not in found]
    if lacking:
        has = dict.fromkeys(v for part, label in parts for v in known_variables(part, label))
        raise InputError(f"{name} has no variable {', '.join(lacking)}; it has {', '.join(has)}")
    useful = [part for part in ready if part.data_vars]
    if len(useful) == 1:
        return useful[0].assign_attrs(source_name=name)
    return join_parts(useful, name)


def _on_target_grid(dataset: xr.Dataset, target: Grid, method: str) -> xr.Dataset:
    own = Grid.of(dataset)
    if own.is_global:
        if not own.matches(target):
            dataset = regrid_dataset(dataset, target, method)
        # Rounded labels in files would keep data on one grid from fitting each other.
        dataset = with_horizontal_axes(dataset, target.latitude, target.longitude)
    return dataset.assign_attrs(grid=Grid.of(dataset).describe())


def _open_local(name: str, channels: Sequence[Channel] | None) -> tuple[list[Part], dict[str, str]]:
    """Parts of a local source, and attributes that say more about it."""
    path = Path(name).expanduser()
    if not name.strip():
        raise InputError(
            "the source is an empty name; expected `sample`, a file, a folder or a URL"
        )
    if not path.exists() and glob.has_magic(name):
        files = sorted(glob.glob(str(path), recursive=True))
        if not files:
            raise InputError(f"no file matches {name!r}")
        return [part for file in files for part in open_file(file)], {}
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(
            f"no source at {name!r}{near_misses(path.name, ['sample', *siblings])}; expected "
            "`sample`, a folder, a file, a Zarr store or a URL"
        )
    if path.is_file():
        return open_file(str(path)), {}
    if any((path / marker).exists() for marker in (".zgroup", ".zmetadata", "zarr.json")):
        return [(open_zarr(str(path)), name)], {}
    return _open_weatherbench1(path, channels)


def _open_url(url: str) -> list[Part]:
    """Zarr by its URL; NetCDF and GRIB are fetched by fsspec's cache first."""
    import fsspec

    protocol = url.split("://")[0].split("::")[-1]
    known = sorted(fsspec.available_protocols())
    if protocol not in known:
        raise InputError(f"unknown protocol in {url!r}; known are {', '.join(known)}")
    suffix = Path(url.split("?")[0]).suffix.lower()
    try:
        # The NetCDF and GRIB libraries read local files only.
        if suffix in NETCDF + GRIB:
            local = fsspec.open_local(f"simplecache::{url}")
            copies = [local] if isinstance(local, str) else local
            # Copies are named by a hash of the URL, so that no two URLs share one.
            return [part for copy in copies for part in open_file(str(copy), suffix, url)]
        return [(open_zarr(url), url)]
    except ImportError as error:
        install = "pip install 'weathersvq[cloud]'" if protocol in CLOUD else "install it"
        raise InputError(
            f"{url!r} needs a package for {protocol}:// ({one_line(error)}); {install}"
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"nothing to read at {url!r}") from error
    except _answers_of_servers(protocol) as error:
        raise OSError(f"{url!r} can't be read: {one_line(error)}") from error


def _answers_of_servers(protocol: str) -> tuple[type[Exception], ...]:
    """Errors that a server answers with, where its library does not make them OSErrors."""
    if protocol not in ("http", "https"):
        return ()
    import aiohttp

    return (aiohttp.ClientError,)


def _open_weatherbench1(
    root: Path, channels: Sequence[Channel] | None
) -> tuple[list[Part], dict[str, str]]:
    """A folder with `{variable}_{year}_5.625deg.nc` files, at any depth.

    Only the wanted variables are opened; years that lack in the middle are left as gaps and named
    in the attribute `missing_years`.
    """
    known = {v.weatherbench1 for v in VARIABLES}
    wanted = known if channels is None else {c.variable.weatherbench1 for c in channels}
    years: dict[str, dict[int, Path]] = {}
    resolutions: dict[str, Path] = {}
    folders = set()
    # glob, unlike pathlib, follows links: archives are often linked together from several disks.
    for file in sorted(glob.glob(f"{glob.escape(str(root))}/**/*.nc", recursive=True)):
        path = Path(file)
        match = _WEATHERBENCH1.match(path.name)
        if match is None:
            continue
        folders.add(match["folder"])
        if match["folder"] not in wanted:
            continue
        resolutions.setdefault(match["resolution"], path.parent)
        before = years.setdefault(match["folder"], {}).setdefault(int(match["year"]), path)
        if before != path and match["resolution"] in before.name:
            raise InputError(
                f"{str(root)!r} has {path.name} twice, in {str(before.parent)!r} and "
                f"{str(path.parent)!r}; name one of the two folders"
            )
    if len(resolutions) > 1:
        raise InputError(
            f"{str(root)!r} holds several resolutions ({', '.join(sorted(resolutions))}); name the "
            f"folder of one, such as {str(next(iter(resolutions.values())))!r}"
        )
    has = f"it has {', '.join(sorted(folders))}" if folders else "it has no such files"
    if not folders & known:
        raise InputError(
            f"the folder {str(root)!r} is neither a Zarr store nor WeatherBench 1 files "
            f"(VARIABLE_YEAR_5.625deg.nc); {has}: name other files by a pattern, such as "
            f"{str(root / '*.nc')!r}"
        )
    lacking = sorted(wanted - folders) if channels is not None else []
    if lacking:
        raise InputError(f"{str(root)!r} has no {', '.join(lacking)} of WeatherBench 1; {has}")
    parts: list[Part] = []
    missing: list[str] = []
    for folder, files in years.items():
        span = range(min(files), max(files) + 1)
        missing += [f"{folder} {year}" for year in span if year not in files]
        for year in sorted(files):
            parts += open_file(str(files[year]))
    attributes = {"title": "WeatherBench 1", "source": str(root)}
    if missing:
        attributes["missing_years"] = ", ".join(missing)
    return parts, attributes
