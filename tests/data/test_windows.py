"""Windows: nothing straddles a split or a gap; periods and times are read strictly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from weathersvq.data.windows import (
    Offsets,
    Period,
    clip_windows,
    find_windows,
    good_times,
    parse_step,
    parse_time,
    window_origins,
)
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


def test_left_out_windows_are_counted_by_hand() -> None:
    # Hours 0..11 with 5 missing; 12 - 3 + 1 = 10 windows of 3 hours would fit into hours 0..11.
    # Missing hour 5 costs those that start at hours 3, 4, 5: the last of them, 5..7, too. Hour 9
    # (position 8) is flagged and costs those that start at 7, 8, 9 but not 6..8.
    times = np.delete(hourly("2017-01-01", 12), 5)
    usable = np.ones(11, dtype=bool)
    usable[8] = False
    windows = find_windows(times, HOUR, Offsets((-1, 0), (1,)), usable=usable)
    assert (windows.across_gaps, windows.flagged) == (3, 3)
    # Starts at hours 0, 1, 2, 6, so origins at hours 1, 2, 3, 7: positions 1, 2, 3, 6.
    np.testing.assert_array_equal(windows.origins, [1, 2, 3, 6])
    assert windows.describe_left_out() == "3 across gaps in time, 3 that touch flagged times"
    # Thinning changes what is kept, not what was left out.
    thinned = find_windows(times, HOUR, Offsets((-1, 0), (1,)), every=2, usable=usable)
    np.testing.assert_array_equal(thinned.origins, [1, 3])
    assert (thinned.across_gaps, thinned.flagged) == (3, 3)
    assert find_windows(times[:5], HOUR, Offsets((0,), (1,))).describe_left_out() == ""


def test_a_flagged_time_between_inputs_counts_though_it_is_not_read() -> None:
    usable = np.ones(9, dtype=bool)
    usable[2] = False
    # Offsets -2, 0, 2: a window from 1 to 5 does not read time 2, but spans it.
    origins = window_origins(hourly("2017-01-01", 9), HOUR, Offsets((-2, 0), (2,)), usable=usable)
    np.testing.assert_array_equal(origins, [5, 6])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_periods_too_short_for_a_window_leave_none_out(count: int) -> None:
    windows = find_windows(hourly("2017-01-01", count), HOUR, Offsets((-1, 0), (1,)))
    assert windows.origins.size == windows.across_gaps == windows.flagged == 0


def test_only_some_datasets_know_which_times_are_good(
    make_wave: Callable[..., xr.Dataset],
) -> None:
    dataset = make_wave(steps=3)
    assert good_times(dataset).tolist() == [True, True, True]
    flagged = dataset.assign_coords(usable=("time", [True, False, True]))
    assert good_times(flagged).tolist() == [True, False, True]


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
    bad=st.sets(st.integers(0, 79), max_size=5),
)
def test_no_window_straddles(
    count: int,
    gaps: set[int],
    inputs: int,
    targets: int,
    split: tuple[int, int],
    every: int,
    bad: set[int],
) -> None:
    all_times = hourly("2016-12-30", count)
    times = np.delete(all_times, [g for g in gaps if g < count])
    start, stop = (np.datetime64("2016-12-30", "s") + h * HOUR for h in sorted(split))
    offsets = Offsets(tuple(range(1 - inputs, 1)), tuple(range(1, targets + 1)))
    good = {t for i, t in enumerate(times) if i not in bad}
    usable = np.array([t in good for t in times], dtype=bool)
    found = window_origins(times, HOUR, offsets, Period(start, stop), every, usable)
    # By brute force: every time of the window exists, is good and lies in the period.
    expected = [
        i
        for i, origin in enumerate(times)
        if all(
            (origin + o * HOUR) in good and start <= origin + o * HOUR <= stop
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


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2010/2015", "2010-01-01T00/2015-12-31T23", True),
        ("2010/2015", "2009-12-31T23:30/2015-12-31T23:10", True),  # no hour more, none less
        ("2010/2015", "2010-01-01T00/2015-12-31T22", False),
        ("2010/2015", "2010-01-01T01/2015-12-31T23", False),
        ("2010/2015", "2009-12-31T23/2015", False),
    ],
)
@pytest.mark.parametrize("through", ["2012-05-05T06", "2001-01-01T00", "2030-01-01T00"])
def test_periods_that_hold_the_same_hours(one: str, other: str, same: bool, through: str) -> None:
    first, second = Period.parse(one), Period.parse(other)
    assert first.same_times(second, np.datetime64(through, "ns"), HOUR) is same
    assert second.same_times(first, np.datetime64(through, "s"), HOUR) is same


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


def test_hand_counted_windows_of_clips() -> None:
    # 2 inputs and 1 target in clips of 5, 2 and 4 frames: 3, 0 and 2 windows. Origins are the second
    # frames of the windows: 1, 2, 3 in the first clip, 7 + 1 and 7 + 2 in the last one.
    starts, lengths, offsets = np.array([0, 5, 7]), np.array([5, 2, 4]), Offsets((-1, 0), (1,))
    windows = clip_windows(starts, lengths, np.array([1, 1, 1]), offsets)
    assert windows.origins.tolist() == [1, 2, 3, 8, 9]
    assert windows.short_clips == 1
    assert windows.describe_left_out() == "1 clip shorter than a window"
    # Every second one, and windows without overlap; both are counted back from the last frame.
    assert clip_windows(starts, lengths, np.array([2, 1, 2]), offsets).origins.tolist() == [1, 3, 9]
    assert clip_windows(starts, lengths, np.array([0, 0, 0]), offsets).origins.tolist() == [3, 9]
    assert clip_windows(starts, lengths, np.ones(3, int), offsets, 2).origins.tolist() == [1, 3, 9]


def test_clips_that_are_all_too_short_have_no_window() -> None:
    offsets = Offsets((-1, 0), (1, 2))
    windows = clip_windows(np.array([0, 3]), np.array([3, 2]), np.array([1, 0]), offsets)
    assert (windows.origins.tolist(), windows.short_clips) == ([], 2)
    none = np.empty(0, np.intp)
    assert clip_windows(none, none, none, offsets).origins.size == 0


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    stride=st.integers(0, 5),
    inputs=st.integers(1, 5),
    targets=st.sets(st.integers(1, 9), min_size=1),
)
def test_no_window_crosses_the_boundary_of_a_clip(
    lengths: list[int], stride: int, inputs: int, targets: set[int]
) -> None:
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    offsets = Offsets(tuple(range(1 - inputs, 1)), tuple(sorted(targets)))
    windows = clip_windows(starts, np.array(lengths), np.full(len(lengths), stride), offsets)
    clip_of = np.repeat(np.arange(len(lengths)), lengths)
    steps = np.arange(1 - inputs, max(targets) + 1)
    touched = clip_of[windows.origins[:, None] + steps]
    assert (touched == touched[:, :1]).all()
    # As many as fit: the last frame of each clip that is long enough is used.
    room = np.array(lengths) - steps.size
    assert windows.short_clips == int((room < 0).sum())
    assert windows.origins.size == int((room[room >= 0] // (stride or steps.size) + 1).sum())
    ends = np.cumsum(lengths)[room >= 0] - 1
    assert set(ends.tolist()) <= set((windows.origins + max(targets)).tolist())
