"""The step from labels to tensors: windows of a canonical dataset as normalised torch batches.

With `training` and `forecasting`, the only place where xarray and torch meet.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from weathersvq.data.canonical import load_fields, time_step
from weathersvq.data.channels import stack_channels
from weathersvq.data.frames.base import Frames as Pictures
from weathersvq.data.normalize import Normalization
from weathersvq.data.pieces import time_pieces
from weathersvq.data.windows import Offsets, find_windows, good_times
from weathersvq.errors import InputError
from weathersvq.ranks import Ranks
from weathersvq.variables import parse_channels

# A split below this size is held in memory, as float32; a larger one in a scratch file.
MEMORY_LIMIT_BYTES = 4 * 2**30
# What of a GPU's free memory the frames of a split may take.
DEVICE_SHARE = 0.25
# Read and normalised at a time.
PIECE_BYTES = 128 * 2**20

# (n,) positions in time -> normalised (n, C, H, W)
ReadFrames = Callable[[NDArray[np.intp]], Tensor]


class Batch(NamedTuple):
    """Normalised windows: inputs (B, T_in, C, H, W) and targets (B, T_out, C, H, W).

    `share` is what this process's windows count in the mean over all processes that share a batch,
    times their number: 1 where all have as many; 0 for a window that only keeps step.
    """

    inputs: Tensor
    targets: Tensor
    share: float = 1.0


def normalized(values: NDArray[np.float32], normalization: Normalization) -> Tensor:
    """Physical (..., C, H, W) to normalised tensor of the same shape."""
    mean, std = normalization.scale()
    return torch.from_numpy((values - mean) / std)


def some_inputs(
    dataset: xr.Dataset, normalization: Normalization, offsets: Offsets, count: int
) -> NDArray[np.float32]:
    """Inputs of a few windows spread over a dataset, (count or fewer, T_in, C, H, W), physical units.

    Args:
        dataset: canonical dataset.
        normalization: names the channels.
        offsets: of inputs and targets, in steps.
        count: windows wanted.
    """
    times, step = dataset["time"].values.astype("datetime64[s]"), time_step(dataset)
    origins = find_windows(times, step, offsets, usable=good_times(dataset)).origins
    origins = origins[np.unique(np.linspace(0, origins.size - 1, count, dtype=int))]
    stacked = stack_channels(dataset, parse_channels(normalization.channels))
    windows = [stacked.isel(time=origin + np.asarray(offsets.inputs)) for origin in origins]
    return np.stack([load_fields(window).to_numpy() for window in windows])


@dataclass(frozen=True, eq=False)
class Frames:
    """Normalised frames of a stretch of time, all of them at hand.

    Attributes:
        values: (T, C, H, W).
        first: position in time of the first one.
        on_disk: whether they lie in a scratch file and not in memory.
    """

    values: Tensor
    first: int
    on_disk: bool

    def __call__(self, positions: NDArray[np.intp]) -> Tensor:
        """(n,) positions in time -> (n, C, H, W), where the frames are."""
        return self.values[torch.from_numpy(positions - self.first).to(self.values.device)]

    def near(self, device: torch.device) -> Frames:
        """The frames on a GPU, where they take at most a share of what is free there.

        Batches are then gathered there, and nothing but positions goes through the bus.
        """
        if device.type != "cuda" or self.on_disk:
            return self
        free, _ = torch.cuda.mem_get_info(device)
        if self.values.nbytes > DEVICE_SHARE * free:
            return self
        return replace(self, values=self.values.to(device))


def frame_reader(
    dataset: xr.Dataset,
    normalization: Normalization,
    first: int,
    last: int,
    memory_limit: int | None = None,
    scratch: Path | None = None,
    report: Callable[[int, int], None] = lambda _done, _of: None,
) -> Frames:
    """Read the frames at positions `first` to `last` (included) of a dataset, once, and keep them.

    They are kept in memory up to `memory_limit` bytes, else in a scratch file that is mapped into
    memory. Reading windows from compressed chunks anew for each batch would cost
    some ten times their size in decompression; the file costs one pass, and the system keeps as
    much of it in memory as there is room for. It has no name, so that it is gone with the process,
    however that ends.

    Args:
        dataset: canonical dataset. Frames at times that are not usable stay what they are.
        normalization: names the channels.
        first, last: positions in time.
        memory_limit: bytes; MEMORY_LIMIT_BYTES if None.
        scratch: folder of the scratch file; the system's folder for temporary files if None.
        report: told how many frames of how many have been read.

    Raises:
        InputError: missing values at a usable time; no room for the scratch file.
        OSError: faults of the disk.
    """
    channels = parse_channels(normalization.channels)
    stacked = stack_channels(dataset, channels).isel(time=slice(first, last + 1))
    shape = (last + 1 - first, *stacked.shape[1:])
    size = 4 * int(np.prod(shape))

    def pieces() -> Iterator[NDArray[np.float32]]:
        for piece in time_pieces(stacked.to_dataset(name="frames"), PIECE_BYTES):
            part = load_fields(stacked.isel(time=piece))
            _refuse_missing(part, good_times(dataset)[first:][piece])
            yield normalized(part.to_numpy(), normalization).numpy()
            report(piece.stop, shape[0])

    if size > (MEMORY_LIMIT_BYTES if memory_limit is None else memory_limit):
        return Frames(_scratch_file(pieces(), shape, scratch), first, on_disk=True)
    frames = torch.empty(shape, dtype=torch.float32)
    done = 0
    for values in pieces():
        frames[done : done + len(values)] = torch.from_numpy(values)
        done += len(values)
    return Frames(frames, first, on_disk=False)


def picture_reader(
    pictures: Pictures,
    normalization: Normalization,
    first: int,
    last: int,
    memory_limit: int | None = None,
    report: Callable[[int, int], None] = lambda _done, _of: None,
) -> ReadFrames:
    """Access to frames of pictures at positions `first` to `last` (included).

    They are kept in memory up to `memory_limit` bytes. More of them are read where they lie, those
    of a batch at a time: pictures are seldom compressed as strongly as fields, and there are often
    more of them than a disk would hold twice.

    Args:
        pictures: frames.
        normalization: scales of the channels.
        first, last: positions.
        memory_limit: bytes; MEMORY_LIMIT_BYTES if None.
        report: told how many frames of how many have been read.

    Raises:
        InputError: see `Frames.read` of `data.frames`; also later, when frames are read.
    """
    count = last + 1 - first
    size = 4 * count * int(np.prod(pictures.shape[1:]))

    def read(positions: NDArray[np.intp]) -> Tensor:
        return normalized(pictures.read(positions), normalization)

    if size > (MEMORY_LIMIT_BYTES if memory_limit is None else memory_limit):
        return read
    values = torch.empty(count, *pictures.shape[1:], dtype=torch.float32)
    at_once = max(1, PIECE_BYTES * count // size)
    for start in range(0, count, at_once):
        stop = min(start + at_once, count)
        values[start:stop] = read(np.arange(first + start, first + stop))
        report(stop, count)
    return Frames(values, first, on_disk=False)


def _scratch_file(
    pieces: Iterator[NDArray[np.float32]], shape: tuple[int, ...], scratch: Path | None
) -> Tensor:
    """Pieces of (T, C, H, W) one after the other in a file without a name, as one tensor."""
    folder = scratch or Path(tempfile.gettempdir())
    needed, free = 4 * int(np.prod(shape)), shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"the frames of a split take {needed / 1e9:.1f} GB as a scratch file, but there are "
            f"{free / 1e9:.1f} GB free in {str(folder)!r}; make room, or name a folder of the run "
            "on another disk with --out"
        )
    with tempfile.TemporaryFile(dir=folder) as file:
        # Written, not mapped, so that a full disk is an error here and not a crash later.
        for values in pieces:
            file.write(np.ascontiguousarray(values).data)
        file.flush()
        # Private to this process: torch wants memory that can be written to.
        return torch.from_numpy(np.memmap(file, np.float32, mode="c", shape=shape))


def _refuse_missing(frames: xr.DataArray, usable: NDArray[np.bool_]) -> None:
    """Bad data are found when they are read, not as a strange loss an hour later."""
    # (time, channel)
    missing = ~np.isfinite(frames.to_numpy()).all(axis=(2, 3)) & usable[:, None]
    if missing.any():
        time, channel = np.argwhere(missing)[0]
        raise InputError(
            f"{frames['channel'].values[channel]} has missing values at "
            f"{frames['time'].values[time].astype('datetime64[m]')}; leave that time out"
        )


class Batches:
    """Batches of windows, in a fixed or a shuffled order that depends on (seed, epoch) alone.

    Windows are gathered as whole batches, so neither worker processes nor their copies of the
    data are needed; the next batch is read in a thread while the current one is used.

    Args:
        read: access to the frames.
        origins: (n,) positions of the windows' origins.
        offsets: of inputs and targets, in steps.
        batch_size: windows a batch; the last one may be smaller.
        shuffle_seed: shuffled anew each epoch from this seed; in order if None.
    """

    def __init__(
        self,
        read: ReadFrames,
        origins: NDArray[np.intp],
        offsets: Offsets,
        batch_size: int,
        shuffle_seed: int | None = None,
    ) -> None:
        self.read = read
        self.origins = origins
        self.batch_size = batch_size
        self.shuffle_seed = shuffle_seed
        self.epoch = 0
        self.ranks = Ranks()
        self.device = torch.device("cpu")
        self._steps = np.asarray(offsets.inputs + offsets.targets)
        self._input_count = len(offsets.inputs)

    def __len__(self) -> int:
        return -(-self.origins.size // self.batch_size)

    def shared(self, ranks: Ranks) -> Batches:
        """The same batches, of each the part that is this process's."""
        own = copy.copy(self)
        own.ranks = ranks
        return own

    def on(self, device: torch.device) -> Batches:
        """The same batches on a device, on their way there while the one before is used."""
        own = copy.copy(self)
        own.device = device
        if isinstance(own.read, Frames):
            own.read = own.read.near(device)
        return own

    def _batch(self, origins: NDArray[np.intp]) -> Batch:
        mine = origins[self.ranks.rank :: self.ranks.count]
        share = mine.size * self.ranks.count / origins.size
        if not mine.size:
            mine = origins[:1]
        positions = mine[:, None] + self._steps
        frames = self.read(positions.reshape(-1)).unflatten(0, positions.shape)
        if frames.device.type != self.device.type:
            # From pinned memory the copy does not wait for what the GPU is at.
            frames = frames.pin_memory().to(self.device, non_blocking=True)
        return Batch(frames[:, : self._input_count], frames[:, self._input_count :], share)

    def __iter__(self) -> Iterator[Batch]:
        order = self.origins
        if self.shuffle_seed is not None:
            order = np.random.default_rng((self.shuffle_seed, self.epoch)).permutation(order)
        parts = [order[i : i + self.batch_size] for i in range(0, order.size, self.batch_size)]
        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead = [reader.submit(self._batch, part) for part in parts[:1]]
            for index in range(len(parts)):
                if index + 1 < len(parts):
                    ahead.append(reader.submit(self._batch, parts[index + 1]))
                yield ahead.pop(0).result()
