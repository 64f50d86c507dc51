"""Derived variables: wind speed, humidity and insolation by hand and by other formulae."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from weathersvq.data import derive as module
from weathersvq.data.canonical import to_canonical
from weathersvq.data.derive import (
    DERIVATIONS,
    SOLAR_CONSTANT,
    TAKEN,
    Derivation,
    derive,
    hourly_insolation,
    needs,
    relative_humidity,
    saturation_pressure,
    saturation_pressure_over_ice,
    saturation_pressure_over_water,
    sun_position,
)
from weathersvq.data.regrid import Regridder
from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.variables import variable

Make = Callable[..., xr.Dataset]
KELVIN = 273.15
LEVELS = (150, 500, 850)


def field(value: float, *, levels: bool = False, dtype: type = np.float32) -> xr.DataArray:
    """(2, [3,] 2, 3) of one value."""
    axes: dict[str, Any] = {"time": np.datetime64("2018-01-01", "s") + np.arange(2) * 3600}
    if levels:
        axes["level"] = list(LEVELS)
    axes |= {"latitude": [50.0, 55.0], "longitude": [0.0, 5.0, 10.0]}
    shape = tuple(len(axis) for axis in axes.values())
    return xr.DataArray(np.full(shape, value, dtype), axes, list(axes))


def kelvin(celsius: float) -> xr.DataArray:
    return xr.DataArray(np.float64(celsius + KELVIN))


# Each derived variable with ingredients by hand.
CASES = {
    "ws10": ({"u10": field(3), "v10": field(-4)}, 5.0),
    "ws": ({"u": field(-5, levels=True), "v": field(12, levels=True)}, 13.0),
    "r2m": ({"t2m": field(KELVIN + 20), "d2m": field(KELVIN + 20)}, 100.0),
    # 10 g of vapour in a kg of air at 500 hPa: e = 0.01 x 50000 / (0.62198 + 0.37802 x 0.01)
    # = 799.0 Pa; at 25 C, where water vapour is saturated at 3169 Pa (steam tables): 25.2 %.
    "r": (
        {"q": field(0.01, levels=True), "t": field(KELVIN + 25, levels=True)},
        [25.2 * 150 / 500, 25.2, 25.2 * 850 / 500],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_values_by_hand(name: str) -> None:
    ingredients, expected = CASES[name]
    dataset = xr.Dataset(ingredients)
    result = derive(dataset, [name])
    first = next(iter(ingredients.values()))
    assert result[name].dims == first.dims
    assert result[name].dtype == np.float32
    assert set(result) == {*ingredients, name}
    maps = result[name].isel(time=1, latitude=0, longitude=2)
    np.testing.assert_allclose(maps, expected, rtol=2e-3 if name == "r" else 1e-6)


def test_double_precision_goes_in_and_single_comes_out() -> None:
    dataset = xr.Dataset({name: field(3, dtype=np.float64) for name in ("u10", "v10")})
    result = derive(dataset, ["ws10", "tisr"])
    assert result.ws10.dtype == result.tisr.dtype == np.float32
    assert result.u10.dtype == np.float64


def test_every_derivation_is_tried_here_and_in_the_table() -> None:
    assert {d.name for d in DERIVATIONS} == {*CASES, "tisr"}
    for derivation in DERIVATIONS:
        assert all(variable(n) for n in (derivation.name, *derivation.ingredients))
    assert TAKEN == ("lsm", "orography")


def all_ingredients() -> xr.Dataset:
    return xr.Dataset({n: f for ingredients, _ in CASES.values() for n, f in ingredients.items()})


def test_attributes_say_what_it_is_and_how_it_was_made() -> None:
    result = derive(all_ingredients(), [*CASES, "tisr"])
    for derivation in DERIVATIONS:
        about = variable(derivation.name)
        attributes = dict(result[derivation.name].attrs)
        assert attributes.pop("comment") == derivation.comment
        assert attributes.pop("standard_name", "") == about.standard_name
        assert attributes == {"units": about.units, "long_name": about.long_name}


def test_nothing_is_computed_until_it_is_wanted() -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise AssertionError("computed")

    def lazy(array: xr.DataArray) -> xr.DataArray:
        steps = dask.array.ones(array.shape, chunks=(1, *array.shape[1:-1], 2))
        return array.copy(
            data=steps.map_blocks(fail, dtype=np.float32, meta=np.zeros((0,) * array.ndim))
        )

    dataset = all_ingredients().map(lazy)
    result = derive(dataset, [*CASES, "tisr"])
    for name in (*CASES, "tisr"):
        assert result[name].chunksizes["time"] == (1, 1)
        assert result[name].chunksizes["longitude"] == (2, 1)
    with pytest.raises(AssertionError, match="computed"):
        result["ws10"].compute()
    # The sun needs nothing but the axes.
    at_once = derive(all_ingredients(), ["tisr"])["tisr"]
    np.testing.assert_array_equal(result["tisr"].compute(), at_once)
    assert at_once.chunks is None


def test_the_mean_of_the_speed_is_not_the_speed_of_the_mean(make_wave: Make) -> None:
    wave = make_wave(steps=2, names=("u10", "v10"), grid=Grid.equiangular(2.8125))
    opposed = wave.assign(u10=wave.u10 * 0 + np.where(np.arange(128) % 2, 3, -3))
    opposed["v10"] = wave.v10 * 0
    regridder = Regridder(Grid.of(opposed), GLOBAL_5625)
    assert regridder(derive(opposed, ["ws10"]).ws10.values).min() == pytest.approx(3, abs=1e-5)
    assert abs(regridder(opposed.u10.values)).max() < 2


class TestHumidity:
    @pytest.mark.parametrize(
        ("celsius", "hectopascal"), [(0, 6.11), (10, 12.27), (20, 23.4), (30, 42.4), (100, 1013.25)]
    )
    def test_saturation_over_water_in_the_textbook(
        self, celsius: float, hectopascal: float
    ) -> None:
        pressure = saturation_pressure_over_water(kelvin(celsius)) / 100
        # The formula is one for weather: at the boiling point it is 2 % high.
        assert float(pressure) == pytest.approx(hectopascal, rel=3e-2 if celsius == 100 else 2e-3)

    @pytest.mark.parametrize(("celsius", "pascal"), [(-10, 259.9), (-20, 103.2), (-40, 12.84)])
    def test_saturation_over_ice_in_the_textbook(self, celsius: float, pascal: float) -> None:
        pressure = saturation_pressure_over_ice(kelvin(celsius))
        assert float(pressure) == pytest.approx(pascal, rel=5e-3)

    def test_water_above_freezing_ice_in_the_cold_and_both_between(self) -> None:
        warm, cold, middle = (kelvin(c) for c in (5.0, -30.0, 261.66 - KELVIN))
        assert saturation_pressure(warm) == saturation_pressure_over_water(warm)
        assert saturation_pressure(cold) == saturation_pressure_over_ice(cold)
        # Half-way between 250.16 K and 273.16 K a quarter is water.
        mixed = 0.25 * saturation_pressure_over_water(middle)
        mixed += 0.75 * saturation_pressure_over_ice(middle)
        np.testing.assert_allclose(saturation_pressure(middle), mixed, rtol=1e-12)

    def test_dew_point_below_temperature(self) -> None:
        # Dew point 10 C at 20 C: 12.27 hPa of 23.37 hPa.
        dataset = xr.Dataset({"t2m": field(KELVIN + 20), "d2m": field(KELVIN + 10)})
        np.testing.assert_allclose(derive(dataset, ["r2m"]).r2m, 52.5, atol=0.1)

    def test_frost_at_2_metres_is_still_taken_over_water(self) -> None:
        dataset = xr.Dataset({"t2m": field(250), "d2m": field(248)})
        expected = saturation_pressure_over_water(xr.DataArray(248.0))
        expected = 100 * expected / saturation_pressure_over_water(xr.DataArray(250.0))
        np.testing.assert_allclose(derive(dataset, ["r2m"]).r2m, expected, rtol=1e-5)

    @settings(max_examples=50, deadline=None)
    @given(st.floats(190, 315), st.floats(1, 120), st.sampled_from([50, 300, 700, 1000]))
    def test_back_through_the_mixing_ratio(
        self, temperature: float, percent: float, hectopascal: int
    ) -> None:
        # Vapour over dry air by Dalton's law, then vapour over all air.
        share = 287.0597 / 461.5250
        vapour = percent / 100 * float(saturation_pressure(xr.DataArray(temperature)))
        dry = 100 * hectopascal - vapour
        assume(dry > 0.5 * 100 * hectopascal)  # or it would boil
        mixing_ratio = share * vapour / dry
        specific = mixing_ratio / (1 + mixing_ratio)
        back = relative_humidity(
            xr.DataArray(np.float32(specific)),
            xr.DataArray(np.float32(temperature)),
            xr.DataArray(np.float32(100 * hectopascal)),
        )
        assert back.dtype == np.float32
        assert float(back) == pytest.approx(percent, rel=2e-5)

    def test_without_levels_there_is_no_pressure(self) -> None:
        dataset = xr.Dataset({"q": field(0.01), "t": field(280)})
        with pytest.raises(InputError, match="those of the source have no levels"):
            derive(dataset, ["r"])


FULL_SUN = SOLAR_CONSTANT * 3600


def hours(first: str, count: int) -> np.ndarray:
    """Ends of hours."""
    return np.datetime64(first, "s") + np.arange(count) * np.timedelta64(3600, "s")


def days_since_2000(times: np.ndarray) -> np.ndarray:
    return (times - np.datetime64("2000-01-01T12:00")) / np.timedelta64(1, "D").astype("m8[s]")


class TestSun:
    @pytest.mark.parametrize(
        ("time", "degrees"),
        [
            ("2000-03-20T07:35", 0.0),  # equinoxes and solstices by the almanac
            ("2016-03-20T04:30", 0.0),
            ("2018-09-23T01:54", 0.0),
            ("2017-06-21T04:24", 23.435),
            ("2020-12-21T10:02", -23.436),
        ],
    )
    def test_seasons_begin_on_time(self, time: str, degrees: float) -> None:
        declination, _, _ = sun_position(days_since_2000(np.array([time], "M8[s]")))
        # A quarter of an hour at an equinox.
        assert np.rad2deg(declination[0]) == pytest.approx(degrees, abs=0.004)

    def test_perihelion_and_aphelion_2018(self) -> None:
        times = hours("2018-01-01", 365 * 24)
        _, _, distance = sun_position(days_since_2000(times))
        assert distance.min() == pytest.approx(0.98328, abs=5e-5)
        assert distance.max() == pytest.approx(1.01670, abs=5e-5)
        # 3 January 5:35, 6 July 16:47: the formula knows no moon, which shifts them by a day.
        assert abs(times[distance.argmin()] - np.datetime64("2018-01-03T06")) < np.timedelta64(
            36, "h"
        )
        assert abs(times[distance.argmax()] - np.datetime64("2018-07-06T17")) < np.timedelta64(
            36, "h"
        )

    @pytest.mark.parametrize(
        ("time", "minutes"),
        [
            ("2018-02-11T12", -14.2),
            ("2018-05-14T12", 3.65),
            ("2018-07-26T12", -6.55),
            ("2018-11-03T12", 16.45),
        ],
    )
    def test_equation_of_time(self, time: str, minutes: float) -> None:
        _, equation, _ = sun_position(days_since_2000(np.array([time], "M8[s]")))
        assert equation[0] / (2 * np.pi) * 24 * 60 == pytest.approx(minutes, abs=0.1)


class TestInsolation:
    @pytest.mark.parametrize("year", [2015, 2016])
    def test_a_year_of_the_whole_globe(self, year: int) -> None:
        # Every 7th hour meets all hours of the day; a sphere is four times its shadow. The mean of
        # the inverse square of the distance exceeds one by half the squared eccentricity, 1.4e-4.
        days = 366 if year == 2016 else 365
        times = hours(f"{year}-01-01T01", days * 24)[::7]
        maps = hourly_insolation(times, GLOBAL_5625.latitude, GLOBAL_5625.longitude)
        mean = np.average(
            maps.mean(axis=(0, 2), dtype=np.float64), weights=GLOBAL_5625.area_weights()
        )
        assert mean == pytest.approx(FULL_SUN / 4, rel=2e-3)

    def test_polar_night_and_polar_day(self) -> None:
        latitude, longitude = np.array([-80.0, 75.0]), np.arange(0, 360, 30.0)
        june = hourly_insolation(hours("2018-06-21T01", 24), latitude, longitude)
        assert (june[:, 0] == 0).all()
        assert (june[:, 1] > 0.1 * FULL_SUN).all()
        december = hourly_insolation(hours("2018-12-21T01", 24), latitude, longitude)
        assert (december[:, 0] > 0.1 * FULL_SUN).all()
        assert (december[:, 1] == 0).all()

    def test_a_day_at_the_pole(self) -> None:
        # At the solstice the sun keeps its height: 23.435 degrees all day, 1.0163 units away.
        times = hours("2018-06-21T00", 24)
        day = hourly_insolation(times, np.array([90.0]), np.array([0.0, 77.0])).sum(axis=0)[0]
        expected = SOLAR_CONSTANT / 1.0163**2 * np.sin(np.deg2rad(23.435)) * 86400
        np.testing.assert_allclose(day, expected, rtol=2e-4)

    @pytest.mark.parametrize("latitude", [0.0, 48.0, -35.0, 70.0])
    def test_a_day_by_the_textbook(self, latitude: float) -> None:
        # Daily insolation: S/d2 x 86400 / pi x (h sin sin + cos cos sin h) with h the sunset.
        times = hours("2018-04-10T01", 24)
        day = hourly_insolation(times, np.array([latitude, 80.0]), np.array([0.0, 180.0]))[:, 0, 0]
        declination, _, distance = sun_position(
            days_since_2000(np.array(["2018-04-10T12"], "M8[s]"))
        )
        phi, delta = np.deg2rad(latitude), declination[0]
        sunset = np.arccos(-np.tan(phi) * np.tan(delta))
        cosine = sunset * np.sin(phi) * np.sin(delta) + np.cos(phi) * np.cos(delta) * np.sin(sunset)
        expected = SOLAR_CONSTANT / distance[0] ** 2 * 86400 / np.pi * cosine
        assert day.sum() == pytest.approx(expected, rel=1e-3)

    def test_symmetric_around_local_noon(self) -> None:
        # One hour ends at local noon, the next begins there: the same sun, but for its slow drift.
        time = hours("2018-06-21T12", 2)
        _, equation, _ = sun_position(days_since_2000(time[:1]))
        noon_here = np.array([-np.rad2deg(equation[0])])
        morning, afternoon = hourly_insolation(time, np.array([52.0]), noon_here)[:, 0, 0]
        assert morning == pytest.approx(afternoon, rel=1e-5)
        assert morning > 0.85 * FULL_SUN * np.cos(np.deg2rad(52 - 23.44))
        west, east = hourly_insolation(
            time[:1], np.array([52.0]), noon_here + np.array([-52.5, 67.5])
        )[0, 0]
        # In the middle of the hour it is 11:30 here and noon 7.5 degrees to the east, half-way
        # between those two.
        assert west == pytest.approx(east, rel=1e-4)

    @settings(max_examples=60, deadline=None)
    @given(
        st.floats(-90, 90),
        st.floats(-180, 540),
        st.integers(0, 60 * 366 * 24),
    )
    def test_as_summed_up_in_small_steps(
        self, latitude: float, longitude: float, hour: int
    ) -> None:
        time = hours("1979-01-01", 1) + np.timedelta64(3600, "s") * hour
        exact = hourly_insolation(time, np.array([latitude, 0.0]), np.array([longitude, 0.0]))[
            0, 0, 0
        ]
        # The sun where it is in the middle of the hour, the earth turning under it.
        days = days_since_2000(time) - 0.5 / 24
        declination, equation, distance = sun_position(days)
        steps = 20000
        turn = (np.arange(steps) + 0.5) / steps / 24 - 0.5 / 24
        angle = 2 * np.pi * (days + turn) + equation + np.deg2rad(longitude)
        phi = np.deg2rad(latitude)
        cosine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(
            angle
        )
        summed = SOLAR_CONSTANT / distance[0] ** 2 * 3600 * np.maximum(cosine, 0).mean()
        assert exact == pytest.approx(summed, rel=1e-4, abs=1e-6 * FULL_SUN)

    @settings(max_examples=25, deadline=None)
    @given(st.floats(-65, 65), st.integers(0, 40 * 365), st.floats(-29, 29), st.booleans())
    def test_hours_in_which_the_sun_rises_or_sets(
        self, latitude: float, day: int, minutes: float, rises: bool
    ) -> None:
        # A place where the sun rises or sets so many minutes from the middle of the hour.
        time = hours("1980-01-01T12", 1) + np.timedelta64(86400, "s") * day
        days = days_since_2000(time) - 0.5 / 24
        declination, equation, distance = sun_position(days)
        phi = np.deg2rad(latitude)
        sunset = float(np.arccos(-np.tan(phi) * np.tan(declination[0])))
        turn = 2 * np.pi / (24 * 60) * minutes
        middle = (-sunset if rises else sunset) - turn
        longitude = np.rad2deg(middle - float(2 * np.pi * (days[0] % 1) + equation[0]))
        exact = hourly_insolation(time, np.array([latitude, 0.0]), np.array([longitude, 0.0]))[
            0, 0, 0
        ]
        angle = middle + (np.arange(200_000) + 0.5) / 200_000 * np.pi / 12 - np.pi / 24
        cosine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(
            angle
        )
        summed = SOLAR_CONSTANT / distance[0] ** 2 * 3600 * np.maximum(cosine, 0).mean()
        assert 0 < exact == pytest.approx(summed, rel=1e-4)

    def test_the_moving_sun_changes_little(self) -> None:
        # Minute by minute, with the sun's own motion: less than 1e-4 of full sun away.
        places = np.linspace(-90, 90, 13), np.arange(0, 360, 24.0)
        exact = hourly_insolation(hours("2018-03-20T09", 1), *places)[0]
        summed = np.zeros_like(exact, dtype=np.float64)
        for minute in range(60):
            time = np.datetime64("2018-03-20T08:00:30") + np.timedelta64(60 * minute, "s")
            declination, equation, distance = sun_position(days_since_2000(np.array([time])))
            angle = 2 * np.pi * (days_since_2000(np.array([time])) + places[1] / 360) + equation
            phi = np.deg2rad(places[0])[:, None]
            cosine = np.sin(phi) * np.sin(declination)
            cosine = cosine + np.cos(phi) * np.cos(declination) * np.cos(angle)
            summed += SOLAR_CONSTANT / distance**2 * 60 * np.maximum(cosine, 0)
        np.testing.assert_allclose(exact, summed, atol=1e-4 * FULL_SUN)

    def test_leap_days_are_days(self) -> None:
        # Noon by noon at 45 N in late winter the days get longer, on 29 February as on others.
        noons = np.arange(
            np.datetime64("2016-02-26T12:30", "s"), np.datetime64("2016-03-04"), 86400
        )
        maps = hourly_insolation(noons, np.array([45.0, 50.0]), np.array([0.0, 5.0]))[:, 0, 0]
        growth = np.diff(maps) / FULL_SUN
        assert growth == pytest.approx(0.0048, abs=0.0005)

    def test_the_unit_of_time_does_not_matter(self) -> None:
        times = hours("2018-06-01T01", 3)
        grid = GLOBAL_5625.latitude, GLOBAL_5625.longitude
        np.testing.assert_array_equal(
            hourly_insolation(times, *grid), hourly_insolation(times.astype("M8[ns]"), *grid)
        )

    def test_a_pole_beyond_the_pole(self) -> None:
        # Rounded latitudes of files.
        latitude = np.array([-90.0004, 0.0, 90.0004])
        maps = hourly_insolation(hours("2018-06-21T12", 1), latitude, np.array([0.0, 180.0]))
        assert maps[0, 0].tolist() == [0, 0]
        # At 23.43 degrees above the horizon, 1.0163 units away.
        expected = FULL_SUN / 1.0163**2 * np.sin(np.deg2rad(23.43))
        np.testing.assert_allclose(maps[0, 2], expected, rtol=1e-3)

    def test_never_below_zero(self) -> None:
        # Hours that end with sunrise, where the lit part of a thousandth of a second is all
        # rounding.
        time = hours("2018-10-18T12", 1)
        days = days_since_2000(time) - 0.5 / 24
        declination, equation, _ = sun_position(days)
        latitude = -23.5
        sunset = np.arccos(-np.tan(np.deg2rad(latitude)) * np.tan(declination[0]))
        noon_at = -np.rad2deg(2 * np.pi * (days[0] % 1) + equation[0])
        sunrise_at = noon_at - np.rad2deg(sunset) - 7.5
        longitude = sunrise_at + np.linspace(-1e-6, 5e-6, 4000)
        maps = hourly_insolation(time, np.array([latitude, 0.0]), longitude)
        assert maps.min() == 0
        assert 0 < maps[0, 0].max() < 1e-3


class TestNeeds:
    def test_ingredients(self) -> None:
        assert needs("ws10", ["t2m", "u10", "v10"]) == ("u10", "v10")
        assert needs("r", {"t": 1, "q": 2}) == ("q", "t")
        assert needs("tisr", []) == ()

    def test_static_maps_are_taken_from_the_source(self) -> None:
        assert needs("lsm", ["t2m", "lsm"]) == ("lsm",)
        with pytest.raises(InputError, match=r"orography is a map .* it has only lsm, t2m; leave"):
            needs("orography", ["t2m", "lsm"])

    def test_static_maps_stay_as_they_are(self) -> None:
        dataset = all_ingredients().assign(lsm=field(1).isel(time=0, drop=True))
        result = derive(dataset, ["lsm", "ws10"])
        assert result.lsm.identical(dataset.lsm)
        assert set(result) == {*dataset, "ws10"}
        with pytest.raises(InputError, match="lsm is a map"):
            derive(dataset.drop_vars("lsm"), ["lsm"])

    @pytest.mark.parametrize(
        ("has", "told"),
        [
            (["t2m", "u10"], "ws10 is derived from u10 and v10, but the source has only t2m, u10;"),
            ([], "ws10 is derived from u10 and v10, but the source has no variable that is known;"),
        ],
    )
    def test_missing_ingredients(self, has: list[str], told: str) -> None:
        with pytest.raises(InputError, match=told) as error:
            needs("ws10", has)
        assert "\n" not in str(error.value)
        with pytest.raises(InputError, match=told):
            derive(xr.Dataset({name: field(1) for name in has}), ["ws10"])

    def test_unknown_names(self) -> None:
        told = "'ws100' can't be derived; expected ws10, ws, .*orography; did you mean 'ws10'"
        for attempt in (lambda: needs("ws100", []), lambda: derive(all_ingredients(), ["ws100"])):
            with pytest.raises(InputError, match=told) as error:
                attempt()
            assert "\n" not in str(error.value)
        with pytest.raises(InputError, match="'t2m' can't be derived"):
            needs("t2m", ["t2m"])

    def test_another_way_is_one_more_entry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        other = Derivation("ws10", ("ws",), lambda dataset: dataset["ws"].isel(level=-1), "lowest")
        monkeypatch.setattr(module, "DERIVATIONS", (*DERIVATIONS, other))
        assert needs("ws10", ["ws"]) == ("ws",)
        assert needs("ws10", ["ws", "u10", "v10"]) == ("u10", "v10")
        with pytest.raises(InputError, match="from u10 and v10, or from ws, but"):
            needs("ws10", ["v10"])

    def test_an_old_field_is_replaced(self) -> None:
        dataset = xr.Dataset({"u10": field(3), "v10": field(4), "ws10": field(99)})
        assert float(derive(dataset, ["ws10"]).ws10.max()) == pytest.approx(5)


def test_a_source_with_its_own_names_and_levels(make_wave: Make) -> None:
    # As WeatherBench 2 has it: long names, any order of levels.
    wave = make_wave(steps=3)
    temperature = wave.t2m.drop_attrs().expand_dims(level=[1000, 500], axis=1)
    source = xr.Dataset({"temperature": temperature, "specific_humidity": temperature * 0 + 4e-3})
    canonical = to_canonical(source, "long")
    result = derive(canonical, ["r"])
    assert result.r.dims == ("time", "level", "latitude", "longitude")
    assert result.level.values.tolist() == [500, 1000]
    # Twice the pressure is twice the vapour pressure.
    ratio = result.r.sel(level=1000) / result.r.sel(level=500)
    np.testing.assert_allclose(ratio, 2.0, rtol=1e-5)
