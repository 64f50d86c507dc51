"""KTH actions (Schuldt et al. 2004): 25 persons doing six things, 160 x 120 grey at 25 frames/s.

`{action}/person??_{action}_d?_uncomp/image_????.jpg`. Persons 01-16 are for training, 17-25 for
testing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from weathersvq.data.frames.base import GREY, Clip, Frames, Split
from weathersvq.data.frames.names import consecutive, last_number, natural_order
from weathersvq.data.frames.pictures import SUFFIXES, PictureFrames, read_picture
from weathersvq.data.frames.resizing import Resize
from weathersvq.data.frames.splits import VALIDATION_SHARE, with_validation
from weathersvq.errors import InputError

# Frames from one window's start to the next one's: people who stay in the picture are seen in
# windows without overlap; those who run through it are in it for a short time only.
STRIDES = {
    "boxing": 0,
    "handclapping": 0,
    "handwaving": 0,
    "walking": 0,
    "jogging": 3,
    "running": 3,
}
TRAINING_PERSONS = range(1, 17)
TEST_PERSONS = range(17, 26)
_FOLDER = re.compile(r"person(\d\d)_")


def has_kth_form(source: Path) -> bool:
    """Whether all actions are there."""
    return all((source / action).is_dir() for action in STRIDES)


def open_kth(
    source: Path,
    *,
    size: tuple[int, int] = (128, 128),
    validation: float = VALIDATION_SHARE,
) -> Frames:
    """Open KTH as its published loader does: first channel, stretched to a square.

    Where a person leaves the picture, frame numbers are left out; a clip ends there.

    Args:
        source: folder of the six actions' folders.
        size: (H, W) of the frames.
        validation: share of the training frames, by person; the last persons are taken.

    Raises:
        InputError: an action's folder is missing, or one that is not of a person.
    """
    missing = [action for action in STRIDES if not (source / action).is_dir()]
    if missing:
        raise InputError(
            f"{source} has no folder {missing[0]!r}; expected KTH's {', '.join(STRIDES)}"
        )
    clips: list[Clip] = []
    files: list[tuple[Path, ...]] = []
    for action, stride in STRIDES.items():
        folders = [folder for folder in (source / action).iterdir() if folder.is_dir()]
        for folder in sorted(folders, key=lambda folder: natural_order(folder.name)):
            split, person = _person(folder)
            names = _frame_names(folder)
            runs = list(consecutive(names, 1))
            for run in runs:
                first = last_number(names[run.start])[1]
                name = f"{folder.name} from {first}" if len(runs) > 1 else folder.name
                clips.append(Clip(name, len(run), split, f"person{person:02d}", stride))
                files.append(tuple(folder / names[i] for i in run))
    if not files:
        raise InputError(f"{source} holds no clips of persons; expected person01_boxing_d1_uncomp")
    read_picture(files[0][0], "first")
    carved, comment = with_validation(clips, validation, "person", str(source))
    return PictureFrames(
        str(source),
        carved,
        GREY,
        size,
        "40 ms",
        comment,
        files=tuple(files),
        colour="first",
        resize=Resize(size, "bilinear", rounded=False),
    )


def _frame_names(folder: Path) -> list[str]:
    names = [
        name
        for name in os.listdir(folder)
        if name.startswith("image") and name.lower().endswith(SUFFIXES)
    ]
    if not names:
        raise InputError(f"{folder} holds no frames; expected image_0001.jpg and so on")
    return sorted(names, key=natural_order)


def _person(folder: Path) -> tuple[Split, int]:
    found = _FOLDER.match(folder.name)
    person = int(found[1]) if found else 0
    if person in TRAINING_PERSONS:
        return "train", person
    if person in TEST_PERSONS:
        return "test", person
    raise InputError(
        f"{folder} is not of a person 01 to 25; expected a name such as person01_boxing_d1_uncomp"
    )
