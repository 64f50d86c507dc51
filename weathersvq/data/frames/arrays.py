"""Frames in an array: npy, npz, HDF5 or Zarr, in any of the usual orders of axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weathersvq.data.frames.base import COLOUR, GREY, Channels, Clip, Frames
from weathersvq.data.frames.splits import VALIDATION_SHARE, Part, with_splits
from weathersvq.data.frames.stores import ArrayFile, choose_array, open_arrays
from weathersvq.errors import InputError

# n sequences, t frames of each, c channels, h rows, w columns.
LAYOUTS = (
    "thw", "tchw", "thwc", "nthw", "tnhw", "ntchw", "nthwc", "tnchw", "tnhwc",
)  # fmt: skip
# An axis that is so short, and no other one that is, holds the channels.
_CHANNEL_COUNTS = (1, 3)


@dataclass(frozen=True, eq=False, kw_only=True)
class ArrayFrames(Frames):
    """Frames in memory, such as those that a program made.

    Attributes:
        array: (N, C, H, W), the clips one after the other.
    """

    array: NDArray[Any]

    def read_clip(self, clip: int, frames: Sequence[int]) -> NDArray[Any]:
        return self.array[self.starts[clip] + np.asarray(frames)]


@dataclass(frozen=True, eq=False, kw_only=True)
class FileArrayFrames(Frames):
    """Frames of one array in a file.

    Attributes:
        array: numbers.
        layout: letters of its axes.
        origins: (sequence, first frame) of each clip; the sequence counts only where there is an
            axis of them.
    """

    array: ArrayFile
    layout: str
    origins: tuple[tuple[int, int], ...]

    def read_clip(self, clip: int, frames: Sequence[int]) -> NDArray[Any]:
        sequence, first = self.origins[clip]
        wanted = [first + frame for frame in frames]
        order = [letter for letter in self.layout if letter in "nt"]
        values = self.array.read(tuple(sequence if a == "n" else wanted for a in order))
        if "c" not in self.layout:
            return values[:, None]
        return np.moveaxis(values, -1, 1) if self.layout.endswith("c") else values


def open_array_frames(
    source: Path,
    *,
    key: str | None = None,
    layout: str | None = None,
    sequences: str | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    low: float | None = None,
    high: float | None = None,
    stride: int = 1,
    step: str = "1 frame",
    validation: Part = VALIDATION_SHARE,
    test: Part = 0.1,
) -> Frames:
    """Open a file of arrays as frames, without reading them.

    Args:
        source: npy, npz, HDF5 or Zarr.
        key: name of the array where there are several.
        layout: order of the axes, such as `ntchw` or `tnhw` (Moving MNIST); guessed where only one
            is likely.
        sequences: where there is no axis n: an array (T,) of sequence ids, in another file or
            under this key of the same one; a clip ends where the id changes.
        channels, units: names and units.
        low, high: range of the values; 0 to 255 for uint8 and 0 to 1 for floats if not given.
        stride: frames from one window's start to the next one's; 0 for windows without overlap.
        step: what lies between two frames, in words.
        validation, test: see `with_splits`.

    Raises:
        InputError: nothing there, no array of frames, an option that does not fit it.
    """
    arrays = open_arrays(source)
    array = choose_array(arrays, key, source)
    layout = check_layout(layout, array) if layout else guess_layout(array)
    sizes = dict(zip(layout, array.shape, strict=True))
    if min(array.shape) == 0:
        raise InputError(f"{array.name} is empty: its shape is {list(array.shape)}")
    if "n" in layout:
        if sequences is not None:
            raise InputError(
                f"layout {layout} has an axis of sequences already; leave out `sequences`"
            )
        origins = [(number, 0) for number in range(sizes["n"])]
        lengths = [sizes["t"]] * sizes["n"]
        names = [f"sequence {number}" for number in range(sizes["n"])]
    else:
        ids = np.zeros(sizes["t"], np.int8)
        if sequences is not None:
            ids = read_ids(source, sequences, sizes["t"])
        changes = np.flatnonzero(ids[1:] != ids[:-1]) + 1
        starts = [0, *changes.tolist()]
        origins = [(0, start) for start in starts]
        lengths = np.diff([*starts, ids.size]).tolist()
        names = [f"sequence {_text(ids[s])}" for s in starts]
        if sequences is None:
            names = [source.name]
    clips = tuple(
        Clip(name, length, stride=stride) for name, length in zip(names, lengths, strict=True)
    )
    frames = FileArrayFrames(
        str(source),
        clips,
        describe_channels(array, sizes.get("c", 1), channels, units, low, high),
        (sizes["h"], sizes["w"]),
        step,
        array=array,
        layout=layout,
        origins=tuple(origins),
    )
    return with_splits(frames, validation, test)


def check_layout(layout: str, array: ArrayFile) -> str:
    """Refuse a layout that is none, or not that array's.

    Raises:
        InputError: see above.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout {layout!r} is unknown; expected one of {', '.join(LAYOUTS)}")
    if len(layout) != len(array.shape):
        raise InputError(
            f"layout {layout!r} has {len(layout)} axes, but {array.name} has the shape "
            f"{list(array.shape)}; expected one of {_choices(len(array.shape))}"
        )
    return layout


def guess_layout(array: ArrayFile) -> str:
    """The only likely layout of an array.

    Raises:
        InputError: none, or several.
    """
    shape = array.shape
    likely: set[str] = set()
    if len(shape) == 3 and shape[-1] not in _CHANNEL_COUNTS:
        likely = {"thw"}
    elif len(shape) in (4, 5):
        leading = "nt" if len(shape) == 5 else "t"
        first, last = shape[-3] in _CHANNEL_COUNTS, shape[-1] in _CHANNEL_COUNTS
        if first != last:
            likely = {leading + ("chw" if first else "hwc")}
    if len(likely) != 1:
        raise InputError(
            f"{array.name} has the shape {list(shape)}, whose axes can't be guessed; say which they "
            f"are with the option `layout`: {_choices(len(shape))} (n sequences, t frames, "
            "c channels, h rows, w columns)"
        )
    return likely.pop()


def _choices(axes: int) -> str:
    return ", ".join(name for name in LAYOUTS if len(name) == axes)


def read_ids(source: Path, sequences: str, count: int) -> NDArray[Any]:
    """(T,) sequence ids, from a key of the source or from another file beside it.

    Raises:
        InputError: no such array, or one of another length.
    """
    same = {} if source.suffix == ".npy" else open_arrays(source)
    if sequences in same:
        array = same[sequences]
    else:
        path = source.parent / sequences
        if not path.exists():
            raise InputError(
                f"sequences is {sequences!r}, but neither an array of {source.name} nor a file in "
                f"{source.parent} is called that; give one with an id for each of {count} frames"
            )
        arrays = open_arrays(path)
        if len(arrays) != 1:
            raise InputError(f"{path} holds {len(arrays)} arrays; expected one, of sequence ids")
        array = next(iter(arrays.values()))
    if array.dtype.kind not in "iuSU" or array.shape != (count,):
        raise InputError(
            f"{array.name} is of type {array.dtype} and shape {list(array.shape)}; expected "
            f"{count} whole numbers or texts, a sequence id for each frame"
        )
    return array.read((range(count),))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def describe_channels(
    array: ArrayFile,
    count: int,
    names: Sequence[str] | None,
    units: Sequence[str] | None,
    low: float | None,
    high: float | None,
) -> Channels:
    """What the numbers of an array are.

    Raises:
        InputError: another number of names or units, or a range that must be given and is not.
    """
    if names is not None and len(names) != count:
        raise InputError(f"channels names {len(names)}, but {array.name} has {count}")
    if names is None:
        usual = {1: GREY.names, 3: COLOUR.names}
        names = usual.get(count, tuple(f"channel_{number}" for number in range(count)))
    ranges = {"u1": (0.0, 255.0), "f2": (0.0, 1.0), "f4": (0.0, 1.0), "f8": (0.0, 1.0)}
    ranges |= {"b1": (0.0, 1.0)}
    known = ranges.get(array.dtype.str[1:])
    if known is None and (low is None or high is None):
        raise InputError(
            f"{array.name} is of type {array.dtype}, of which the range is not known; give `low` "
            "and `high`"
        )
    usual_low, usual_high = known or (0.0, 1.0)
    return Channels(
        tuple(names),
        tuple(units) if units is not None else ("1",) * count,
        usual_low if low is None else low,
        usual_high if high is None else high,
    )
