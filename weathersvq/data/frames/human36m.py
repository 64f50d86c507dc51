"""Human3.6M (Ionescu et al. 2014): people filmed by four cameras, in lists of windows.

`train.txt` and `test.txt` with rows such as `images/S1_Directions.54138969_,START`; frames are
`images/S1_Directions.54138969_000123.jpg`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weathersvq.data.frames.base import COLOUR, Clip, Frames, Split
from weathersvq.data.frames.names import inside
from weathersvq.data.frames.pictures import read_picture
from weathersvq.data.frames.resizing import Resize
from weathersvq.data.frames.splits import VALIDATION_SHARE, with_validation
from weathersvq.errors import InputError

LISTS: tuple[tuple[str, Split], ...] = (("train.txt", "train"), ("test.txt", "test"))
# Frames a second of the cameras.
RATE = 50


@dataclass(frozen=True, eq=False, kw_only=True)
class Human36M(Frames):
    """A clip a row of the lists.

    Attributes:
        rows: (path up to the number, number of the first frame) of each clip.
        every: from one frame of a clip to the next one.
        resize: to the size of the frames.
    """

    rows: tuple[tuple[Path, int], ...]
    every: int
    resize: Resize

    def read_clip(self, clip: int, frames: Sequence[int]) -> NDArray[Any]:
        return np.stack([self._picture(clip, frame) for frame in frames]).transpose(0, 3, 1, 2)

    def _picture(self, clip: int, frame: int) -> NDArray[Any]:
        beginning, start = self.rows[clip]
        path = beginning.with_name(f"{beginning.name}{start + self.every * frame:06d}.jpg")
        return self.resize(read_picture(path, "colour"))


def has_human36m_form(source: Path) -> bool:
    """Whether lists and pictures are there."""
    return (source / "images").is_dir() and any((source / name).is_file() for name, _ in LISTS)


def open_human36m(
    source: Path,
    *,
    size: tuple[int, int] = (256, 256),
    frames: int = 8,
    every: int = 5,
    validation: float = VALIDATION_SHARE,
) -> Frames:
    """Open Human3.6M as its published loader does: each row of a list is one window.

    Args:
        source: folder of the lists and of `images`.
        size: (H, W) of the frames.
        frames: of a row: inputs and targets together.
        every: from one frame to the next one, in frames of the camera.
        validation: share of the training frames, by person; the last persons are taken.

    Raises:
        InputError: no lists, a row that can't be read or leads out of the folder, or a first
            picture that can't be read.
    """
    if frames < 2 or every < 1:
        raise InputError(f"frames is {frames} and every {every}; expected at least 2 and 1")
    found = [(source / name, split) for name, split in LISTS if (source / name).is_file()]
    if not found:
        raise InputError(f"{source} has neither train.txt nor test.txt, Human3.6M's lists")
    clips: list[Clip] = []
    rows: list[tuple[Path, int]] = []
    for path, split in found:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            name, start = _row(line, f"{path} line {number}")
            beginning = inside(source, name, f"{path} line {number}")
            person = beginning.name.partition("_")[0]
            clips.append(Clip(f"{beginning.name}{start:06d}", frames, split, person, 0))
            rows.append((beginning, start))
    if not clips:
        raise InputError(f"the lists of {source} are empty; expected rows such as images/S1_a.1_,0")
    carved, comment = with_validation(clips, validation, "person", str(source))
    result = Human36M(
        str(source),
        carved,
        COLOUR,
        size,
        f"{1000 * every / RATE:g} ms",
        comment,
        rows=tuple(rows),
        every=every,
        resize=Resize(size, "cubic"),
    )
    result.read_clip(0, [0])
    return result


def _row(line: str, origin: str) -> tuple[str, int]:
    name, _, start = line.strip().rpartition(",")
    if not name or not start.strip().isdecimal():
        raise InputError(
            f"{origin} is {line.strip()!r}; expected a path and a frame number, such as "
            "images/S1_Directions.54138969_,120"
        )
    return name, int(start)
