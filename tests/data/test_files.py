"""Files: GRIB of several kinds, chunks in bounded memory, and damage that is named."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import xarray as xr

from weathersvq.data.files import BYTES_A_CHUNK, TIMES_A_CHUNK, chunked, open_file, with_time_axis
from weathersvq.data.sources import open_source
from weathersvq.errors import InputError
from weathersvq.variables import parse_channels

Make = Callable[..., xr.Dataset]

# GRIB names of levels, with the template of eccodes that they need.
TEMPLATES = {"isobaricInhPa": "regular_ll_pl_grib2", "heightAboveGround": "regular_ll_sfc_grib2"}


def write_grib(path: Path, messages: list[dict[str, Any]]) -> None:
    """Global 30-degree maps (7 x 12) of one value each."""
    eccodes = pytest.importorskip("eccodes", reason="GRIB needs the extra `grib`")
    grid = {
        "Ni": 12, "Nj": 7, "latitudeOfFirstGridPointInDegrees": 90,
        "latitudeOfLastGridPointInDegrees": -90, "longitudeOfFirstGridPointInDegrees": 0,
        "longitudeOfLastGridPointInDegrees": 330, "iDirectionIncrementInDegrees": 30,
        "jDirectionIncrementInDegrees": 30, "dataDate": 20200101,
    }  # fmt: skip
    with path.open("wb") as stream:
        for message in messages:
            kind = message.get("typeOfLevel", "heightAboveGround")
            handle = eccodes.codes_grib_new_from_samples(TEMPLATES[kind])
            keys = grid | {"step": 0} | {k: v for k, v in message.items() if k != "value"}
            for key, value in keys.items():
                eccodes.codes_set(handle, key, value)
            eccodes.codes_set_values(handle, np.full(84, float(message["value"])))
            eccodes.codes_write(handle, stream)
            eccodes.codes_release(handle)


def t2m(hour: int, step: int = 0, value: float = 280.0) -> dict[str, Any]:
    return {
        "shortName": "2t", "typeOfLevel": "heightAboveGround", "level": 2,
        "dataTime": hour * 100, "step": step, "value": value,
    }  # fmt: skip


def test_grib_with_fields_at_unlike_heights(tmp_path: Path) -> None:
    messages = []
    for hour in (0, 6, 12):
        u10 = t2m(hour, value=5.0) | {"shortName": "10u", "level": 10}
        at_1000 = {"shortName": "t", "typeOfLevel": "isobaricInhPa", "level": 1000}
        u = at_1000 | {"shortName": "u", "level": 500}
        u_at_80m = u10 | {"shortName": "u", "level": 80, "value": 7.0}
        messages += [t2m(hour), u10, u_at_80m]
        messages.append(t2m(hour, value=250.0) | at_1000)
        messages += [t2m(hour, value=20.0) | u | {"level": n} for n in (500, 850)]
    write_grib(tmp_path / "mixed.grib2", messages)
    dataset = open_source(tmp_path / "mixed.grib2", parse_channels("t2m,u10,u@500"))
    assert {str(n): float(f.mean()) for n, f in dataset.items()} == {
        "t2m": 280.0, "u10": 5.0, "u": 20.0,
    }  # fmt: skip
    assert dataset.u.dims == ("time", "level", "latitude", "longitude")
    assert [p.name for p in tmp_path.iterdir()] == ["mixed.grib2"]  # no index beside it


def test_grib_of_one_level_keeps_it(tmp_path: Path) -> None:
    messages = [
        t2m(hour, value=50.0) | {"shortName": "r", "typeOfLevel": "isobaricInhPa", "level": 1000}
        for hour in (0, 6)
    ]
    write_grib(tmp_path / "r.grib2", messages)
    dataset = open_source(tmp_path / "r.grib2", parse_channels("r@1000"))
    assert dataset.level.values.tolist() == [1000]


def test_grib_forecasts_carry_the_time_they_are_valid_for(tmp_path: Path) -> None:
    write_grib(tmp_path / "six_hours.grib2", [t2m(hour, step=6) for hour in (0, 6)])
    times = open_source(tmp_path / "six_hours.grib2").time.values
    np.testing.assert_array_equal(
        times, np.array(["2020-01-01T06", "2020-01-01T12"], "datetime64[s]")
    )
    write_grib(tmp_path / "steps.grib2", [t2m(0, step=step) for step in (0, 6)])
    with pytest.raises(InputError, match="extra dimension 'step' of length 2"):
        open_source(tmp_path / "steps.grib2")


def test_grib_files_of_one_time_each(tmp_path: Path) -> None:
    for hour in (12, 0, 6):
        write_grib(tmp_path / f"at_{hour}.grib2", [t2m(hour, value=280 + hour)])
    dataset = open_source(str(tmp_path / "at_*.grib2"))
    assert dataset.t2m.mean(("latitude", "longitude")).values.tolist() == [280, 286, 292]


def test_grib_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "cut.grib2"
    write_grib(path, [t2m(0), t2m(6)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"not a readable GRIB file \(End of resource"):
        open_source(path)


def test_grib_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cfgrib", None)
    (tmp_path / "a.grib").touch()
    with pytest.raises(InputError, match=r"pip install 'weathersvq\[grib\]'"):
        open_source(tmp_path / "a.grib")


def test_classic_netcdf_that_is_cut(make_wave: Make, tmp_path: Path) -> None:
    # The library would read zeros where the file ends.
    path = tmp_path / "old.nc"
    make_wave(steps=6).to_netcdf(path, format="NETCDF3_64BIT")
    assert open_source(path).sizes["time"] == 6
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(InputError, match=r"old.nc' is truncated: it has \d+ bytes"):
        open_source(path)


def test_nan_as_the_missing_value_of_whole_numbers(make_wave: Make, tmp_path: Path) -> None:
    # Some tools write it, no whole number can be it, and xarray warns (an error here). netCDF4
    # refuses to write it: the attribute gets its name in the finished file.
    path = tmp_path / "a.nc"
    packed = (make_wave(steps=3, names=("u10",)) * 0 + 3).astype(np.int16)
    packed.u10.attrs = {"units": "m s-1", "scale_factor": 0.5, "_FillValuX": np.nan}
    packed.to_netcdf(path, format="NETCDF3_64BIT")
    path.write_bytes(path.read_bytes().replace(b"_FillValuX", b"_FillValue"))
    assert float(open_source(path).u10.min()) == 1.5


def test_calendars_of_climate_models_are_refused_by_name(make_wave: Make, tmp_path: Path) -> None:
    dataset = make_wave(steps=3)
    dataset = dataset.assign_coords(time=("time", [0, 1, 2]))
    dataset.time.attrs = {"units": "days since 2000-02-29", "calendar": "360_day"}
    dataset.to_netcdf(tmp_path / "model.nc")
    with pytest.raises(InputError, match="uses the calendar '360_day'"):
        open_source(tmp_path / "model.nc")


def test_a_file_of_one_time_gets_an_axis(make_wave: Make, tmp_path: Path) -> None:
    dataset = make_wave(steps=3)
    for position in range(3):
        dataset.isel(time=position).to_netcdf(tmp_path / f"{2 - position}.nc")
    joined = open_source(str(tmp_path / "?.nc"))
    np.testing.assert_array_equal(joined.time.values, dataset.time.values)
    np.testing.assert_array_equal(joined.t2m.values, dataset.t2m.values)
    run = dataset.isel(time=0).assign_coords(valid_time=np.datetime64("2016-12-28T06", "s"))
    assert with_time_axis(run).time.values.tolist() == [run.valid_time.values.item()]


@pytest.mark.parametrize("time", ["time", "valid_time"])
def test_chunks_hold_whole_maps_in_bounded_memory(time: str) -> None:
    def year(*shape: int) -> xr.Dataset:
        field = dask.array.zeros((8760, *shape), dtype=np.float32, chunks=-1)
        return chunked(xr.Dataset({"t2m": ((time, "latitude", "longitude"), field)}))

    quarter = year(721, 1440).t2m.data.chunksize
    assert quarter[1:] == (721, 1440)
    assert BYTES_A_CHUNK / 2 < np.prod(quarter) * 4 <= BYTES_A_CHUNK
    assert max(year(32, 64).chunks[time]) == TIMES_A_CHUNK


def test_chunks_follow_those_of_the_file(make_wave: Make, tmp_path: Path) -> None:
    make_wave(steps=500).to_netcdf(
        tmp_path / "a.nc", encoding={"t2m": {"chunksizes": (100, 32, 64)}}
    )
    [(dataset, label)] = open_file(str(tmp_path / "a.nc"))
    assert dataset.chunks["time"] == (200, 200, 100)
    assert label == str(tmp_path / "a.nc")


@pytest.mark.parametrize("content", ["[]", "{}"])
def test_zarr_with_damaged_consolidated_metadata(
    make_wave: Make, tmp_path: Path, content: str
) -> None:
    # The metadata proper are still there.
    path = tmp_path / "a.zarr"
    make_wave(steps=3).to_zarr(path, zarr_format=2, consolidated=True)
    (path / ".zmetadata").write_text(content)
    assert open_source(path).sizes["time"] == 3


def test_zarr_whose_axis_is_damaged(make_wave: Make, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    make_wave(steps=3).to_zarr(path, zarr_format=2, consolidated=True)
    (path / "time" / "0").write_bytes(b"cut")
    with pytest.raises(InputError, match="not a readable Zarr store"):
        open_source(path)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.99])
def test_a_chunk_that_was_cut_is_noticed(make_wave: Make, tmp_path: Path, kept: float) -> None:
    store = tmp_path / "wave.zarr"
    make_wave(steps=30).to_zarr(store, zarr_format=2, consolidated=True)
    chunk = next((store / "t2m").glob("0.*"))
    content = chunk.read_bytes()
    chunk.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=f"the chunk t2m/{chunk.name} is cut"):
        open_source(store).t2m.load()
    chunk.write_bytes(content)
    assert np.isfinite(open_source(store).t2m.values).all()
