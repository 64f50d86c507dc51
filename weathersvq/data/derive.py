"""Within the third step of the flow: variables that the source lacks, from those that it has.

They are derived on the source's own grid, before any regridding: the mean of the wind speed is not
the speed of the mean wind. A further one is one entry in `DERIVATIONS`.

Humidity is taken relative to what ERA5 takes it to, so that derived and archived fields mix: on
pressure levels over water at and above 0.01 C, over ice at and below -23 C, between the two in the
mixed phase of the IFS; at 2 metres over water at all temperatures, since that is how its dew point
is defined (ECMWF, "ERA5: data documentation", on near-surface humidity).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.errors import InputError, near_misses
from weathersvq.variables import VARIABLES, variable

Float = NDArray[np.float64]

# --- humidity: IFS documentation CY41R2 (the cycle of ERA5), part IV, section 7.2.1(b) for the
# formulae and chapter 12 for the gas constants

TRIPLE_POINT = 273.16  # K
COLDEST_WATER = 250.16  # K, where the last of the mixed phase is ice
VAPOUR_PRESSURE_AT_TRIPLE_POINT = 611.21  # Pa
# Dry air's gas constant over water vapour's, both in J kg-1 K-1.
GAS_CONSTANT_RATIO = 287.0597 / 461.5250


def saturation_pressure_over_water(temperature: xr.DataArray) -> xr.DataArray:
    """Pressure of saturated water vapour over a plane of water, Pa, at a temperature in K.

    Tetens' formula with the constants of Buck (1981, J. Appl. Meteorol. 20, 1527-1532).
    """
    return _tetens(temperature, 17.502, 32.19)


def saturation_pressure_over_ice(temperature: xr.DataArray) -> xr.DataArray:
    """Pressure of saturated water vapour over a plane of ice, Pa, at a temperature in K.

    Tetens' formula with the constants of AERKi (Alduchov and Eskridge 1996, J. Appl. Meteorol. 35,
    601-609).
    """
    return _tetens(temperature, 22.587, -0.7)


def _tetens(temperature: xr.DataArray, slope: float, pole: float) -> xr.DataArray:
    exponent = slope * (temperature - TRIPLE_POINT) / (temperature - pole)
    return VAPOUR_PRESSURE_AT_TRIPLE_POINT * xr.ufuncs.exp(exponent)


def saturation_pressure(temperature: xr.DataArray) -> xr.DataArray:
    """Pressure of saturated water vapour, Pa, in the mixed phase of the IFS, temperature in K.

    Water's share grows from 0 at 250.16 K to 1 at 273.16 K with the square of the temperature's.
    """
    share = (temperature - COLDEST_WATER) / (TRIPLE_POINT - COLDEST_WATER)
    water = share.clip(0.0, 1.0) ** 2
    return water * saturation_pressure_over_water(temperature) + (
        1 - water
    ) * saturation_pressure_over_ice(temperature)


def relative_humidity(
    specific_humidity: xr.DataArray, temperature: xr.DataArray, pressure: xr.DataArray
) -> xr.DataArray:
    """Relative humidity in %, as ERA5 has it on pressure levels: not cut off at 0 or 100.

    Args:
        specific_humidity: kg of vapour in a kg of moist air.
        temperature: K.
        pressure: Pa.
    """
    vapour_pressure = (
        specific_humidity
        * pressure
        / (GAS_CONSTANT_RATIO + (1 - GAS_CONSTANT_RATIO) * specific_humidity)
    )
    return 100 * vapour_pressure / saturation_pressure(temperature)


def _humidity_on_levels(dataset: xr.Dataset) -> xr.DataArray:
    if "level" not in dataset["q"].dims or "level" not in dataset["t"].dims:
        raise InputError(
            "r is derived from q and t on pressure levels, but those of the source have no levels"
        )
    pressure = 100 * dataset["level"].astype(np.float32)
    return relative_humidity(dataset["q"], dataset["t"], pressure)


def _humidity_at_2_metres(dataset: xr.Dataset) -> xr.DataArray:
    vapour_pressure = saturation_pressure_over_water(dataset["d2m"])
    return 100 * vapour_pressure / saturation_pressure_over_water(dataset["t2m"])


# --- wind


def _speed(eastward: xr.DataArray, northward: xr.DataArray) -> xr.DataArray:
    return xr.ufuncs.sqrt(eastward**2 + northward**2)


def _speed_at_10_metres(dataset: xr.Dataset) -> xr.DataArray:
    return _speed(dataset["u10"], dataset["v10"])


def _speed_on_levels(dataset: xr.Dataset) -> xr.DataArray:
    return _speed(dataset["u"], dataset["v"])


# --- insolation

# W m-2 at the mean distance of the sun: Kopp and Lean (2011, Geophys. Res. Lett. 38, L01706), and
# the default of ECMWF's radiation scheme ecRad. ERA5's own values change from year to year with
# the sun's activity, between 1360.7 and 1361.9 (the series of CMIP5 times 0.9965).
SOLAR_CONSTANT = 1361.0
SECONDS_IN_A_DAY = 86400.0
# By which the sun moves on in an hour, radians.
HOUR = np.pi / 12
J2000 = np.datetime64("2000-01-01T12:00", "s")


def sun_position(days: Float) -> tuple[Float, Float, Float]:
    """Where the sun stands.

    The low-precision formulae of the Astronomical Almanac ("Computing approximate solar
    coordinates", US Naval Observatory): right to about a minute of arc from 1800 to 2200. With the
    IFS's own formulae, the sunshine of an hour differs by less than 0.1 % of full sun (1979-2024).

    Args:
        days: since J2000, noon on 1 January 2000.

    Returns:
        Declination in radians, equation of time in radians (apparent minus mean solar time), and
        distance in astronomical units.
    """
    anomaly = np.deg2rad(357.529 + 0.98560028 * days)
    mean_longitude = np.deg2rad(280.459 + 0.98564736 * days)
    longitude = mean_longitude + np.deg2rad(1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.deg2rad(23.439 - 3.6e-7 * days)
    distance = 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly)
    declination = np.arcsin(np.sin(obliquity) * np.sin(longitude))
    right_ascension = np.arctan2(np.cos(obliquity) * np.sin(longitude), np.cos(longitude))
    return declination, _within_half_turn(mean_longitude - right_ascension), distance


def _within_half_turn(angle: Float) -> Float:
    """The same direction in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def hourly_insolation(
    times: NDArray[np.datetime64], latitude: Float, longitude: Float
) -> NDArray[np.float32]:
    """Sunshine on a level surface at the top of the atmosphere in the hour before each time.

    Declination and distance are those in the middle of the hour; over it, the cosine of the zenith
    angle is integrated exactly, from sunrise or to sunset where these fall into it.

    Args:
        times: (T,) ends of the hours, UTC.
        latitude: (H,) degrees north.
        longitude: (W,) degrees east.

    Returns:
        (T, H, W) J m-2.
    """
    # Files may have a pole at 90.0001 degrees.
    row = np.deg2rad(np.clip(latitude.astype(np.float64), -90.0, 90.0))[:, None]
    column = np.deg2rad(longitude.astype(np.float64))
    days = (times - J2000) / np.timedelta64(1, "s") / SECONDS_IN_A_DAY - 0.5 / 24
    declination, equation_of_time, distance = sun_position(days)
    # J2000 is a noon: what is left of whole days is the time since noon at Greenwich.
    noon_angle = 2 * np.pi * (days % 1) + equation_of_time
    joules = SOLAR_CONSTANT / distance**2 * 3600 / HOUR
    result = np.empty((times.size, latitude.size, longitude.size), dtype=np.float32)
    # One map at a time keeps the double-precision arrays in between small.
    for index in range(times.size):
        start = _within_half_turn(noon_angle[index] + column - HOUR / 2)
        result[index] = joules[index] * _integrated_cosine(row, start, float(declination[index]))
    return result


def _integrated_cosine(latitude: Float, start: Float, declination: float) -> Float:
    """(H, W) integral of the cosine of the sun's zenith angle while the sun is up.

    Args:
        latitude: (H, 1) radians.
        start: (W,) hour angles in [-pi, pi) at which the hour begins; noon is 0.
        declination: of the sun, radians.
    """
    # cos(zenith angle) = mean + amplitude * cos(hour angle); neither cosine is quite 0 at a pole.
    mean = np.sin(latitude) * np.sin(declination)
    amplitude = np.cos(latitude) * np.cos(declination)
    sunset = np.arccos(np.clip(-mean / amplitude, -1.0, 1.0))
    until_sunset = mean * sunset + amplitude * np.sin(sunset)

    def since_noon(angle: Float) -> Float:
        """Antiderivative; it stands still while the sun is down."""
        by_day = mean * angle + amplitude * np.sin(angle)
        after_sunset = np.where(angle > sunset, until_sunset, by_day)
        return np.where(angle < -sunset, -until_sunset, after_sunset)

    stop = start + HOUR
    integral = since_noon(stop) - since_noon(start)
    # An hour across midnight reaches into the following day.
    late = stop > np.pi
    integral[:, late] += since_noon(stop[late] - 2 * np.pi) - since_noon(start[late] - 2 * np.pi)
    # Rounding may leave a trace below zero at the edge of the night.
    return np.maximum(integral, 0.0)


def _insolation(dataset: xr.Dataset) -> xr.DataArray:
    """Chunked as the dataset's fields are; computed at once where these are in memory."""
    dims = ("time", "latitude", "longitude")
    times, latitude, longitude = (dataset[dim].values for dim in dims)
    like = next((f for f in dataset.data_vars.values() if "time" in f.chunksizes), None)
    if like is None:
        return xr.DataArray(hourly_insolation(times, latitude, longitude), dims=dims)
    chunks = tuple(like.chunksizes[dim] for dim in dims)
    whole_maps = dask.array.map_blocks(
        hourly_insolation, dask.array.from_array(times, chunks=(chunks[0],)),
        latitude=latitude, longitude=longitude,
        new_axis=[1, 2], chunks=(chunks[0], (latitude.size,), (longitude.size,)),
        dtype=np.float32, meta=np.empty((0, 0, 0), dtype=np.float32),
    )  # fmt: skip
    return xr.DataArray(whole_maps.rechunk(chunks), dims=dims)


# --- the table of what can be derived


@dataclass(frozen=True)
class Derivation:
    """One way to a variable; the first whose ingredients are there is taken.

    Attributes:
        name: short name of what is derived.
        ingredients: short names of what it is derived from.
        compute: a canonical dataset that has them -> the field in the units of `variables`,
            lazily where they are lazy; an ingredient's level axis is kept.
        comment: how, for the field's attribute of that name.
    """

    name: str
    ingredients: tuple[str, ...]
    compute: Callable[[xr.Dataset], xr.DataArray]
    comment: str


DERIVATIONS: tuple[Derivation, ...] = (
    Derivation(
        "ws10", ("u10", "v10"), _speed_at_10_metres,
        "speed of the wind (u10, v10) on the grid of the source",
    ),
    Derivation(
        "ws", ("u", "v"), _speed_on_levels, "speed of the wind (u, v) on the grid of the source"
    ),
    Derivation(
        "r2m", ("t2m", "d2m"), _humidity_at_2_metres,
        "from temperature t2m and dew point d2m, over water (IFS documentation CY41R2, part IV, "
        "7.2.1b)",
    ),
    Derivation(
        "r", ("q", "t"), _humidity_on_levels,
        "from specific humidity q, temperature t and the pressure of the level, over water and ice "
        "by temperature (IFS documentation CY41R2, part IV, 7.2.1b)",
    ),
    Derivation(
        "tisr", (), _insolation,
        "in the hour before each time, from the calendar: solar constant "
        f"{SOLAR_CONSTANT:g} W m-2, exact integral over the hour",
    ),
)  # fmt: skip

# Maps that nothing else tells: they are taken from a source that has them.
TAKEN: tuple[str, ...] = tuple(v.name for v in VARIABLES if v.static)


def needs(name: str, available: Collection[str]) -> tuple[str, ...]:
    """Variables of the source from which `name` is derived.

    Args:
        name: short name; that of a static map needs the map itself.
        available: short names of what the source has.

    Raises:
        InputError: a name that can't be derived (those that can are listed), or a source without
            what it is derived from.
    """
    if name in TAKEN:
        if name not in available:
            raise InputError(
                f"{name} is a map that only the source can give, but it has {_listed(available)}; "
                "leave it out, or add the map to the source"
            )
        return (name,)
    return _derivation(name, available).ingredients


def derive(dataset: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """The dataset with these variables added, on its own grid and lazily where it is lazy.

    Args:
        dataset: canonical, with what the names need.
        names: short names; static maps must be in the dataset already and stay as they are. A
            variable that is there already is derived anew.

    Raises:
        InputError: as `needs`.
    """
    has = [str(name) for name in dataset.data_vars]
    derived: dict[str, xr.DataArray] = {}
    for name in names:
        if name in TAKEN:
            needs(name, has)
            continue
        derivation = _derivation(name, has)
        field = derivation.compute(dataset).astype(np.float32)
        about = variable(name)
        field.attrs = {
            "units": about.units,
            "long_name": about.long_name,
            "comment": derivation.comment,
        }
        if about.standard_name:
            field.attrs["standard_name"] = about.standard_name
        derived[name] = field
    return dataset.assign(derived)


def _derivation(name: str, available: Collection[str]) -> Derivation:
    ways = [derivation for derivation in DERIVATIONS if derivation.name == name]
    if not ways:
        known = [*dict.fromkeys(derivation.name for derivation in DERIVATIONS), *TAKEN]
        raise InputError(
            f"{name!r} can't be derived; expected {', '.join(known)}{near_misses(name, known)}"
        )
    possible = [way for way in ways if set(way.ingredients) <= set(available)]
    if not possible:
        wanted = ", or from ".join(" and ".join(way.ingredients) for way in ways)
        raise InputError(
            f"{name} is derived from {wanted}, but the source has {_listed(available)}; leave it "
            "out, or add what is missing"
        )
    return possible[0]


def _listed(names: Collection[str]) -> str:
    return f"only {', '.join(sorted(names))}" if names else "no variable that is known"
