"""Second half of the first step: any file's dataset in canonical form, and the checks on it.

Canonical: dims (time, [level,] latitude, longitude), latitude ascending, longitude ascending (0..360,
or -180..180 where a region crosses the prime meridian), float32, short names and units of
`variables`, levels in hPa, time strictly increasing, naive UTC.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.variables import VARIABLES, Channel, Variable, conversion, identify, variable

# Names that files give the canonical dimensions.
_DIMENSIONS = {
    "time": ("time", "valid_time"),
    "latitude": ("latitude", "lat", "y"),
    "longitude": ("longitude", "lon", "x"),
    "level": ("level", "isobaricInhPa", "pressure_level", "plev", "pressure", "lev"),
}
_KEPT_ATTRIBUTES = ("title", "institution", "source", "references", "comment", "simulated")


def to_canonical(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """Bring a file's dataset into canonical form, lazily.

    Args:
        dataset: as xarray opens the file.
        name: of the source, for messages.

    Raises:
        InputError: no time, latitude or longitude axis, a grid that is not regular, times that are
            duplicated, unsorted or of another calendar, no known variable, units that are unknown.
    """
    dataset = _rename_dimensions(dataset, name)
    _check_times(dataset, name)
    fields: dict[str, xr.DataArray] = {}
    for file_name, field in dataset.data_vars.items():
        found = identify(str(file_name), field.attrs)
        if found is None or not {"time", "latitude", "longitude"} <= set(field.dims):
            continue
        if found.name in fields:
            raise InputError(
                f"{name} has {found.name} twice ({file_name!r} and another); keep one of them"
            )
        fields[found.name] = _field(field, found, name)
    if not fields:
        names = ", ".join(map(str, dataset.data_vars)) or "nothing"
        raise InputError(
            f"{name} holds no known variable on (time, latitude, longitude): it has {names}; "
            f"known are {', '.join(v.name for v in VARIABLES)}"
        )
    canonical = xr.Dataset(
        fields, attrs={k: dataset.attrs[k] for k in _KEPT_ATTRIBUTES if k in dataset.attrs}
    )
    canonical = _orient(canonical, name)
    return canonical.assign_attrs(source_name=name)


def _rename_dimensions(dataset: xr.Dataset, name: str) -> xr.Dataset:
    renamed = {}
    for wanted, known in _DIMENSIONS.items():
        present = [d for d in known if d in dataset.dims]
        if present and present[0] != wanted:
            renamed[present[0]] = wanted
    # A scalar or auxiliary coordinate may hold the name already (valid_time, level of a surface).
    blocking = [v for v in renamed.values() if v in dataset.variables]
    dataset = dataset.drop_vars(blocking).rename(renamed)
    for axis in ("time", "latitude", "longitude"):
        if axis not in dataset.dims or axis not in dataset.coords:
            two_dimensional = [c for c in dataset.coords if dataset[c].ndim == 2]
            if axis != "time" and two_dimensional:
                raise InputError(
                    f"{name} is on a curvilinear grid (two-dimensional {two_dimensional[0]}); "
                    "expected a regular latitude/longitude grid: regrid it first"
                )
            raise InputError(
                f"{name} has no {axis} axis; its dimensions are "
                f"{', '.join(map(str, dataset.dims)) or 'none'}"
            )
    # Single members of an ensemble, steps and heights are labels here, not axes.
    extra = [
        d
        for d in dataset.dims
        if d not in _DIMENSIONS and dataset.sizes[d] == 1 and not str(d).startswith("bnds")
    ]
    dataset = dataset.squeeze(extra, drop=True)
    return dataset.drop_vars([c for c in dataset.coords if c not in _DIMENSIONS])


def _check_times(dataset: xr.Dataset, name: str) -> None:
    times = dataset["time"]
    if times.dtype.kind == "O":
        calendar = getattr(times.values.flat[0], "calendar", "unknown")
        raise InputError(
            f"{name} uses the calendar {calendar!r}; expected the standard one: convert its time "
            "axis first (xarray's convert_calendar)"
        )
    if times.dtype.kind != "M":
        raise InputError(f"{name} has a time axis without dates (of type {times.dtype})")
    steps = np.diff(times.values)
    zero = np.timedelta64(0, "s")
    if np.any(steps == zero):
        first = times.values[1:][steps == zero][0].astype("datetime64[m]")
        raise InputError(f"{name} has the time {first} twice; remove the duplicate")
    if np.any(steps < zero):
        first = times.values[1:][steps < zero][0].astype("datetime64[m]")
        raise InputError(
            f"the times of {name} are not sorted: {first} follows a later one; sort them"
        )


def _field(field: xr.DataArray, found: Variable, name: str) -> xr.DataArray:
    extra = [d for d in field.dims if d not in _DIMENSIONS]
    if extra:
        raise InputError(
            f"{found.name} in {name} has the extra dimension {extra[0]!r} of length "
            f"{field.sizes[extra[0]]}; select one of it first"
        )
    dims = [d for d in ("time", "level", "latitude", "longitude") if d in field.dims]
    units = field.attrs.get("units")
    scale, offset = (1.0, 0.0) if units is None else conversion(found, str(units))
    field = field.transpose(*dims).astype(np.float32)
    if (scale, offset) != (1.0, 0.0):
        field = field * np.float32(scale) + np.float32(offset)
    if "level" in field.dims:
        field = field.assign_coords(level=_levels(field["level"], name))
    field.attrs = {
        "units": found.units,
        "long_name": found.long_name,
        "standard_name": found.standard_name,
    }
    field.encoding = {}
    return field


def _levels(level: xr.DataArray, name: str) -> np.ndarray:
    """Levels in whole hPa."""
    values = np.asarray(level.values, dtype=np.float64)
    units = str(level.attrs.get("units", ""))
    # Below 2000 a level can't be meant in Pa: that is above the stratopause.
    if units == "Pa" or (not units and values.max() > 2000):
        values = values / 100
    if np.any(np.abs(values - values.round()) > 1e-3) or values.min() < 1:
        raise InputError(f"{name} has levels {values.tolist()} that are not whole hPa")
    return values.round().astype(np.int64)


def _orient(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """Ascending axes; longitudes 0..360, or continuous across 0 for a region that crosses it."""
    if "level" in dataset.dims:
        dataset = dataset.sortby("level")
    latitude = dataset["latitude"].values.astype(np.float64)
    longitude = dataset["longitude"].values.astype(np.float64)
    if latitude.ndim != 1 or latitude.size < 2 or longitude.size < 2:
        raise InputError(f"{name} has fewer than two latitudes or longitudes; expected a map")
    dataset = dataset.assign_coords(latitude=latitude, longitude=np.mod(longitude, 360.0))
    if np.all(np.diff(latitude) < 0):
        dataset = dataset.isel(latitude=slice(None, None, -1))
    elif not np.all(np.diff(latitude) > 0):
        raise InputError(f"the latitudes of {name} are not in order; expected a regular grid")
    dataset = dataset.sortby("longitude")
    east = dataset["longitude"].values
    if np.any(np.diff(east) <= 0):
        raise InputError(f"{name} has a longitude twice; remove the duplicate column")
    # The widest gap between neighbours, round the globe, is where a region begins and ends.
    gaps = np.diff(east, append=east[0] + 360)
    start = (int(np.argmax(gaps)) + 1) % east.size
    if start != 0 and gaps.max() > 1.5 * np.median(gaps):
        turned = np.concatenate([east[start:] - 360, east[:start]])
        dataset = dataset.roll(longitude=-start, roll_coords=False).assign_coords(longitude=turned)
    for axis, units in (("latitude", "degrees_north"), ("longitude", "degrees_east")):
        dataset[axis].attrs = {"units": units, "standard_name": axis}
    dataset["time"].attrs = {}
    try:
        Grid.of(dataset)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return dataset


def select_channels(dataset: xr.Dataset, channels: Sequence[Channel], name: str) -> xr.Dataset:
    """Only the variables and levels of these channels.

    Raises:
        InputError: a variable or level that the dataset does not have (it says what it has).
    """
    levels: dict[str, list[int]] = {}
    for channel in channels:
        field = dataset.get(channel.name)
        if field is None:
            raise InputError(
                f"{name} has no variable {channel.name}; it has {', '.join(map(str, dataset))}"
            )
        if channel.level is not None:
            has = field["level"].values.tolist() if "level" in field.dims else []
            if channel.level not in has:
                raise InputError(
                    f"{name} has no {channel}; {channel.name} is on "
                    f"{'no levels' if not has else f'{has} hPa'}"
                )
            levels.setdefault(channel.name, []).append(channel.level)
    chosen = dataset[list(dict.fromkeys(channel.name for channel in channels))]
    if "level" in chosen.dims and levels:
        wanted = sorted({level for several in levels.values() for level in several})
        chosen = chosen.sel(level=wanted)
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
        hint = "check its units attribute"
        if quantity.units == "K" and values.min() > -100 and values.max() < 70:
            hint = "these look like degrees Celsius: set the units attribute to degC"
        elif quantity.units == "%" and worst > high:
            hint = "expected percent"
        raise InputError(
            f"{channel} is {worst:g} at {_time_of(field, outside)}, but {quantity.long_name} "
            f"lies between {low:g} and {high:g} {quantity.units}; {hint}"
        )


def _time_of(field: xr.DataArray, where: np.ndarray) -> str:
    position = int(np.argwhere(where)[0][field.dims.index("time")])
    return str(field["time"].values[position].astype("datetime64[m]"))
