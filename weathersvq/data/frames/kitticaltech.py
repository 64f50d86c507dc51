"""KITTI to train on (Geiger et al. 2013), Caltech pedestrians to test on (Dollar et al. 2009).

Either `kitti_hkl/X_train.hkl` and `sources_train.hkl` with the videos `caltech/{set}/{seq}.avi` (or
`.seq`), or `kitticaltech_npy/{train,test}_{data,idx}.npy`, where `idx` holds the windows' first
frames. Frames are 128 x 160.

The published 3,160 training and 3,095 test windows are those of 12 + 1 frames, as
`kitticaltech_npy` has them. With 10 + 1 frames `kitti_hkl` holds more of them: 3,738 to train on,
also by the published loader (github.com/chengtan9907/OpenSTL, issue 12).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from weathersvq.data.frames.arrays import FileArrayFrames, describe_channels
from weathersvq.data.frames.base import COLOUR, Channels, Clip, Frames, Split
from weathersvq.data.frames.names import need
from weathersvq.data.frames.resizing import Resize
from weathersvq.data.frames.splits import VALIDATION_SHARE, Joined, with_validation
from weathersvq.data.frames.stores import ArrayFile, choose_array, open_arrays
from weathersvq.data.frames.videos import (
    VideoFrames,
    describe_step,
    open_video,
    taken_frames,
    video_files,
)
from weathersvq.errors import InputError

HKL = "kitti_hkl"
NPY = "kitticaltech_npy"
CALTECH = "caltech"
SIZE = (128, 160)
# KITTI has 10 frames/s; every third one of Caltech's 30 is taken: the third, the sixth ...
STEP = "100 ms"
EVERY = 3


def has_kitticaltech_form(source: Path) -> bool:
    """Whether one of the two forms is there."""
    return (source / HKL).is_dir() or (source / NPY).is_dir()


def open_kitticaltech(
    source: Path,
    *,
    window: int = 11,
    validation: float = VALIDATION_SHARE,
) -> Frames:
    """Open KittiCaltech as its published loader does.

    Args:
        source: folder that holds `kitti_hkl` and `caltech`, or `kitticaltech_npy`.
        window: of `kitticaltech_npy` only: frames from each first one, inputs and targets together.
            The other form finds its windows, without overlap, in each recording.
        validation: share of the training frames, by recording (drive); drives from all over the
            list are taken, since it is sorted by the kind of road.

    Raises:
        InputError: files that are missing, damaged or of another form.
    """
    if (source / HKL).is_dir():
        training = _kitti(source / HKL)
        parts = [training]
        if (source / CALTECH).is_dir():
            parts.append(_caltech(source / CALTECH))
    elif (source / NPY).is_dir():
        parts = [_windows(source / NPY, "train", window), _windows(source / NPY, "test", window)]
    else:
        raise InputError(f"{source} holds neither {HKL} nor {NPY}; expected KittiCaltech's folders")
    if len({(part.channels, part.size) for part in parts}) > 1:
        sizes = " and ".join(
            f"{part.size[0]} x {part.size[1]} in {part.channels.low:g} to {part.channels.high:g}"
            for part in parts
        )
        raise InputError(f"the training and test frames of {source} differ: {sizes}")
    clips = [clip for part in parts for clip in part.clips]
    carved, comment = with_validation(clips, validation, "drive", str(source), spread=True)
    return Joined(
        str(source),
        carved,
        parts[0].channels,
        parts[0].size,
        STEP,
        comment,
        parts=tuple(parts),
    )


def _kitti(folder: Path) -> Frames:
    data, sources = folder / "X_train.hkl", folder / "sources_train.hkl"
    array = choose_array(open_arrays(data), None, data)
    channels = _check(array)
    names = read_hickled_texts(sources)
    if len(names) != array.shape[0]:
        raise InputError(
            f"{sources} has {len(names):,} names for the {array.shape[0]:,} frames of {data.name}; "
            "expected one a frame"
        )
    starts = [0, *(i for i in range(1, len(names)) if names[i] != names[i - 1])]
    ends = [*starts[1:], len(names)]
    clips = tuple(
        Clip(names[start], end - start, "train", names[start], 0)
        for start, end in zip(starts, ends, strict=True)
    )
    return _array_frames(array, clips, channels, starts)


def _windows(folder: Path, split: Split, window: int) -> Frames:
    data, index = folder / f"{split}_data.npy", folder / f"{split}_idx.npy"
    array = open_arrays(data)[""]
    channels = _check(array)
    found = open_arrays(index)[""]
    if found.dtype.kind not in "iu" or len(found.shape) != 1 or found.shape[0] == 0:
        raise InputError(
            f"{index} is of type {found.dtype} and shape {list(found.shape)}; expected the windows' "
            "first frames, whole numbers"
        )
    first = np.sort(np.asarray(found.read((range(found.shape[0]),)), np.int64))
    if first[0] < 0 or first[-1] + window > array.shape[0]:
        wrong = first[0] if first[0] < 0 else first[-1]
        raise InputError(
            f"{index} has a window of {window} frames from frame {wrong} on, but {data.name} has "
            f"{array.shape[0]:,} frames; give the length it was made for with the option `window`"
        )
    # Windows of a recording are the same way apart; the frames left over lie before its first one.
    apart = np.diff(first)
    usual = int(np.bincount(apart).argmax()) if apart.size else 0
    drives = np.concatenate([[0], np.cumsum(apart != usual)])
    clips = tuple(
        Clip(f"{split} {start}", window, split, f"{split} drive {drive}", 0)
        for start, drive in zip(first, drives, strict=True)
    )
    return _array_frames(array, clips, channels, first.tolist())


def _array_frames(
    array: ArrayFile, clips: tuple[Clip, ...], channels: Channels, starts: Sequence[int]
) -> Frames:
    return FileArrayFrames(
        array.name,
        clips,
        channels,
        (array.shape[1], array.shape[2]),
        STEP,
        array=array,
        layout="thwc",
        origins=tuple((0, start) for start in starts),
    )


def _check(array: ArrayFile) -> Channels:
    if len(array.shape) != 4 or array.shape[3] != 3:
        raise InputError(
            f"{array.name} has the shape {list(array.shape)}; expected (N, 128, 160, 3)"
        )
    return describe_channels(array, 3, None, None, None, None)


def _caltech(folder: Path) -> Frames:
    paths = {path.with_suffix(""): path for path in reversed(video_files(folder))}
    files = list(reversed(paths.values()))  # a video that is there as .avi and as .seq counts once
    videos = tuple(open_video(path) for path in files)
    clips = tuple(
        Clip(
            path.relative_to(folder).as_posix(),
            taken_frames(video, EVERY - 1, EVERY),
            "test",
            stride=0,
        )
        for path, video in zip(files, videos, strict=True)
    )
    return VideoFrames(
        str(folder),
        clips,
        COLOUR,
        SIZE,
        describe_step(videos[0], EVERY),
        videos=videos,
        first=EVERY - 1,
        every=EVERY,
        resize=Resize(SIZE, "antialiased", "crop", rounded=False),
    )


def read_hickled_texts(path: Path) -> list[str]:
    """A list of texts that hickle wrote, of whatever version, without running what it pickled.

    Raises:
        InputError: no such file, or anything but texts in it.
    """
    h5py = need("h5py", f"reading {path}")
    if not path.is_file():
        raise InputError(f"{path} does not exist; expected the name of each frame's recording")
    wrong = InputError(f"{path} holds something other than a list of texts; expected names")
    try:
        with h5py.File(path, "r") as file:
            roots = [key for key in file if key != "hickle_types_table"]
            if len(roots) != 1:
                raise wrong
            item = file[roots[0]]
            while isinstance(item, h5py.Group) and "num_items" not in item.attrs and len(item) == 1:
                item = next(iter(item.values()))
            if isinstance(item, h5py.Dataset):
                return [_text(value, wrong) for value in item[()].tolist()]
            parts = sorted(item.values(), key=lambda part: int(part.attrs.get("item_index", 0)))
            known: dict[Any, str] = {}
            return [_hickled_text(file, part, known, wrong) for part in parts]
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a file of hickle, or damaged; get it again") from error


def _hickled_text(file: Any, part: Any, known: dict[Any, str], wrong: InputError) -> str:
    """A text, or a reference to where the same one was written first."""
    h5py = need("h5py", "reading hickle")
    if h5py.check_ref_dtype(part.dtype) is h5py.Reference:
        part = file[part[()]]
    if part.name not in known:
        if "str_type" not in part.attrs and "item_type" not in part.attrs:
            raise wrong  # a pickle looks the same but for this
        known[part.name] = _text(part[()], wrong)
    return known[part.name]


def _text(value: Any, wrong: InputError) -> str:
    if isinstance(value, np.ndarray) and value.dtype.kind in "Su":
        value = value.tobytes()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value
    raise wrong
