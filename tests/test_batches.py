"""From labels to tensors: the right frames in the right order, normalised, however they are read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr

from weathersvq.batches import Batches, frame_reader, normalized, physical
from weathersvq.data.normalize import fit_normalization
from weathersvq.data.windows import Offsets, Period, window_origins
from weathersvq.errors import InputError
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


@pytest.mark.parametrize("memory_limit", [2**30, 0], ids=["in memory", "from the store"])
def test_a_batch_holds_the_frames_of_its_windows(dataset: xr.Dataset, memory_limit: int) -> None:
    normalization = fit_normalization(dataset, parse_channels("t2m,u10"), Period.parse("2016"))
    batch = next(iter(batches_of(dataset.chunk({"time": 7}), memory_limit, None)))
    assert batch.inputs.shape == (4, 3, 2, 32, 64)
    assert batch.targets.shape == (4, 2, 2, 32, 64)
    # Window 1 has its origin at time 3: inputs are times 1, 2, 3 and targets 4, 5.
    inputs = physical(batch.inputs[1], normalization)
    np.testing.assert_allclose(inputs[:, 0], dataset.t2m[1:4], atol=1e-3)
    targets = physical(batch.targets[1], normalization)
    np.testing.assert_allclose(targets[:, 1], dataset.u10[4:6], atol=1e-4)


def test_normalising_and_back(dataset: xr.Dataset) -> None:
    normalization = fit_normalization(dataset, parse_channels("t2m"), Period.parse("2016/2017"))
    values = dataset.t2m.values[:, None]
    tensor = normalized(values, normalization)
    assert float(tensor.mean()) == pytest.approx(0, abs=1e-4)
    assert float(tensor.std()) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(physical(tensor, normalization), values, atol=1e-3)


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
