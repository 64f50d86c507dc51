"""Second half of the first step: any file's dataset in canonical form, and the checks on it.

Canonical: dims (time, [level,] latitude, longitude), latitude ascending, longitude ascending (0..360,
or -180..180 where a region crosses the prime meridian), float32, short names and units of
`variables`, levels in hPa, time strictly increasing, naive UTC, in whole seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

import numpy as np
import xarray as xr

from weathersvq.data.axes import (
    DIMENSIONS,
    check_times,
    levels_in_hectopascal,
    name_axes,
    orient,
    whole_seconds,
)
from weathersvq.data.windows import Period
from weathersvq.errors import InputError
from weathersvq.variables import VARIABLES, Channel, Variable, conversion, identify, variable

_KEPT_ATTRIBUTES = (
    "title", "institution", "source", "references", "comment", "simulated", "nominal_year",
    "statistics",
)  # fmt: skip
# Units of archives that don't write them: WeatherBench 2's humidity is from 0 to 1 (WeatherBench 1
# calls it r, in percent), its orography in metres times gravity; CMIP's land is in percent.
_UNITS_UNSAID = {
    "relative_humidity": "1", "geopotential_at_surface": "m2 s-2", "sftlf": "%",
}  # fmt: skip
# A daily maximum has the standard name of the quantity itself, but is another one.
_OTHER_STATISTICS = ("maximum", "minimum", "range", "standard_deviation", "variance")


def to_canonical(
    dataset: xr.Dataset,
    name: str,
    wanted: Collection[str] | None = None,
    *,
    ordered: bool = True,
) -> xr.Dataset:
    """Bring a file's dataset into canonical form, lazily.

    Args:
        dataset: as xarray opens the file.
        name: of the source, for messages.
        wanted: short names; others are neither converted nor checked. All that are known and have
            times if None; static maps (land-sea mask) are taken only where they are named.
        ordered: whether times must strictly increase; else they stay as the file has them.

    Returns:
        Canonical dataset; without variables if the file knows none of those wanted. Static maps
        have no time axis.

    Raises:
        InputError: no time, latitude or longitude axis, a grid that is not regular, times that are
            duplicated, unsorted or of another calendar, no known variable, units that are unknown.
    """
    static = frozenset(n for n in wanted or () if variable(n).static)
    dataset = name_axes(dataset, name, time_needed=not static)
    if "time" in dataset.dims:
        dataset = _within_valid_times(whole_seconds(dataset, name), name)
        check_times(dataset["time"].values, name, ordered=ordered)
    known = _known_fields(dataset, static)
    if not known and static:
        return xr.Dataset()
    if not known:
        names = ", ".join(map(str, dataset.data_vars)) or "nothing"
        raise InputError(
            f"{name} holds no known variable on (time, latitude, longitude): it has {names}; "
            f"known are {', '.join(v.name for v in VARIABLES)}"
        )
    fields: dict[str, xr.DataArray] = {}
    for short_name, file_names in known.items():
        if wanted is not None and short_name not in wanted:
            continue
        if len(file_names) > 1:
            raise InputError(
                f"{name} has {short_name} twice ({' and '.join(map(repr, file_names))}); "
                "keep one of them"
            )
        field = dataset[file_names[0]]
        if short_name in static and "time" in field.dims:
            # Reanalyses repeat their static maps at every time.
            field = field.isel(time=0, drop=True)
        fields[short_name] = _field(field, variable(short_name), name)
    axes = ("time", "latitude", "longitude")
    canonical = xr.Dataset(
        fields,
        coords={axis: dataset[axis].variable for axis in axes if axis in dataset.coords},
        attrs={k: dataset.attrs[k] for k in _KEPT_ATTRIBUTES if k in dataset.attrs},
    )
    return orient(canonical, name).assign_attrs(source_name=name)


def _within_valid_times(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """ARCO-ERA5's time axis runs decades past its data; its attributes say where these are."""
    first, last = (dataset.attrs.get(f"valid_time_{end}") for end in ("start", "stop"))
    if first is None or last is None:
        return dataset
    period = Period.parse(f"{first}/{last}")
    times = dataset["time"].values
    inside = np.flatnonzero((times >= period.start) & (times <= period.stop))
    if inside.size == 0:
        raise InputError(f"{name} says that its data are in {period}, but has no time there")
    if inside.size == inside[-1] - inside[0] + 1:  # a slice stays lazy and cheap
        return dataset.isel(time=slice(int(inside[0]), int(inside[-1]) + 1))
    return dataset.isel(time=inside)


def known_variables(dataset: xr.Dataset, name: str) -> tuple[str, ...]:
    """Short names of what a file's dataset holds."""
    static = frozenset(v.name for v in VARIABLES if v.static)
    return tuple(_known_fields(name_axes(dataset, name, time_needed=False), static))


def _known_fields(dataset: xr.Dataset, static: Collection[str] = ()) -> dict[str, list[Hashable]]:
    """Short names that the dataset holds, each with the names of its variables in the file.

    A name decides before a CF standard_name, which near-surface fields often share with those on
    levels. Of static maps, only those in `static` are looked for.
    """
    maps = {
        file_name: field
        for file_name, field in dataset.data_vars.items()
        if {"latitude", "longitude"} <= set(field.dims)
    }
    fields = {file_name: field for file_name, field in maps.items() if "time" in field.dims}
    known: dict[str, list[Hashable]] = {}
    for file_name, field in maps.items():
        # GRIB's z is the ground where it is at the surface, and geopotential elsewhere.
        kind = {k: v for k, v in field.attrs.items() if k == "GRIB_typeOfLevel"}
        found = identify(str(file_name), kind)
        if found is not None and (found.name in static if found.static else file_name in fields):
            known.setdefault(found.name, []).append(file_name)
    by_name = {file_name for file_names in known.values() for file_name in file_names}
    by_standard_name: dict[str, list[Hashable]] = {}
    for file_name, field in fields.items():
        cell_methods = str(field.attrs.get("cell_methods", ""))
        if file_name in by_name or any(word in cell_methods for word in _OTHER_STATISTICS):
            continue
        found = identify(str(file_name), field.attrs)
        if found is not None and found.name not in known and not found.static:
            by_standard_name.setdefault(found.name, []).append(file_name)
    return known | by_standard_name


def _field(field: xr.DataArray, found: Variable, name: str) -> xr.DataArray:
    field = _with_level_axis(field, found)
    extra = [d for d in field.dims if d not in DIMENSIONS]
    if extra:
        raise InputError(
            f"{found.name} in {name} has the extra dimension {extra[0]!r} of length "
            f"{field.sizes[extra[0]]}; select one of it first"
        )
    if field.dtype.kind not in "iuf":
        raise InputError(f"{found.name} in {name} holds no numbers (it is of type {field.dtype})")
    scale, offset = _to_canonical_units(field, found, name)
    if "level" in field.dims:
        field = field.assign_coords(level=levels_in_hectopascal(field["level"], name))
    field = field.transpose(*(d for d in DIMENSIONS if d in field.dims)).astype(np.float32)
    if (scale, offset) != (1.0, 0.0):
        field = field * np.float32(scale) + np.float32(offset)
    field.attrs = {"units": found.units, "long_name": found.long_name}
    if found.standard_name:
        field.attrs["standard_name"] = found.standard_name
    field.encoding = {}
    return field


def _with_level_axis(field: xr.DataArray, found: Variable) -> xr.DataArray:
    """A single level is an axis of what is on levels, and nothing for what is near the surface."""
    level = field.coords.get("level")
    if level is None or level.size > 1:
        return field
    # Fields at a height can share a GRIB file with others on pressure levels.
    elsewhere = not str(field.attrs.get("GRIB_typeOfLevel", "isobaric")).startswith("isobaric")
    if not found.on_levels or elsewhere:
        return field.isel(level=0, drop=True) if level.ndim else field.drop_vars("level")
    return field if level.ndim else field.expand_dims("level")


def _to_canonical_units(field: xr.DataArray, found: Variable, name: str) -> tuple[float, float]:
    """(scale, offset) by which the file's values are taken to canonical units."""
    units = field.attrs.get("units")
    if units is not None:
        try:
            return conversion(found, str(units))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    return conversion(found, _UNITS_UNSAID.get(str(field.name), found.units))


def select_channels(dataset: xr.Dataset, channels: Sequence[Channel], name: str) -> xr.Dataset:
    """Only the variables and levels of these channels.

    Raises:
        InputError: a variable or level that the dataset does not have (it says what it has).
    """
    levels: set[int] = set()
    every_level = False
    for channel in channels:
        field = dataset.get(channel.name)
        if field is None:
            raise InputError(
                f"{name} has no variable {channel.name}; it has {', '.join(map(str, dataset))}"
            )
        has = field["level"].values.tolist() if "level" in field.dims else []
        if channel.level is not None:
            if channel.level not in has:
                raise InputError(
                    f"{name} has no {channel}; {channel.name} is on "
                    f"{'no levels' if not has else f'{has} hPa'}"
                )
            levels.add(channel.level)
        elif has:
            every_level = True
    chosen = dataset[list(dict.fromkeys(channel.name for channel in channels))]
    if levels and not every_level:
        chosen = chosen.sel(level=sorted(levels))
    return chosen


def time_step(dataset: xr.Dataset) -> np.timedelta64:
    """The regular step of the times; gaps may be multiples of it.

    Raises:
        InputError: fewer than two times, or an irregular step.
    """
    times = dataset["time"].values.astype("datetime64[s]")
    if times.size < 2:
        raise InputError("the data hold fewer than two times; a forecast needs a series")
    steps = np.diff(times)
    step = steps.min()
    if np.any(steps % step != np.timedelta64(0, "s")):
        odd = times[1:][steps % step != np.timedelta64(0, "s")][0]
        raise InputError(f"the time step is irregular at {odd}; expected multiples of {step}")
    return step


def coverage(dataset: xr.Dataset) -> tuple[np.datetime64, np.datetime64]:
    """First and last time."""
    times = dataset["time"].values
    return times[0], times[-1]


def load_fields(field: xr.DataArray) -> xr.DataArray:
    """Read a lazy array into memory.

    Raises:
        InputError: damaged data in the file, which show only when they are read.
        OSError: a fault of the disk or the network.
    """
    try:
        return field.load()
    except (RuntimeError, ValueError, KeyError) as error:
        what = field.name or "a variable"
        raise InputError(
            f"{what} can't be read ({' '.join(str(error).split())}); its file seems damaged: "
            "fetch or make it again"
        ) from error
