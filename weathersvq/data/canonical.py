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
    with_horizontal_axes,
)
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.variables import VARIABLES, Channel, Variable, conversion, identify, variable

_KEPT_ATTRIBUTES = ("title", "institution", "source", "references", "comment", "simulated")
# A daily maximum has the standard name of the quantity itself, but is another one.
_OTHER_STATISTICS = ("maximum", "minimum", "range", "standard_deviation", "variance")


def to_canonical(
    dataset: xr.Dataset, name: str, wanted: Collection[str] | None = None
) -> xr.Dataset:
    """Bring a file's dataset into canonical form, lazily.

    Args:
        dataset: as xarray opens the file.
        name: of the source, for messages.
        wanted: short names; others are neither converted nor checked. All that are known if None.

    Returns:
        Canonical dataset; without variables if the file knows none of those wanted.

    Raises:
        InputError: no time, latitude or longitude axis, a grid that is not regular, times that are
            duplicated, unsorted or of another calendar, no known variable, units that are unknown.
    """
    dataset = name_axes(dataset, name)
    dataset = whole_seconds(dataset, name)
    check_times(dataset["time"].values, name)
    known = _known_fields(dataset)
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
        fields[short_name] = _field(dataset[file_names[0]], variable(short_name), name)
    canonical = xr.Dataset(
        fields,
        coords={axis: dataset[axis].variable for axis in ("time", "latitude", "longitude")},
        attrs={k: dataset.attrs[k] for k in _KEPT_ATTRIBUTES if k in dataset.attrs},
    )
    return orient(canonical, name).assign_attrs(source_name=name)


def known_variables(dataset: xr.Dataset, name: str) -> tuple[str, ...]:
    """Short names of what a file's dataset holds."""
    return tuple(_known_fields(name_axes(dataset, name)))


def _known_fields(dataset: xr.Dataset) -> dict[str, list[Hashable]]:
    """Short names that the dataset holds, each with the names of its variables in the file.

    A name decides before a CF standard_name, which near-surface fields often share with those on
    levels.
    """
    fields = {
        file_name: field
        for file_name, field in dataset.data_vars.items()
        if {"time", "latitude", "longitude"} <= set(field.dims)
    }
    known: dict[str, list[Hashable]] = {}
    for file_name in fields:
        found = identify(str(file_name), {})
        if found is not None:
            known.setdefault(found.name, []).append(file_name)
    by_name = {file_name for file_names in known.values() for file_name in file_names}
    by_standard_name: dict[str, list[Hashable]] = {}
    for file_name, field in fields.items():
        cell_methods = str(field.attrs.get("cell_methods", ""))
        if file_name in by_name or any(word in cell_methods for word in _OTHER_STATISTICS):
            continue
        found = identify(str(file_name), field.attrs)
        if found is not None and found.name not in known:
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
    # WeatherBench 2 gives relative humidity from 0 to 1, without units; WeatherBench 1 calls it r.
    if found.units == "%" and field.name == found.weatherbench2:
        return conversion(found, "1")
    return 1.0, 0.0


def join_parts(parts: Sequence[xr.Dataset], name: str) -> xr.Dataset:
    """One canonical dataset from those of several files: along time, then variable by variable.

    Variables that cover other times are cut to the times that all have.

    Args:
        parts: canonical datasets, in any order.
        name: of the source, for messages.

    Raises:
        InputError: parts on other grids or levels, times that overlap, or none in common.
    """
    first, grid = parts[0], Grid.of(parts[0])
    groups: dict[tuple[str, ...], list[xr.Dataset]] = {}
    for part in parts:
        own = Grid.of(part)
        if not own.matches(grid):
            raise InputError(
                f"the parts of {name} are on two grids: {first.attrs['source_name']} on "
                f"{grid.describe()}, {part.attrs['source_name']} on {own.describe()}"
            )
        # Rounding differs between files; only equal labels can be joined.
        part = with_horizontal_axes(part, grid.latitude, grid.longitude)
        groups.setdefault(tuple(sorted(map(str, part.data_vars))), []).append(part)
    owners: dict[str, tuple[str, ...]] = {}
    for names in groups:
        for variable_name in names:
            if owners.setdefault(variable_name, names) != names:
                raise InputError(
                    f"{name} has {variable_name} in files of unlike contents ("
                    f"{', '.join(owners[variable_name])}; {', '.join(names)}); open those of one "
                    "kind"
                )
    try:
        joined = [_along_time(group, name) for group in groups.values()]
        xr.align(*joined, join="exact", exclude=["time"])
        together = xr.merge(joined, join="inner", compat="override", combine_attrs="override")
    except xr.AlignmentError as error:
        raise InputError(
            f"the parts of {name} are on different levels; open those of one kind"
        ) from error
    if together.sizes["time"] == 0:
        raise InputError(f"the variables of {name} have no time in common")
    return together.assign_attrs(first.attrs | {"source_name": name})


def _along_time(parts: Sequence[xr.Dataset], name: str) -> xr.Dataset:
    if len(parts) == 1:
        return parts[0]
    ordered = sorted(parts, key=lambda part: part["time"].values[0])
    joined = xr.concat(
        ordered, dim="time", data_vars="minimal", coords="minimal", compat="override",
        join="exact", combine_attrs="override",
    )  # fmt: skip
    check_times(joined["time"].values, name)
    return joined


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


def check_values(dataset: xr.Dataset, channels: Sequence[Channel]) -> None:
    """See that the values of a loaded window can be what they claim to be.

    Args:
        dataset: loaded; a variable a channel, named by it (`t2m`, `r@1000`).
        channels: those to be looked at.

    Raises:
        InputError: a missing or impossible value, with variable, time and value.
    """
    for channel in channels:
        field = dataset[str(channel)]
        values = field.to_numpy()
        quantity = variable(channel.name)
        low, high = quantity.valid_range
        missing = ~np.isfinite(values)
        if missing.any():
            raise InputError(
                f"{channel} has missing values at {_time_of(field, missing)}; "
                "choose another init or fill them"
            )
        outside = (values < low) | (values > high)
        if not outside.any():
            continue
        worst = float(values[outside].flat[0])
        raise InputError(
            f"{channel} is {worst:g} at {_time_of(field, outside)}, but {quantity.long_name} "
            f"lies between {low:g} and {high:g} {quantity.units}; {_hint(values, quantity)}"
        )


def _hint(values: np.ndarray, quantity: Variable) -> str:
    """What the values look like, if not what they should be."""
    if quantity.units == "K" and values.min() > -100 and values.max() < 70:
        return "these look like degrees Celsius: set the units attribute to degC"
    if quantity.units == "1" and values.min() >= -1 and values.max() <= 101:
        return "these look like percent: set the units attribute to %"
    if quantity.units == "%" and values.min() > -3000 and values.max() < 19000:
        return "these look like percent taken for shares of one: set the units attribute to %"
    return "check its units attribute"


def _time_of(field: xr.DataArray, where: np.ndarray) -> str:
    position = int(np.argwhere(where)[0][field.dims.index("time")])
    return str(field["time"].values[position].astype("datetime64[m]"))
