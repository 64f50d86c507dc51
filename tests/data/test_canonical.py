"""Canonical form: names, units and levels of any file; parts joined; values checked."""

from __future__ import annotations

from collections.abc import Callable

import dask.array
import numpy as np
import pytest
import xarray as xr

from weathersvq.data.canonical import (
    known_variables,
    load_fields,
    select_channels,
    to_canonical,
)
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.variables import Channel, parse_channels

Make = Callable[..., xr.Dataset]


def on_levels(dataset: xr.Dataset, *levels: int, name: str = "t") -> xr.Dataset:
    """The first variable of `dataset` as `name` on these levels."""
    field = next(iter(dataset.data_vars.values())).drop_attrs()
    return xr.Dataset({name: field.expand_dims(level=list(levels), axis=1)}, attrs=dataset.attrs)


def test_a_name_decides_before_a_standard_name(make_wave: Make) -> None:
    dataset = make_wave(steps=2)
    temperature = {"standard_name": "air_temperature", "units": "K"}
    dataset["t2m"].attrs = temperature
    dataset["air2"] = dataset.t2m + 1
    dataset["air2"].attrs = temperature
    dataset["tasmax"] = dataset.t2m + 5
    dataset["tasmax"].attrs = temperature | {"cell_methods": "time: maximum"}
    result = to_canonical(dataset, "mixed")
    assert list(result.data_vars) == ["t2m", "t"]
    np.testing.assert_array_equal(result.t, dataset.air2)
    assert known_variables(dataset, "mixed") == ("t2m", "t")


def test_two_of_a_kind_are_refused_only_where_they_are_wanted(make_wave: Make) -> None:
    dataset = make_wave(steps=2, names=("t2m", "u10"))
    dataset["2t"] = dataset.t2m
    with pytest.raises(InputError, match=r"twice has t2m twice \('t2m' and '2t'\); keep one"):
        to_canonical(dataset, "twice")
    assert list(to_canonical(dataset, "twice", ["u10"]).data_vars) == ["u10"]


def test_what_is_not_wanted_is_not_checked(make_wave: Make) -> None:
    dataset = make_wave(steps=2, names=("t2m", "tp"))
    dataset.tp.attrs["units"] = "furlongs"
    with pytest.raises(InputError, match="odd: tp is given in 'furlongs'"):
        to_canonical(dataset, "odd")
    assert list(to_canonical(dataset, "odd", ["t2m"]).data_vars) == ["t2m"]


def test_text_is_no_field(make_wave: Make) -> None:
    dataset = make_wave(steps=2)
    words = dataset.assign(t2m=dataset.t2m.astype(str))
    with pytest.raises(InputError, match="t2m in words holds no numbers"):
        to_canonical(words, "words")


def test_attributes_that_are_kept(make_wave: Make) -> None:
    dataset = make_wave(steps=2).assign_attrs(history="long", references="Somebody (1999)")
    attributes = to_canonical(dataset, "wave.nc").attrs
    assert attributes == {
        "title": "a travelling wave",
        "institution": "tests",
        "source": "conftest",
        "references": "Somebody (1999)",
        "source_name": "wave.nc",
    }


def test_packed_whole_numbers_become_float32(make_wave: Make) -> None:
    dataset = make_wave(steps=2)
    result = to_canonical(dataset.astype(np.int16), "whole")
    assert result.t2m.dtype == np.float32
    assert result.t2m.attrs["standard_name"] == "air_temperature"


@pytest.mark.parametrize(
    ("name", "units", "factor"),
    [
        ("relative_humidity", None, 100),  # as WeatherBench 2 has it
        ("r", None, 1),
        ("relative_humidity", "%", 1),
        ("hur", "1", 100),
    ],
)
def test_humidity_in_percent(make_wave: Make, name: str, units: str | None, factor: int) -> None:
    dataset = on_levels(make_wave(steps=2, names=("tcc",)), 1000, name=name)
    if units is not None:
        dataset[name].attrs["units"] = units
    result = to_canonical(dataset, "humid")
    np.testing.assert_allclose(result.r, dataset[name] * factor, rtol=1e-6)


def test_a_single_level_given_as_a_label(make_wave: Make) -> None:
    dataset = make_wave(steps=2).rename(t2m="t").assign_coords(plev=85000.0)
    dataset.plev.attrs["units"] = "Pa"
    result = to_canonical(dataset, "one level")
    assert result.t.dims == ("time", "level", "latitude", "longitude")
    assert result.level.values.tolist() == [850]


def test_the_surface_given_as_a_level(make_wave: Make) -> None:
    for form in (
        make_wave(steps=2).expand_dims(lev=[0.0]),
        make_wave(steps=2).assign_coords(lev=0),
    ):
        assert to_canonical(form, "surface").t2m.dims == ("time", "latitude", "longitude")


def test_fields_above_ground_do_not_take_the_level_of_others(make_wave: Make) -> None:
    dataset = make_wave(steps=2).rename(t2m="t").assign_coords(isobaricInhPa=500.0)
    dataset.t.attrs["GRIB_typeOfLevel"] = "heightAboveGround"
    assert "level" not in to_canonical(dataset, "mixed").dims


def test_levels_are_cut_only_where_all_are_named(make_wave: Make) -> None:
    wave = make_wave(steps=2)
    dataset = xr.merge([on_levels(wave, 150, 500, 850, name=name) for name in ("t", "u")])
    chosen = select_channels(dataset, parse_channels("t@850,u@150"), "levels")
    assert chosen.level.values.tolist() == [150, 850]
    whole = select_channels(dataset, [Channel("t", 850), Channel("u")], "levels")
    assert whole.level.values.tolist() == [150, 500, 850]


def test_damage_that_shows_on_reading() -> None:
    def read(block: np.ndarray) -> np.ndarray:
        raise RuntimeError("NetCDF: HDF error")

    broken = dask.array.zeros((2, 3), chunks=1).map_blocks(read, dtype=float, meta=np.zeros((0, 0)))
    with pytest.raises(InputError, match=r"can't be read \(NetCDF: HDF error\); .* damaged"):
        load_fields(xr.DataArray(broken, dims=("a", "b"), name="t2m"))


def test_the_grid_of_a_canonical_dataset_is_marked_for_cf(make_wave: Make) -> None:
    result = to_canonical(make_wave(steps=2).isel(latitude=slice(None, None, -1)), "wave")
    assert result.latitude.attrs == {"units": "degrees_north", "standard_name": "latitude"}
    assert result.longitude.attrs == {"units": "degrees_east", "standard_name": "longitude"}
    assert Grid.of(result).is_global


def static_map(value: float, **attributes: str) -> xr.DataArray:
    grid = Grid.equiangular(30.0)
    values = np.full(grid.shape, value, np.float32)
    coords = {"latitude": grid.latitude, "longitude": grid.longitude}
    return xr.DataArray(values, coords, ("latitude", "longitude"), attrs=attributes)


@pytest.mark.parametrize(
    ("name", "wanted", "given_value", "value"),
    [
        # Archives that leave units away: metres times gravity, and percent.
        ("geopotential_at_surface", "orography", 9806.65, 1000.0),
        ("sftlf", "lsm", 100.0, 1.0),
        ("land_sea_mask", "lsm", 1.0, 1.0),
    ],
)
def test_static_maps_without_units(
    name: str, wanted: str, given_value: float, value: float
) -> None:
    dataset = xr.Dataset({name: static_map(given_value)})
    result = to_canonical(dataset, "fixed", [wanted])
    assert result[wanted].dims == ("latitude", "longitude")
    np.testing.assert_allclose(result[wanted], value, rtol=1e-5)


def test_the_ground_in_grib_is_no_geopotential() -> None:
    ground = static_map(500.0, units="m2 s-2", GRIB_typeOfLevel="surface")
    dataset = xr.Dataset({"z": ground.expand_dims(time=[np.datetime64("2017-01-01", "s")])})
    assert known_variables(dataset, "ground") == ("orography",)
    result = to_canonical(dataset, "ground", ["orography"])
    np.testing.assert_allclose(result.orography, 500 / 9.80665, rtol=1e-5)
