"""Archives elsewhere: short names, servers in trouble, caches, and no network at all."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.core.sync import sync

from weathersvq.data.chunks import blosc_length
from weathersvq.data.files import open_zarr
from weathersvq.data.patience import JITTER, Tries
from weathersvq.data.remote import (
    Network,
    ReadFailed,
    archives,
    fetch_files,
    open_remote_zarr,
    probe,
    resolve,
    retrying,
)
from weathersvq.data.sources import open_canonical, open_source
from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.variables import parse_channels, variable

Make = Callable[..., xr.Dataset]
# The server of conftest.py.
Server = Any

HASTY = Network(
    probe_seconds=2,
    request_seconds=2,
    deadline_seconds=30,
    backoff_seconds=0.005,
    longest_backoff_seconds=0.02,
)
# Chunks, not metadata.
CHUNKS = r"/\d+(\.\d+)*$|/c/\d+(/\d+)*$"


@pytest.fixture(autouse=True)
def no_archives_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WEATHERSVQ_ARCHIVES", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))


def weatherbench2_form(wave: xr.Dataset) -> xr.Dataset:
    """The 6-hourly store: dims (time, level, longitude, latitude), humidity 0-1 without units."""
    t = xr.concat([wave.t2m - 40, wave.t2m - 10], dim="level").assign_coords(level=[500, 850])
    r = ((t - 200) / 200).drop_attrs()
    fields = wave[["t2m", "u10"]].assign(t=t.assign_attrs(units="K"), r=r)
    names = {n: variable(n).weatherbench2 for n in ("t2m", "u10", "t", "r")}
    return fields.rename(names).transpose("time", "level", "longitude", "latitude")


def arco_form(wave: xr.Dataset) -> xr.Dataset:
    """Latitudes descend; the axis of times goes on after the data, which attributes delimit."""
    north_first = wave.isel(latitude=slice(None, None, -1))
    times = wave.time.values[0] + np.arange(60) * np.timedelta64(3600, "s")
    longer = north_first.reindex(time=times).rename(
        t2m="2m_temperature", u10=variable("u10").weatherbench2
    )
    return longer.assign_attrs(valid_time_start="2016-12-28", valid_time_stop="2016-12-28")


@pytest.fixture(params=["weatherbench2", "arco"])
def layout(request: pytest.FixtureRequest, make_wave: Make, tmp_path: Path) -> tuple[str, str]:
    """A store in a public layout under the server's folder: its name, and channels of it."""
    if request.param == "weatherbench2":
        stored = weatherbench2_form(make_wave(steps=6, step_hours=6, names=("t2m", "u10")))
        channels = "t2m,u10,t@500,t@850,r@500,r@850"
    else:
        coarse = Grid(np.linspace(-90, 90, 19), np.arange(36) * 10.0)
        stored = arco_form(make_wave(steps=24, names=("t2m", "u10"), grid=coarse))
        channels = "t2m,u10"
    name = f"{request.param}.zarr"
    chunks = {n: {"chunks": (1, *field.shape[1:])} for n, field in stored.data_vars.items()}
    path = tmp_path / "served" / name
    stored.to_zarr(
        path, zarr_format=2, consolidated=True, encoding=chunks, write_empty_chunks=False
    )
    return name, channels


def read(source: str, channels: str, network: Network) -> xr.Dataset:
    dataset = open_canonical(source, parse_channels(channels), network=network)
    return retrying(dataset.compute, source, network)


def lazily(url: str, network: Network) -> xr.Dataset:
    """A store as it is: every chunk is read when it is asked for."""
    store = open_remote_zarr(url, network)
    return xr.open_zarr(store, chunks={}, consolidated=True, decode_timedelta=False)


@pytest.fixture
def wave_on_server(make_wave: Make, tmp_path: Path) -> xr.Dataset:
    """The wave in `wave.zarr` (Blosc) and `zlib.zarr`: t2m in eight chunks of one time."""
    wave = make_wave(steps=8)
    for name, codec in {"wave": {}, "zlib": {"compressors": numcodecs.Zlib()}}.items():
        wave.to_zarr(
            tmp_path / "served" / f"{name}.zarr", zarr_format=2, consolidated=True,
            encoding={"t2m": {"chunks": (1, 32, 64)} | codec},
        )  # fmt: skip
    return wave


def one_line_of(caught: pytest.ExceptionInfo[BaseException]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- short names -----------------------------------------------------------------------------


def test_the_public_archives_have_names() -> None:
    known = archives()
    assert list(known) == ["weatherbench2", "weatherbench2-hourly", "arco-era5"]
    for archive in known.values():
        assert archive.address.startswith("gs://")
        assert "Copernicus" in archive.licence
        assert "\n" not in archive.description
    assert resolve("arco-era5") == known["arco-era5"].address
    for other in ("sample", "arco", "./arco-era5", "http://host/arco-era5", "a b", ""):
        assert resolve(other) == other


def test_users_add_and_replace_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_wave: Make
) -> None:
    wave = make_wave(steps=2)
    wave.to_netcdf(tmp_path / "wave.nc")
    folder = tmp_path / "settings" / "weathersvq"
    folder.mkdir(parents=True)
    (folder / "archives.yaml").write_text("ours: {address: /nowhere}\nlab: {address: /lab}\n")
    named = tmp_path / "more.yaml"
    named.write_text(f"ours:\n  address: {tmp_path / 'wave.nc'}\n  licence: none\n")
    monkeypatch.setenv("WEATHERSVQ_ARCHIVES", str(named))
    assert {"weatherbench2", "lab", "ours"} <= set(archives())
    assert resolve("lab") == "/lab"
    xr.testing.assert_allclose(open_source("ours").t2m.drop_attrs(), wave.t2m.drop_attrs())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("- a\n- b", "holds no archives; expected short names, each with an address"),
        ("ours: {licence: free}", "ours.address: field required"),
        ("ours: gs://bucket", "ours: input should be"),
        ("ours: {address: x, adress: y}", "ours.adress: extra inputs"),
        ("sample: {address: x}", "'sample' can't be a short name"),
        ("a/b: {address: x}", "'a/b' can't be a short name"),
        ("1: {address: x}", "1 can't be a short name"),
        (None, "can't read the archives"),
    ],
)
def test_bad_files_of_archives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, message: str
) -> None:
    file = tmp_path / "mine.yaml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("WEATHERSVQ_ARCHIVES", str(file))
    with pytest.raises(InputError, match=message) as caught:
        open_source("weatherbench2")
    assert str(file) in one_line_of(caught)


# --- reading through trouble -----------------------------------------------------------------


@pytest.mark.parametrize("kind", [503, 500, 429, "stall", "drop", "cut"])
def test_what_passes_leaves_no_trace(
    layout: tuple[str, str], archive_server: Server, kind: int | str, tmp_path: Path
) -> None:
    name, channels = layout
    network = HASTY.model_copy(update={"request_seconds": 0.2 if kind == "stall" else 2})
    calm = read(str(tmp_path / "served" / name), channels, HASTY)
    assert Grid.of(calm).is_global
    archive_server.fail(kind, "zmetadata")
    fault = archive_server.fail(kind, CHUNKS, times=3, every=5)
    xr.testing.assert_identical(
        read(f"{archive_server.url}/{name}", channels, network).drop_attrs(), calm.drop_attrs()
    )
    assert fault.done == 3
    # Axes that arrived damaged are read by opening the store once more.
    assert archive_server.count("zmetadata") == 2 or kind in ("cut", "stall")


def test_what_the_public_layouts_hold(
    layout: tuple[str, str], archive_server: Server, make_wave: Make
) -> None:
    name, channels = layout
    dataset = open_canonical(
        f"{archive_server.url}/{name}", parse_channels(channels), network=HASTY
    )
    assert archive_server.count(r"(temperature|humidity|wind)/\d") == 0  # fields wait
    assert (np.diff(dataset.latitude) > 0).all()
    if name == "arco.zarr":
        assert dataset.sizes["time"] == 24  # of the 60 of the axis
    else:
        wave = make_wave(steps=6, step_hours=6)
        np.testing.assert_allclose(dataset.r.sel(level=500), (wave.t2m - 240) / 2, rtol=1e-5)
        assert Grid.of(dataset).matches(GLOBAL_5625)


def test_the_end_is_the_deadline(
    wave_on_server: xr.Dataset, archive_server: Server, stopwatch: Callable[[], float]
) -> None:
    url = f"{archive_server.url}/wave.zarr"
    network = HASTY.model_copy(update={"deadline_seconds": 0.5})
    dataset = lazily(url, network)
    archive_server.fail(503, "t2m/3.0.0", times=np.inf)
    stopwatch()
    with pytest.raises(
        OSError, match=r"t2m/3.0.0 can't be read: the server answered 503"
    ) as caught:
        retrying(dataset.compute, url, network)
    assert 0.3 < stopwatch() < 5
    said = re.search(r"\((\d+) tries in \d s\)$", one_line_of(caught))
    assert said
    # The last one may have been cut off before the server took notice.
    assert archive_server.count("t2m/3.0.0") in (int(said[1]), int(said[1]) - 1)
    assert int(said[1]) > 10
    assert url in str(caught.value)


def test_a_server_that_stops_talking_is_cut_off(
    wave_on_server: xr.Dataset, archive_server: Server, stopwatch: Callable[[], float]
) -> None:
    url = f"{archive_server.url}/wave.zarr"
    network = HASTY.model_copy(update={"attempts": 2, "request_seconds": 0.2})
    dataset = lazily(url, network)
    archive_server.fail("stall", "t2m/0", times=np.inf)
    stopwatch()
    with pytest.raises(ReadFailed, match=r"t2m/0.0.0 can't be read: .* \(2 tries in \d s\)"):
        dataset.t2m[0].compute()
    assert 0.35 < stopwatch() < 5


def test_refusals_are_not_tried_again(wave_on_server: xr.Dataset, archive_server: Server) -> None:
    dataset = lazily(f"{archive_server.url}/wave.zarr", HASTY)
    archive_server.fail(403, "t2m/5", times=np.inf)
    with pytest.raises(ReadFailed, match=r"the server answered 403 Forbidden \(1 try in \d s\)"):
        retrying(dataset.compute, "wave", HASTY)
    assert archive_server.count("t2m/5") == 1


def test_a_chunk_that_is_not_there_is_missing_data(
    wave_on_server: xr.Dataset, archive_server: Server, tmp_path: Path
) -> None:
    (tmp_path / "served" / "wave.zarr" / "t2m" / "2.0.0").unlink()
    result = read(f"{archive_server.url}/wave.zarr", "t2m", HASTY)
    assert np.isnan(result.t2m[2]).all()
    assert archive_server.count("t2m/2.0.0") == 1
    np.testing.assert_array_equal(np.delete(result.t2m, 2, 0), np.delete(wave_on_server.t2m, 2, 0))


@pytest.mark.parametrize("cached", [False, True])
def test_bytes_that_were_cut_silently_are_fetched_again(
    wave_on_server: xr.Dataset, archive_server: Server, tmp_path: Path, cached: bool
) -> None:
    network = HASTY.model_copy(update={"cache": tmp_path / "cache" if cached else None})
    dataset = lazily(f"{archive_server.url}/zlib.zarr", network)
    archive_server.fail("cut", "t2m/6")
    with pytest.raises(zlib.error):  # what happens without `retrying`
        dataset.t2m[6].compute()
    archive_server.fail("cut", "t2m/7")
    result = retrying(lambda: dataset.compute(scheduler="synchronous"), "wave", network)
    np.testing.assert_array_equal(result.t2m, wave_on_server.t2m)
    # Once more where 6, damaged in the cache, was met after 7 had come.
    assert 2 <= archive_server.count("t2m/7") <= 2 + cached
    if cached:
        before = archive_server.count("t2m/")
        np.testing.assert_array_equal(dataset.t2m, wave_on_server.t2m)
        assert archive_server.count("t2m/") == before


def test_damage_at_the_source_is_given_up_soon(
    wave_on_server: xr.Dataset, archive_server: Server, tmp_path: Path
) -> None:
    network = HASTY.model_copy(update={"cache": tmp_path / "cache", "damage_attempts": 3})
    archive_server.fail("cut", "t2m/1", times=np.inf)
    for name, message in {
        "zlib": r"t2m of the wave can't be read: .*decompressing.* \(3 tries in \d s\)",
        "wave": r"wave.zarr/t2m/1.0.0 can't be read: it arrives cut \(3 tries\)",
    }.items():
        dataset = lazily(f"{archive_server.url}/{name}.zarr", network)
        with pytest.raises(ReadFailed, match=message):
            retrying(
                lambda d=dataset: d.compute(scheduler="synchronous"), "t2m of the wave", network
            )
        assert archive_server.count(f"{name}.zarr/t2m/1") == 3
    assert not list((tmp_path / "cache").rglob("t2m/1.0.0"))


@given(st.integers(1, 4000), st.sampled_from([1, 2, 4, 8]), st.integers(0, 2), st.data())
def test_a_cut_blosc_chunk_shows_and_a_whole_one_passes(
    count: int, item: int, shuffle: int, data: st.DataObject
) -> None:
    values = np.random.default_rng(count).integers(0, 99, count).astype(f"u{item}")
    whole = numcodecs.Blosc(shuffle=shuffle).encode(values)
    assert blosc_length(whole[:16]) == len(whole)
    assert blosc_length(whole[: data.draw(st.integers(0, 15))]) == 0
    for other in (numcodecs.Zlib(), numcodecs.Zstd(), numcodecs.LZ4(), numcodecs.GZip()):
        assert blosc_length(bytes(other.encode(values))[:16]) == 0


def test_metadata_that_were_cut(
    wave_on_server: xr.Dataset, archive_server: Server, tmp_path: Path
) -> None:
    network = HASTY.model_copy(update={"cache": tmp_path / "cache"})
    url = f"{archive_server.url}/wave.zarr"
    archive_server.fail("cut", "zmetadata", times=2)
    assert open_canonical(url, network=network).sizes["time"] == 8
    assert archive_server.count("zmetadata") == 3
    archive_server.fail("page", r"other.zarr/\.z", times=np.inf)
    with pytest.raises(InputError, match=r"other.zarr' is not a readable Zarr store"):
        open_canonical(f"{archive_server.url}/other.zarr", network=network)
    assert not [file for file in (tmp_path / "cache").rglob("*other.zarr/*") if file.is_file()]


def test_what_is_asked_of_a_store_otherwise(
    wave_on_server: xr.Dataset, archive_server: Server
) -> None:
    """Existence and listings pass through the same patience."""
    archive_server.fail(503, times=np.inf, every=2)
    store = open_remote_zarr(f"{archive_server.url}/wave.zarr", HASTY)
    group = zarr.open_group(store, mode="r", use_consolidated=False)
    assert set(group.array_keys()) == {"t2m", "time", "latitude", "longitude"}
    assert "t2m" in group
    assert "u10" not in group
    archive_server.recover()
    for key, there in {"t2m/.zarray": True, "u10/.zarray": False}.items():
        archive_server.fail(503, key)
        assert sync(store.exists(key)) is there
    fields = open_zarr(store, "wave")
    np.testing.assert_array_equal(fields.t2m, wave_on_server.t2m)
    with pytest.raises(ValueError, match="read-only"):
        zarr.open_group(store, mode="r+")


# --- caches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sharded", [False, True])
def test_what_is_cached_is_not_asked_for_again(
    make_wave: Make, archive_server: Server, tmp_path: Path, sharded: bool
) -> None:
    wave = make_wave(steps=8)
    encoding: dict[str, Any] = {"chunks": (1, 32, 64)} | (
        {"shards": (4, 32, 64)} if sharded else {}
    )
    served = tmp_path / "served" / "wave.zarr"
    version: Literal[2, 3] = 3 if sharded else 2
    wave.to_zarr(served, zarr_format=version, consolidated=not sharded, encoding={"t2m": encoding})
    network = HASTY.model_copy(update={"cache": tmp_path / "cache"})
    url = f"{archive_server.url}/wave.zarr"
    assert np.array_equal(read(url, "t2m", network).t2m, wave.t2m)
    first = archive_server.count(CHUNKS)
    assert archive_server.count(r"t2m/(c/)?\d") == (2 if sharded else 8)
    assert np.array_equal(read(url, "t2m", network).t2m, wave.t2m)
    assert archive_server.count(CHUNKS) == first
    assert np.array_equal(read(url, "t2m", HASTY).t2m, wave.t2m)
    assert archive_server.count(CHUNKS) > first


def test_stores_of_one_name_do_not_share_a_cache(
    make_wave: Make, archive_server: Server, tmp_path: Path
) -> None:
    network = HASTY.model_copy(update={"cache": tmp_path / "cache"})
    for year in ("2015", "2016"):
        make_wave(start=year, steps=2).to_zarr(
            tmp_path / "served" / year / "a.zarr", zarr_format=2, consolidated=True
        )
        url = f"{archive_server.url}/{year}/a.zarr"
        assert str(read(url, "t2m", network).time.values[0])[:4] == year


# --- files -----------------------------------------------------------------------------------


def test_files_are_fetched_whole_or_not_at_all(
    make_wave: Make, archive_server: Server, tmp_path: Path
) -> None:
    network = HASTY.model_copy(update={"cache": tmp_path / "cache"})
    make_wave(steps=3).to_netcdf(tmp_path / "served" / "a.nc")
    url = f"{archive_server.url}/a.nc"
    for kind in (503, "drop", 429):
        archive_server.fail(kind, "a.nc")
    (copy,) = fetch_files(url, network)
    assert copy.read_bytes() == (tmp_path / "served" / "a.nc").read_bytes()
    assert archive_server.count() == 4
    assert fetch_files(url, network) == [copy]
    assert archive_server.count() == 4
    assert [file.name for file in copy.parent.iterdir()] == [copy.name]
    (elsewhere,) = fetch_files(url, HASTY)
    assert not elsewhere.is_relative_to(tmp_path)


def test_a_file_that_never_arrives_leaves_nothing(
    make_wave: Make, archive_server: Server, tmp_path: Path
) -> None:
    network = HASTY.model_copy(update={"cache": tmp_path / "cache", "attempts": 3})
    make_wave(steps=3).to_netcdf(tmp_path / "served" / "a.nc")
    archive_server.fail("drop", times=np.inf)
    with pytest.raises(ReadFailed, match=r"a.nc' can't be read: .* \(3 tries in \d s\)") as caught:
        open_canonical(f"{archive_server.url}/a.nc", network=network)
    one_line_of(caught)
    assert not list((tmp_path / "cache" / "files").iterdir())
    with pytest.raises(InputError, match="nothing to read at"):
        open_canonical(f"{archive_server.url}/b.nc", network=network)


def test_a_damaged_file_does_not_stay_in_the_cache(
    make_wave: Make, archive_server: Server, tmp_path: Path
) -> None:
    network = HASTY.model_copy(update={"cache": tmp_path / "cache"})
    make_wave(steps=3).to_netcdf(tmp_path / "served" / "a.nc")
    archive_server.fail("cut", "a.nc")
    with pytest.raises(InputError, match="not a readable NetCDF file"):
        open_canonical(f"{archive_server.url}/a.nc", network=network)
    assert open_canonical(f"{archive_server.url}/a.nc", network=network).sizes["time"] == 3


def test_files_by_a_pattern(make_wave: Make, archive_server: Server, tmp_path: Path) -> None:
    wave = make_wave(steps=4)
    wave[dict(time=slice(2, 4))].to_netcdf(tmp_path / "served" / "a1.nc")
    wave[dict(time=slice(0, 2))].to_netcdf(tmp_path / "served" / "a2.nc")
    archive_server.fail(500, "/$")
    result = open_canonical(f"{archive_server.url}/a*.nc", network=HASTY)
    np.testing.assert_array_equal(result.t2m, wave.t2m)
    with pytest.raises(InputError, match="nothing to read at"):
        open_canonical(f"{archive_server.url}/b*.nc", network=HASTY)


# --- trying again ----------------------------------------------------------------------------


def test_pauses_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JITTER, "uniform", lambda low, high: high)
    tries = Tries("it", Network(deadline_seconds=1000))
    pauses = [tries.pause_after(ConnectionResetError("gone")) for _ in range(9)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    monkeypatch.setattr(JITTER, "uniform", lambda low, high: low)
    assert Tries("it", Network()).pause_after(TimeoutError()) == 0.25


def test_the_message_tells_the_last_fault_that_says_something() -> None:
    tries = Tries("it", Network(deadline_seconds=0.05, backoff_seconds=0.001))
    tries.pause_after(ConnectionResetError("gone"))
    time.sleep(0.06)
    with pytest.raises(ReadFailed, match=r"^it can't be read: gone \(2 tries in 0 s\)$"):
        tries.pause_after(TimeoutError())


@pytest.mark.parametrize(
    ("fault", "tries"),
    [
        (InputError("wrong"), 1),
        (FileNotFoundError("gone"), 1),
        (PermissionError("no"), 1),
        (OSError(28, "No space left on device"), 1),
        (OSError("Forbidden: bucket/object"), 1),
        (KeyError("a mistake of the program"), 1),
        (ConnectionResetError("gone"), 4),
        (TimeoutError(), 4),
        (gzip.BadGzipFile("CRC check failed"), 3),
        (EOFError("Compressed file ended early"), 3),
        (ValueError("cannot reshape array"), 3),
    ],
)
def test_what_is_worth_another_try(fault: Exception, tries: int) -> None:
    network = HASTY.model_copy(update={"attempts": 4, "damage_attempts": 3})
    calls = []

    def work() -> None:
        calls.append(1)
        raise fault

    as_it_is = isinstance(fault, InputError | FileNotFoundError | KeyError)
    with pytest.raises(type(fault) if as_it_is else ReadFailed) as caught:
        retrying(work, "it", network)
    assert len(calls) == tries
    if not as_it_is:
        assert re.search(rf"\({tries} tr(y|ies) in \d s\)$", one_line_of(caught))
        assert caught.value.__cause__ is fault
    calls.clear()

    def recovering() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise fault
        return 42

    if tries > 1:
        assert retrying(recovering, "it", network) == 42


# --- no network ------------------------------------------------------------------------------


def test_hosts_that_are_not_there(silent_host: str, stopwatch: Callable[[], float]) -> None:
    for url, reason in {
        "http://127.0.0.1:9/a.zarr": "Connection refused",
        f"http://{silent_host}/a.zarr": "timed out|no answer within 0.5 s",
        f"https://{silent_host}/a.nc": "timed out|no answer within 0.5 s",
        "http://nowhere.invalid/a.zarr": "not known|resolution",
    }.items():
        stopwatch()
        with pytest.raises(OSError, match=f"can't be reached .*({reason})") as caught:
            open_canonical(url, network=HASTY.model_copy(update={"probe_seconds": 0.5}))
        assert stopwatch() < 5
        assert url in one_line_of(caught)
    with pytest.raises(InputError, match="names no host"):
        open_source("http:///a.zarr")


def test_a_name_that_nobody_looks_up(
    monkeypatch: pytest.MonkeyPatch, stopwatch: Callable[[], float]
) -> None:
    over = threading.Event()

    def look_up(*_: object, **__: object) -> None:
        over.wait(10)
        raise OSError("nobody knows")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    with pytest.raises(OSError, match=r"slow.example can't be reached \(no answer within 0.2 s\)"):
        probe("http://slow.example/a.zarr", HASTY.model_copy(update={"probe_seconds": 0.2}))
    assert stopwatch() < 5
    over.set()


def test_a_host_is_probed_once(wave_on_server: xr.Dataset, archive_server: Server) -> None:
    url = f"{archive_server.url}/wave.zarr"
    for _ in range(3):
        open_canonical(url, network=HASTY)
    probe("memory://anything")
    assert archive_server.probes == 1


def test_google_storage_through_trouble(
    layout: tuple[str, str],
    archive_server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The real gcsfs, against this machine's server."""
    pytest.importorskip("gcsfs")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", archive_server.url)
    name, channels = layout
    calm = read(str(tmp_path / "served" / name), channels, HASTY)
    archive_server.fail("drop", CHUNKS)
    result = read(f"gs://public/{name}", channels, HASTY)
    xr.testing.assert_identical(result.drop_attrs(), calm.drop_attrs())
    (copy,) = fetch_files(f"gs://public/{name}/.zmetadata", HASTY)
    assert copy.read_bytes() == (tmp_path / "served" / name / ".zmetadata").read_bytes()


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("nowhere.invalid", "nowhere.invalid can't be reached"),
        (None, "can't be reached .*no answer within 1 s|timed out"),
    ],
)
def test_google_storage_without_a_network(host: str | None, reason: str, silent_host: str) -> None:
    pytest.importorskip("gcsfs")
    code = (
        "from weathersvq.data.sources import open_canonical\n"
        "from weathersvq.data.remote import Network\n"
        "try:\n    open_canonical('weatherbench2', network=Network(probe_seconds=1))\n"
        "except OSError as error:\n    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30,
        env={"STORAGE_EMULATOR_HOST": f"http://{host or silent_host}"},
    )  # fmt: skip
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1
    assert re.search(reason, result.stdout)


def test_reading_leaves_nothing_on_the_error_stream(
    wave_on_server: xr.Dataset, archive_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gcsfs")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", archive_server.url)
    archive_server.fail(503, "t2m/2")
    archive_server.fail(400, "zlib.zarr/t2m/3")  # which gcsfs itself reports with a traceback
    code = (
        "from weathersvq.data.sources import open_canonical\n"
        f"print(int(open_canonical('{archive_server.url}/wave.zarr').t2m.compute().size))\n"
        "try:\n    open_canonical('gs://public/zlib.zarr').t2m.compute()\n"
        "except OSError as error:\n    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", code],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.stderr == ""
    good, refused = result.stdout.splitlines()
    assert good == f"{8 * 32 * 64}"
    assert re.search("t2m/3.0.0 can't be read: the server answered 400 Bad Request", refused)
