"""Beside windows: a long series read once, in the order of time, with only a part of it in memory."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.data.canonical import load_fields

Frame = NDArray[np.float32]


class RollingFrames:
    """Frames of a series by their positions in time, for requests that move forward.

    Whole chunks are read, as they would have to be decompressed whole anyway, and kept until a
    request begins behind them. So each is read once, and held are those from the first to the last
    position of a request, however long the series. A request that goes back is answered too, by
    reading again.

    Args:
        stacked: (time, channel, latitude, longitude); lazy (Dask), or in memory.
    """

    def __init__(self, stacked: xr.DataArray) -> None:
        self.stacked = stacked
        sizes = stacked.chunksizes["time"] if stacked.chunks is not None else (len(stacked),)
        self.edges = np.asarray([0, *accumulate(sizes)])
        self.held: dict[int, Frame] = {}

    def __call__(self, positions: NDArray[np.intp]) -> Frame:
        """(n,) ascending positions -> (n, C, H, W).

        Raises:
            InputError, OSError: see `load_fields`.
        """
        chunks = np.searchsorted(self.edges, positions, side="right") - 1
        needed = np.unique(chunks)
        self.held = {chunk: frames for chunk, frames in self.held.items() if chunk >= needed[0]}
        self._load([chunk for chunk in needed.tolist() if chunk not in self.held])
        frames = np.empty((positions.size, *self.stacked.shape[1:]), np.float32)
        for chunk in needed.tolist():
            here = chunks == chunk
            frames[here] = self.held[chunk][positions[here] - self.edges[chunk]]
        return frames

    def _load(self, chunks: list[int]) -> None:
        """Read chunks, those that lie side by side in one go."""
        breaks = [i for i in range(1, len(chunks)) if chunks[i] != chunks[i - 1] + 1]
        for start, stop in zip([0, *breaks], [*breaks, len(chunks)], strict=True):
            if start == stop:
                continue
            run = chunks[start:stop]
            first, last = self.edges[run[0]], self.edges[run[-1] + 1]
            frames = load_fields(self.stacked.isel(time=slice(first, last)))
            for chunk in run:
                inside = slice(self.edges[chunk] - first, self.edges[chunk + 1] - first)
                self.held[chunk] = frames.to_numpy()[inside]
