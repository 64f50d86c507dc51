"""Preparing: the same bytes whoever does the blocks and however often the run is stopped."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr

from weathersvq.data import prepare as prepare_module
from weathersvq.data.normalize import fit_normalization
from weathersvq.data.patience import Network
from weathersvq.data.plan import Plan, Request, make_plan
from weathersvq.data.prepare import Progress, partial_path, prepare
from weathersvq.data.regrid import Regridder
from weathersvq.data.sources import open_source
from weathersvq.data.store import Status, chunk_steps, read_flags
from weathersvq.data.windows import Period
from weathersvq.data.workers import Workers, start_workers
from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.variables import parse_channels, variable

Make = Callable[..., xr.Dataset]
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
needs_real_files = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the real example files are not there ({SHARED.name}/)"
)
ALONE = Workers()
# 61 x 120, poles included, as the 0.25 degree archives have them.
FINE = Grid(np.linspace(-90, 90, 61), np.arange(120) * 3.0)


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def archive(make_wave: Make, tmp_path: Path) -> Path:
    """Thirty days of hourly t2m, u10, v10 in WeatherBench 2's form: 3 degrees, one map a chunk."""
    dataset = make_wave(start="2016-12-20", steps=720, names=("t2m", "u10", "v10"), grid=FINE)
    stored = dataset.isel(latitude=slice(None, None, -1))
    stored = stored.rename({n: variable(n).weatherbench2 for n in ("t2m", "u10", "v10")})
    stored = stored.transpose("time", "longitude", "latitude")
    path = tmp_path / "archive.zarr"
    encoding = {str(n): {"chunks": (24, 120, 61)} for n in stored.data_vars}
    stored.to_zarr(path, zarr_format=2, consolidated=True, encoding=encoding)
    return path


def plan_for(source: Path | str, **options: Any) -> Plan:
    return make_plan(Request(source=str(source), **options))


def test_a_store_is_what_its_source_regridded_is(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.zarr"
    plan = plan_for(archive, variables="t2m,uv10", period="2016-12-25/2017-01-10")
    assert len(plan.blocks) == 2
    assert prepare(plan, target, ALONE)
    result = open_source(target)
    wanted = open_source(archive, parse_channels("t2m,uv10")).sel(
        time=slice("2016-12-25", "2017-01-10")
    )
    assert result.sizes["time"] == 17 * 24
    for name in ("t2m", "u10", "v10"):
        np.testing.assert_array_equal(result[name].values, wanted[name].values)
    np.testing.assert_array_equal(result.time, wanted.time)
    assert result["usable"].values.all()
    assert not partial_path(target).exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive.zarr", "out.zarr"]


def test_a_store_says_what_it_is(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.zarr"
    plan = plan_for(archive, variables="t2m", train_period="2016-12-20/2016-12-31")
    prepare(plan, target, ALONE)
    store = xr.open_zarr(target, consolidated=True)
    assert store.attrs["method"].startswith("conservative, from 61 x 120")
    assert store.attrs["period"] == "2016-12-20T00:00:00/2017-01-18T23:00:00"
    assert json.loads(store.attrs["recipe"])["source"] == str(archive)
    assert store.t2m.attrs["standard_name"] == "air_temperature"
    assert store.t2m.attrs["ancillary_variables"] == "t2m_status"
    assert store.t2m_status.attrs["flag_meanings"].split()[1] == "good"
    assert store.t2m.encoding["chunks"] == (
        chunk_steps(GLOBAL_5625, np.timedelta64(1, "h")),
        32,
        64,
    )
    assert json.loads(store.attrs["completeness"])["t2m"]["good"]["fields"] == 720
    # Statistics are those of the training period alone.
    training = store.t2m.sel(time=slice("2016-12-20", "2016-12-31")).values.astype(np.float64)
    statistics = json.loads(store.attrs["statistics"])["channels"]["t2m"]
    assert statistics["count"] == training.size
    assert statistics["mean"] == pytest.approx(training.mean(), rel=1e-9)
    assert statistics["std"] == pytest.approx(training.std(), rel=1e-6)
    assert statistics["minimum"] == training.min()
    assert statistics["maximum"] == training.max()


def stop_after(times: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.new_times >= times:
            raise KeyboardInterrupt

    return report


def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    plan = plan_for(archive, variables="t2m,u10")
    whole, broken = tmp_path / "whole.zarr", tmp_path / "broken.zarr"
    prepare(plan, whole, ALONE)
    with pytest.raises(KeyboardInterrupt):
        prepare(plan, broken, ALONE, report=stop_after(240))
    assert not broken.exists()
    partial = partial_path(broken)
    flags = read_flags(partial, ["t2m"])["t2m"]
    assert (flags[:240] == Status.GOOD).all()
    assert (flags[240:] == Status.UNFINISHED).all()
    kept = (partial / "t2m" / "0.0.0").stat().st_mtime_ns
    seen: list[Progress] = []
    prepare(plan, broken, ALONE, report=seen.append)
    assert (broken / "t2m" / "0.0.0").stat().st_mtime_ns == kept
    assert seen[0].times == 240
    assert digest(broken) == digest(whole)
    assert not prepare(plan, broken, ALONE)  # nothing to do


def test_a_block_counts_only_with_its_flags(archive: Path, tmp_path: Path) -> None:
    # A run that was killed between a field and its flags: the field is there, but proves nothing.
    plan = plan_for(archive, variables="t2m")
    whole, broken = tmp_path / "whole.zarr", tmp_path / "broken.zarr"
    prepare(plan, whole, ALONE)
    with pytest.raises(KeyboardInterrupt):
        prepare(plan, broken, ALONE, report=stop_after(480))
    partial = partial_path(broken)
    (partial / "t2m_status" / "1").unlink()
    (partial / "t2m" / "1.0.0").write_bytes(b"half a chunk")
    prepare(plan, broken, ALONE)
    assert digest(broken) == digest(whole)


def test_killed_and_gone_on_with(archive: Path, tmp_path: Path) -> None:
    options = ["--source", str(archive), "--vars", "t2m,u10", "--grid", "1.40625"]
    options += ["--scheduler", "synchronous", "--out"]
    command = [sys.executable, "-m", "weathersvq.cli", "prepare", *options]
    broken, whole = tmp_path / "broken.zarr", tmp_path / "whole.zarr"
    with subprocess.Popen([*command, str(broken)], stdout=subprocess.DEVNULL) as run:
        first = partial_path(broken) / "t2m_status" / "1"
        deadline = time.monotonic() + 120
        while not first.exists():
            assert run.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
    assert not broken.exists()
    assert partial_path(broken).exists()
    for target in (broken, whole):
        subprocess.run([*command, str(target)], check=True, stdout=subprocess.DEVNULL)
    assert digest(broken) == digest(whole)


def test_two_workers_one_of_which_is_killed(archive: Path, tmp_path: Path) -> None:
    plan = plan_for(archive, variables="t2m,u10,v10", grid="1.40625")
    alone, together = tmp_path / "alone.zarr", tmp_path / "together.zarr"
    prepare(plan, alone, ALONE)
    killed: list[int] = []
    with start_workers("local", 2) as workers:
        assert workers.client is not None
        pids = workers.client.run(os.getpid)

        def report(progress: Progress) -> None:
            if progress.new_times and not killed:
                killed.append(next(iter(pids.values())))
                os.kill(killed[0], signal.SIGKILL)

        prepare(plan, together, workers, report=report)
    assert killed
    assert digest(together) == digest(alone)


def spoil(archive: Path, change: Callable[[xr.Dataset], xr.Dataset]) -> Path:
    """A copy of the archive in which something is wrong."""
    dataset = change(xr.open_zarr(archive, chunks=None).load())
    path = archive.with_name("spoilt.zarr")
    dataset.drop_encoding().to_zarr(path, zarr_format=2, consolidated=True)
    return path


def set_t2m(times: slice | int, value: float) -> Callable[[xr.Dataset], xr.Dataset]:
    def change(dataset: xr.Dataset) -> xr.Dataset:
        dataset["2m_temperature"][{"time": times}] = value
        return dataset

    return change


def without(*hours: int) -> Callable[[xr.Dataset], xr.Dataset]:
    return lambda d: d.drop_isel(time=list(hours))


def patch(dataset: xr.Dataset) -> xr.Dataset:
    dataset["2m_temperature"][300, 10:40, 10:30] = np.nan
    return dataset


def spike(dataset: xr.Dataset) -> xr.Dataset:
    # One cell of 7,320: its mean over a target cell would look possible.
    dataset["2m_temperature"][300, 60, 30] = 400.0
    return dataset


def twice(dataset: xr.Dataset) -> xr.Dataset:
    """The time at 300 once more at the end, with another t2m."""
    again = dataset.isel(time=[300])
    again["2m_temperature"] = again["2m_temperature"] + 1
    return xr.concat([dataset, again], dim="time")


BAD = {
    "missing": (set_t2m(300, np.nan), Status.MISSING, "no value is there"),
    "constant": (set_t2m(300, 280.0), Status.CONSTANT, "all values are the same"),
    "out of range": (spike, Status.OUT_OF_RANGE, r"beyond what is possible \(160 to 345 K\)"),
    "incomplete": (patch, Status.INCOMPLETE, "a part of the map has no value"),
    "absent": (without(300), Status.ABSENT, "lacks 1 of the 720 times asked for, 2017-01-01T12:00"),
    "repeated": (twice, Status.REPEATED, "the times of the source are not in order"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_fields_are_refused_masked_or_skipped(archive: Path, tmp_path: Path, kind: str) -> None:
    change, status, message = BAD[kind]
    source = spoil(archive, change)
    with pytest.raises(InputError, match=message) as caught:
        prepare(plan_for(source, variables="t2m,u10"), tmp_path / "raise.zarr", ALONE)
    assert "\n" not in str(caught.value)
    if kind not in ("absent", "repeated"):  # these are known before a field is read
        assert "t2m at 2017-01-01T12:00" in str(caught.value)
    for policy in ("mask", "skip"):
        target = tmp_path / f"{policy}.zarr"
        prepare(plan_for(source, variables="t2m,u10", on_bad=policy), target, ALONE)
        flags = read_flags(target, ["t2m", "u10"])
        assert np.flatnonzero(flags["t2m"] != Status.GOOD).tolist() == [300]
        assert flags["t2m"][300] == status
        result = open_source(target)
        t2m, u10 = result.t2m.values[300], result.u10.values[300]
        assert np.isnan(t2m).all() if kind != "incomplete" else np.isnan(t2m).any()
        if status is Status.ABSENT:
            assert np.isnan(u10).all()
        elif policy == "mask":
            assert flags["u10"][300] == Status.GOOD
            assert np.isfinite(u10).all()
        else:
            assert flags["u10"][300] == Status.LEFT_OUT
            assert np.isnan(u10).all()
        assert result["usable"].values.sum() == 719
        only_wind = open_source(target, parse_channels("u10"))
        bad_wind = policy == "skip" or status is Status.ABSENT
        assert only_wind["usable"].values.sum() == (719 if bad_wind else 720)
        record = json.loads(xr.open_zarr(target).attrs["completeness"])["t2m"]
        assert record[status.name.lower()] == {"fields": 1, "first": "2017-01-01T12:00:00"}


def test_disorder_and_equal_copies_are_mended(archive: Path, tmp_path: Path) -> None:
    def shuffle(dataset: xr.Dataset) -> xr.Dataset:
        order = np.random.default_rng(0).permutation(720)
        return dataset.isel(time=[*order, order[5]])

    source = spoil(archive, shuffle)
    plan = plan_for(source, variables="t2m", on_bad="mask")
    assert len(plan.notes) == 2
    prepare(plan, tmp_path / "mended.zarr", ALONE)
    prepare(plan_for(archive, variables="t2m"), tmp_path / "whole.zarr", ALONE)
    mended, whole = (open_source(tmp_path / n) for n in ("mended.zarr", "whole.zarr"))
    np.testing.assert_array_equal(mended.t2m, whole.t2m)
    assert mended["usable"].values.all()


def test_arco_promises_more_than_it_has(archive: Path, tmp_path: Path) -> None:
    def promise(dataset: xr.Dataset) -> xr.Dataset:
        dataset["2m_temperature"][{"time": slice(480, None)}] = np.nan
        return dataset.assign_attrs(valid_time_start="2016-12-20", valid_time_stop="2017-01-10")

    source = spoil(archive, promise)
    # 8 January is the 19th day: the last two days promised are not there.
    with pytest.raises(InputError, match="t2m at 2017-01-09T00:00: no value is there"):
        prepare(plan_for(source, variables="t2m"), tmp_path / "out.zarr", ALONE)
    with pytest.raises(InputError, match=r"reaches beyond the source; .* to 2017-01-10T23"):
        plan_for(source, variables="t2m", period="2016-12-25/2017-01-15")
    prepare(
        plan_for(source, variables="t2m", period="2016-12-20/2017-01-08"),
        tmp_path / "a.zarr",
        ALONE,
    )
    assert open_source(tmp_path / "a.zarr")["usable"].values.all()


def test_derived_variables_and_static_maps(archive: Path, tmp_path: Path) -> None:
    def with_land(dataset: xr.Dataset) -> xr.Dataset:
        land = (dataset.longitude * 0 + 1) * (dataset.latitude > 0)
        return dataset.assign(land_sea_mask=land.astype("f4").assign_attrs(units="1"))

    source = spoil(archive, with_land)
    plan = plan_for(source, variables="t2m", derive=("ws10", "lsm"))
    assert plan.reads == ("t2m", "u10", "v10")
    prepare(plan, tmp_path / "out.zarr", ALONE)
    store = open_source(tmp_path / "out.zarr", parse_channels("t2m,ws10,lsm"))
    assert store.lsm.dims == ("latitude", "longitude")
    np.testing.assert_allclose(store.lsm[20:].values, 1.0, rtol=1e-6)
    # The mean of the speed, not the speed of the mean.
    wind = xr.open_zarr(source).isel(time=[100]).transpose(..., "latitude", "longitude")
    wind = wind.isel(latitude=slice(None, None, -1))
    speed = np.hypot(wind["10m_u_component_of_wind"], wind["10m_v_component_of_wind"])
    expected = Regridder(FINE, GLOBAL_5625)(speed.values)
    np.testing.assert_allclose(store.ws10.values[100], expected[0], rtol=1e-5)


def on_levels(dataset: xr.Dataset) -> xr.Dataset:
    base = dataset["2m_temperature"]
    t = xr.concat([base - 70, base - 30, base - 10], dim="level").assign_coords(
        level=[150, 500, 850]
    )
    return dataset.assign(temperature=t.transpose("time", "level", ...))


def test_levels_and_coarser_steps(archive: Path, tmp_path: Path) -> None:
    source = spoil(archive, on_levels)
    plan = plan_for(source, variables="t", levels=(850, 150), step="6h")
    prepare(plan, tmp_path / "out.zarr", ALONE)
    store = open_source(tmp_path / "out.zarr")
    assert store.level.values.tolist() == [150, 850]
    assert store.sizes["time"] == 120
    hourly = open_source(source, parse_channels("t@150,t@850")).isel(time=slice(0, None, 6))
    np.testing.assert_array_equal(store.t, hourly.t)
    # One chunk a level, so that r@1000 does not cost the whole column.
    assert xr.open_zarr(tmp_path / "out.zarr").t.encoding["chunks"][1] == 1
    one = plan_for(source, variables="t2m,t@500")
    assert [str(c) for c in one.channels] == ["t2m", "t@500"]


def test_statistics_serve_as_normalisation(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.zarr"
    period = "2016-12-20/2016-12-31"
    prepare(plan_for(archive, variables="t2m,u10", train_period=period), target, ALONE)
    channels = parse_channels("u10,t2m")
    stored = fit_normalization(open_source(target), channels, Period.parse(period))
    plain = open_source(target).drop_attrs().drop_vars("usable")
    computed = fit_normalization(plain, channels, Period.parse(period))
    np.testing.assert_allclose(stored.mean, computed.mean, rtol=1e-6)
    np.testing.assert_allclose(stored.std, computed.std, rtol=1e-6)


def test_calendars(make_wave: Make, tmp_path: Path) -> None:
    wave = make_wave(start="2016-02-27", steps=4, step_hours=24)
    days = [(2, 27), (2, 28), (3, 1), (3, 2)]
    noleap = wave.assign_coords(time=[cftime.DatetimeNoLeap(2016, *day) for day in days])
    noleap.rename(t2m="tas").to_netcdf(tmp_path / "noleap.nc")
    with pytest.raises(InputError, match="lacks 1 of the 5 times asked for, 2016-02-29"):
        plan_for(tmp_path / "noleap.nc")
    plan = plan_for(tmp_path / "noleap.nc", on_bad="mask")
    prepare(plan, tmp_path / "noleap.zarr", ALONE)
    assert open_source(tmp_path / "noleap.zarr")["usable"].values.tolist() == [
        True, True, False, True, True,
    ]  # fmt: skip
    days360 = [cftime.Datetime360Day(2016, 2, day) for day in (27, 28, 29, 30)]
    wave.assign_coords(time=days360).to_netcdf(tmp_path / "days360.nc")
    with pytest.raises(InputError, match="calendar '360_day'"):
        plan_for(tmp_path / "days360.nc")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variables": "t2m,tcc"}, "has no variable tcc; it has u10, v10, t2m"),
        ({"variables": "t2m@500"}, "has no t2m@500; t2m is on no levels"),
        ({"period": "2010/2018"}, r"reaches beyond the source; .* 2016-12-20T00 to 2017-01-18T23"),
        ({"period": "1999"}, "holds none of the source's times"),
        ({"period": "2016-12-25T00/2016-12-25T00"}, "holds only one time"),
        ({"step": "90min"}, "the step 90min is no multiple of the source's, 1 h"),
        ({"grid": "3.5"}, "unknown grid '3.5'; expected 5.625, 2.8125, 1.40625"),
        ({"derive": ("r2m",)}, "r2m"),
        ({"train_period": "1999"}, "the period of the statistics, 1999.* holds none"),
    ],
)
def test_what_the_source_lacks(archive: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        plan_for(archive, **options)
    assert "\n" not in str(caught.value)


def test_two_variables_with_unlike_steps_or_grids(make_wave: Make, tmp_path: Path) -> None:
    make_wave(steps=24).to_netcdf(tmp_path / "t2m.nc")
    make_wave(steps=4, step_hours=6, names=("u10",)).to_netcdf(tmp_path / "u10.nc")
    with pytest.raises(InputError, match=r"different time steps .*t2m every 1 h; u10 every 6 h"):
        plan_for(tmp_path / "*.nc")
    make_wave(steps=24, names=("u10",), grid=FINE).to_netcdf(tmp_path / "u10.nc")
    with pytest.raises(InputError, match=r"two grids: .*32 x 64.*61 x 120"):
        plan_for(tmp_path / "*.nc")


def test_an_existing_store_is_untouched(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.zarr"
    plan = plan_for(archive, variables="t2m")
    prepare(plan, target, ALONE)
    before = digest(target)
    other = plan_for(archive, variables="u10", method="bilinear")
    with pytest.raises(InputError, match=r"another recipe .*\"bilinear\" asked for"):
        prepare(other, target, ALONE)
    with pytest.raises(KeyboardInterrupt):
        prepare(other, target, ALONE, overwrite=True, report=stop_after(240))
    assert digest(target) == before
    prepare(other, target, ALONE, overwrite=True)
    assert list(open_source(target).data_vars) == ["u10"]
    (tmp_path / "folder.zarr").mkdir()
    with pytest.raises(InputError, match="exists and is no prepared store"):
        prepare(plan, tmp_path / "folder.zarr", ALONE)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(prepare_module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(InputError, match=r"may take 0.0 GB, but .* has 0.0 GB left"):
        prepare(plan, tmp_path / "more.zarr", ALONE)
    with pytest.raises(InputError, match=r"expected NAME.zarr"):
        prepare(plan, tmp_path / "out.nc", ALONE)


def test_one_run_a_store(archive: Path, tmp_path: Path) -> None:
    plan = plan_for(archive, variables="t2m")
    target = tmp_path / "out.zarr"

    def meanwhile(_: Progress) -> None:
        with pytest.raises(InputError, match=rf"another run \(process {os.getpid()}\) is writing"):
            prepare(plan, target, ALONE)

    prepare(plan, target, ALONE, report=meanwhile)


def test_the_plan_of_long_source_chunks_does_not_cut_them(archive: Path, tmp_path: Path) -> None:
    plan = plan_for(archive, variables="t2m")
    assert plan.block == plan.chunk == 240
    smaller = replace(plan, block=480)
    assert [b.stop - b.start for b in smaller.blocks] == [480, 240]
    prepare(plan, tmp_path / "a.zarr", ALONE)
    prepare(smaller, tmp_path / "b.zarr", ALONE)
    assert digest(tmp_path / "a.zarr") == digest(tmp_path / "b.zarr")


def test_weatherbench2_as_it_is(make_wave: Make, tmp_path: Path) -> None:
    dataset = make_wave(steps=8, step_hours=6, names=("t2m", "r"))
    humidity = xr.concat([dataset.r, dataset.r / 2], dim="level").assign_coords(level=[500, 1000])
    stored = xr.Dataset(
        {"2m_temperature": dataset.t2m, "relative_humidity": (humidity / 100).drop_attrs()}
    ).transpose("time", "level", "longitude", "latitude")
    stored.to_zarr(tmp_path / "wb2.zarr", zarr_format=2, consolidated=True)
    target = tmp_path / "out.zarr"
    prepare(plan_for(tmp_path / "wb2.zarr", variables="t2m,r@1000"), target, ALONE)
    store = open_source(target)
    assert xr.open_zarr(target).attrs["method"].startswith("as it is")
    np.testing.assert_array_equal(store.t2m, dataset.t2m)
    np.testing.assert_allclose(store.r[:, 0], dataset.r / 2, rtol=1e-6)
    assert store.level.values.tolist() == [1000]


def test_weatherbench1_with_a_year_that_lacks(make_wave: Make, tmp_path: Path) -> None:
    dataset = make_wave(start="2014-01-01", steps=3 * 365, step_hours=24)
    folder = tmp_path / "wb1" / "2m_temperature"
    folder.mkdir(parents=True)
    for year in (2014, 2016):
        part = dataset.sel(time=str(year)).rename(latitude="lat", longitude="lon")
        part.to_netcdf(folder / f"2m_temperature_{year}_5.625deg.nc")
    with pytest.raises(InputError, match=r"lacks 365 of the 1095 .*of 2m_temperature 2015"):
        plan_for(tmp_path / "wb1", variables="t2m")
    plan = plan_for(tmp_path / "wb1", variables="t2m", on_bad="mask")
    prepare(plan, tmp_path / "out.zarr", ALONE)
    store = open_source(tmp_path / "out.zarr")
    assert store["usable"].sel(time="2014").values.all()
    assert not store["usable"].sel(time="2015").values.any()
    np.testing.assert_array_equal(store.t2m.sel(time="2016"), dataset.t2m.sel(time="2016"))


def test_cmip_files(make_wave: Make, tmp_path: Path) -> None:
    names = {"t2m": "tas", "u10": "uas", "v10": "vas", "r": "hurs"}
    wave = make_wave(steps=12, step_hours=6, names=tuple(names), grid=FINE)
    for name, hybrid in names.items():
        field = wave[[name]].rename({name: hybrid, "latitude": "lat", "longitude": "lon"})
        field = field.assign_coords(height=2.0)
        field[hybrid].attrs = {"units": "%" if name == "r" else wave[name].attrs["units"]}
        bounds = np.stack([wave.time.values, wave.time.values + np.timedelta64(6, "h")], axis=1)
        field["time_bnds"] = (("time", "bnds"), bounds)
        days = {"units": "days since 1850-01-01", "calendar": "noleap"}
        encoding = {"time": days, "time_bnds": days}
        field.to_netcdf(tmp_path / f"{hybrid}_6hr_model_historical.nc", encoding=encoding)
    plan = plan_for(tmp_path / "*_historical.nc", variables="t2m,uv10,r2m")
    prepare(plan, tmp_path / "out.zarr", ALONE)
    store = open_source(tmp_path / "out.zarr")
    regridder = Regridder(FINE, GLOBAL_5625)
    for name, source in (("t2m", "t2m"), ("u10", "u10"), ("v10", "v10"), ("r2m", "r")):
        np.testing.assert_allclose(
            store[name].values, regridder(wave[source].values), rtol=1e-5, atol=1e-5
        )


def test_a_cloud_in_trouble_gives_the_same_fields(archive_server: Any, archive: Path) -> None:
    shutil.copytree(archive, archive_server.folder / "archive.zarr")
    archive_server.fail(503, r"temperature/\d", times=99, every=5)
    archive_server.fail("drop", r"temperature/\d", times=99, every=7)
    archive_server.fail("cut", r"temperature/1\d\.", times=2)
    source = f"{archive_server.url}/archive.zarr"
    patient = Network(backoff_seconds=0.01, request_seconds=5)
    targets = [archive.with_name(name) for name in ("remote.zarr", "local.zarr")]
    prepare(make_plan(Request(source=source, variables="t2m"), patient), targets[0], ALONE)
    prepare(plan_for(archive, variables="t2m"), targets[1], ALONE)
    assert digest(targets[0] / "t2m") == digest(targets[1] / "t2m")
    assert archive_server.count(r"temperature/\d") > 30


def test_a_cloud_that_is_gone_loses_nothing(archive_server: Any, archive: Path) -> None:
    shutil.copytree(archive, archive_server.folder / "archive.zarr")
    source, target = f"{archive_server.url}/archive.zarr", archive.with_name("remote.zarr")
    hasty = Network(backoff_seconds=0.01, deadline_seconds=0.3)
    plan = make_plan(Request(source=source, variables="t2m"), hasty)
    fault = archive_server.fail(503, r"temperature/(1[5-9]|2\d)\.", times=np.inf)
    with pytest.raises(OSError, match="can't be read") as caught:
        prepare(plan, target, ALONE)
    assert "\n" not in str(caught.value)
    assert fault.done > 1
    flags = read_flags(partial_path(target), ["t2m"])["t2m"]
    assert (flags[:240] == Status.GOOD).all()
    archive_server.recover()
    prepare(plan, target, ALONE)
    assert open_source(target)["usable"].values.all()


@needs_real_files
def test_real_grib_and_netcdf_stay_regions(tmp_path: Path) -> None:
    pytest.importorskip("cfgrib", reason="GRIB needs the extra `grib`")
    for file, shape, times in (
        ("era5-2mt-2019-03-uk.grib", (33, 49), 744),
        ("ncep_air_sig995_namerica_2013_2014_6h.nc", (25, 53), 2920),
    ):
        target = tmp_path / f"{Path(file).stem}.zarr"
        prepare(plan_for(SHARED / file), target, ALONE)
        store, direct = open_source(target), open_source(SHARED / file)
        assert Grid.of(store).shape == shape
        assert store["usable"].values.sum() == times
        name = next(iter(direct.data_vars))
        np.testing.assert_array_equal(store[name].values, direct[name].values)


@needs_real_files
def test_real_months_without_a_year_go_to_32_x_64(tmp_path: Path) -> None:
    target = tmp_path / "eraint.zarr"
    plan = plan_for(SHARED / "eraint_uvz.nc", on_bad="raise")
    prepare(plan, target, ALONE)
    store = open_source(target)
    assert store.u.shape == (2, 3, 32, 64)
    assert store.attrs["nominal_year"] == "2001"
    assert store.time.values.astype("datetime64[D]").astype(str).tolist() == [
        "2001-01-01", "2001-07-01",
    ]  # fmt: skip
    # Independently: the area mean by exact bands of 0.75 degrees, half ones at the poles.
    raw = xr.open_dataset(SHARED / "eraint_uvz.nc", decode_cf=False)
    edges = np.clip(np.concatenate([[90.0], raw.latitude.values - 0.375]), -90, 90)
    bands = -np.diff(np.sin(np.deg2rad(edges)))
    rows = np.diff(np.sin(np.deg2rad(np.linspace(-90, 90, 33))))
    for name in ("u", "v", "z"):
        field = raw[name]
        scale, offset = (field.attrs.get(k, d) for k, d in (("scale_factor", 1), ("add_offset", 0)))
        values = field.values * scale + offset
        wanted = np.einsum("mlyx,y->ml", values, bands) / bands.sum() / 480
        found = np.einsum("mlyx,y->ml", store[name].values.astype(float), rows) / rows.sum() / 64
        size = np.abs(values).mean(axis=(2, 3))
        np.testing.assert_array_less(np.abs(found - wanted), 1e-5 * size)
