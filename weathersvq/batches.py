"""The step from labels to tensors: windows of a canonical dataset as normalised torch batches.

With `train` and `forecast`, the only place where xarray and torch meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from weathersvq.data.canonical import load_fields
from weathersvq.data.channels import stack_channels
from weathersvq.data.normalize import Normalization
from weathersvq.data.windows import Offsets
from weathersvq.errors import InputError
from weathersvq.variables import parse_channels

# A split below this size is held in memory as float32; a larger one is read window by window.
MEMORY_LIMIT_BYTES = 8 * 2**30

# (n,) positions in time -> normalised (n, C, H, W)
ReadFrames = Callable[[NDArray[np.intp]], Tensor]


class Batch(NamedTuple):
    """Normalised windows: inputs (B, T_in, C, H, W) and targets (B, T_out, C, H, W)."""

    inputs: Tensor
    targets: Tensor


def normalized(values: NDArray[np.float32], normalization: Normalization) -> Tensor:
    """Physical (..., C, H, W) to normalised tensor of the same shape."""
    mean, std = normalization.scale()
    return torch.from_numpy((values - mean) / std)


def physical(values: Tensor, normalization: Normalization) -> NDArray[np.float32]:
    """Normalised (..., C, H, W) to physical array of the same shape."""
    mean, std = normalization.scale()
    return values.detach().float().cpu().numpy() * std + mean


def frame_reader(
    dataset: xr.Dataset,
    normalization: Normalization,
    first: int,
    last: int,
    memory_limit: int = MEMORY_LIMIT_BYTES,
) -> ReadFrames:
    """Access to the normalised frames at positions `first` to `last` (included) of a dataset.

    They are held as one tensor where they fit below `memory_limit` bytes, else read from the store
    as asked for.

    Raises:
        InputError: missing values.
    """
    stacked = stack_channels(dataset, parse_channels(normalization.channels))
    frame_bytes = 4 * int(np.prod(stacked.shape[1:]))
    if frame_bytes * (last - first + 1) > memory_limit:

        def read(positions: NDArray[np.intp]) -> Tensor:
            wanted, inverse = np.unique(positions, return_inverse=True)
            values = load_fields(stacked.isel(time=wanted)).to_numpy()
            _refuse_missing(values, stacked[wanted])
            return normalized(values, normalization)[torch.from_numpy(inverse)]

        return read

    frames = torch.empty((last - first + 1, *stacked.shape[1:]), dtype=torch.float32)
    # In blocks, so that no second copy of the whole split is ever made.
    block = max(1, 2**28 // frame_bytes)
    for start in range(first, last + 1, block):
        stop = min(start + block, last + 1)
        values = load_fields(stacked.isel(time=slice(start, stop))).to_numpy()
        _refuse_missing(values, stacked[start:stop])
        frames[start - first : stop - first] = normalized(values, normalization)

    def gather(positions: NDArray[np.intp]) -> Tensor:
        return frames[torch.from_numpy(positions - first)]

    return gather


def _refuse_missing(values: NDArray[np.float32], stacked: xr.DataArray) -> None:
    """Bad data are found when they are read, not as a strange loss an hour later."""
    if not np.isfinite(values).all():
        time, channel = np.argwhere(~np.isfinite(values))[0][:2]
        raise InputError(
            f"{stacked['channel'].values[channel]} has missing values at "
            f"{stacked['time'].values[time].astype('datetime64[m]')}; leave that time out"
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
        self._steps = np.asarray(offsets.inputs + offsets.targets)
        self._input_count = len(offsets.inputs)

    def __len__(self) -> int:
        return -(-self.origins.size // self.batch_size)

    def _batch(self, origins: NDArray[np.intp]) -> Batch:
        positions = origins[:, None] + self._steps
        frames = self.read(positions.reshape(-1)).unflatten(0, positions.shape)
        return Batch(frames[:, : self._input_count], frames[:, self._input_count :])

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
