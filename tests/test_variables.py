"""The table of names: no two variables share one, units convert, near misses are suggested."""

from __future__ import annotations

from collections import Counter

import pytest

from weathersvq.errors import InputError
from weathersvq.variables import (
    VARIABLES,
    Channel,
    conversion,
    identify,
    parse_channels,
    variable,
)


def test_the_table_has_the_promised_variables() -> None:
    near_surface = {"t2m", "d2m", "r2m", "u10", "v10", "ws10", "sp", "msl", "tcc", "tp", "tisr"}
    on_levels = {"r", "t", "u", "v", "ws", "z", "q", "pv", "vo"}
    static = {"lsm", "orography"}
    assert {v.name for v in VARIABLES} == near_surface | on_levels | static
    assert {v.name for v in VARIABLES if v.on_levels} == on_levels
    assert {v.name for v in VARIABLES if v.static} == static
    at_2_metres = {v.name for v in VARIABLES if v.height == 2}
    assert at_2_metres == {"t2m", "d2m", "r2m"}
    at_10_metres = {v.name for v in VARIABLES if v.height == 10}
    assert at_10_metres == {"u10", "v10", "ws10"}


def test_what_may_be_uniform() -> None:
    # A clear sky, a dry day, the night, the sea, fog.
    uniform = {"tcc", "tp", "tisr", "lsm", "orography", "r", "r2m"}
    assert {v.name for v in VARIABLES if v.may_be_uniform} == uniform


def test_no_name_means_two_variables() -> None:
    counts = Counter(name for v in VARIABLES for name in set(v.names))
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("entry", VARIABLES, ids=lambda v: v.name)
def test_every_name_is_identified_and_units_are_their_own(entry) -> None:  # type: ignore[no-untyped-def]
    assert all(identify(name, {}) is entry for name in entry.names)
    assert conversion(entry, entry.units) == (1.0, 0.0)
    assert entry.valid_range[0] < entry.valid_range[1]


def test_units_by_hand() -> None:
    assert conversion(variable("t2m"), "degC") == (1.0, 273.15)
    assert conversion(variable("r"), "1") == (100.0, 0.0)
    assert conversion(variable("tcc"), "%") == (0.01, 0.0)
    scale, _ = conversion(variable("u10"), "knots")
    assert scale * 10 == pytest.approx(5.14444, abs=1e-5)  # a knot is 1852 m in 3600 s
    assert conversion(variable("msl"), "hPa") == (100.0, 0.0)
    assert conversion(variable("sp"), "millibars") == (100.0, 0.0)
    assert conversion(variable("lsm"), "%") == (0.01, 0.0)
    assert conversion(variable("r2m"), "1") == (100.0, 0.0)
    assert conversion(variable("d2m"), "degC") == (1.0, 273.15)


@pytest.mark.parametrize("units", ["m2 s-2", "m**2 s**-2"])
def test_the_geopotential_of_the_surface_is_its_altitude(units: str) -> None:
    scale, offset = conversion(variable("orography"), units)
    assert scale * 9806.65 + offset == pytest.approx(1000)  # g is 9.80665 m s-2
    assert conversion(variable("z"), units) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("name", "units"), [("orography", "kg m-2"), ("orography", "mm"), ("tp", "m2 s-2"), ("z", "m")]
)
def test_altitudes_are_neither_rain_nor_geopotential(name: str, units: str) -> None:
    with pytest.raises(InputError, match=f"{name} is given in '{units}'"):
        conversion(variable(name), units)


def test_foreign_units_are_refused() -> None:
    with pytest.raises(InputError, match="t2m is given in 'm/s'"):
        conversion(variable("t2m"), "m/s")


def test_standard_names_decide_only_where_they_are_unambiguous() -> None:
    assert identify("strange", {"standard_name": "cloud_area_fraction"}) is variable("tcc")
    assert identify("strange", {"standard_name": "eastward_wind"}) is variable("u")
    assert identify("strange", {"standard_name": "relative_humidity"}) is variable("r")
    assert identify("strange", {"standard_name": "wind_speed"}) is variable("ws")
    assert identify("strange", {"standard_name": "surface_air_pressure"}) is variable("sp")
    # Of dew points only the one at 2 metres is known; this one may be anywhere.
    assert identify("strange", {"standard_name": "dew_point_temperature"}) is None
    assert identify("strange", {}) is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("hurs", "r2m"), ("hur", "r"), ("relative_humidity", "r"), ("2r", "r2m"),
        ("2m_dewpoint_temperature", "d2m"), ("2d", "d2m"),
        ("ps", "sp"), ("psl", "msl"), ("mean_sea_level_pressure", "msl"),
        ("10m_wind_speed", "ws10"), ("sfcWind", "ws10"), ("wind_speed", "ws"),
        ("land_sea_mask", "lsm"), ("sftlf", "lsm"),
        ("geopotential_at_surface", "orography"), ("orog", "orography"), ("geopotential", "z"),
    ],
)  # fmt: skip
def test_names_of_archives(name: str, meant: str) -> None:
    shared = {"standard_name": variable(meant).standard_name}
    assert identify(name, {}) is identify(name, shared) is variable(meant)


def test_one_name_of_grib_has_two_meanings() -> None:
    assert identify("z", {"GRIB_typeOfLevel": "surface"}) is variable("orography")
    assert identify("z", {"GRIB_typeOfLevel": "isobaricInhPa"}) is variable("z")
    assert identify("z", {}) is variable("z")


def test_unknown_name_suggests_and_lists() -> None:
    with pytest.raises(
        InputError, match=r"unknown variable 't2n'; known are t2m.*did you mean 't2m'"
    ):
        variable("t2n")


def test_channels() -> None:
    channels = parse_channels("t2m, uv10,r@1000")
    assert list(map(str, channels)) == ["t2m", "u10", "v10", "r@1000"]
    assert channels[-1] == Channel("r", 1000)
    assert Channel.parse("r@1000").variable is variable("r")


@pytest.mark.parametrize("text", ["", "t2m,t2m", "uv10,u10", "r@low", "rain"])
def test_bad_channels(text: str) -> None:
    with pytest.raises(InputError):
        parse_channels(text)
