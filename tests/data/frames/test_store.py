"""Frame stores: what goes in comes out, xarray reads them, and half a store is none."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from weathersvq.data.frames import open_frame_store, open_frames, write_frame_store
from weathersvq.data.frames import store as store_module
from weathersvq.errors import InputError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (5, 7, 3, 4, 6)).astype(np.uint8)
    values[0, 0] = 0  # zero is a number, not a gap
    np.save(tmp_path / "clips.npy", values)
    return tmp_path / "clips.npy"


def test_round_trip(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Three frames a chunk, six a piece: neither fits into 35 frames nor into clips of 7.
    monkeypatch.setattr(store_module, "CHUNK_BYTES", 3 * 72)
    monkeypatch.setattr(store_module, "PIECE_BYTES", 6 * 72 * 4)
    frames = open_frames(source, stride=0, validation=0.2, test=0.2, step="1 s")
    told: list[tuple[int, int]] = []
    path = write_frame_store(
        frames, tmp_path / "out.zarr", form="arrays", report=lambda *done: told.append(done)
    )
    assert told == [(6, 35), (12, 35), (18, 35), (24, 35), (30, 35), (35, 35)]
    stored = open_frames(path)
    assert stored.clips == frames.clips
    assert [clip.split for clip in stored.clips] == ["train"] * 3 + ["validation", "test"]
    assert stored.channels == frames.channels
    assert (stored.size, stored.step) == ((4, 6), "1 s")
    positions = np.array([34, 0, 13, 14, 0, 20])
    np.testing.assert_array_equal(stored.read(positions), frames.read(positions))
    with pytest.raises(InputError, match=r"declared range 0 to 100"):
        replace(stored, channels=replace(stored.channels, high=100)).read(np.arange(35))
    everything = np.load(source).reshape(35, 3, 4, 6)
    np.testing.assert_array_equal(stored.read_clip(1, [0, 6]), everything[[7, 13]])
    assert stored.read_clip(1, [0, 6]).dtype == np.uint8


def test_xarray_reads_it_without_this_program(source: Path, tmp_path: Path) -> None:
    write_frame_store(open_frames(source), tmp_path / "out.zarr", form="arrays")
    with xr.open_zarr(tmp_path / "out.zarr") as dataset:
        assert dataset["frames"].dims == ("frame", "channel", "row", "column")
        assert dataset["frames"].dtype == np.uint8
        assert dataset["channel"].values.tolist() == ["red", "green", "blue"]
        assert dataset["clip"].values.tolist() == np.repeat(np.arange(5), 7).tolist()
        assert dataset["clip_name"].values.tolist() == [f"sequence {n}" for n in range(5)]
        assert dataset.attrs["complete"] == 1
        assert dataset.attrs["form"] == "arrays"
        np.testing.assert_array_equal(dataset["frames"][0], 0)
    chunks = zarr.open_array(str(tmp_path / "out.zarr" / "frames"), mode="r").chunks
    assert chunks == (35, 3, 4, 6)


def test_floats_stay_floats(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((2, 3, 1, 4, 5))
    np.save(tmp_path / "a.npy", values)
    path = write_frame_store(open_frames(tmp_path / "a.npy"), tmp_path / "a.zarr")
    stored = open_frames(path)
    assert stored.read_clip(0, [0]).dtype == np.float32
    np.testing.assert_array_equal(
        stored.read(np.arange(6)), values.reshape(6, 1, 4, 5).astype(np.float32)
    )


def test_a_broken_off_run_leaves_nothing(tmp_path: Path) -> None:
    values = np.zeros((4, 5, 1, 4, 5), np.float32)
    values[3, 4] = 7  # found on reading, in the middle of writing
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(InputError, match=r"frame 4 of sequence 3.*range 0 to 1"):
        write_frame_store(open_frames(tmp_path / "a.npy"), tmp_path / "a.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]


def test_damaged_chunks_are_told(source: Path, tmp_path: Path) -> None:
    path = write_frame_store(open_frames(source), tmp_path / "out.zarr")
    chunk = path / "frames" / "0.0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:40])
    with pytest.raises(InputError, match=r"frames 3 to 9 of .*out.zarr are damaged") as caught:
        open_frames(path).read(np.array([3, 9]))
    assert "\n" not in str(caught.value)


def test_refused(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = open_frames(source)
    path = write_frame_store(frames, tmp_path / "out.zarr")
    with pytest.raises(InputError, match=r"out.zarr exists; add --overwrite"):
        write_frame_store(frames, path)
    write_frame_store(frames, path, overwrite=True)
    with pytest.raises(InputError, match=r"NAME.zarr"):
        write_frame_store(frames, tmp_path / "out.nc")
    with pytest.raises(InputError, match=r"is not a frame store"):
        open_frame_store(tmp_path)
    # A copy that ended in the middle: the mark or the table is missing.
    group = zarr.open_group(str(path), mode="r+")
    del group.attrs["complete"]
    with pytest.raises(InputError, match=r"is not complete"):
        open_frame_store(path)
    write_frame_store(frames, path, overwrite=True)
    (path / "frames" / "0.0.0.0").unlink()
    with pytest.raises(InputError, match=r"lacks 1 of its 1 chunks"):
        open_frame_store(path)
    write_frame_store(frames, path, overwrite=True)
    shutil.rmtree(path / "clip_name")
    with pytest.raises(InputError, match=r"damaged frame store"):
        open_frame_store(path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(InputError, match=r"takes up to .* GB free"):
        write_frame_store(frames, tmp_path / "more.zarr")
