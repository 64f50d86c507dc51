"""Axes: whatever a file calls them and however it orders them, one canonical form."""

from __future__ import annotations

from collections.abc import Callable

import cftime
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from weathersvq.data.axes import (
    ascending_longitudes,
    in_hours,
    levels_in_hectopascal,
    name_axes,
    orient,
    whole_seconds,
)
from weathersvq.errors import InputError
from weathersvq.grid import Grid

Make = Callable[..., xr.Dataset]


@given(
    step=st.sampled_from([0.25, 1.0, 5.625, 7.5]),
    first=st.floats(-360, 360),
    share=st.floats(0.05, 1.0),
    seed=st.integers(0, 2**32 - 1),
    westward=st.booleans(),
)
def test_longitudes_ascend_in_one_run(
    step: float, first: float, share: float, seed: int, westward: bool
) -> None:
    count = max(3, int(360 / step * share))
    given_form = first + step * np.arange(count)
    if westward:
        given_form = np.mod(given_form + 180, 360) - 180
    order = np.arange(count)
    np.random.default_rng(seed).shuffle(order)
    east, columns = ascending_longitudes(given_form[order], "any")
    # Each column keeps its place on the globe, and neighbours lie one step apart.
    turns = (east - given_form[order][columns]) / 360
    np.testing.assert_allclose(turns, turns.round(), atol=1e-9)
    np.testing.assert_allclose(np.diff(east), step, atol=1e-9)
    assert -180 <= east[0] < 360
    assert sorted(columns) == list(range(count))


@pytest.mark.parametrize(
    ("longitudes", "expected"),
    [
        ([-180, -90, 0, 90], [0, 90, 180, 270]),  # global
        ([350, 355, 0, 5], [-10, -5, 0, 5]),  # across the prime meridian
        ([-10, -5, 0, 5], [-10, -5, 0, 5]),
        ([170, 175, -180, -175], [170, 175, 180, 185]),  # across the date line
        ([-20, -15, -10], [340, 345, 350]),
        ([359.99999, 90, 180, 270], [-1e-5, 90, 180, 270]),  # rounded below the meridian
    ],
)
def test_longitudes_of_known_regions(longitudes: list[float], expected: list[float]) -> None:
    east, _ = ascending_longitudes(np.array(longitudes), "region")
    np.testing.assert_allclose(east, expected, atol=1e-9)


def test_the_column_that_closes_the_circle_is_refused() -> None:
    with pytest.raises(InputError, match="plot has the longitude 0 twice"):
        ascending_longitudes(np.arange(0, 361, 10.0), "plot")


@pytest.mark.parametrize(
    ("units", "values", "expected"),
    [
        ("hPa", [850.0, 500.0], [850, 500]),
        ("millibars", [1000], [1000]),
        ("Pa", [100000.0, 100.0], [1000, 1]),
        ("", [50, 500, 1000], [50, 500, 1000]),
        ("", [5000.0, 85000.0], [50, 850]),
    ],
)
def test_levels(units: str, values: list[float], expected: list[int]) -> None:
    level = xr.DataArray(values, dims="level", attrs={"units": units} if units else {})
    levels = levels_in_hectopascal(level, "any")
    assert levels.tolist() == expected
    assert levels.dtype == np.int64


@pytest.mark.parametrize(
    ("units", "values", "message"),
    [
        ("1", [1, 2, 3], "levels 1, 2, 3 in '1'; expected pressure levels"),
        ("sigma_level", [0.995], "in 'sigma_level'"),
        ("hPa", [0.5, 10.0], "expected whole hPa"),
        ("Pa", [15.0], "expected whole hPa"),
    ],
)
def test_levels_that_are_none(units: str, values: list[float], message: str) -> None:
    level = xr.DataArray(values, dims="level", attrs={"units": units})
    with pytest.raises(InputError, match=message):
        levels_in_hectopascal(level, "any")


@pytest.mark.parametrize(
    "names",
    [
        {"time": "valid_time", "latitude": "lat", "longitude": "lon"},
        {"latitude": "y", "longitude": "x"},
        {"time": "initial_time0_hours", "latitude": "g0_lat_1", "longitude": "g0_lon_2"},
    ],
    ids=["short", "plain", "marked by units alone"],
)
def test_axes_by_any_name(make_wave: Make, names: dict[str, str]) -> None:
    dataset = make_wave(steps=3)
    dataset.latitude.attrs["units"] = "degrees_north"
    dataset.longitude.attrs["units"] = "degrees_east"
    named = name_axes(dataset.rename(names), "any")
    assert named.t2m.dims == ("time", "latitude", "longitude")
    assert set(named.coords) == {"time", "latitude", "longitude"}


def test_labels_are_dropped_and_members_squeezed(make_wave: Make) -> None:
    dataset = make_wave(steps=3).expand_dims(number=[4]).assign_coords(surface=0.0, step=0)
    named = name_axes(dataset, "member")
    assert named.t2m.dims == ("time", "latitude", "longitude")
    assert set(named.coords) == {"time", "latitude", "longitude"}


def test_the_time_is_that_of_the_weather_not_of_the_run(make_wave: Make) -> None:
    dataset = make_wave(steps=3)
    later = dataset.time.values + np.timedelta64(6, "h")
    forecast = dataset.assign_coords(valid_time=("time", later), step=6.0)
    np.testing.assert_array_equal(name_axes(forecast, "forecast").time.values, later)


def projected(dataset: xr.Dataset) -> xr.Dataset:
    """As a national weather service has it: metres on a map, and places in two dimensions."""
    metres = {"standard_name": "projection_x_coordinate", "units": "m"}
    places = np.zeros((32, 64))
    return (
        dataset.rename(latitude="y", longitude="x")
        .assign_coords(
            x=("x", np.arange(64) * 1000.0, metres),
            y=("y", np.arange(32) * 1000.0, metres | {"standard_name": "projection_y_coordinate"}),
        )
        .assign_coords(latitude=(("y", "x"), places), longitude=(("y", "x"), places))
    )


def test_curvilinear_grids_are_named_as_such(make_wave: Make) -> None:
    dataset = make_wave(steps=2)
    without_metres = projected(dataset).drop_vars(["x", "y"])
    for form in (projected(dataset), without_metres):
        with pytest.raises(InputError, match=r"curvilinear grid \(two-dimensional l"):
            name_axes(form, "projected")
    no_places = projected(dataset).drop_vars(["latitude", "longitude"])
    with pytest.raises(InputError, match="no latitude axis; its dimensions are time, y, x"):
        name_axes(no_places, "projected")


def test_times_are_rounded_to_seconds(make_wave: Make) -> None:
    dataset = make_wave(start="1959-12-31T22", steps=6)
    exact = dataset.time.values
    for off in (-4, 3):
        shifted = exact.astype("datetime64[us]") + np.timedelta64(off, "us")
        rounded = whole_seconds(dataset.assign_coords(time=shifted), "any").time.values
        np.testing.assert_array_equal(rounded, exact)


def test_an_empty_time_axis(make_wave: Make) -> None:
    with pytest.raises(InputError, match="nothing is empty"):
        whole_seconds(make_wave(steps=2).isel(time=slice(0, 0)), "nothing")


def on_latitudes(make_wave: Make, latitude: list[float]) -> xr.Dataset:
    return make_wave(steps=2, grid=Grid(np.array(latitude), np.arange(8) * 45.0))


def test_gaussian_rows_and_half_rows_at_the_poles_are_regular(make_wave: Make) -> None:
    # Gaussian rows are where the Legendre polynomial of that degree is zero.
    rows = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(8)[0])).tolist()
    assert orient(on_latitudes(make_wave, rows), "gaussian").sizes["latitude"] == 8
    half = [-89.5, -88, -86, -84, -82]
    assert orient(on_latitudes(make_wave, half), "half rows").sizes["latitude"] == 5


@pytest.mark.parametrize(
    ("latitude", "steps"),
    [([0, 5, 10, 20, 25], "5 to 10"), ([0, 5, 10, 11, 16, 21], "1 to 5")],
    ids=["a row lacks", "a row too many"],
)
def test_rows_that_are_not_equally_spaced(
    make_wave: Make, latitude: list[float], steps: str
) -> None:
    with pytest.raises(InputError, match=rf"not equally spaced \(steps from {steps} degrees"):
        orient(on_latitudes(make_wave, latitude), "uneven")


def test_one_row_is_no_map(make_wave: Make) -> None:
    dataset = make_wave(steps=2)
    with pytest.raises(InputError, match="fewer than two latitudes"):
        orient(dataset.isel(latitude=[3]), "line")
    broken = dataset.assign_coords(longitude=np.full(64, np.nan))
    with pytest.raises(InputError, match="longitude that is not a number"):
        orient(broken, "broken")


def test_turning_the_globe_keeps_the_chunks_of_time(make_wave: Make) -> None:
    dataset = make_wave(steps=6).chunk(time=2)
    west = dataset.roll(longitude=32, roll_coords=True)
    west = west.assign_coords(longitude=np.mod(west.longitude + 180, 360) - 180)
    turned = orient(west, "west")
    assert turned.chunks["time"] == (2, 2, 2)
    assert len(turned.chunks["longitude"]) <= 2
    np.testing.assert_array_equal(turned.t2m.values, dataset.t2m.values)


def test_months_of_no_year(make_wave: Make) -> None:
    months = make_wave(steps=2).drop_vars("time").rename(time="month").assign_coords(month=[1, 7])
    named = name_axes(months, "means")
    assert named["time"].values.astype("datetime64[D]").astype(str).tolist() == [
        "2001-01-01", "2001-07-01",
    ]  # fmt: skip
    assert named.attrs["nominal_year"] == "2001"
    with pytest.raises(InputError, match="no time axis; its dimensions are month"):
        name_axes(months.assign_coords(month=[0, 13]), "means")


@pytest.mark.parametrize("calendar", ["noleap", "standard", "360_day", "all_leap", "julian"])
def test_calendars_within_the_standard_one(make_wave: Make, calendar: str) -> None:
    dates = [cftime.datetime(2016, 2, day, 6, calendar=calendar) for day in (27, 28)]
    dataset = make_wave(steps=2).assign_coords(time=dates)
    if calendar in ("noleap", "standard"):
        times = whole_seconds(dataset, "model")["time"].values
        assert times.astype("datetime64[h]").astype(str).tolist() == [
            "2016-02-27T06", "2016-02-28T06",
        ]  # fmt: skip
    else:
        with pytest.raises(InputError, match=f"uses the calendar '{calendar}'; expected"):
            whole_seconds(dataset, "model")


def test_lengths_of_time_for_people() -> None:
    assert in_hours(np.timedelta64(6, "h")) == "6 h"
    assert in_hours(np.timedelta64(90, "m")) == "1.5 h"
