"""What frames are, whatever they come as: sequences of pictures of one size, read when needed.

A reader (one file beside this one a form) finds out at once what is there (names, lengths, sizes)
and reads pixels only when they are asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from weathersvq.errors import InputError

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Clip:
    """Frames that follow each other without a break; windows never reach beyond one.

    Attributes:
        name: for messages and labels, such as `person01_walking_d1`.
        length: frames.
        split: what it is for.
        group: what it shares with others (a person, a day, a drive): a validation split takes
            whole groups. Its own name if not given.
        stride: frames from one window's start to the next one's; 0 for windows that follow each
            other without overlapping, however long they are.
    """

    name: str
    length: int
    split: Split = "train"
    group: str = ""
    stride: int = 1


@dataclass(frozen=True)
class Channels:
    """What the numbers of a frame are.

    Attributes:
        names: one a channel, such as `inflow`, or `red`.
        units: one a channel; `1` where the numbers have none.
        low, high: the range that values are declared to lie in; models see it as 0 to 1.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    low: float = 0.0
    high: float = 255.0

    def __post_init__(self) -> None:
        if len(self.units) != len(self.names):
            raise InputError(f"{len(self.names)} channels need as many units: {self.units}")
        if not self.low < self.high:
            raise InputError(f"the value range {self.low:g} to {self.high:g} is empty")


GREY = Channels(("intensity",), ("1",))
COLOUR = Channels(("red", "green", "blue"), ("1", "1", "1"))


@dataclass(frozen=True, eq=False)
class Frames(ABC):
    """Frames of one source. A subclass supplies `read_clip`.

    Attributes:
        source: for messages.
        clips: in order; positions of frames count through all of them.
        channels: what the numbers are.
        size: (H, W) of every frame.
        step: what lies between two frames, in words, such as `40 ms` or `30 min`.
        comment: what the reader decided, in words, such as which persons validation took.
    """

    source: str
    clips: tuple[Clip, ...]
    channels: Channels
    size: tuple[int, int]
    step: str = "1 frame"
    comment: str = ""
    starts: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        if not self.clips:
            raise InputError(f"{self.source} holds no frames")
        ends = np.cumsum([clip.length for clip in self.clips])
        object.__setattr__(self, "starts", np.concatenate([[0], ends[:-1]]).astype(np.intp))

    def __len__(self) -> int:
        """Number of frames."""
        return sum(clip.length for clip in self.clips)

    def of_split(self, split: Split) -> NDArray[np.intp]:
        """Numbers of the clips that are for a split."""
        return np.flatnonzero([clip.split == split for clip in self.clips])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return len(self), len(self.channels.names), *self.size

    @abstractmethod
    def read_clip(self, clip: int, frames: Sequence[int]) -> NDArray[Any]:
        """Some frames of a clip, as they are stored.

        Args:
            clip: its number.
            frames: positions in it, ascending.

        Returns:
            (n, C, H, W) of any number type, values in the declared range.

        Raises:
            InputError: a frame that is missing, damaged, or of another size or kind (named).
        """

    def read(self, positions: NDArray[np.intp]) -> NDArray[np.float32]:
        """Frames anywhere, each clip read once.

        Args:
            positions: (n,) in 0..N-1, in any order.

        Returns:
            (n, C, H, W) in the declared range.

        Raises:
            InputError: a frame that can't be read, or values outside of the declared range.
        """
        wanted, places = np.unique(positions, return_inverse=True)
        clip_of = np.searchsorted(self.starts, wanted, side="right") - 1
        result = np.empty((wanted.size, *self.shape[1:]), np.float32)
        for clip in np.unique(clip_of):
            inside = np.flatnonzero(clip_of == clip)
            own = (wanted[inside] - self.starts[clip]).tolist()
            values = self.read_clip(int(clip), own)
            self._check_range(values, int(clip), own)
            result[inside] = values
        return result if np.array_equal(wanted, positions) else result[places]

    def _check_range(self, values: NDArray[Any], clip: int, frames: Sequence[int]) -> None:
        low, high = self.channels.low, self.channels.high
        if values.size and values.min() >= low and values.max() <= high:  # NaN is neither
            return
        bad = ~((values >= low) & (values <= high)).all(axis=(1, 2, 3))  # NaN is bad too
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"frame {frames[first]} of {self.clips[clip].name} in {self.source} has values "
                f"from {values[first].min():g} to {values[first].max():g}, outside of the declared "
                f"range {low:g} to {high:g}; declare another range or mend the frame"
            )
