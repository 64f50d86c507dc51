"""First step of the flow: opens any archive, lazily, as one canonical dataset.

A source is `sample` (the bundled one), a WeatherBench 1 folder, a NetCDF or GRIB file (or several,
by a pattern), or a Zarr store; local or through fsspec (http://, gs://, memory:// ...).
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Sequence
from json import JSONDecodeError
from pathlib import Path

import xarray as xr

from weathersvq.bundled import bundled_sample
from weathersvq.data.axes import with_horizontal_axes
from weathersvq.data.canonical import (
    known_variables,
    select_channels,
    to_canonical,
)
from weathersvq.data.files import GRIB, NETCDF, open_file, open_zarr
from weathersvq.data.join import join_parts
from weathersvq.data.patience import DAMAGED
from weathersvq.data.regrid import regrid_dataset
from weathersvq.data.remote import (
    DEFAULT_NETWORK,
    Network,
    archives,
    fetch_files,
    open_remote_zarr,
    resolve,
    retrying,
)
from weathersvq.data.store import is_prepared, usable_times
from weathersvq.errors import InputError, near_misses
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.variables import VARIABLES, Channel

_WEATHERBENCH1 = re.compile(r"^(?P<folder>.+)_(?P<year>\d{4})_(?P<resolution>[\d.]+deg)\.nc$")
# Land-sea mask and orography lie in one file without times.
_WEATHERBENCH1_CONSTANTS = "constants_*deg.nc"

# A dataset as its file has it, and what to call the file in messages.
Part = tuple[xr.Dataset, str]


def open_source(
    source: str | os.PathLike[str] | xr.Dataset,
    channels: Sequence[Channel] | None = None,
    *,
    grid: Grid | None = None,
    method: str = "conservative",
) -> xr.Dataset:
    """Open a source as a canonical dataset (see `data.canonical`), without reading its fields.

    Args:
        source: `sample`, a folder, a file, a pattern, a Zarr store, a URL, or a dataset in memory
            with the names, units and axes of any of them.
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
    canonical = open_canonical(source, channels)
    return _on_target_grid(canonical, grid or GLOBAL_5625, method)


def open_canonical(
    source: str | os.PathLike[str] | xr.Dataset,
    channels: Sequence[Channel] | None = None,
    *,
    ordered: bool = True,
    network: Network = DEFAULT_NETWORK,
) -> xr.Dataset:
    """Open a source as a canonical dataset on the grid that it has, without reading its fields.

    Args:
        source: see `open_source`.
        channels: see `open_source`; static maps (land-sea mask) come only where they are named.
        ordered: whether times must strictly increase; else they stay as the source has them.
        network: how patiently a URL is read.

    Returns:
        See `open_source`. Of a prepared store, the coordinate `usable` (time,) says at which times
        all fields are good.

    Raises:
        InputError, OSError: see `open_source`.
    """
    wanted = None if channels is None else dict.fromkeys(channel.name for channel in channels)
    if isinstance(source, xr.Dataset):
        name = str(source.attrs.get("source_name", "the dataset"))
        parts: list[Part] = [(source, name)]
        attributes: dict[str, str] = {}
    else:
        name = os.fspath(source)
        parts, attributes = _open_parts(name, channels, network)
    canonical = _canonical(parts, name, wanted, ordered).assign_attrs(attributes)
    if channels is not None:
        canonical = select_channels(canonical, channels, name)
    if is_prepared(parts[0][0]):
        chosen = channels or [Channel(str(variable_name)) for variable_name in canonical]
        usable = usable_times(parts[0][0], chosen)
        canonical = canonical.assign_coords(usable=("time", usable))
    elif isinstance(source, xr.Dataset) and "usable" in source.coords:
        canonical = canonical.assign_coords(usable=("time", source["usable"].values))
    return canonical.assign_attrs(grid=Grid.of(canonical).describe())


def source_variables(
    source: str | os.PathLike[str], network: Network = DEFAULT_NETWORK
) -> tuple[str, ...]:
    """Short names of all that a source holds, static maps included.

    Raises:
        InputError, OSError: see `open_source`.
    """
    parts, _ = _open_parts(os.fspath(source), None, network)
    return tuple(dict.fromkeys(v for part, label in parts for v in known_variables(part, label)))


def _open_parts(
    name: str, channels: Sequence[Channel] | None, network: Network
) -> tuple[list[Part], dict[str, str]]:
    """The files or stores of a source, as they are, and attributes that say more about it."""
    if name == "sample":
        return [(open_zarr(str(bundled_sample())), name)], {}
    name = resolve(name)
    if "://" in name:
        return _open_url(name, network), {}
    return _open_local(name, channels)


def _canonical(
    parts: Sequence[Part], name: str, wanted: Collection[str] | None, ordered: bool
) -> xr.Dataset:
    """The parts of a source as one dataset."""
    ready = [to_canonical(part, label, wanted, ordered=ordered) for part, label in parts]
    found = {variable for part in ready for variable in part.data_vars}
    lacking = [variable for variable in wanted or () if variable not in found]
    if lacking:
        has = dict.fromkeys(v for part, label in parts for v in known_variables(part, label))
        raise InputError(f"{name} has no variable {', '.join(lacking)}; it has {', '.join(has)}")
    useful = [part for part in ready if part.data_vars]
    if len(useful) == 1:
        return useful[0].assign_attrs(source_name=name)
    return join_parts(useful, name, ordered=ordered)


def _on_target_grid(dataset: xr.Dataset, target: Grid, method: str) -> xr.Dataset:
    own = Grid.of(dataset)
    if own.is_global:
        if not own.matches(target):
            dataset = regrid_dataset(dataset, target, method)
        # Rounded labels in files would keep data on one grid from fitting each other.
        dataset = with_horizontal_axes(dataset, target.latitude, target.longitude)
        dataset = dataset.assign_attrs(grid=target.describe())
    return dataset


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
        known = ["sample", *archives(), *siblings]
        raise InputError(
            f"no source at {name!r}{near_misses(path.name, known)}; expected "
            "`sample`, an archive's short name, a folder, a file, a Zarr store or a URL"
        )
    if path.is_file():
        return open_file(str(path)), {}
    if any((path / marker).exists() for marker in (".zgroup", ".zmetadata", "zarr.json")):
        return [(open_zarr(str(path)), name)], {}
    return _open_weatherbench1(path, channels)


def _open_url(url: str, network: Network) -> list[Part]:
    """Zarr by its URL; NetCDF and GRIB are fetched first, as their libraries read only files."""
    suffix = Path(url.split("?")[0]).suffix.lower()
    try:
        if suffix in NETCDF + GRIB:
            return _open_copies(fetch_files(url, network), suffix, url)
        return [(_open_remote_store(url, network), url)]
    except FileNotFoundError as error:
        raise InputError(f"nothing to read at {url!r}") from error


def _open_remote_store(url: str, network: Network) -> xr.Dataset:
    store = open_remote_zarr(url, network)

    def open_now() -> xr.Dataset:
        try:
            return open_zarr(store, url)
        except InputError as error:
            # The axes are read now, and may arrive damaged; other text than JSON is no store.
            damage = error.__cause__
            if isinstance(damage, DAMAGED) and not isinstance(damage, JSONDecodeError):
                raise damage from error
            raise

    return retrying(open_now, repr(url), network)


def _open_copies(copies: Sequence[Path], suffix: str, url: str) -> list[Part]:
    parts = []
    for copy in copies:
        try:
            parts += open_file(str(copy), suffix, url)
        except InputError as error:
            if not isinstance(error.__cause__, ImportError):
                copy.unlink(missing_ok=True)  # or a cache would keep what is damaged
            raise
    return parts


def _open_weatherbench1(
    root: Path, channels: Sequence[Channel] | None
) -> tuple[list[Part], dict[str, str]]:
    """A folder with `{variable}_{year}_5.625deg.nc` files, at any depth.

    Only the wanted variables are opened; years that lack in the middle are left as gaps and named
    in the attribute `missing_years`.
    """
    known = {v.weatherbench1 for v in VARIABLES if not v.static}
    asked = [] if channels is None else [c.variable for c in channels]
    wanted = known if channels is None else {v.weatherbench1 for v in asked if not v.static}
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
    if any(v.static for v in asked):
        pattern = f"{glob.escape(str(root))}/**/{_WEATHERBENCH1_CONSTANTS}"
        parts += [part for file in glob.glob(pattern, recursive=True) for part in open_file(file)]
    for folder, files in years.items():
        span = range(min(files), max(files) + 1)
        missing += [f"{folder} {year}" for year in span if year not in files]
        for year in sorted(files):
            parts += open_file(str(files[year]))
    attributes = {"title": "WeatherBench 1", "source": str(root)}
    if missing:
        attributes["missing_years"] = ", ".join(missing)
    return parts, attributes
