"""A series read once, in the order of time."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from weathersvq.data.rolling import RollingFrames
from weathersvq.errors import InputError

DIMS = ("time", "channel", "latitude", "longitude")


def series(length: int, chunk: int, reads: list[int]) -> xr.DataArray:
    """Frame i is full of i; `reads` is told the first frame of every chunk that is read."""

    def read(block_info: dict) -> np.ndarray:
        (first, stop), *_ = block_info[None]["array-location"]
        reads.append(first)
        return np.broadcast_to(
            np.arange(first, stop, dtype=np.float32)[:, None, None, None], (stop - first, 1, 2, 3)
        )

    sizes = tuple(min(chunk, length - first) for first in range(0, length, chunk))
    values = dask.array.map_blocks(read, chunks=(sizes, (1,), (2,), (3,)), dtype=np.float32)
    return xr.DataArray(values, dims=DIMS)


@settings(deadline=None)
@given(
    length=st.integers(1, 60),
    chunk=st.integers(1, 25),
    stride=st.integers(1, 9),
    offsets=st.sets(st.integers(0, 12), min_size=1),
)
def test_every_chunk_once_and_no_more_than_a_request_needs(
    length: int, chunk: int, stride: int, offsets: set[int]
) -> None:
    reads: list[int] = []
    frames = RollingFrames(series(length, chunk, reads))
    for origin in range(0, length - max(offsets), stride):
        wanted = np.asarray([origin + offset for offset in sorted(offsets)], np.intp)
        np.testing.assert_array_equal(frames(wanted)[:, 0, 0, 0], wanted)
        # Held are the chunks from the first to the last position, and none behind them.
        assert min(frames.held) == wanted[0] // chunk
        assert max(frames.held) <= wanted[-1] // chunk
    assert len(reads) == len(set(reads))


def test_back_to_what_is_gone() -> None:
    reads: list[int] = []
    frames = RollingFrames(series(20, 5, reads))
    for position in (2, 17, 3):
        assert frames(np.array([position]))[0, 0, 0, 0] == position
    assert reads == [0, 15, 0]


def test_what_is_in_memory_already() -> None:
    values = np.arange(12, dtype=np.float32).reshape(6, 1, 1, 2)
    frames = RollingFrames(xr.DataArray(values, dims=DIMS))
    np.testing.assert_array_equal(frames(np.array([1, 4])), values[[1, 4]])


def test_damage_shows_in_one_line() -> None:
    def broken(block: np.ndarray) -> np.ndarray:
        raise RuntimeError("checksum is wrong")

    values = dask.array.zeros((4, 1, 2, 3), chunks=2).map_blocks(broken, dtype=np.float32)
    frames = RollingFrames(xr.DataArray(values, dims=DIMS, name="t2m"))
    with pytest.raises(InputError, match="t2m can't be read"):
        frames(np.array([0]))
