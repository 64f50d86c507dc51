"""Within the first step: the axes of any file under their canonical names, order and units.

Only coordinates are looked at here, so that everything stays lazy.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.errors import InputError
from weathersvq.grid import TOLERANCE, Grid

DIMENSIONS = ("time", "level", "latitude", "longitude")

# Names that files give the canonical dimensions, the surest first.
_NAMES: dict[str, tuple[str, ...]] = {
    "time": ("time", "valid_time"),
    "level": (
        "level", "isobaricInhPa", "isobaricInPa", "pressure_level", "plev", "pressure", "lev",
    ),
    "latitude": ("latitude", "lat", "y"),
    "longitude": ("longitude", "lon", "x"),
}  # fmt: skip
# How CF marks an axis, whatever its name.
_STANDARD_NAMES = {
    "time": ("time",),
    "level": ("air_pressure",),
    "latitude": ("latitude",),
    "longitude": ("longitude",),
}
_UNITS = {
    "latitude": ("degrees_north", "degree_north", "degrees_N", "degree_N", "degreesN", "degreeN"),
    "longitude": ("degrees_east", "degree_east", "degrees_E", "degree_E", "degreesE", "degreeE"),
}
# Calendars whose every date is one of the standard calendar.
_WITHIN_STANDARD = ("standard", "gregorian", "proleptic_gregorian", "noleap", "365_day")
# Months without a year (means over many years) get this one, which has no leap day.
NOMINAL_YEAR = 2001

_HECTOPASCAL = ("hPa", "mb", "mbar", "mbars", "millibar", "millibars", "hectopascal")
_PASCAL = ("Pa", "pascal", "pascals")


def name_axes(dataset: xr.Dataset, name: str, *, time_needed: bool = True) -> xr.Dataset:
    """Give the axes their canonical names and drop all other coordinates.

    Singleton dimensions (a member of an ensemble, a height, a forecast step) are squeezed away. Of
    a forecast file, the time kept is the time that the fields are valid for. A single level that is
    a label stays one, under the name `level`. Months of no year become the first days of months of
    `NOMINAL_YEAR`, which the attribute `nominal_year` says.

    Raises:
        InputError: no time (where one is needed), latitude or longitude axis, or a curvilinear
            grid.
    """
    renamed: dict[str, str] = {}
    dataset = _months_as_times(dataset)
    for axis in DIMENSIONS:
        found = _find(dataset, axis)
        if found is not None and found != axis:
            renamed[found] = axis
    _refuse_curvilinear(dataset, {renamed.get(str(d), str(d)) for d in dataset.dims}, name)
    if "level" not in {*dataset.dims, *renamed.values()}:
        # The one level of a file may be a label instead of an axis.
        labels = [c for c in _NAMES["level"] if c in dataset.coords and dataset[c].ndim == 0]
        renamed |= {label: "level" for label in labels[:1] if label != "level"}
    # A label may hold the name already: `time` where the axis is `valid_time`.
    blocking = [axis for axis in renamed.values() if axis in dataset.variables]
    dataset = dataset.drop_vars(blocking).rename(renamed)
    for axis in ("time", "latitude", "longitude") if time_needed else ("latitude", "longitude"):
        if axis not in dataset.dims or axis not in dataset.coords:
            raise InputError(
                f"{name} has no {axis} axis; its dimensions are "
                f"{', '.join(map(str, dataset.dims)) or 'none'}"
            )
    valid = dataset.coords.get("valid_time")
    if valid is not None and valid.dims == ("time",) and valid.dtype.kind == "M":
        dataset = dataset.assign_coords(time=valid.values)
    single = [d for d in dataset.dims if d not in DIMENSIONS and dataset.sizes[d] == 1]
    dataset = dataset.squeeze(single, drop=True)
    return dataset.drop_vars([c for c in dataset.coords if c not in DIMENSIONS])


def _months_as_times(dataset: xr.Dataset) -> xr.Dataset:
    """A dataset with an axis of months 1 to 12 and no times gets times; any other stays as it is."""
    month = dataset.coords.get("month")
    if month is None or month.dims != ("month",) or _find(dataset, "time") is not None:
        return dataset
    numbers = month.values
    if month.dtype.kind not in "iu" or numbers.min() < 1 or numbers.max() > 12:
        return dataset
    first_days = [np.datetime64(f"{NOMINAL_YEAR}-{number:02d}-01", "s") for number in numbers]
    renamed = dataset.rename(month="time").assign_coords(time=first_days)
    return renamed.assign_attrs(nominal_year=str(NOMINAL_YEAR))


def _find(dataset: xr.Dataset, axis: str) -> str | None:
    """The dimension that a file uses for `axis`: by name, then by what CF says of it."""
    for candidate in _NAMES[axis]:
        if candidate in dataset.dims and not _projected(dataset, candidate):
            return candidate
    for dimension in dataset.dims:
        coordinate = dataset.coords.get(dimension)
        if coordinate is None:
            continue
        if coordinate.attrs.get("standard_name") in _STANDARD_NAMES[axis]:
            return str(dimension)
        if coordinate.attrs.get("units") in _UNITS.get(axis, ()):
            return str(dimension)
        if axis == "time" and coordinate.dtype.kind == "M":
            return str(dimension)
    return None


def _projected(dataset: xr.Dataset, dimension: str) -> bool:
    """Whether x and y are metres on a map."""
    coordinate = dataset.coords.get(dimension)
    if coordinate is None:
        return False
    return str(coordinate.attrs.get("standard_name", "")).startswith("projection_")


def _refuse_curvilinear(dataset: xr.Dataset, dimensions: set[str], name: str) -> None:
    known = set(_NAMES["latitude"] + _NAMES["longitude"])
    for coordinate in dataset.coords:
        field = dataset[coordinate]
        standard_name = field.attrs.get("standard_name")
        is_place = (
            str(coordinate).lower() in known
            or str(coordinate).lower() in ("nav_lat", "nav_lon", "xlat", "xlong")
            or standard_name in ("latitude", "longitude")
        )
        # A regular grid may carry such a field beside its own axes, under another name.
        regular = {"latitude", "longitude"} <= dimensions and str(coordinate) not in known
        if field.ndim == 2 and is_place and not regular:
            raise InputError(
                f"{name} is on a curvilinear grid (two-dimensional {coordinate}); expected a "
                "regular latitude/longitude grid: regrid it first"
            )


def whole_seconds(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """Times rounded to seconds (axes in fractions of days are a few microseconds off).

    Dates of a calendar without leap days are those of the standard one; its leap days are gaps.

    Raises:
        InputError: a calendar with dates that the standard one does not have, or no dates at all.
    """
    times = dataset["time"]
    if times.size == 0:
        raise InputError(f"{name} is empty: its time axis has no entry")
    values = times.values
    if times.dtype.kind == "O":
        calendar = getattr(values.flat[0], "calendar", "unknown")
        if calendar not in _WITHIN_STANDARD:
            raise InputError(
                f"{name} uses the calendar {calendar!r}; expected the standard one, or one without "
                "leap days: convert its time axis first (xarray's convert_calendar)"
            )
        values = np.array([date.isoformat() for date in values], dtype="datetime64[us]")
    elif times.dtype.kind != "M":
        raise InputError(f"{name} has a time axis without dates (of type {times.dtype})")
    values = values.astype("datetime64[ms]") + np.timedelta64(500, "ms")
    return dataset.assign_coords(time=values.astype("datetime64[s]"))


def check_times(times: NDArray[np.datetime64], name: str, *, ordered: bool = True) -> None:
    """See that all times are there and, where they are to be `ordered`, strictly increase.

    Raises:
        InputError: a missing, repeated or unsorted time; the first of them is named.
    """
    if np.isnat(times).any():
        position = int(np.argmax(np.isnat(times)))
        raise InputError(f"{name} has no date at position {position} of its time axis")
    steps = np.diff(times)
    wrong = steps <= np.timedelta64(0, "s")
    if not ordered or not wrong.any():
        return
    position = int(np.argmax(wrong))
    time = times[position + 1].astype("datetime64[m]")
    if steps[position] == np.timedelta64(0, "s"):
        raise InputError(f"{name} has the time {time} twice; remove the duplicate")
    raise InputError(f"the times of {name} are not sorted: {time} follows a later one; sort them")


def in_hours(length: np.timedelta64) -> str:
    """A length of time for people: ``6 h``, ``0.5 h``."""
    return f"{length / np.timedelta64(3600, 's'):g} h"


def levels_in_hectopascal(level: xr.DataArray, name: str) -> NDArray[np.int64]:
    """Levels in whole hPa.

    Raises:
        InputError: levels that are no pressures, or not whole hPa.
    """
    units = str(level.attrs.get("units", ""))
    if level.dtype.kind not in "iuf" or units not in ("", *_HECTOPASCAL, *_PASCAL):
        raise InputError(
            f"{name} has the levels {_first(level.values)} in {units or 'no units'!r}; expected "
            "pressure levels in hPa or Pa"
        )
    values = np.asarray(level.values, dtype=np.float64)
    # Without units, what is above any pressure at the ground in hPa is meant in Pa.
    if units in _PASCAL or (not units and values.max() > 2000):
        values = values / 100
    if np.any(np.abs(values - values.round()) > 1e-3) or values.min() < 1:
        raise InputError(f"{name} has the levels {_first(values)} hPa; expected whole hPa")
    return values.round().astype(np.int64)


def _first(values: Iterable[object]) -> str:
    several = [str(value) for value in values]
    return ", ".join(several[:5]) + (" ..." if len(several) > 5 else "")


def orient(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """Ascending axes; longitudes 0..360, or continuous across 0 for a region that crosses it.

    Raises:
        InputError: a grid that is not regular.
    """
    if "level" in dataset.dims and not np.all(np.diff(dataset["level"].values) > 0):
        dataset = dataset.sortby("level")
        if np.any(np.diff(dataset["level"].values) == 0):
            raise InputError(f"{name} has a level twice; remove the duplicate")
    for axis in ("latitude", "longitude"):
        coordinate = dataset[axis]
        if coordinate.size < 2 or coordinate.dtype.kind not in "iuf":
            raise InputError(f"{name} has fewer than two {axis}s in degrees; expected a map")
        if not np.isfinite(coordinate.values).all():
            raise InputError(f"{name} has a {axis} that is not a number; expected a regular grid")
    latitude = dataset["latitude"].values.astype(np.float64)
    if latitude[0] > latitude[-1]:
        dataset, latitude = dataset.isel(latitude=slice(None, None, -1)), latitude[::-1]
    _check_latitudes(latitude, name)
    longitude, order = ascending_longitudes(dataset["longitude"].values, name)
    start = int(order[0])
    columns = np.arange(order.size)
    if np.array_equal(order, np.roll(columns, -start)):
        # Turning keeps the chunks whole, which picking columns one by one would not.
        dataset = dataset.roll(longitude=-start, roll_coords=False) if start else dataset
    else:
        dataset = dataset.isel(longitude=order)
    dataset = with_horizontal_axes(dataset, latitude, longitude)
    if "time" in dataset.coords:
        dataset["time"].attrs = {}
    try:
        Grid.of(dataset)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return dataset


def with_horizontal_axes(
    dataset: xr.Dataset, latitude: NDArray[np.float64], longitude: NDArray[np.float64]
) -> xr.Dataset:
    """The dataset on these (H,) and (W,) centres in degrees, with their CF attributes."""
    return dataset.assign_coords(
        latitude=(
            "latitude", latitude, {"units": "degrees_north", "standard_name": "latitude"},
        ),
        longitude=(
            "longitude", longitude, {"units": "degrees_east", "standard_name": "longitude"},
        ),
    )  # fmt: skip


def _check_latitudes(latitude: NDArray[np.float64], name: str) -> None:
    steps = np.diff(latitude)
    if np.any(steps <= 0):
        raise InputError(f"the latitudes of {name} are not in order; expected a regular grid")
    # Gaussian rows are equally spaced to within a tenth; the outermost may be half cells at the
    # poles.
    typical = float(np.median(steps))
    inner = steps[1:-1] if steps.size > 2 else steps
    if steps.max() > 1.25 * typical or inner.min() < typical / 1.25:
        raise InputError(
            f"the latitudes of {name} are not equally spaced (steps from {steps.min():g} to "
            f"{steps.max():g} degrees); regrid the data to a regular grid first"
        )


def ascending_longitudes(
    longitude: NDArray[np.floating], name: str
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """(W,) longitudes as one ascending run, and the (W,) columns that they come from.

    They lie in 0..360, except for a region across the prime meridian, which begins below 0.

    Raises:
        InputError: a longitude given twice.
    """
    east = np.mod(longitude.astype(np.float64), 360.0)
    # Rounding may leave the prime meridian just below 360.
    east = np.where(east > 360.0 - TOLERANCE, east - 360.0, east)
    order = np.argsort(east, kind="stable")
    east = east[order]
    gaps = np.diff(east, append=east[0] + 360.0)
    if np.any(gaps < TOLERANCE):
        where = float(east[int(np.argmax(gaps < TOLERANCE))])
        raise InputError(f"{name} has the longitude {where:g} twice; remove the duplicate column")
    # The widest gap between neighbours, round the globe, is where a region begins and ends.
    start = (int(np.argmax(gaps)) + 1) % east.size
    if start != 0 and gaps.max() > 1.5 * np.median(gaps):
        east = np.concatenate([east[start:] - 360.0, east[:start]])
        order = np.concatenate([order[start:], order[:start]])
        if east[0] < -180.0:  # nearly round the globe: it may as well end beyond 360
            east = east + 360.0
    return east, order
