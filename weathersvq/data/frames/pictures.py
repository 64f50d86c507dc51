"""Frames in picture files: a folder of them is a clip, a folder of such folders several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from weathersvq.data.frames.base import COLOUR, GREY, Channels, Clip, Frames
from weathersvq.data.frames.names import consecutive, last_number, natural_order, need
from weathersvq.data.frames.resizing import Fit, Method, Resize
from weathersvq.data.frames.splits import VALIDATION_SHARE, Part, with_splits
from weathersvq.errors import InputError

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm",
)  # fmt: skip

# `grey` and `colour` say what the files are; `luminance` makes grey of colour; `first` takes the
# first of three equal channels, as the published loader of KTH does.
Colour = Literal["grey", "colour", "luminance", "first"]


@dataclass(frozen=True, eq=False, kw_only=True)
class PictureFrames(Frames):
    """Frames that are one file each.

    Attributes:
        files: of each clip, in order.
        colour: what the files are and what becomes of them.
        resize: to another size; None if every file must have the size of the first.
    """

    files: tuple[tuple[Path, ...], ...]
    colour: Colour
    resize: Resize | None = None

    def read_clip(self, clip: int, frames: Sequence[int]) -> NDArray[Any]:
        pictures = []
        for frame in frames:
            path = self.files[clip][frame]
            picture = read_picture(path, self.colour)
            if self.resize is not None:
                picture = self.resize(picture)
            if picture.shape[:2] != self.size:
                raise InputError(
                    f"{path} is {picture.shape[0]} x {picture.shape[1]} pixels, others are "
                    f"{self.size[0]} x {self.size[1]}; make them one size with the option `size`"
                )
            pictures.append(picture)
        return np.stack(pictures).transpose(0, 3, 1, 2)


def open_pictures(
    source: Path,
    *,
    colour: Colour | None = None,
    size: tuple[int, int] | None = None,
    fit: Fit = "stretch",
    method: Method = "antialiased",
    gaps: Literal["refuse", "split"] = "refuse",
    stride: int = 1,
    step: str = "1 frame",
    validation: Part = VALIDATION_SHARE,
    test: Part = 0.1,
) -> Frames:
    """Open a folder of pictures, or of folders of them, as frames; one picture is read.

    Files are ordered by the numbers in their names. Where the names of a folder count up, a missing
    number is a missing frame.

    Args:
        source: a folder.
        colour: see `Colour`; as the first picture is if not given.
        size, fit, method: make all pictures this size, see `Resize`.
        gaps: at a missing frame, an error or a new clip.
        stride: frames from one window's start to the next one's; 0 for windows without overlap.
        step: what lies between two frames, in words.
        validation, test: see `with_splits`.

    Raises:
        InputError: no pictures, a missing one, or a first one that can't be read.
    """
    folders = picture_folders(source)
    clips: list[Clip] = []
    files: list[tuple[Path, ...]] = []
    for folder, names in folders.items():
        name = folder.relative_to(source).as_posix() if folder != source else source.name
        runs = runs_of_files(folder, names, gaps)
        for run in runs:
            mark = f"[{names[run.start]}]" if len(runs) > 1 else ""
            clips.append(Clip(name + mark, len(run), group=name, stride=stride))
            files.append(tuple(folder / names[i] for i in run))
    first = read_picture(files[0][0], colour)
    if colour is None:
        colour = "grey" if first.shape[2] == 1 else "colour"
    frames = PictureFrames(
        str(source),
        tuple(clips),
        picture_channels(first, colour),
        size or (first.shape[0], first.shape[1]),
        step,
        files=tuple(files),
        colour=colour,
        resize=None if size is None else Resize(size, method, fit),
    )
    return with_splits(frames, validation, test)


def picture_folders(source: Path) -> dict[Path, list[str]]:
    """Folders at and below one that hold pictures, with their names, both in natural order.

    Raises:
        InputError: no folder, or none with pictures.
    """
    if not source.is_dir():
        raise InputError(f"{source} is not a folder; expected one with pictures")
    found = {}
    for folder, _, names in os.walk(source):
        pictures = [n for n in names if n.lower().endswith(SUFFIXES) and not n.startswith(".")]
        if pictures:
            found[Path(folder)] = sorted(pictures, key=natural_order)
    if not found:
        raise InputError(f"{source} holds no pictures; expected files with {', '.join(SUFFIXES)}")
    return dict(sorted(found.items(), key=lambda item: natural_order(item[0].as_posix())))


def runs_of_files(folder: Path, names: Sequence[str], gaps: str) -> list[range]:
    """Which files of a folder follow each other.

    Raises:
        InputError: a file is missing between two others, and gaps are refused.
    """
    numbers = [last_number(name) for name in names]
    alike = len({(head, tail) for head, _, tail in numbers}) == 1
    counted = [number for _, number, _ in numbers if number is not None]
    if not alike or len(counted) < len(names) or len(names) < 2:
        return [range(len(names))]
    step = min(b - a for a, b in pairwise(counted))
    if step == 0:  # image_1 and image_01
        return [range(len(names))]
    runs = list(consecutive(names, step))
    if len(runs) > 1 and gaps == "refuse":
        last = names[runs[0].stop - 1]
        head, number, tail = last_number(last)
        digits = len(Path(last).name) - len(head) - len(tail)
        missing = f"{head}{(number or 0) + step:0{digits}d}{tail}"
        raise InputError(
            f"{folder / missing} is missing: {names[runs[1].start]} follows {last}; put it back, "
            "or cut the clip there with the option `gaps: split`"
        )
    return runs


def read_picture(path: Path, colour: Colour | None) -> NDArray[Any]:
    """One picture.

    Args:
        path: file.
        colour: see `Colour`; whatever it is if None.

    Returns:
        (H, W, C) uint8, or uint16 where the file has 16 bits of grey; C is 1 or 3. Transparency is
        left out.

    Raises:
        InputError: a file that is missing or damaged, or colour where grey is expected.
    """
    image = need("PIL.Image", f"reading {path}")
    try:
        with image.open(path) as opened:
            if opened.mode in ("I;16", "I;16B", "I;16L", "I"):
                values = np.asarray(opened).astype(np.uint16)
            elif opened.mode in ("1", "L", "LA", "La"):
                values = np.asarray(opened.convert("L"))
            else:
                values = np.asarray(opened.convert("RGB"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; put it back or leave its clip out") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        # Pillow calls a broken PNG a SyntaxError.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} is damaged or not a picture ({reason}); mend it or leave its clip out"
        ) from error
    if values.ndim == 2:
        values = values[:, :, None]
    return to_colour(values, colour, str(path))


def to_colour(values: NDArray[Any], colour: Colour | None, name: str) -> NDArray[Any]:
    """(H, W, 1 or 3) to what is wanted.

    Raises:
        InputError: colour where grey is expected, or the other way round.
    """
    if values.shape[2] == 1:
        if colour == "colour":
            raise InputError(
                f"{name} is grey, colour is expected; give `colour: grey`, or "
                "`colour: luminance` where some are grey and some are not"
            )
        return values
    if colour == "first":
        return values[:, :, :1]
    if colour == "luminance":
        # ITU-R BT.601, as Pillow and OpenCV weigh them.
        weighted = values @ np.array([0.299, 0.587, 0.114], np.float32)
        return np.rint(weighted)[:, :, None].astype(values.dtype)
    if colour == "grey":
        if not (values == values[:, :, :1]).all():
            raise InputError(
                f"{name} is in colour, grey is expected; make grey of it with `colour: luminance`"
            )
        return values[:, :, :1]
    return values


def picture_channels(first: NDArray[Any], colour: Colour) -> Channels:
    """Names and range of pictures like the first one."""
    if colour == "colour":
        return COLOUR
    if first.dtype == np.uint16:
        return Channels(GREY.names, GREY.units, 0.0, 65535.0)
    return GREY
