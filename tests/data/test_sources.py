"""Sources: every form that archives have gives the same canonical dataset, lazily, or one clear line."""

from __future__ import annotations

import functools
import http.server
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import cftime
import dask
import fsspec
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from weathersvq.data.canonical import coverage, time_step, to_canonical
from weathersvq.data.checks import check_values
from weathersvq.data.remote import Network
from weathersvq.data.sources import open_canonical, open_source
from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.variables import Channel, parse_channels, variable

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
needs_real_files = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the real example files are not there ({SHARED.name}/)"
)

Make = Callable[..., xr.Dataset]


def same(left: xr.Dataset, right: xr.Dataset, atol: float = 1e-4) -> None:
    """Equal dims, coordinates and values."""
    assert set(left.data_vars) == set(right.data_vars)
    for name in left.data_vars:
        assert left[name].dims == right[name].dims
        np.testing.assert_allclose(left[name].values, right[name].values, atol=atol, rtol=1e-6)
    for axis in ("time", "latitude", "longitude"):
        np.testing.assert_array_equal(left[axis].values, right[axis].values)


def with_levels(dataset: xr.Dataset) -> xr.Dataset:
    """Adds t on 500 and 850 hPa."""
    t = xr.concat([dataset.t2m - 40, dataset.t2m - 10], dim="level").assign_coords(level=[500, 850])
    return dataset.assign(t=t.transpose("time", "level", "latitude", "longitude"))


def test_the_bundled_sample() -> None:
    sample = open_source("sample")
    assert Grid.of(sample).matches(GLOBAL_5625)
    assert time_step(sample) == np.timedelta64(1, "h")
    first, last = coverage(sample)
    assert first <= np.datetime64("2016-12-31T12")
    assert last >= np.datetime64("2017-01-02")
    assert sample.attrs["simulated"] == "true"
    loaded = sample.isel(time=slice(0, 30)).load()
    check_values(loaded, parse_channels("t2m,r,u10,v10,tcc"))


@settings(max_examples=25, deadline=None)
@given(
    upside_down=st.booleans(),
    west=st.booleans(),
    order=st.permutations(["time", "latitude", "longitude"]),
    turn=st.integers(0, 47),
    short=st.booleans(),
)
def test_any_orientation_gives_the_same(
    upside_down: bool, west: bool, order: list[str], turn: int, short: bool
) -> None:
    grid = Grid.equiangular(7.5)
    values = np.random.default_rng(0).normal(280, 10, (3, *grid.shape)).astype(np.float32)
    time = np.datetime64("2017-01-01", "s") + np.arange(3) * np.timedelta64(3600, "s")
    original = xr.Dataset(
        {"t2m": (("time", "latitude", "longitude"), values)},
        {"time": time, "latitude": grid.latitude, "longitude": grid.longitude},
    )
    given_form = original.roll(longitude=turn, roll_coords=True)
    if west:
        longitude = given_form.longitude.values
        given_form = given_form.assign_coords(
            longitude=np.where(longitude >= 180, longitude - 360, longitude)
        )
    if upside_down:
        given_form = given_form.isel(latitude=slice(None, None, -1))
    given_form = given_form.transpose(*order)
    if short:
        given_form = given_form.rename(latitude="lat", longitude="lon", t2m="2m_temperature")
    same(to_canonical(given_form, "given"), original)


def test_a_region_across_the_prime_meridian_stays_in_one_piece(make_wave: Make) -> None:
    region = Grid(np.arange(50.0, 58.5, 0.5), np.arange(-10.0, 2.5, 0.5))
    dataset = make_wave(steps=3, grid=region)
    as_0_360 = dataset.assign_coords(longitude=np.mod(dataset.longitude, 360))
    for form in (dataset, as_0_360, as_0_360.sortby("longitude")):
        result = to_canonical(form, "region")
        np.testing.assert_allclose(result.longitude, region.longitude)
        np.testing.assert_allclose(result.t2m, dataset.t2m)


@pytest.mark.parametrize("kind", ["netcdf", "zarr 2", "zarr 3", "pattern"])
def test_files_and_stores(make_wave: Make, tmp_path: Path, kind: str) -> None:
    dataset = make_wave(steps=24, names=("t2m", "u10"))
    if kind == "netcdf":
        source = tmp_path / "data.nc"
        dataset.to_netcdf(source)
    elif kind == "pattern":
        dataset.isel(time=slice(12, None)).to_netcdf(tmp_path / "b.nc")
        dataset.isel(time=slice(0, 12)).to_netcdf(tmp_path / "c.nc")
        source = tmp_path / "*.nc"
    else:
        source = tmp_path / "data.zarr"
        version = int(kind[-1])
        dataset.to_zarr(source, zarr_format=version, consolidated=version == 2)
    same(open_source(source), dataset)


def test_files_of_one_variable_each(make_wave: Make, tmp_path: Path) -> None:
    dataset = make_wave(steps=6, names=("t2m", "u10", "v10"))
    for name in ("t2m", "u10", "v10"):
        dataset[[name]].isel(time=slice(0, 4)).to_netcdf(tmp_path / f"{name}_1.nc")
        dataset[[name]].isel(time=slice(4, 6)).to_netcdf(tmp_path / f"{name}_2.nc")
    same(open_source(tmp_path / "*.nc"), dataset)
    only = open_source(tmp_path / "*.nc", parse_channels("uv10"))
    assert list(only.data_vars) == ["u10", "v10"]
    with pytest.raises(InputError, match="no variable tcc; it has t2m, u10, v10"):
        open_source(tmp_path / "*.nc", parse_channels("tcc"))


def test_a_name_with_brackets_is_no_pattern(make_wave: Make, tmp_path: Path) -> None:
    path = tmp_path / "wave [run 1].nc"
    make_wave(steps=2).to_netcdf(path)
    assert open_source(path).sizes["time"] == 2


def test_weatherbench2_form(make_wave: Make, tmp_path: Path) -> None:
    # dims (time, level, longitude, latitude), long names, humidity as a share of one
    dataset = with_levels(make_wave(steps=4, step_hours=6, names=("t2m", "u10")))
    dataset["r"] = (dataset.t * 0 + 40).clip(0, 100)
    stored = dataset.assign(r=(dataset.r / 100).assign_attrs(units="1"))
    names = {n: variable(n).weatherbench2 for n in ("t2m", "u10", "t", "r")}
    stored = stored.rename(names).transpose("time", ..., "longitude", "latitude")
    stored.to_zarr(tmp_path / "wb2.zarr", zarr_format=2, consolidated=True)
    result = open_source(tmp_path / "wb2.zarr", parse_channels("t2m,r@500,t@850"))
    same(result[["t2m", "t", "r"]], dataset[["t2m", "t", "r"]].sel(level=[500, 850]))
    assert result.r.attrs["units"] == "%"


def write_weatherbench1(root: Path, dataset: xr.Dataset, years: tuple[int, ...]) -> None:
    for name in dataset.data_vars:
        entry = variable(str(name))
        # One folder deeper than documented, as the published zips unpack.
        folder = root / entry.weatherbench1 / entry.weatherbench1
        folder.mkdir(parents=True)
        for year in years:
            part = dataset[[name]].sel(time=str(year)).rename(latitude="lat", longitude="lon")
            part.to_netcdf(folder / f"{entry.weatherbench1}_{year}_5.625deg.nc")


def test_weatherbench1_folder(make_wave: Make, tmp_path: Path) -> None:
    dataset = make_wave(start="2015-12-31T12", steps=24, names=("t2m", "u10", "v10"))
    write_weatherbench1(tmp_path, dataset, (2015, 2016))
    same(open_source(tmp_path), dataset)
    assert open_source(tmp_path).attrs["title"] == "WeatherBench 1"
    only = open_source(tmp_path, parse_channels("u10"))
    assert list(only.data_vars) == ["u10"]
    with pytest.raises(InputError, match=r"no total_cloud_cover .* has 10m_u.*, 2m_temperature"):
        open_source(tmp_path, parse_channels("t2m,tcc"))


def test_weatherbench1_names_missing_years(make_wave: Make, tmp_path: Path) -> None:
    dataset = make_wave(start="2014-01-01", steps=3 * 366, step_hours=24)
    write_weatherbench1(tmp_path, dataset, (2014, 2016))
    result = open_source(tmp_path)
    assert result.attrs["missing_years"] == "2m_temperature 2015"
    assert result.sizes["time"] == 365 + 366


def test_weatherbench1_across_links_but_of_one_resolution(make_wave: Make, tmp_path: Path) -> None:
    dataset = make_wave(start="2015-01-01", steps=4, names=("t2m",))
    write_weatherbench1(tmp_path / "disk", dataset, (2015,))
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "t2m").symlink_to(tmp_path / "disk" / "2m_temperature")
    same(open_source(tmp_path / "archive"), dataset)
    file = next((tmp_path / "disk").rglob("*.nc"))
    (tmp_path / "disk" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match=f"{file.name} twice, in .*; name one of the two"):
        open_source(tmp_path / "disk")
    finer = file.name.replace("5.625", "2.8125")
    (tmp_path / "disk" / file.name).rename(tmp_path / "disk" / finer)
    with pytest.raises(InputError, match=r"several resolutions \(2.8125deg, 5.625deg\)"):
        open_source(tmp_path / "disk")


def test_a_grid_that_matches_to_within_rounding_becomes_exact(
    make_wave: Make, tmp_path: Path
) -> None:
    dataset = make_wave(steps=2)
    rounded = dataset.assign_coords(
        latitude=dataset.latitude.values.round(3), longitude=dataset.longitude - 1e-5
    )
    rounded.to_netcdf(tmp_path / "a.nc")
    result = open_source(tmp_path / "a.nc")
    assert "regridded" not in result.attrs
    assert result.attrs["grid"] == "32 x 64, 87.2S..87.2N, 0.0E..354.4E"
    same(result, dataset)


def test_global_grids_are_regridded_on_the_way(make_wave: Make, tmp_path: Path) -> None:
    fine = make_wave(steps=4, grid=Grid(np.linspace(-90, 90, 91), np.arange(180) * 2.0))
    fine.isel(latitude=slice(None, None, -1)).to_netcdf(tmp_path / "fine.nc")
    result = open_source(tmp_path / "fine.nc")
    assert Grid.of(result).matches(GLOBAL_5625)
    assert "conservative from 91 x 180" in result.attrs["regridded"]
    weights = GLOBAL_5625.cell_areas()
    before = Grid.of(fine).cell_areas()
    np.testing.assert_allclose(
        (result.t2m.values * weights).sum((1, 2)) / weights.sum(),
        (fine.t2m.values * before).sum((1, 2)) / before.sum(),
        rtol=1e-6,
    )
    other = Grid.equiangular(11.25)
    assert Grid.of(open_source(tmp_path / "fine.nc", grid=other, method="bilinear")).matches(other)


@pytest.mark.parametrize("kind", ["zarr", "netcdf", "pattern"])
def test_opening_reads_no_fields(make_wave: Make, tmp_path: Path, kind: str) -> None:
    def explode(*_: object) -> None:
        raise AssertionError("a field was read while opening")

    fine = make_wave(steps=4, grid=Grid.equiangular(3.0)).isel(latitude=slice(None, None, -1))
    fine = fine.roll(longitude=60, roll_coords=True)
    fine = fine.assign_coords(longitude=np.mod(fine.longitude + 180, 360) - 180)
    fine = with_levels(fine)
    if kind == "zarr":
        fine.to_zarr(tmp_path / "fine.zarr", zarr_format=2, consolidated=True)
    else:
        fine.isel(time=slice(0, 2)).to_netcdf(tmp_path / "fine.nc")
        fine.isel(time=slice(2, 4)).to_netcdf(tmp_path / "later.nc")
    source = tmp_path / {"zarr": "fine.zarr", "netcdf": "fine.nc", "pattern": "*.nc"}[kind]
    with dask.config.set(scheduler=explode):
        opened = open_source(source, parse_channels("t2m,t@500"))
        with pytest.raises(AssertionError, match="was read"):
            opened.t2m.mean().compute()


def test_units_are_converted(make_wave: Make) -> None:
    dataset = make_wave(steps=2)
    celsius = dataset.assign(t2m=(dataset.t2m - 273.15).assign_attrs(units="degC"))
    same(to_canonical(celsius, "celsius"), dataset, atol=1e-3)
    wrong = dataset.assign(t2m=dataset.t2m.assign_attrs(units="m/s"))
    with pytest.raises(InputError, match="t2m is given in 'm/s'"):
        to_canonical(wrong, "wrong")


def test_levels_in_pascal_and_labels_that_are_no_axes(make_wave: Make) -> None:
    dataset = with_levels(make_wave(steps=2))[["t"]]
    given_form = dataset.rename(level="plev", t="ta").assign_coords(plev=[50000.0, 85000.0])
    given_form = given_form.assign_coords(height=2.0).expand_dims(number=[0])
    given_form["plev"].attrs["units"] = "Pa"
    same(to_canonical(given_form, "cmip"), dataset)
    several = given_form.isel(number=[0, 0])
    with pytest.raises(InputError, match="extra dimension 'number' of length 2"):
        to_canonical(several, "ensemble")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server of this machine for the files in tmp_path."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if "overloaded" in self.path:
                self.send_error(503)
            else:
                super().do_GET()

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_stores_through_fsspec(make_wave: Make, tmp_path: Path, web: str) -> None:
    dataset = make_wave(steps=5)
    dataset.to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=True)
    same(open_source(f"{web}/a.zarr"), dataset)
    dataset.to_netcdf(tmp_path / "a.nc")
    same(open_source(f"{web}/a.nc"), dataset)
    (tmp_path / "later").mkdir()
    later = make_wave(start="2018-01-01", steps=3)
    later.to_netcdf(tmp_path / "later" / "a.nc")  # another file of the same name
    same(open_source(f"{web}/later/a.nc"), later)
    (tmp_path / "b.nc").write_text("<html>please log in</html>")
    with pytest.raises(InputError, match=r"'http://.*/b.nc' is not a readable NetCDF file"):
        open_source(f"{web}/b.nc")
    for missing in ("none.zarr", "none.nc"):
        with pytest.raises(InputError, match=missing):
            open_source(f"{web}/{missing}")
    # A fault of the world, not of the user.
    hasty = Network(deadline_seconds=0.5, backoff_seconds=0.01)
    for failing in (f"{web}/overloaded.zarr", f"{web}/overloaded.nc", "http://127.0.0.1:9/a.nc"):
        with pytest.raises(OSError, match="can't be read") as caught:
            open_canonical(failing, network=hasty)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="unknown protocol"):
        open_source("carrier-pigeon://a.zarr")


@pytest.mark.parametrize(
    ("protocol", "package", "advice"),
    [("gs", "gcsfs", r"pip install 'weathersvq\[cloud\]'"), ("smb", "smbprotocol", "install it")],
)
def test_protocols_without_their_package(
    monkeypatch: pytest.MonkeyPatch, protocol: str, package: str, advice: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for name in ("a.zarr", "a.nc"):
        with pytest.raises(InputError, match=rf"needs a package for {protocol}:// .*{advice}"):
            open_source(f"{protocol}://bucket/{name}")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[str]:
    """A folder in fsspec's memory, empty again afterwards."""
    folder = f"/{tmp_path.name}"
    yield f"memory:/{folder}"
    fsspec.filesystem("memory").rm(folder, recursive=True)


@pytest.mark.parametrize("version", [2, 3])
def test_stores_in_memory(
    make_wave: Make, tmp_path: Path, memory: str, version: Literal[2, 3]
) -> None:
    dataset = make_wave(steps=6)
    dataset.to_zarr(f"{memory}/a.zarr", zarr_format=version, consolidated=version == 2)
    same(open_source(f"{memory}/a.zarr"), dataset)
    with pytest.raises(InputError, match=r"nothing to read at 'memory:.*none.zarr'"):
        open_source(f"{memory}/none.zarr")


def test_several_files_by_a_url_with_a_pattern(
    make_wave: Make, tmp_path: Path, memory: str
) -> None:
    dataset = make_wave(steps=6)
    for name, times in {"b": slice(0, 2), "a": slice(2, None)}.items():
        dataset.isel(time=times).to_netcdf(tmp_path / f"{name}.nc")
        content = (tmp_path / f"{name}.nc").read_bytes()
        fsspec.filesystem("memory").pipe(f"{memory}/{name}.nc", content)
    same(open_source(f"{memory}/*.nc"), dataset)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.isel(time=[0, 1, 1, 2]), "the time 2016-12-28T01:00 twice"),
        (lambda d: d.isel(time=[0, 2, 1]), "not sorted: 2016-12-28T01:00"),
        (lambda d: d.isel(time=0), "no time axis"),
        (lambda d: d.rename(t2m="mystery"), "no known variable .*: it has mystery"),
        (lambda d: d.assign_coords(longitude=np.geomspace(1, 300, 64)), "not equally spaced"),
        (lambda d: d.isel(latitude=[3, 1, 2]), "latitudes of bad are not in order"),
        (lambda d: d.assign_coords(time=np.arange(3)), "a time axis without dates"),
        (
            lambda d: d.assign_coords(
                time=[cftime.Datetime360Day(2000, 2, n) for n in (28, 29, 30)]
            ),
            "calendar '360_day'",
        ),
        (
            lambda d: (
                d.drop_vars(["latitude", "longitude"])
                .rename(latitude="row", longitude="column")
                .assign_coords(nav_lat=(("row", "column"), np.zeros((32, 64))))
            ),
            "curvilinear",
        ),
    ],
    ids=[
        "duplicate",
        "unsorted",
        "no time",
        "unknown",
        "spacing",
        "rows",
        "dates",
        "calendar",
        "2d",
    ],
)
def test_bad_data_in_one_line(
    make_wave: Make, change: Callable[[xr.Dataset], xr.Dataset], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        to_canonical(change(make_wave(steps=3)), "bad")
    assert "\n" not in str(caught.value)


def test_bad_files_in_one_line(make_wave: Make, tmp_path: Path) -> None:
    good = tmp_path / "good.nc"
    make_wave(steps=3).to_netcdf(good)
    (tmp_path / "text.nc").write_text("not a file of data")
    (tmp_path / "empty.nc").touch()
    (tmp_path / "cut.nc").write_bytes(good.read_bytes()[:5000])
    (tmp_path / "text.grib").write_text("not a file of data")
    (tmp_path / "table.csv").write_text("a,b")
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / ".zgroup").write_text("{")
    for name, message in {
        "text.nc": "not a readable NetCDF",
        "empty.nc": "not a readable NetCDF",
        "cut.nc": "not a readable NetCDF",
        "text.grib": "GRIB",
        "table.csv": "ends in '.csv'",
        "folder": "neither a Zarr store nor WeatherBench 1",
        "broken.zarr": "not a readable Zarr",
        "god.nc": "did you mean 'good.nc'",
        "*.missing": "no file matches",
        "sampel": "did you mean 'sample'",
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            open_source(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="the source is an empty name"):
        open_source("")


def test_missing_variables_and_levels_say_what_there_is(make_wave: Make, tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with_levels(make_wave(steps=2)).to_netcdf(path)
    for asked in ("u10", "t2m,u10"):
        with pytest.raises(InputError, match="no variable u10; it has t2m, t"):
            open_source(path, parse_channels(asked))
    with pytest.raises(InputError, match=r"t is on \[500, 850\] hPa"):
        open_source(path, parse_channels("t@1000"))
    with pytest.raises(InputError, match="t2m is on no levels"):
        open_source(path, [Channel("t2m", 500)])


def test_time_steps(make_wave: Make) -> None:
    dataset = make_wave(steps=10, step_hours=3)
    assert time_step(dataset.isel(time=[0, 1, 2, 7, 8])) == np.timedelta64(3, "h")
    uneven = make_wave(steps=10).isel(time=[0, 2, 4, 7])
    with pytest.raises(InputError, match="irregular at 2016-12-28T07"):
        time_step(uneven)
    with pytest.raises(InputError, match="fewer than two times"):
        time_step(dataset.isel(time=[0]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "t2m has missing values at 2016-12-28T02:00"),
        (500.0, "t2m is 500 at 2016-12-28T02:00, .* between 160 and 345 K"),
    ],
)
def test_impossible_values(make_wave: Make, value: float, message: str) -> None:
    dataset = make_wave(steps=4)
    dataset.t2m[2, 5, 5] = value
    with pytest.raises(InputError, match=message):
        check_values(dataset, [Channel("t2m")])


def test_celsius_is_named_as_such(make_wave: Make) -> None:
    with pytest.raises(InputError, match="look like degrees Celsius"):
        check_values(make_wave(steps=2) - 273.15, [Channel("t2m")])


@needs_real_files
def test_real_grib() -> None:
    pytest.importorskip("cfgrib", reason="GRIB needs the extra `grib`")
    dataset = open_source(SHARED / "era5-2mt-2019-03-uk.grib")
    assert Grid.of(dataset).describe() == "33 x 49, 50.0N..58.0N, 10.0W..2.0E"
    assert dataset.sizes["time"] == 744
    check_values(dataset.isel(time=[0, 700]).load(), [Channel("t2m")])
    assert not list(SHARED.glob("*.idx"))


@needs_real_files
def test_real_netcdf() -> None:
    dataset = open_source(SHARED / "ncep_air_sig995_namerica_2013_2014_6h.nc")
    assert Grid.of(dataset).shape == (25, 53)
    assert time_step(dataset) == np.timedelta64(6, "h")
    check_values(dataset.isel(time=[0, 2000]).load(), [Channel("t")])


@needs_real_files
def test_real_monthly_means_get_a_nominal_year() -> None:
    dataset = open_source(SHARED / "eraint_uvz.nc", parse_channels("u@500"))
    assert dataset.attrs["nominal_year"] == "2001"
    assert dataset["time"].values.astype("datetime64[M]").astype(str).tolist() == [
        "2001-01", "2001-07",
    ]  # fmt: skip
