"""Frame stores: frames of any form, once and for all in Zarr, quick to read in any order."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numcodecs
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from weathersvq import __version__
from weathersvq.atomic import atomic_path
from weathersvq.data.frames.base import Channels, Clip, Frames, Split
from weathersvq.errors import InputError

# Attribute that marks a frame store; its value is the version of the form below.
MARK = "weathersvq_frame_store"
FORM = "1"
# Written last: a store that was copied by halves, or not written to its end, does not have it.
COMPLETE = "complete"

# A chunk holds as many whole frames as fit into this: some windows of small frames.
CHUNK_BYTES = 2**20
# Read and written at a time, in whole chunks, as the float32 that frames are read as.
PIECE_BYTES = 64 * 2**20

_DIMENSIONS = ("frame", "channel", "row", "column")


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredFrames(Frames):
    """Frames of a store.

    Attributes:
        array: (N, C, H, W) in Zarr.
    """

    array: Any

    def read_clip(self, clip: int, frames: Sequence[int]) -> NDArray[Any]:
        return self._read(self.starts[clip] + np.asarray(frames))

    def read(self, positions: NDArray[np.intp]) -> NDArray[np.float32]:
        """See `Frames.read`; every chunk is read once, however many clips it holds."""
        wanted, places = np.unique(positions, return_inverse=True)
        values = self._read(wanted)
        low, high = self.channels.low, self.channels.high
        if not (values.min() >= low and values.max() <= high):
            return super().read(positions)  # which names the frame
        return values.astype(np.float32)[places]

    def _read(self, wanted: NDArray[np.intp]) -> NDArray[Any]:
        first, last = int(wanted[0]), int(wanted[-1])
        try:
            if last - first + 1 == wanted.size:
                return np.asarray(self.array[first : last + 1])
            return np.asarray(self.array.oindex[wanted])
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"frames {first} to {last} of {self.source} are damaged ({error}); make the store "
                "again"
            ) from error


def is_frame_store(path: Path) -> bool:
    """Whether a folder is a frame store, complete or not."""
    if not path.is_dir():
        return False
    try:
        return MARK in zarr.open_group(str(path), mode="r").attrs
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_frame_store(
    frames: Frames,
    path: Path,
    *,
    form: str = "",
    title: str = "",
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda _done, _of: None,
) -> Path:
    """Read all frames once and write them as a frame store, whole or not at all.

    The store is an xarray dataset: `frames` (frame, channel, row, column) in the numbers of the
    source (uint8 or float32), `clip` the number of each frame's clip, and of each clip its name,
    length, split, group and stride.

    Args:
        frames: of any form.
        path: NAME.zarr.
        form: of the source, for the store's attributes.
        title: of the store; made from the source if empty.
        overwrite: replace a store that is there.
        report: told how many frames of how many are written.

    Raises:
        InputError: a path that is taken, too little room on the disk, a frame that can't be read.
    """
    path = Path(path)
    if path.suffix != ".zarr":
        raise InputError(f"{path} is not NAME.zarr, as frame stores are called")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; add --overwrite to replace it, or name another store")
    sample = frames.read_clip(0, [0])
    dtype = np.dtype(np.uint8 if sample.dtype == np.uint8 else np.float32)
    frame_bytes = math.prod(frames.shape[1:]) * dtype.itemsize
    check_room(path, len(frames) * frame_bytes)
    chunk = min(len(frames), max(1, CHUNK_BYTES // frame_bytes))
    piece = chunk * max(1, PIECE_BYTES // (4 * chunk * math.prod(frames.shape[1:])))
    dataset = describe(frames, form, title)
    with atomic_path(path) as temporary:
        dataset.to_zarr(temporary, mode="w", zarr_format=2, consolidated=False)
        group = zarr.open_group(str(temporary), mode="r+")
        array = group.create_array(
            "frames",
            shape=frames.shape,
            chunks=(chunk, *frames.shape[1:]),
            dtype=dtype,
            # Without a fill value xarray takes every number for what it is.
            fill_value=None,
            # A chunk of zeros is written, too, so that one that is missing is known to be lost.
            config={"write_empty_chunks": True},
            compressors=numcodecs.Blosc(cname="zstd", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE),
            attributes={
                "_ARRAY_DIMENSIONS": list(_DIMENSIONS),
                "valid_min": frames.channels.low,
                "valid_max": frames.channels.high,
                "coordinates": "clip",
            },
        )
        for start in range(0, len(frames), piece):
            stop = min(start + piece, len(frames))
            array[start:stop] = frames.read(np.arange(start, stop)).astype(dtype)
            report(stop, len(frames))
        group.attrs[COMPLETE] = 1
        zarr.consolidate_metadata(str(temporary), zarr_format=2)
    return path


def check_room(path: Path, needed: int) -> None:
    """Before the first frame is read: frames take no more than this, compressed mostly less.

    Raises:
        InputError: the disk has less room.
    """
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{path} takes up to {needed / 1e9:.1f} GB, but there are {free / 1e9:.1f} GB free in "
            f"{str(folder)!r}; make room, or name a store on another disk"
        )


def describe(frames: Frames, form: str, title: str) -> xr.Dataset:
    """All of a frame store but the frames."""
    clips, channels = frames.clips, frames.channels
    lengths = np.asarray([clip.length for clip in clips], np.int64)
    name = os.path.basename(os.path.normpath(frames.source))
    return xr.Dataset(
        {
            "clip_name": ("sequence", np.asarray([clip.name for clip in clips])),
            "clip_length": ("sequence", lengths, {"long_name": "frames of the clip"}),
            "clip_split": ("sequence", np.asarray([clip.split for clip in clips])),
            "clip_group": ("sequence", np.asarray([clip.group for clip in clips])),
            "clip_stride": (
                "sequence",
                np.asarray([clip.stride for clip in clips], np.int64),
                {"long_name": "frames from one window's start to the next; 0: no overlap"},
            ),
            "channel_units": ("channel", np.asarray(channels.units)),
        },
        {
            "channel": ("channel", np.asarray(channels.names)),
            "clip": (
                "frame",
                np.repeat(np.arange(len(clips), dtype=np.int32), lengths),
                {"long_name": "number of the frame's clip"},
            ),
        },
        {
            MARK: FORM,
            "title": title or f"frames of {name}",
            "source": frames.source,
            "form": form,
            "step": frames.step,
            "comment": frames.comment,
            "value_low": channels.low,
            "value_high": channels.high,
            "history": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}: made by weathersvq {__version__}",
            "weathersvq_version": __version__,
        },
    )


def open_frame_store(path: Path) -> Frames:
    """Open a frame store without reading its frames.

    Raises:
        InputError: no frame store, or one that is not complete.
    """
    path = Path(path)
    if not is_frame_store(path):
        raise InputError(
            f"{path} is not a frame store; make one with `weathersvq prepare --frames`"
        )
    group = zarr.open_group(str(path), mode="r")
    attributes: dict[str, Any] = dict(group.attrs)
    if str(attributes[MARK]) != FORM:
        raise InputError(
            f"{path} is a frame store of form {attributes[MARK]}, which this version can't read; "
            "expected form 1; make the store again"
        )
    if COMPLETE not in attributes:
        raise InputError(f"{path} is not complete: its writing was broken off; make it again")
    try:
        with xr.open_zarr(path, consolidated=True, chunks=None) as dataset:
            table = {
                name: dataset[f"clip_{name}"].values.tolist()
                for name in ("name", "length", "split", "group", "stride")
            }
            names = tuple(map(str, dataset["channel"].values))
            units = tuple(map(str, dataset["channel_units"].values))
        array: Any = group["frames"]
        if not all(table["name"]) or not all(names):  # Zarr takes lost texts for empty ones
            raise ValueError("its table of clips or of channels is lost")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is a damaged frame store ({error}); make it again") from error
    unknown = set(table["split"]) - set(get_args(Split))
    if unknown or sum(table["length"]) != array.shape[0]:
        raise InputError(
            f"the clips of {path} have {sum(table['length']):,} frames and the splits "
            f"{', '.join(sorted(set(table['split'])))}, but {array.shape[0]:,} frames are stored; "
            "make the store again"
        )
    missing = array.nchunks - array.nchunks_initialized
    if missing:
        raise InputError(
            f"{path} lacks {missing} of its {array.nchunks} chunks of frames; copy or make it again"
        )
    clips = tuple(
        Clip(*row)
        for row in zip(
            table["name"], table["length"], table["split"], table["group"], table["stride"],
            strict=True,
        )
    )  # fmt: skip
    return StoredFrames(
        str(path),
        clips,
        Channels(names, units, attributes["value_low"], attributes["value_high"]),
        (array.shape[2], array.shape[3]),
        str(attributes["step"]),
        str(attributes["comment"]),
        array=array,
    )
