"""Joining: the datasets of several files as one, or one clear line on why they don't fit."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import xarray as xr

from weathersvq.data.canonical import to_canonical
from weathersvq.data.join import join_parts
from weathersvq.errors import InputError

Make = Callable[..., xr.Dataset]


def on_levels(dataset: xr.Dataset, *levels: int, name: str = "t") -> xr.Dataset:
    """The first variable of `dataset` as `name` on these levels."""
    field = next(iter(dataset.data_vars.values())).drop_attrs()
    return xr.Dataset({name: field.expand_dims(level=list(levels), axis=1)}, attrs=dataset.attrs)


def parts_of(dataset: xr.Dataset, *bounds: int) -> list[xr.Dataset]:
    edges = [0, *bounds, dataset.sizes["time"]]
    pieces = [dataset.isel(time=slice(a, b)) for a, b in pairwise(edges)]
    return [to_canonical(piece, f"part {number}") for number, piece in enumerate(pieces)]


def test_parts_are_joined_in_the_order_of_time(make_wave: Make) -> None:
    dataset = make_wave(steps=9)
    joined = join_parts(parts_of(dataset, 2, 5)[::-1], "all")
    xr.testing.assert_equal(joined.t2m.drop_attrs(), dataset.t2m.drop_attrs())
    assert joined.attrs["source_name"] == "all"


def test_variables_are_cut_to_the_times_that_all_have(make_wave: Make) -> None:
    dataset = make_wave(steps=8, names=("t2m", "u10"))
    parts = [*parts_of(dataset[["t2m"]], 3), *parts_of(dataset[["u10"]].isel(time=slice(2, None)))]
    joined = join_parts(parts, "all")
    xr.testing.assert_equal(joined.u10.drop_attrs(), dataset.u10[2:].drop_attrs())
    xr.testing.assert_equal(joined.t2m.drop_attrs(), dataset.t2m[2:].drop_attrs())
    late = to_canonical(make_wave(start="2020-01-01", steps=2, names=("v10",)), "late")
    with pytest.raises(InputError, match="no time in common"):
        join_parts([*parts, late], "all")


def test_parts_that_differ_by_rounding_fit(make_wave: Make) -> None:
    dataset = make_wave(steps=4)
    first, second = parts_of(dataset, 2)
    rounded = first.assign_coords(latitude=first.latitude + 1e-5)
    joined = join_parts([rounded, second], "all")
    assert joined.sizes == {"time": 4, "latitude": 32, "longitude": 64}


def test_parts_that_do_not_fit(make_wave: Make) -> None:
    dataset = make_wave(steps=6)
    first, second = parts_of(dataset, 3)
    overlapping = to_canonical(dataset.isel(time=slice(2, 6)), "late")
    with pytest.raises(InputError, match="all has the time 2016-12-28T02:00 twice"):
        join_parts([first, overlapping], "all")
    region = second.isel(latitude=slice(3, 9))
    with pytest.raises(InputError, match=r"two grids: part 0 on 32 x 64, .* part 1 on 6 x 64"):
        join_parts([first, region], "all")
    levels = [to_canonical(on_levels(dataset, n, name=v), v) for n, v in ((500, "t"), (850, "u"))]
    with pytest.raises(InputError, match="on different levels"):
        join_parts(levels, "all")
    with pytest.raises(InputError, match=r"t2m in files of unlike contents \(t2m; t2m, u10\)"):
        join_parts([first, to_canonical(make_wave(steps=6, names=("t2m", "u10")), "b")], "all")
