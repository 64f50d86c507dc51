"""Files of a forecast: CF NetCDF, WeatherBench Zarr, and that neither is ever left half-written."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from compliance_checker.cf.cf_1_8 import CF1_8Check
from compliance_checker.runner import CheckSuite

from weathersvq.atomic import atomic_path
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.output import (
    check_target,
    read_forecast,
    write_forecast,
    write_netcdf,
    write_zarr,
)
from weathersvq.variables import VARIABLES, variable

GRID = Grid.equiangular(22.5)
ATTRIBUTES = {
    "title": "Forecast of 2 metre temperature",
    "institution": "a test",
    "source": "model small trained on a climate simulation",
    "history": "2026-11-23 weathersvq forecast",
    "references": "SVQ",
    "comment": "climate simulation, not past weather",
    "model": "small",
    "simulated": "true",
}


def make_forecast(
    init: str = "2017-01-01",
    *,
    inits: int = 1,
    leads: int = 3,
    names: tuple[str, ...] = ("t2m", "u10", "tcc", "r"),
    grid: Grid = GRID,
    truth: bool = True,
) -> xr.Dataset:
    """A forecast of random fields; `r` at 850 and 500 hPa; truth and error for t2m."""
    generator = np.random.default_rng(0)
    dims = ("init_time", "lead_time", "latitude", "longitude")
    level_dims = ("init_time", "lead_time", "level", "latitude", "longitude")

    def field(name: str) -> tuple[tuple[str, ...], np.ndarray]:
        on_levels = variable(name).on_levels
        shape = (inits, leads, *((2,) if on_levels else ()), *grid.shape)
        values = generator.normal(280, 10, shape).astype(np.float32)
        return (level_dims if on_levels else dims, values)

    data = {name: field(name) for name in names}
    coords: dict[str, object] = {
        "init_time": np.datetime64(init, "ns") + np.arange(inits) * np.timedelta64(12, "h"),
        "lead_time": np.arange(1, leads + 1) * np.timedelta64(3600, "s").astype("timedelta64[ns]"),
        "latitude": grid.latitude,
        "longitude": grid.longitude,
    }
    if any(variable(name).on_levels for name in names):
        coords["level"] = [850, 500]
    forecast = xr.Dataset(data, coords, ATTRIBUTES)
    if truth:
        forecast["t2m_truth"] = forecast["t2m"] + np.float32(1.5)
        forecast["t2m_truth"][0, 0, 0, 0] = np.nan
        forecast["t2m_error"] = forecast["t2m"] - forecast["t2m_truth"]
    return forecast


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 2 kB: a real failed write, as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


class TestAtomicPath:
    def test_file_appears_only_at_the_end(self, tmp_path: Path) -> None:
        target = tmp_path / "new" / "a.nc"
        with atomic_path(target) as fresh:
            fresh.write_text("new")
            assert fresh.suffix == ".nc"
            assert fresh.stat().st_dev == target.parent.stat().st_dev
            assert not target.exists()
        assert target.read_text() == "new"
        assert everything_below(tmp_path) == ["new", "new/a.nc"]

    @pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
    def test_failure_leaves_the_old_file(
        self, tmp_path: Path, failure: type[BaseException]
    ) -> None:
        target = tmp_path / "a.nc"
        target.write_text("old")

        def write_half() -> None:
            with atomic_path(target) as fresh:
                fresh.write_text("half")
                raise failure

        with pytest.raises(failure):
            write_half()
        assert target.read_text() == "old"
        assert everything_below(tmp_path) == ["a.nc"]

    def test_folder_replaces_folder(self, tmp_path: Path) -> None:
        target = tmp_path / "a.zarr"
        (target / "old").mkdir(parents=True)
        with atomic_path(target) as fresh:
            (fresh / "new").mkdir(parents=True)
        assert everything_below(tmp_path) == ["a.zarr", "a.zarr/new"]

    def test_folder_survives_a_failed_swap(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "a.zarr"
        (target / "old").mkdir(parents=True)
        rename = os.rename

        def rename_fails_for_the_fresh_one(source: Path, destination: Path) -> None:
            if Path(source).name == "a.zarr" and Path(source).parent != tmp_path:
                raise OSError(errno.EIO, "broken")
            rename(source, destination)

        monkeypatch.setattr(os, "rename", rename_fails_for_the_fresh_one)
        with pytest.raises(OSError, match="broken"), atomic_path(target) as fresh:
            fresh.mkdir()
        assert everything_below(tmp_path) == ["a.zarr", "a.zarr/old"]

    def test_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with (
            pytest.raises(InputError, match=r"cannot write in folder .*file"),
            atomic_path(tmp_path / "file" / "a.nc"),
        ):
            pytest.fail("the block must not run")

    @pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
    def test_folder_without_permission(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        def refuse(*args: object, **kwargs: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr("tempfile.mkdtemp", refuse)
        with (
            pytest.raises(InputError, match=f"{os.strerror(code)}; choose another"),
            atomic_path(tmp_path / "a.nc"),
        ):
            pytest.fail("the block must not run")

    def test_permissions_follow_the_umask(self, tmp_path: Path) -> None:
        mask = os.umask(0o022)
        try:
            with atomic_path(tmp_path / "a.nc") as fresh:
                fresh.touch()
        finally:
            os.umask(mask)
        assert stat.S_IMODE((tmp_path / "a.nc").stat().st_mode) == 0o644


class TestCheckTarget:
    def test_suffix(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"ends in '\.grib'; expected \.nc"):
            check_target(tmp_path / "a.grib")

    def test_appending_to_netcdf(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="can't be appended to"):
            check_target(tmp_path / "a.nc", append=True)

    def test_existing(self, tmp_path: Path) -> None:
        target = tmp_path / "a.nc"
        target.touch()
        with pytest.raises(InputError, match=r"exists already; .*--overwrite"):
            check_target(target)
        check_target(target, overwrite=True)

    def test_a_folder_of_something_else_is_never_replaced(self, tmp_path: Path) -> None:
        for name in ("a.zarr", "a.nc"):
            (tmp_path / name).mkdir()
            with pytest.raises(InputError, match="will not be replaced"):
                check_target(tmp_path / name, overwrite=True)

    def test_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        check_target(tmp_path / "not" / "yet" / "a.nc")
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="file is not a folder"):
            check_target(tmp_path / "file" / "a.nc")
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(InputError, match="no write permission"):
            check_target(tmp_path / "a.nc")
        assert everything_below(tmp_path) == ["file"]


def compliance(path: Path) -> dict[str, list[str]]:
    """What compliance-checker cf:1.8 says of a file, errors and recommendations alike."""
    suite = CheckSuite()
    suite.checkers = {"cf:1.8": CF1_8Check}
    dataset = suite.load_dataset(str(path))
    groups, exceptions = suite.run_all(dataset, ["cf:1.8"])["cf:1.8"]
    dataset.close()
    assert not exceptions
    assert len(groups) > 20  # it did look
    return {group.name: group.msgs for group in groups if group.value[0] < group.value[1]}


class TestNetcdf:
    @pytest.fixture
    def written(self, tmp_path: Path) -> Path:
        return write_forecast(make_forecast(), tmp_path / "a.nc")

    def test_compliance_checker_finds_nothing(self, tmp_path: Path) -> None:
        forecast = make_forecast(names=("t2m", "u10", "r"))
        assert compliance(write_netcdf(forecast, tmp_path / "a.nc")) == {}

    def test_every_variable_is_known_to_cf(self, tmp_path: Path) -> None:
        names = tuple(v.name for v in VARIABLES)
        path = write_netcdf(make_forecast(names=names, leads=1), tmp_path / "a.nc")
        assert compliance(path) == {}

    def test_the_checker_would_find_something(self, tmp_path: Path) -> None:
        with xr.open_dataset(write_netcdf(make_forecast(), tmp_path / "a.nc")) as dataset:
            dataset["t2m"].attrs |= {"standard_name": "temperature_2m", "units": "m"}
            dataset.to_netcdf(tmp_path / "b.nc")
        assert any("Standard Name" in name for name in compliance(tmp_path / "b.nc"))

    def test_time_axes(self, written: Path) -> None:
        with xr.open_dataset(written) as dataset:
            assert dataset["t2m"].dims == ("time", "latitude", "longitude")
            assert dataset["r"].dims == ("time", "level", "latitude", "longitude")
            assert dataset["time"].values[0] == np.datetime64("2017-01-01T01")
            assert dataset["forecast_reference_time"].values == np.datetime64("2017-01-01")
            np.testing.assert_array_equal(dataset["forecast_period"], [1, 2, 3])

    def test_heights_belong_to_their_variables(self, written: Path, tmp_path: Path) -> None:
        with xr.open_dataset(written) as dataset:
            attached = {
                name: dataset[name].encoding["coordinates"].split() for name in dataset.data_vars
            }
            assert "height_2m" in attached["t2m"]
            assert "height_2m" in attached["t2m_error"]
            assert "height_10m" in attached["u10"]
            assert not any("height" in name for name in attached["tcc"] + attached["r"])
            assert float(dataset["height_10m"]) == 10
        alone = write_netcdf(make_forecast(names=("t2m",)), tmp_path / "b.nc")
        with xr.open_dataset(alone) as dataset:
            assert float(dataset["height"]) == 2

    def test_names_and_units(self, written: Path) -> None:
        with xr.open_dataset(written) as dataset:
            assert dataset["t2m"].attrs == {
                "standard_name": "air_temperature",
                "long_name": "2 metre temperature",
                "units": "K",
                "cell_methods": "time: point",
            }
            assert "standard_name" not in dataset["t2m_error"].attrs
            assert "forecast minus truth" in dataset["t2m_error"].attrs["long_name"]
            assert dataset.attrs == {"Conventions": "CF-1.8", **ATTRIBUTES}

    def test_bounds(self, written: Path) -> None:
        with xr.open_dataset(written) as dataset:
            bounds = dataset[dataset["longitude"].attrs["bounds"]].values
            np.testing.assert_array_equal(bounds[0], [-11.25, 11.25])
            bounds = dataset[dataset["latitude"].attrs["bounds"]].values
            np.testing.assert_array_equal(bounds[-1], [67.5, 90])

    def test_packing(self, written: Path) -> None:
        with xr.open_dataset(written, decode_cf=False) as dataset:
            for name in ("time", "latitude", "longitude", "forecast_reference_time", "level"):
                assert "_FillValue" not in dataset[name].attrs
            assert dataset["t2m"].dtype == np.float32
            assert dataset["t2m"].encoding["zlib"]

    def test_round_trip(self, written: Path) -> None:
        xr.testing.assert_identical(without_attributes(make_forecast()), read_forecast(written))

    def test_regional_grid_across_greenwich(self, tmp_path: Path) -> None:
        grid = Grid(np.arange(50, 58.1, 0.5), np.arange(-10, 2.1, 0.5))
        forecast = make_forecast(grid=grid, names=("t2m",))
        read = read_forecast(write_netcdf(forecast, tmp_path / "a.nc"))
        xr.testing.assert_identical(without_attributes(forecast), read)

    def test_half_hours(self, tmp_path: Path) -> None:
        forecast = make_forecast("2017-01-01T00:30", names=("t2m",))
        forecast["lead_time"] = forecast["lead_time"] / 2
        for name in ("a.nc", "a.zarr"):
            read = read_forecast(write_forecast(forecast, tmp_path / name)).compute()
            xr.testing.assert_equal(read, forecast)

    def test_given_dataset_is_left_alone(self, tmp_path: Path) -> None:
        forecast = make_forecast()
        before = forecast.copy(deep=True)
        write_forecast(forecast, tmp_path / "a.nc")
        write_forecast(forecast, tmp_path / "a.zarr")
        xr.testing.assert_identical(forecast, before)

    def test_several_inits(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"hold 2 inits.*\.zarr"):
            write_netcdf(make_forecast(inits=2), tmp_path / "a.nc")
        assert everything_below(tmp_path) == []

    def test_missing_attributes(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="global attributes title, institution"):
            write_netcdf(make_forecast().drop_attrs(), tmp_path / "a.nc")

    def test_full_disk(self, written: Path) -> None:
        before = written.read_bytes()
        with pytest.raises(OSError, match=r"could not write .*a\.nc") as raised, full_disk():
            write_netcdf(make_forecast(leads=12), written, overwrite=True)
        assert "\n" not in str(raised.value)
        assert written.read_bytes() == before
        assert everything_below(written.parent) == ["a.nc"]

    def test_full_disk_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def half_written(self: xr.Dataset, path: Path, **options: object) -> None:
            path.write_bytes(b"half")
            raise RuntimeError("NetCDF: HDF error")

        monkeypatch.setattr(xr.Dataset, "to_netcdf", half_written)
        usage = type("Usage", (), {"free": 0})
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
        with pytest.raises(OSError, match="No space left on device") as raised:
            write_netcdf(make_forecast(), tmp_path / "a.nc")
        assert raised.value.errno == errno.ENOSPC
        assert everything_below(tmp_path) == []


class TestZarr:
    def test_weatherbench_form(self, tmp_path: Path) -> None:
        path = write_forecast(make_forecast(inits=2), tmp_path / "a.zarr")
        store = xr.open_zarr(path, consolidated=True, decode_timedelta=True)
        assert store["2m_temperature"].dims == (
            "time",
            "prediction_timedelta",
            "latitude",
            "longitude",
        )
        assert store["relative_humidity"].dims == (
            "time",
            "prediction_timedelta",
            "level",
            "latitude",
            "longitude",
        )
        assert {"2m_temperature_truth", "2m_temperature_error", "10m_u_component_of_wind"} <= set(
            store.data_vars
        )
        assert store["prediction_timedelta"].values[2] == np.timedelta64(3, "h")
        assert store["2m_temperature"].encoding["chunks"] == (1, 3, *GRID.shape)
        assert (path / ".zmetadata").exists()
        assert not (path / "zarr.json").exists()

    def test_as_weatherbench_x_reads_it(self, tmp_path: Path) -> None:
        # Its loader renames the two time axes and finds the truth at init + lead; its RMSE is the
        # root of the mean square over inits and an area mean. Here every error is -1.5 K.
        forecast = make_forecast(inits=2, names=("t2m",), truth=False)
        path = write_zarr(forecast, tmp_path / "a.zarr")
        store = xr.open_zarr(path, consolidated=True, decode_timedelta=True)
        predictions = store.rename(time="init_time", prediction_timedelta="lead_time")
        valid = (predictions["init_time"] + predictions["lead_time"]).values.ravel()
        truth = xr.Dataset(
            {
                "2m_temperature": (
                    ("time", "latitude", "longitude"),
                    forecast["t2m"].values.reshape(-1, *GRID.shape) + 1.5,
                )
            },
            {"time": valid, "latitude": GRID.latitude, "longitude": GRID.longitude},
        )
        targets = truth.sel(time=predictions["init_time"] + predictions["lead_time"])
        weights = xr.DataArray(GRID.area_weights(), {"latitude": GRID.latitude})
        square = (predictions - targets)["2m_temperature"] ** 2
        mean = square.weighted(weights).mean(("init_time", "latitude", "longitude"))
        np.testing.assert_allclose(np.sqrt(mean), [1.5, 1.5, 1.5], rtol=1e-5)

    def test_round_trip(self, tmp_path: Path) -> None:
        forecast = make_forecast(inits=2)
        read = read_forecast(write_forecast(forecast, tmp_path / "a.zarr"))
        assert read["t2m"].chunks is not None
        xr.testing.assert_identical(without_attributes(forecast), read.compute())

    def test_appending(self, tmp_path: Path) -> None:
        path = tmp_path / "a.zarr"
        whole = make_forecast(inits=5)
        whole["t2m_truth"][0] = np.nan  # an empty chunk is not stored, and stays empty
        write_forecast(whole.isel(init_time=slice(0, 2)), path, append=True)
        piece = (path / "2m_temperature" / "1.0.0.0").stat().st_ino
        for part in (slice(2, 3), slice(3, 5)):
            write_forecast(whole.isel(init_time=part), path, append=True)
        read = read_forecast(path).compute()
        xr.testing.assert_equal(read, whole)
        assert read.attrs["history"] == "\n".join([ATTRIBUTES["history"]] * 3)
        assert (path / "2m_temperature" / "1.0.0.0").stat().st_ino == piece  # linked, not rewritten
        assert everything_below(tmp_path)[0] == "a.zarr"

    @pytest.mark.parametrize(
        ("fresh", "message"),
        [
            (make_forecast(), "init 2017-01-01 00:00:00, but the store has it already"),
            (make_forecast("2016-12-31"), "init 2016-12-31 .* has later ones"),
            (
                make_forecast("2017-01-02", leads=12),
                r"leads are 1, 2, 3 \.\. 12 h \(12\), .* \(3\)",
            ),
            (
                make_forecast("2017-01-02", names=("t2m",)),
                "variables are 2m_temperature, .*; write",
            ),
            (make_forecast("2017-01-02", truth=False), "variables are"),
            (make_forecast("2017-01-02", grid=Grid.equiangular(45.0)), "grid is 4 x 8"),
            (make_forecast("2017-01-02").assign_coords(level=[850, 300]), "levels are 850, 300"),
            (make_forecast("2017-01-02").assign_attrs(model="other"), "model is other"),
        ],
    )
    def test_appending_what_does_not_fit(
        self, tmp_path: Path, fresh: xr.Dataset, message: str
    ) -> None:
        path = write_forecast(make_forecast(), tmp_path / "a.zarr")
        with pytest.raises(InputError, match=message):
            write_forecast(fresh, path, append=True)
        xr.testing.assert_equal(read_forecast(path).compute(), make_forecast())

    def test_overwriting(self, tmp_path: Path) -> None:
        path = write_forecast(make_forecast(), tmp_path / "a.zarr")
        other = make_forecast("2018-01-01", names=("t2m",))
        with pytest.raises(InputError, match="exists already"):
            write_forecast(other, path)
        write_forecast(other, path, overwrite=True)
        xr.testing.assert_equal(read_forecast(path).compute(), other)

    @pytest.mark.parametrize("append", [False, True])
    def test_full_disk(self, tmp_path: Path, append: bool) -> None:
        path = write_forecast(make_forecast(), tmp_path / "a.zarr")
        before = everything_below(tmp_path)
        fresh = make_forecast("2017-01-02")
        with (
            pytest.raises(OSError, match=r"could not write .*a\.zarr \(File too large\)") as raised,
            full_disk(),
        ):
            write_forecast(fresh, path, overwrite=not append, append=append)
        assert "\n" not in str(raised.value)
        assert everything_below(tmp_path) == before
        xr.testing.assert_equal(read_forecast(path).compute(), make_forecast())


class TestReading:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no forecast at .*a\.nc"):
            read_forecast(tmp_path / "a.nc")

    @pytest.mark.parametrize("name", ["empty.nc", "text.nc", "truncated.nc"])
    def test_broken_file(self, tmp_path: Path, name: str) -> None:
        whole = write_forecast(make_forecast(), tmp_path / "whole.nc").read_bytes()
        content = {"empty.nc": b"", "text.nc": b"lead\n", "truncated.nc": whole[:3000]}[name]
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="can't be read as a forecast") as raised:
            read_forecast(tmp_path / name)
        assert "\n" not in str(raised.value)

    def test_no_forecast(self, tmp_path: Path) -> None:
        make_forecast().to_netcdf(tmp_path / "a.nc")
        make_forecast().to_zarr(tmp_path / "a.zarr", zarr_format=2)
        (tmp_path / "b.zarr").mkdir()
        for name in ("a.nc", "a.zarr", "b.zarr"):
            with pytest.raises(InputError, match="can't be read as a forecast"):
                read_forecast(tmp_path / name)


def without_attributes(forecast: xr.Dataset) -> xr.Dataset:
    """What reading gives back: attributes of the data variables are those of CF."""
    from weathersvq.output.form import described as attributes_of

    described = forecast.copy()
    for name in described.data_vars:
        described[name].attrs = attributes_of(str(name))
    return described
