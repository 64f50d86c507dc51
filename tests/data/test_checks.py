"""Checks: impossible values are named with variable, time and what they look like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from weathersvq.data.checks import check_values, describe_problem, judge
from weathersvq.data.store import Status
from weathersvq.errors import InputError
from weathersvq.variables import Channel, variable

Make = Callable[..., xr.Dataset]


@pytest.mark.parametrize(
    ("channel", "change", "hint"),
    [
        ("t2m", lambda x: x - 273.15, "look like degrees Celsius"),
        ("tcc", lambda x: x * 100, "look like percent: set the units attribute to %"),
        ("r", lambda x: x * 100, "percent taken for shares of one"),
        ("u10", lambda x: x * 1e6, "check its units attribute"),
    ],
)
def test_impossible_values_say_what_they_look_like(
    make_wave: Make, channel: str, change: Callable[[xr.Dataset], xr.Dataset], hint: str
) -> None:
    dataset = make_wave(steps=2, names=(channel,))
    check_values(dataset, [Channel(channel)])
    with pytest.raises(InputError, match=hint):
        check_values(change(dataset), [Channel(channel)])


def test_values_of_a_level_are_named_with_it(make_wave: Make) -> None:
    dataset = make_wave(steps=3).rename({"t2m": "t@500"})
    dataset["t@500"][1, 0, 0] = np.inf
    with pytest.raises(InputError, match="t@500 has missing values at 2016-12-28T01:00"):
        check_values(dataset, [Channel("t", 500)])


def test_each_map_is_judged_by_itself() -> None:
    maps = np.full((6, 2, 3, 4), 280.0, np.float32) + np.arange(4, dtype=np.float32)
    maps[1, 0] = np.nan
    maps[2, 1, 0, 0] = np.nan  # a part: not for the judge
    maps[3, 0] = 281.0
    maps[4, 1, 2, 2] = 1e20  # a fill value that nobody declared
    maps[5, 0, 1, 1] = -np.inf
    wanted = np.full((6, 2), Status.GOOD)
    wanted[1, 0], wanted[3, 0] = Status.MISSING, Status.CONSTANT
    wanted[4, 1] = wanted[5, 0] = Status.OUT_OF_RANGE
    np.testing.assert_array_equal(judge(maps, variable("t"), covers_globe=True), wanted)


def test_what_is_left_of_a_map_is_judged() -> None:
    maps = np.array([[[np.nan, 280.0], [281.0, 999.0]], [[np.nan, 280.0], [280.0, 280.0]]])
    found = judge(maps.astype(np.float32), variable("t2m"), covers_globe=True)
    assert found.tolist() == [Status.OUT_OF_RANGE, Status.CONSTANT]


def test_a_clear_sky_is_possible_over_a_region_only() -> None:
    clear = np.zeros((1, 3, 3), np.float32)
    assert judge(clear, variable("tcc"), covers_globe=False).tolist() == [Status.GOOD]
    assert judge(clear, variable("tcc"), covers_globe=True).tolist() == [Status.CONSTANT]
    assert judge(clear + 280, variable("t2m"), covers_globe=False).tolist() == [Status.CONSTANT]


def test_a_problem_in_words() -> None:
    time = np.datetime64("2017-01-01T12:00:00", "s")
    assert describe_problem(Channel("r", 500), time, Status.OUT_OF_RANGE) == (
        "r@500 at 2017-01-01T12:00: values are beyond what is possible (-30 to 190 %)"
    )
