"""Fifth step of the flow: which times belong together as input and target, inside one split."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weathersvq.errors import InputError

if TYPE_CHECKING:
    import xarray as xr


def parse_time(moment: str | date | np.datetime64) -> np.datetime64:
    """An ISO 8601 time such as `2017-01-01` or `2017-01-01T06` (UTC), to the second.

    Raises:
        InputError: text that is no such time.
    """
    if isinstance(moment, np.datetime64):
        moment = str(moment.astype("datetime64[s]"))
    text = moment.isoformat() if isinstance(moment, date) else moment
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(
            f"{text!r} is not a time; expected a date (YYYY-MM-DD) or a date and hour "
            "such as 2017-01-01T06"
        ) from error
    if parsed.tzinfo is not None:
        parsed = parsed.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(parsed, "s")


def parse_step(text: str | timedelta | np.timedelta64 | int) -> np.timedelta64:
    """A length of time such as `1h`, `6h`, `72h`, `3d`, `30min`, in whole seconds, above zero.

    Raises:
        InputError: text that is no such length, or a number without a unit.
    """
    # pandas takes a bare number for nanoseconds.
    if isinstance(text, int) or (isinstance(text, str) and text.strip().isdecimal()):
        raise InputError(f"{text!r} is a number without a unit; expected hours or days: 6h or 3d")
    try:
        length = pd.Timedelta(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is not a length of time; expected hours or days such as 6h or 3d"
        ) from error
    if pd.isna(length) or length <= pd.Timedelta(0):
        raise InputError(f"{text!r} is not a length of time above zero, such as 6h or 3d")
    return np.timedelta64(round(length.total_seconds()), "s")


@dataclass(frozen=True)
class Period:
    """Times from `start` to `stop`, both included."""

    start: np.datetime64
    stop: np.datetime64

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read `2010-01-01/2015-12-31`; a year, month or day as the end means all of it.

        Raises:
            InputError: not two times, or the second before the first.
        """
        first, slash, last = text.partition("/")
        if not slash:
            first = last = text
        try:
            start = pd.Period(first.strip()).start_time
            stop = pd.Period(last.strip()).end_time
        except (ValueError, AttributeError) as error:  # an empty text gives NaT, which has neither
            raise InputError(
                f"{text!r} is not a period; expected START/STOP such as 2010-01-01/2015-12-31"
            ) from error
        if stop < start:
            raise InputError(f"the period {text!r} ends before it starts")
        return cls(
            np.datetime64(start.floor("s").to_pydatetime(), "s"),
            np.datetime64(stop.floor("s").to_pydatetime(), "s"),
        )

    def positions(self, times: NDArray[np.datetime64]) -> NDArray[np.intp]:
        """Positions in ascending `times` that lie in the period."""
        first = np.searchsorted(times, self.start, side="left")
        last = np.searchsorted(times, self.stop, side="right")
        return np.arange(first, last)

    def same_times(self, other: Period, time: np.datetime64, step: np.timedelta64) -> bool:
        """Whether both hold the same times of an endless series through `time`, every `step`.

        `2010/2015` and `2010-01-01/2015-12-31T23` are the same period of hourly data.
        """

        def ends(period: Period) -> tuple[int, int]:
            # The first is rounded up: floor division of the negative.
            return -int((time - period.start) // step), int((period.stop - time) // step)

        return ends(self) == ends(other)

    def overlaps(self, other: Period) -> bool:
        return bool(self.start <= other.stop and other.start <= self.stop)

    def __str__(self) -> str:
        return f"{self.start}/{self.stop}"


@dataclass(frozen=True)
class Offsets:
    """Which steps of the store a window takes, counted from its origin (the time of the forecast).

    Attributes:
        inputs: ascending, the last one 0: `(-11, ..., 0)`.
        targets: ascending, above 0: `(1, ..., 12)`.
    """

    inputs: tuple[int, ...]
    targets: tuple[int, ...]

    def __post_init__(self) -> None:
        for name, steps in (("inputs", self.inputs), ("targets", self.targets)):
            if not steps or any(b <= a for a, b in pairwise(steps)):
                raise InputError(f"offsets.{name} must be ascending whole steps, not {list(steps)}")
        if self.inputs[-1] != 0:
            raise InputError(f"offsets.inputs must end at 0 (now), not at {self.inputs[-1]}")
        if self.targets[0] < 1:
            raise InputError(f"offsets.targets must start after 0 (now), not at {self.targets[0]}")

    @property
    def is_regular(self) -> bool:
        """Consecutive steps throughout, so that output can be fed back as input."""
        return self.inputs == tuple(range(1 - len(self.inputs), 1)) and self.targets == tuple(
            range(1, 1 + len(self.targets))
        )


@dataclass(frozen=True, eq=False)
class Windows:
    """Where the windows of a period are, and how many more it could hold.

    Attributes:
        origins: (m,) ascending positions in time.
        across_gaps: windows left out since a time between their first and their last is missing.
        flagged: windows left out since a time between their first and their last is not usable.
            Both count all windows that a period without gaps and flags would hold between its first
            and its last time, also those that thinning (`every`) would have passed over.
        short_clips: clips of frames that are shorter than a window.
    """

    origins: NDArray[np.intp]
    across_gaps: int = 0
    flagged: int = 0
    short_clips: int = 0

    def describe_left_out(self) -> str:
        """See `describe_left_out`."""
        parts = [describe_left_out(self.across_gaps, self.flagged)]
        if self.short_clips:
            plural = "s" if self.short_clips > 1 else ""
            parts.append(f"{self.short_clips:,} clip{plural} shorter than a window")
        return ", ".join(filter(None, parts))


def describe_left_out(across_gaps: int, flagged: int) -> str:
    """Such as `12 across gaps in time, 3 that touch flagged times`; empty if there are none."""
    parts = []
    if across_gaps:
        parts.append(f"{across_gaps:,} across gaps in time")
    if flagged:
        parts.append(f"{flagged:,} that touch flagged times")
    return ", ".join(parts)


def find_windows(
    times: NDArray[np.datetime64],
    step: np.timedelta64,
    offsets: Offsets,
    period: Period | None = None,
    every: int = 1,
    usable: NDArray[np.bool_] | None = None,
) -> Windows:
    """All windows that lie wholly in the period, and how many were left out.

    A window takes `times[origin + offset]`; it is left out where any time between its first and
    its last is missing or not usable, so it never reaches across a gap, nor out of its split.

    Args:
        times: (n,) strictly increasing.
        step: regular step of the store.
        offsets: of inputs and targets, in steps.
        period: split; all times if None.
        every: keep each `every`-th window only.
        usable: (n,) whether the data are good at each time; all are if None.
    """
    positions = np.arange(times.size) if period is None else period.positions(times)
    if positions.size == 0:
        return Windows(positions, 0, 0)
    before, after = -offsets.inputs[0], offsets.targets[-1]
    # A period without gaps between the same ends would hold so many.
    steps = int((times[positions[-1]] - times[positions[0]]) // step)
    possible = max(0, steps + 1 - before - after)
    origins = positions[before : max(before, positions.size - after)]
    span = times[origins + after] - times[origins - before]
    whole = origins[span == (before + after) * step]
    kept = whole
    if usable is not None:
        # bad[i]: times before position i that are not usable.
        bad = np.concatenate([[0], np.cumsum(~usable)])
        kept = whole[bad[whole + after + 1] == bad[whole - before]]
    return Windows(kept[::every], possible - whole.size, whole.size - kept.size)


def clip_windows(
    starts: NDArray[np.intp],
    lengths: NDArray[np.intp],
    strides: NDArray[np.intp],
    offsets: Offsets,
    every: int = 1,
) -> Windows:
    """All windows that lie wholly inside one clip of frames.

    They are counted back from the clip's last frame, as the published loaders of KTH and
    KittiCaltech do: where a stride leaves frames over, those are the first ones.

    Args:
        starts: (n,) position of each clip's first frame.
        lengths: (n,) frames of each.
        strides: (n,) frames from one window's start to the next one's; 0 for as many as a window
            has, so that windows do not overlap.
        offsets: of inputs and targets, in frames.
        every: keep each `every`-th window only.
    """
    before, after = -offsets.inputs[0], offsets.targets[-1]
    rooms = lengths - before - after
    strides = np.where(strides == 0, before + after + 1, strides)
    parts = [
        start + before + np.arange((room - 1) % stride, room, stride)
        for start, room, stride in zip(starts, rooms, strides, strict=True)
        if room > 0
    ]
    origins = np.concatenate(parts) if parts else np.empty(0, np.intp)
    return Windows(origins[::every], short_clips=int(np.sum(rooms <= 0)))


def window_origins(
    times: NDArray[np.datetime64],
    step: np.timedelta64,
    offsets: Offsets,
    period: Period | None = None,
    every: int = 1,
    usable: NDArray[np.bool_] | None = None,
) -> NDArray[np.intp]:
    """Positions in `times` of the origins of all windows: see `find_windows`.

    Returns:
        (m,) ascending positions.
    """
    return find_windows(times, step, offsets, period, every, usable).origins


def good_times(dataset: xr.Dataset) -> NDArray[np.bool_]:
    """(T,) whether the data are good at each time: all of them, unless the dataset knows better.

    A prepared store's dataset says so in its coordinate `usable`.
    """
    if "usable" in dataset.coords:
        return np.asarray(dataset["usable"].values, dtype=bool)
    return np.ones(dataset.sizes["time"], dtype=bool)
