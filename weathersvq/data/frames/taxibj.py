"""TaxiBJ (Zhang et al. 2017, arXiv:1610.00081): taxis in Beijing, in- and outflow on a 32 x 32 grid.

One npz with the arrays X_train, Y_train, X_test and Y_test, each (N, 4, 2, 32, 32) in -1 to 1:
four frames every half an hour and the four that follow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weathersvq.data.frames.base import Channels, Clip, Frames, Split
from weathersvq.data.frames.splits import VALIDATION_SHARE, check_share
from weathersvq.data.frames.stores import ArrayFile, open_arrays
from weathersvq.errors import InputError

MEMBERS = ("X_train", "Y_train", "X_test", "Y_test")
# The file has counts of taxis in half an hour, scaled to -1 to 1 by extremes that it doesn't hold.
CHANNELS = Channels(("inflow", "outflow"), ("1", "1"), -1.0, 1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class TaxiBJ(Frames):
    """Samples that are clips of their own.

    Attributes:
        training, testing: (X, Y) of both sets.
    """

    training: tuple[ArrayFile, ArrayFile]
    testing: tuple[ArrayFile, ArrayFile]

    def read_clip(self, clip: int, frames: Sequence[int]) -> NDArray[Any]:
        count = self.training[0].shape[0]
        arrays, sample = (
            (self.training, clip) if clip < count else (self.testing, clip - count)
        )  # fmt: skip
        values = np.concatenate([array.read((sample,)) for array in arrays])
        return values[list(frames)]


def has_taxibj_form(source: Path) -> bool:
    """Whether it is an npz with TaxiBJ's arrays, or a folder with `dataset.npz`."""
    if source.is_dir():
        return any(path.is_file() for path in _places(source)[1:])
    if source.suffix != ".npz":
        return False
    try:
        return set(MEMBERS) <= set(open_arrays(source))
    except InputError:
        return False


def _places(source: Path) -> tuple[Path, ...]:
    return source, source / "dataset.npz", source / "taxibj" / "dataset.npz"


def dataset_file(source: Path) -> Path:
    """The npz, wherever in the folder it is."""
    for path in _places(source):
        if path.is_file():
            return path
    raise InputError(f"{source} is neither TaxiBJ's dataset.npz nor a folder that holds it")


def open_taxibj(source: Path, *, validation: float = VALIDATION_SHARE) -> Frames:
    """Open TaxiBJ without reading its frames.

    The file says of no sample which day it is of, so that validation takes one block, the last
    training samples. Where samples of the file overlap in time, those on both sides of the block's
    edge share frames.

    Args:
        source: dataset.npz, or a folder with it.
        validation: share of the training samples.

    Raises:
        InputError: no such file, or one of another form.
    """
    path = dataset_file(source)
    arrays = open_arrays(path)
    missing = [name for name in MEMBERS if name not in arrays]
    if missing:
        raise InputError(
            f"{path} has no array {missing[0]}; expected {', '.join(MEMBERS)} as TaxiBJ has them"
        )
    x_train, y_train, x_test, y_test = (arrays[name] for name in MEMBERS)
    for array in (x_train, y_train, x_test, y_test):
        if len(array.shape) != 5 or array.shape[2:] != x_train.shape[2:] or array.shape[2] != 2:
            raise InputError(
                f"{array.name} has the shape {list(array.shape)}; expected (N, T, 2, H, W): "
                "inflow and outflow on a grid"
            )
    for first, second in ((x_train, y_train), (x_test, y_test)):
        if first.shape[0] != second.shape[0]:
            raise InputError(
                f"{first.name} has {first.shape[0]:,} samples, {second.name} "
                f"{second.shape[0]:,}; expected as many"
            )
    check_share("validation", validation)
    count = x_train.shape[0]
    kept = count - math.ceil(count * validation)
    if kept == 0 and validation < 1:
        raise InputError(f"{path} has {count} training samples, too few to take some from")
    length = x_train.shape[1] + y_train.shape[1]
    clips = [
        _clip("train", number, length, "validation" if number >= kept else "train")
        for number in range(count)
    ]
    test_length = x_test.shape[1] + y_test.shape[1]
    clips += [_clip("test", number, test_length, "test") for number in range(x_test.shape[0])]
    comment = "no validation split"
    if kept < count:
        comment = f"validation: the last {count - kept:,} of {count:,} training samples, one block"
    return TaxiBJ(
        str(path),
        tuple(clips),
        CHANNELS,
        (x_train.shape[3], x_train.shape[4]),
        "30 min",
        comment,
        training=(x_train, y_train),
        testing=(x_test, y_test),
    )


def _clip(file: str, number: int, length: int, split: Split) -> Clip:
    return Clip(f"{file} {number}", length, split, f"{split} block")
