"""The form of a prepared store: chunks of whole days, flags that say what is finished."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from weathersvq.data.store import (
    FORM,
    MARK,
    RECIPE,
    Status,
    chunk_steps,
    empty_dataset,
    read_flags,
    recipe_of,
    unfinished,
    usable_times,
    write_block,
    write_empty,
)
from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.variables import parse_channels

TIMES = np.datetime64("2017-01-01", "s") + np.arange(10) * np.timedelta64(6, "h")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Ten times of t2m, and of t on two levels, in chunks of four; nothing is finished."""
    attributes = {MARK: FORM, RECIPE: json.dumps({"source": "nowhere"})}
    fields = {"t2m": (), "t": (500, 850)}
    dataset = empty_dataset(fields, ["lsm"], TIMES, GLOBAL_5625, 4, attributes)
    write_empty(dataset, tmp_path / "a.zarr")
    return tmp_path / "a.zarr"


@pytest.mark.parametrize(
    ("grid", "hours", "steps"),
    [
        # 2 MiB hold 256 maps of 32 x 64 float32: ten whole days of hours, 64 of six hours.
        (GLOBAL_5625, 1, 240),
        (GLOBAL_5625, 6, 256),
        (Grid.equiangular(2.8125), 1, 48),
        (Grid.equiangular(1.40625), 1, 16),
        (Grid.equiangular(0.25), 1, 1),
    ],
)
def test_chunks_hold_whole_days_where_they_can(grid: Grid, hours: int, steps: int) -> None:
    assert chunk_steps(grid, np.timedelta64(hours, "h")) == steps


def test_nothing_is_finished_at_first(store: Path) -> None:
    flags = read_flags(store, ["t2m", "t"])
    assert flags["t"].shape == (10, 2)
    blocks = [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert unfinished(flags, blocks) == [0, 1, 2]
    dataset = xr.open_zarr(store)
    assert np.isnan(dataset.t2m.values).all()
    assert dataset.lsm.dims == ("latitude", "longitude")
    assert recipe_of(store) == {"source": "nowhere"}


def test_blocks_are_finished_one_by_one(store: Path) -> None:
    maps = np.random.default_rng(0).normal(280, 5, (4, 2, 32, 64)).astype(np.float32)
    good = np.full((4, 2), Status.GOOD, np.int8)
    good[1, 1] = Status.CONSTANT
    write_block(store, 4, {"t": maps, "t2m": maps[:, 0]}, {"t": good, "t2m": good[:, 0]})
    flags = read_flags(store, ["t2m", "t"])
    assert unfinished(flags, [slice(0, 4), slice(4, 8), slice(8, 10)]) == [0, 2]
    dataset = xr.open_zarr(store)
    np.testing.assert_array_equal(dataset.t[4:8], maps)
    assert usable_times(dataset, parse_channels("t2m,t@500"))[4:8].all()
    assert usable_times(dataset, parse_channels("t")).tolist()[4:8] == [True, False, True, True]
    assert not usable_times(dataset, parse_channels("t2m"))[:4].any()


def test_other_folders_are_no_stores(
    store: Path, tmp_path: Path, make_wave: Callable[..., xr.Dataset]
) -> None:
    make_wave(steps=2).to_zarr(tmp_path / "plain.zarr", zarr_format=2)
    assert recipe_of(tmp_path / "plain.zarr") is None
    assert recipe_of(tmp_path / "nothing") is None
    attributes = json.loads((store / ".zattrs").read_text())
    (store / ".zattrs").write_text(json.dumps(attributes | {MARK: "99"}))
    with pytest.raises(InputError, match="of form 99; this version reads form 1"):
        recipe_of(store)
