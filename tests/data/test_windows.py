"""Windows: nothing straddles a split or a gap; periods and times are read strictly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weathersvq.data.windows import Offsets, Period, parse_step, parse_time, window_origins
from weathersvq.errors import InputError

HOUR = np.timedelta64(3600, "s")


def hourly(start: str, count: int) -> np.ndarray:
    return np.datetime64(start, "s") + np.arange(count) * HOUR


def test_hand_counted_windows() -> None:
    # 10 times, 3 inputs and 2 targets: origins 2..7, that is 10 - 3 - 2 + 1 = 6.
    offsets = Offsets((-2, -1, 0), (1, 2))
    origins = window_origins(hourly("2017-01-01", 10), HOUR, offsets)
    np.testing.assert_array_equal(origins, [2, 3, 4, 5, 6, 7])


def test_gap_removes_exactly_the_windows_that_cross_it() -> None:
    # Time 5 is missing: positions 0..4 are hours 0..4, positions 5..10 are hours 6..11.
    times = np.delete(hourly("2017-01-01", 12), 5)
    origins = window_origins(times, HOUR, Offsets((-1, 0), (1,)))
    np.testing.assert_array_equal(origins, [1, 2, 3, 6, 7, 8, 9])


def test_published_offsets_of_weatherbench_m() -> None:
    offsets = Offsets((-17, -11, -5, 0), (1, 7, 13, 19))
    assert not offsets.is_regular
    origins = window_origins(hourly("2017-01-01", 50), HOUR, offsets)
    assert origins[0] == 17
    assert origins[-1] == 30
    assert Offsets(tuple(range(-11, 1)), tuple(range(1, 13))).is_regular


@given(
    count=st.integers(1, 80),
    gaps=st.sets(st.integers(0, 79), max_size=10),
    inputs=st.integers(1, 5),
    targets=st.integers(1, 5),
    split=st.tuples(st.integers(0, 79), st.integers(0, 79)),
    every=st.integers(1, 3),
)
def test_no_window_straddles(
    count: int,
    gaps: set[int],
    inputs: int,
    targets: int,
    split: tuple[int, int],
    every: int,
) -> None:
    all_times = hourly("2016-12-30", count)
    times = np.delete(all_times, [g for g in gaps if g < count])
    start, stop = (np.datetime64("2016-12-30", "s") + h * HOUR for h in sorted(split))
    offsets = Offsets(tuple(range(1 - inputs, 1)), tuple(range(1, targets + 1)))
    found = window_origins(times, HOUR, offsets, Period(start, stop), every)
    # By brute force: every time of the window exists and lies in the period.
    expected = [
        i
        for i, origin in enumerate(times)
        if all(
            (origin + o * HOUR) in times and start <= origin + o * HOUR <= stop
            for o in offsets.inputs + offsets.targets
        )
    ]
    np.testing.assert_array_equal(found, expected[::every])


def test_periods_include_the_whole_last_day_month_or_year() -> None:
    times = hourly("2015-12-31T20", 8)
    assert Period.parse("2015/2015").positions(times).tolist() == [0, 1, 2, 3]
    assert Period.parse("2015-12-31/2016-01-01").positions(times).size == 8
    assert Period.parse("2016-01-01T01/2016-01-01T02").positions(times).tolist() == [5, 6]
    assert not Period.parse("2015").overlaps(Period.parse("2016/2017"))


@pytest.mark.parametrize("text", ["2016/2015", "yesterday", "2016-13/2017", "", "2016/"])
def test_bad_periods(text: str) -> None:
    with pytest.raises(InputError, match="period") as caught:
        Period.parse(text)
    assert repr(text) in str(caught.value)


def test_times_are_read_as_utc() -> None:
    assert parse_time("2017-01-01") == np.datetime64("2017-01-01T00:00:00")
    assert parse_time("2017-01-01T06:00+01:00") == np.datetime64("2017-01-01T05:00:00")


@pytest.mark.parametrize("text", ["2017-13-01", "01/02/2017", "", "noon", "2017-1-1"])
def test_bad_times(text: str) -> None:
    with pytest.raises(InputError, match="is not a time"):
        parse_time(text)


@pytest.mark.parametrize("text", ["0h", "-6h", "soon", ""])
def test_bad_steps(text: str) -> None:
    with pytest.raises(InputError, match="length of time"):
        parse_step(text)


@pytest.mark.parametrize(
    ("inputs", "targets"), [((0, -1), (1,)), ((-1,), (1,)), ((0,), (0, 1)), ((0,), ()), ((), (1,))]
)
def test_bad_offsets(inputs: tuple[int, ...], targets: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"offsets\."):
        Offsets(inputs, targets)
