"""From labels to tensors: the right frames in the right order, normalised, however they are read."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from weathersvq import batches as room
from weathersvq.batches import Batches, frame_reader, normalized, some_inputs
from weathersvq.data.normalize import fit_normalization
from weathersvq.data.windows import Offsets, Period, window_origins
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.variables import parse_channels

OFFSETS = Offsets((-2, -1, 0), (1, 2))


@pytest.fixture
def dataset(make_wave: Callable[..., xr.Dataset]) -> xr.Dataset:
    return make_wave(steps=40, names=("t2m", "u10"))


def batches_of(dataset: xr.Dataset, memory_limit: int, seed: int | None, size: int = 4) -> Batches:
    normalization = fit_normalization(dataset, parse_channels("t2m,u10"), Period.parse("2016"))
    origins = window_origins(dataset.time.values, np.timedelta64(1, "h"), OFFSETS)
    read = frame_reader(dataset, normalization, 0, dataset.sizes["time"] - 1, memory_limit)
    return Batches(read, origins, OFFSETS, size, seed)


@pytest.mark.parametrize("memory_limit", [2**30, 0], ids=["in memory", "scratch file"])
def test_a_batch_holds_the_frames_of_its_windows(dataset: xr.Dataset, memory_limit: int) -> None:
    normalization = fit_normalization(dataset, parse_channels("t2m,u10"), Period.parse("2016"))
    batch = next(iter(batches_of(dataset.chunk({"time": 7}), memory_limit, None)))
    assert batch.inputs.shape == (4, 3, 2, 32, 64)
    assert batch.targets.shape == (4, 2, 2, 32, 64)
    # Window 1 has its origin at time 3: inputs are times 1, 2, 3 and targets 4, 5.
    mean, std = normalization.scale()
    inputs = batch.inputs[1].numpy() * std + mean
    np.testing.assert_allclose(inputs[:, 0], dataset.t2m[1:4], atol=1e-3)
    targets = batch.targets[1].numpy() * std + mean
    np.testing.assert_allclose(targets[:, 1], dataset.u10[4:6], atol=1e-4)


def test_normalising_and_back(dataset: xr.Dataset) -> None:
    normalization = fit_normalization(dataset, parse_channels("t2m"), Period.parse("2016/2017"))
    values = dataset.t2m.values[:, None]
    tensor = normalized(values, normalization)
    assert float(tensor.mean()) == pytest.approx(0, abs=1e-4)
    assert float(tensor.std()) == pytest.approx(1, abs=1e-4)
    mean, std = normalization.scale()
    np.testing.assert_allclose(tensor.numpy() * std + mean, values, atol=1e-3)


def test_some_inputs_from_all_over_the_data(dataset: xr.Dataset) -> None:
    normalization = fit_normalization(dataset, parse_channels("t2m,u10"), Period.parse("2016"))
    found = some_inputs(dataset, normalization, OFFSETS, 3)
    assert found.shape == (3, 3, 2, 32, 64)
    # Inputs at -2 to 0, targets at 1 and 2: origins reach from 2 to the last but two.
    np.testing.assert_array_equal(found[0, :, 0], dataset.t2m[:3])
    np.testing.assert_array_equal(found[2, :, 1], dataset.u10[-5:-2])


def test_every_window_once_in_an_order_that_epoch_and_seed_decide(dataset: xr.Dataset) -> None:
    def firsts(seed: int | None, epoch: int) -> list[float]:
        batches = batches_of(dataset, 2**30, seed)
        batches.epoch = epoch
        assert len(list(batches)) == len(batches)
        return torch.cat([b.inputs[:, 0, 0, 10, 3] for b in batches]).tolist()

    in_order = firsts(None, 0)
    assert len(in_order) == 40 - 5 + 1
    assert firsts(3, 0) == firsts(3, 0)
    assert firsts(3, 0) != firsts(3, 1) != firsts(4, 1)
    assert sorted(firsts(3, 1)) == sorted(in_order)


def test_missing_values_are_found_when_the_split_is_read(dataset: xr.Dataset) -> None:
    normalization = fit_normalization(dataset, parse_channels("t2m,u10"), Period.parse("2016"))
    dataset.u10[30, 1, 2] = np.nan
    with pytest.raises(InputError, match="u10 has missing values at"):
        frame_reader(dataset, normalization, 0, 39)


@pytest.mark.parametrize("chunk", [7, 40])
def test_a_scratch_file_gives_the_same_batches_as_memory(
    dataset: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(room, "PIECE_BYTES", 2 * 4 * 32 * 64 * 10)  # ten times
    normalization = fit_normalization(dataset, parse_channels("t2m,u10"), Period.parse("2016"))
    lazy = dataset.chunk(time=chunk)
    told: list[tuple[int, int]] = []
    origins = window_origins(dataset.time.values, np.timedelta64(1, "h"), OFFSETS) + 1
    readers = [
        frame_reader(lazy, normalization, 1, 39, limit, tmp_path, lambda *n: told.append(n))
        for limit in (2**30, 0)
    ]
    assert [reader.on_disk for reader in readers] == [False, True]
    # Times 1 to 39 in pieces of whole chunks: 6, 13, 20 ... or all at once.
    ends = [6, 13, 20, 27, 34, 39] if chunk == 7 else [39]
    assert told == [(end, 39) for end in ends] * 2
    for epoch in (0, 5):
        pairs = [Batches(reader, origins[:-1], OFFSETS, 4, shuffle_seed=3) for reader in readers]
        for each in pairs:
            each.epoch = epoch
        for kept, scratch in zip(*pairs, strict=True):
            assert torch.equal(kept.inputs, scratch.inputs)
            assert torch.equal(kept.targets, scratch.targets)
    # The file has no name: nothing is left behind, whatever happens to the process.
    assert list(tmp_path.iterdir()) == []


def test_batches_may_be_changed_without_harm(dataset: xr.Dataset, tmp_path: Path) -> None:
    normalization = fit_normalization(dataset, parse_channels("t2m"), Period.parse("2016"))
    for limit in (2**30, 0):
        read = frame_reader(dataset, normalization, 0, 39, limit, tmp_path)
        first = read(np.array([3, 5]))
        expected = first.clone()
        first += 1
        assert torch.equal(read(np.array([3, 5])), expected)


def test_no_room_for_the_scratch_file(
    dataset: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalization = fit_normalization(dataset, parse_channels("t2m"), Period.parse("2016"))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage(10, 9, 40 * 32 * 64 * 4 - 1))
    with pytest.raises(InputError, match=r"take 0\.0 GB.*--out") as caught:
        frame_reader(dataset, normalization, 0, 39, 0, tmp_path)
    assert "\n" not in str(caught.value)
    assert frame_reader(dataset, normalization, 0, 38, 0, tmp_path).on_disk


@pytest.mark.parametrize("memory_limit", [2**30, 0], ids=["in memory", "scratch file"])
def test_flagged_frames_are_read_over_and_never_met(dataset: xr.Dataset, memory_limit: int) -> None:
    normalization = fit_normalization(dataset, parse_channels("t2m,u10"), Period.parse("2016"))
    dataset.u10[20, 1, 2] = np.nan
    usable = np.arange(40) != 20
    flagged = dataset.assign_coords(usable=("time", usable)).chunk(time=7)
    read = frame_reader(flagged, normalization, 2, 39, memory_limit)
    origins = window_origins(
        dataset.time.values[2:], np.timedelta64(1, "h"), OFFSETS, usable=usable[2:]
    )
    # 38 times hold 34 windows of five; five of them touch time 20.
    assert origins.size == 29
    for batch in Batches(read, origins + 2, OFFSETS, 4):
        assert torch.isfinite(batch.inputs).all()
        assert torch.isfinite(batch.targets).all()
    wrong = flagged.assign_coords(usable=("time", np.arange(40) != 21))
    with pytest.raises(InputError, match="u10 has missing values at 2016-12-28T20:00"):
        frame_reader(wrong, normalization, 2, 39, memory_limit)


def test_the_finest_grid_builds_batches(make_wave: Callable[..., xr.Dataset]) -> None:
    dataset = make_wave(steps=9, grid=Grid.equiangular(1.40625))
    normalization = fit_normalization(dataset, parse_channels("t2m"), Period.parse("2016"))
    origins = window_origins(dataset.time.values, np.timedelta64(1, "h"), OFFSETS)
    batches = Batches(frame_reader(dataset, normalization, 0, 8), origins, OFFSETS, 4)
    assert [b.inputs.shape for b in batches] == [(4, 3, 1, 128, 256), (1, 3, 1, 128, 256)]
