"""How a store is best cut into chunks: for training in order, for shuffled windows, for a point.

    python benchmarks/chunks.py            a year
    python benchmarks/chunks.py --quick    a season

A year of hourly t2m at 32 x 64 (the bundled sample, repeated) is written with several chunk shapes
and read in the three ways that people read it. Ratios are to the shape that prepared stores have.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numcodecs
import numpy as np
import zarr
from common import Row, interleaved_seconds, paired_ratio, print_rows
from numpy.typing import NDArray

from weathersvq.data.sources import open_source
from weathersvq.data.store import chunk_steps
from weathersvq.grid import GLOBAL_5625
from weathersvq.variables import Channel

YEAR, SEASON = 8760, 2190  # hours
WINDOW = 24
WINDOWS = 20
REPEATS = 3
OURS = (chunk_steps(GLOBAL_5625, np.timedelta64(1, "h")), 32, 64)


def some_t2m(hours: int) -> NDArray[np.float32]:
    """(hours, 32, 64) of t2m."""
    sample = open_source("sample", [Channel("t2m")]).t2m.load().to_numpy()
    noise = np.random.default_rng(0)
    parts = [
        # Another year's weather is no copy: a tenth of a kelvin keeps chunks from being alike.
        sample + noise.normal(0, 0.1, sample.shape).astype(np.float32)
        for _ in range(-(-hours // len(sample)))
    ]
    return np.concatenate(parts)[:hours]


def write(folder: Path, values: NDArray[np.float32], chunks: tuple[int, ...]) -> zarr.Array:
    compressor = numcodecs.Blosc(cname="zstd", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)
    return zarr.create_array(
        folder, data=values, chunks=chunks, compressors=compressor, zarr_format=2
    )


def in_order(array: zarr.Array) -> None:
    """A month at a time, as statistics and the first epoch read it."""
    for start in range(0, array.shape[0], 720):
        array[start : start + 720]


def shuffled_windows(array: zarr.Array) -> None:
    for start in np.random.default_rng(1).integers(0, array.shape[0] - WINDOW, WINDOWS):
        array[start : start + WINDOW]


def point(array: zarr.Array) -> None:
    array[:, 20, 30]


WAYS: dict[str, Callable[[zarr.Array], None]] = {
    "the whole in order": in_order,
    f"{WINDOWS} shuffled windows": shuffled_windows,
    "the series at a point": point,
}


def shapes(hours: int) -> tuple[tuple[int, ...], ...]:
    """The chunks that are compared, ours first."""
    several = ((1, 32, 64), (24, 32, 64), (960, 32, 64), (240, 8, 8))
    return (OURS, *several, (hours, 32, 64), (hours, 8, 8))


def name_of(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def main() -> None:
    parser = argparse.ArgumentParser(description="chunks of a store")
    parser.add_argument("--quick", action="store_true", help="a season instead of a year")
    hours = SEASON if parser.parse_args().quick else YEAR
    values = some_t2m(hours)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        arrays = {}
        sizes = {}
        for number, shape in enumerate(shapes(hours)):
            path = Path(folder) / str(number)
            arrays[name_of(shape)] = write(path, values, shape)
            sizes[name_of(shape)] = [file.stat().st_size for file in path.rglob("*")]
        for name, several in sizes.items():
            ratio = sum(several) / sum(sizes[name_of(OURS)])
            case = f"{name}: on disk, {len(several)} files"
            rows.append(Row("chunks", case, sum(several) / 2**20, "MiB", name_of(OURS), ratio))
        for way, read in WAYS.items():
            cases = {name: partial(read, array) for name, array in arrays.items()}
            seconds = interleaved_seconds(cases, REPEATS)
            for name, several_seconds in seconds.items():
                rows.append(
                    Row(
                        "chunks",
                        f"{name}: {way}",
                        statistics.median(several_seconds),
                        "s",
                        name_of(OURS),
                        paired_ratio(several_seconds, seconds[name_of(OURS)]),
                    )
                )
    print_rows(f"{hours} hours of t2m, 32 x 64, float32, zstd", rows)


if __name__ == "__main__":
    main()
