"""What regridding costs: 0.25 degrees to 32 x 64, beside xarray-regrid, a copy and mere reading.

- in memory: frames/s and peak memory beside xarray-regrid's conservative method on the same frames,
  and beside `np.copyto` of them;
- from a store: a temporary Zarr store, one frame a chunk and zstd as in public archives, beside
  reading the same pieces and doing nothing with them;
- more workers: the processes of a local Dask cluster, as `weathersvq prepare` starts them;
- more frames: peak memory of the lazy way, in a process that does nothing else.

    python benchmarks/regrid.py            a minute and a half, 1.5 GB of memory, 0.3 GB on the disk
    python benchmarks/regrid.py --quick    fewer frames and repeats

Ours runs in one thread. xarray-regrid calls BLAS: OMP_NUM_THREADS=1 holds it to one thread as well.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from common import (
    Row,
    interleaved_seconds,
    paired_ratio,
    peak_memory_mib,
    peak_memory_of,
    print_rows,
)
from numcodecs import Blosc
from numpy.typing import NDArray

from weathersvq.data.regrid import Regridder, regrid_dataset
from weathersvq.data.workers import start_workers
from weathersvq.grid import GLOBAL_5625, Grid

Frames = NDArray[np.float32]

SOURCE = Grid(np.linspace(-90, 90, 721), 0.25 * np.arange(1440))
COPY, OURS, PEER = "np.copyto", "ours", "xarray-regrid"
HAS_PEER = importlib.util.find_spec("xarray_regrid") is not None
# Frames that prepare reads at a time: 64 MiB.
PIECE = 16
# Frames of a worker's task: several for each, and as many.
TASK = 8
# A 16-bit GRIB field whose values span 128 K has steps of 2**-9 K.
PACKING = 512


def make_frames(count: int) -> Frames:
    """(count, 721, 1440) like 2 m temperature: travelling waves, weather of all sizes, packed."""
    generator = np.random.default_rng(0)
    rows = np.deg2rad(SOURCE.latitude)[:, None]
    columns = np.deg2rad(SOURCE.longitude)
    frames = np.empty((count, *SOURCE.shape), np.float32)
    # Sums of white noise along both axes have the steep spectrum that weather has.
    rough = generator.standard_normal(SOURCE.shape).cumsum(axis=0).cumsum(axis=1)
    rough = (rough - rough.mean()) / rough.std()
    fine = generator.standard_normal(SOURCE.shape)
    for number in range(count):
        wave = np.cos(rows) ** 2 * np.cos(5 * columns - 0.1 * number)
        weather = np.roll(4 * rough + 0.05 * fine, 3 * number, axis=1)
        frames[number] = np.round((250 + 45 * np.cos(rows) + 6 * wave + weather) * PACKING)
        frames[number] /= PACKING
    return frames


def with_continents(frames: Frames) -> Frames:
    """The frames with a third of each map missing, as fields of the sea have it."""
    rows = np.sin(3 * np.deg2rad(SOURCE.latitude))[:, None]
    land = rows * np.sin(2 * np.deg2rad(SOURCE.longitude)) > 0.25
    return np.where(land, np.float32(np.nan), frames)


def write_store(path: Path, frames: Frames, count: int) -> float:
    """Write `count` frames, one a chunk, repeating those given; returns how far they shrink."""
    array = zarr.open_group(path, mode="w", zarr_format=2).create_array(
        "t2m",
        shape=(count, *SOURCE.shape),
        chunks=(1, *SOURCE.shape),
        dtype="float32",
        compressors=Blosc("zstd", clevel=5, shuffle=Blosc.SHUFFLE),
        attributes={"_ARRAY_DIMENSIONS": ["time", "latitude", "longitude"]},
    )
    for start in range(0, count, len(frames)):
        array[start : start + len(frames)] = frames[: count - start]
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return array.nbytes / size


def read(path: Path, piece: slice) -> Frames:
    """(n, 721, 1440) of the store."""
    frames: Frames = np.asarray(zarr.open_array(path / "t2m", mode="r")[piece])
    return frames


def lazily_opened(path: Path, count: int) -> xr.Dataset:
    """The store's first `count` frames as Dask chunks of one frame."""
    dataset = xr.open_zarr(path, consolidated=False, chunks={}).isel(time=slice(count))
    return dataset.assign_coords(latitude=SOURCE.latitude, longitude=SOURCE.longitude)


def xarray_regrid(frames: Frames) -> xr.DataArray:
    import xarray_regrid  # noqa: F401  (gives arrays their `regrid`)

    field = xr.DataArray(
        frames,
        dims=("time", "latitude", "longitude"),
        coords={"latitude": SOURCE.latitude, "longitude": SOURCE.longitude},
    )
    target = xr.Dataset(
        coords={"latitude": GLOBAL_5625.latitude, "longitude": GLOBAL_5625.longitude}
    )
    return field.regrid.conservative(target, latitude_coord="latitude")


def rates(
    part: str,
    seconds: Mapping[str, Sequence[float]],
    frames: int,
    against: str,
) -> list[Row]:
    """Frames a second by case; ratios of speeds."""
    return [
        Row(
            "regrid",
            f"{part}: {case}",
            frames / statistics.median(several),
            "frames/s",
            f"{part}: {against}",
            paired_ratio(seconds[against], several),
        )
        for case, several in seconds.items()
    ]


def in_memory(frames: Frames, repeats: int) -> list[Row]:
    conservative = Regridder(SOURCE, GLOBAL_5625)
    bilinear = Regridder(SOURCE, GLOBAL_5625, "bilinear")
    masked = with_continents(frames)
    copied = np.empty_like(frames)

    def run(function: Callable[[Frames], object], values: Frames) -> None:
        function(values)

    cases: dict[str, Callable[[], None]] = {
        COPY: partial(np.copyto, copied, frames),
        OURS: partial(run, conservative, frames),
        "ours, maps that begin in the north": partial(run, conservative, frames[:, ::-1]),
        "ours, a third of each map missing": partial(run, conservative, masked),
        "ours, bilinear": partial(run, bilinear, frames),
    }
    if HAS_PEER:
        cases[PEER] = partial(run, xarray_regrid, frames)
    seconds = interleaved_seconds(cases, repeats)
    rows = rates("in memory", seconds, len(frames), COPY)
    if HAS_PEER:
        chosen = {OURS: seconds[OURS], PEER: seconds[PEER]}
        rows.append(rates("in memory", chosen, len(frames), PEER)[0])
    return rows


def memory_in_memory(count: int) -> list[Row]:
    cases = ["the frames alone", OURS, *([PEER] if HAS_PEER else [])]
    peaks = {case: peak_memory_of(__file__, "--memory", case, str(count)) for case in cases}
    name = f"peak memory, {count} frames in memory"
    return [
        Row("regrid", f"{name}: {case}", peak, "MiB", f"{name}: {cases[0]}", peak / peaks[cases[0]])
        for case, peak in peaks.items()
    ]


def pieces(count: int) -> list[slice]:
    return [slice(start, min(start + PIECE, count)) for start in range(0, count, PIECE)]


def from_store(path: Path, count: int, shrunk: float, repeats: int) -> list[Row]:
    regridder = Regridder(SOURCE, GLOBAL_5625)

    def only_read() -> None:
        for piece in pieces(count):
            read(path, piece)

    def read_then_regrid() -> None:
        for piece in pieces(count):
            regridder(read(path, piece))

    def regrid_while_reading() -> None:
        """As `prepare` does it: the next piece is read while one is regridded."""
        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead = reader.submit(read, path, slice(PIECE))
            for piece in pieces(count)[1:]:
                values = ahead.result()
                ahead = reader.submit(read, path, piece)
                regridder(values)
            regridder(ahead.result())

    def lazily() -> None:
        regrid_dataset(lazily_opened(path, count), GLOBAL_5625).compute(scheduler="threads")

    def read_lazily() -> None:
        lazily_opened(path, count).max(("latitude", "longitude")).compute(scheduler="threads")

    part = f"from zstd ({shrunk:.1f}-fold)"
    seconds = interleaved_seconds(
        {
            "reading alone": only_read,
            "ours, the next piece read meanwhile": regrid_while_reading,
            "ours, in turn": read_then_regrid,
        },
        repeats,
    )
    rows = rates(part, seconds, count, "reading alone")
    seconds = interleaved_seconds(
        {"the maximum of each map, lazily": read_lazily, "regrid_dataset, lazily": lazily}, repeats
    )
    return rows + rates(part, seconds, count, "the maximum of each map, lazily")


def regrid_block(task: tuple[str, int, int]) -> Frames:
    """(stop - start, 32, 64) of the store at a path: what a worker does."""
    path, start, stop = task
    # One core a worker: Zarr would unpack chunks on all of them.
    zarr.config.set({"threading.max_workers": 1, "async.concurrency": 1})
    values = read(Path(path), slice(start, stop))
    return Regridder(SOURCE, GLOBAL_5625)(values).astype(np.float32, copy=False)


def more_workers(path: Path, count: int, repeats: int) -> list[Row]:
    tasks = [(str(path), start, start + TASK) for start in range(0, count, TASK)]
    seconds: dict[str, list[float]] = {}
    for workers in (1, 2):
        several = seconds[f"{workers} processes" if workers > 1 else "1 process"] = []
        with start_workers("local", workers) as cluster:
            for repeat in range(repeats + 1):
                start = time.perf_counter()
                for _ in cluster.map(regrid_block, tasks):
                    pass
                if repeat:  # the first one imports
                    several.append(time.perf_counter() - start)
    return rates("Dask cluster, one core a worker", seconds, count, "1 process")


def more_frames(path: Path, counts: Sequence[int]) -> list[Row]:
    rows = []
    for threads in (1, 2):
        name = f"peak memory, lazily, {threads} {'threads' if threads > 1 else 'thread'}"
        peaks = {
            count: peak_memory_of(
                __file__, "--memory", "lazily", str(count), str(path), f"{threads}"
            )
            for count in counts
        }
        for count, peak in peaks.items():
            against, ratio = f"{name}: {counts[0]} frames", peak / peaks[counts[0]]
            rows.append(Row("regrid", f"{name}: {count} frames", peak, "MiB", against, ratio))
    return rows


def measure_memory(case: str, count: int, path: str, threads: int) -> None:
    """What the fresh process does whose memory is measured."""
    if case == "lazily":
        regridded = regrid_dataset(lazily_opened(Path(path), count), GLOBAL_5625)
        regridded.compute(scheduler="threads", num_workers=threads)
    else:
        frames = make_frames(count)
        if case == OURS:
            Regridder(SOURCE, GLOBAL_5625)(frames)
        elif case == PEER:
            xarray_regrid(frames)
    print(peak_memory_mib())


def main() -> None:
    parser = argparse.ArgumentParser(description="speed and memory of regridding")
    parser.add_argument("--quick", action="store_true", help="fewer frames, three repeats")
    parser.add_argument("--memory", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        case, count, path, threads = [*options.memory, "", "1"][:4]
        measure_memory(case, int(count), path, int(threads))
        return
    if not HAS_PEER:
        print("xarray-regrid is not installed and left out: pip install 'weathersvq[bench]'")
    count, stored, repeats = (16, 48, 3) if options.quick else (32, 96, 7)
    frames = make_frames(count)
    rows = in_memory(frames, repeats) + memory_in_memory(count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive.zarr"
        shrunk = write_store(path, frames, stored)
        del frames
        rows += from_store(path, stored, shrunk, repeats)
        rows += more_workers(path, stored, repeats)
        rows += more_frames(path, (stored // 4, stored))
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print_rows(
        f"721 x 1440 -> 32 x 64, float32, conservative unless named otherwise; {os.cpu_count()} "
        f"cores, {threads} of them for BLAS; medians of interleaved runs, ratios by round",
        rows,
    )


if __name__ == "__main__":
    main()
