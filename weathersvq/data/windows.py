"""Fifth step of the flow: which times belong together as input and target, inside one split."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weathersvq.errors import InputError


def parse_time(text: str) -> np.datetime64:
    """An ISO 8601 time such as `2017-01-01` or `2017-01-01T06` (UTC), to the second.

    Raises:
        InputError: text that is no such time.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(
            f"{text!r} is not a time; expected a date (YYYY-MM-DD) or a date and hour "
            "such as 2017-01-01T06"
        ) from error
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(moment, "s")


def parse_step(text: str) -> np.timedelta64:
    """A length of time such as `1h`, `6h`, `72h`, `3d`, `30min`, in whole seconds, above zero.

    Raises:
        InputError: text that is no such length.
    """
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


def window_origins(
    times: NDArray[np.datetime64],
    step: np.timedelta64,
    offsets: Offsets,
    period: Period | None = None,
    every: int = 1,
) -> NDArray[np.intp]:
    """Positions in `times` of the origins of all windows that lie wholly in the period.

    A window takes `times[origin + offset]`; it is left out where any time between its first and
    its last is missing, so it never reaches across a gap, nor out of its split.

    Args:
        times: (n,) strictly increasing.
        step: regular step of the store.
        offsets: of inputs and targets, in steps.
        period: split; all times if None.
        every: keep each `every`-th window only.

    Returns:
        (m,) ascending positions.
    """
    positions = np.arange(times.size) if period is None else period.positions(times)
    if positions.size == 0:
        return positions
    before, after = -offsets.inputs[0], offsets.targets[-1]
    origins = positions[before : max(before, positions.size - after)]
    span = times[origins + after] - times[origins - before]
    return origins[span == (before + after) * step][::every]
