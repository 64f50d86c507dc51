"""Cells around the map that a network needs and nobody else sees: added before it, cut off after.

Networks that halve the grid, or cut it into patches, need rows and columns in certain multiples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def padded_positions(
    size: int, before: int, after: int, wraps: bool, device: torch.device | None = None
) -> Tensor:
    """Which position of an axis each position of the padded axis shows.

    Args:
        size: of the axis.
        before: positions added before the first.
        after: positions added after the last.
        wraps: go on at the other end (a circle of longitudes); otherwise the edge is repeated.
        device: of the result.

    Returns:
        (before + size + after,) positions in 0..size-1; `before..before + size` are 0..size-1.
    """
    positions = torch.arange(-before, size + after, device=device)
    return positions % size if wraps else positions.clamp(0, size - 1)


@dataclass(frozen=True)
class Border:
    """What is added to a map of (H, W) cells to make it one of (H', W').

    Attributes:
        height: H, rows.
        width: W, columns.
        multiple: H' and W' are multiples of it.
        wraps: whether the last column borders on the first.
        halo: rows and columns added on each side before filling up to a multiple.
    """

    height: int
    width: int
    multiple: int = 1
    wraps: bool = False
    halo: int = 0

    @property
    def fill(self) -> tuple[int, int]:
        """Rows and columns added after the last ones, beside the halo."""
        height, width = (-(n + 2 * self.halo) % self.multiple for n in (self.height, self.width))
        return height, width

    @property
    def size(self) -> tuple[int, int]:
        """(H', W')."""
        height, width = (
            n + 2 * self.halo + fill
            for n, fill in zip((self.height, self.width), self.fill, strict=True)
        )
        return height, width

    def pad(self, x: Tensor) -> Tensor:
        """(..., H, W) -> (..., H', W'); itself where there is nothing to add."""
        for axis, fill, wraps in ((-2, self.fill[0], False), (-1, self.fill[1], self.wraps)):
            if self.halo or fill:
                size = x.shape[axis]
                positions = padded_positions(size, self.halo, self.halo + fill, wraps, x.device)
                x = x.index_select(axis, positions)
        return x

    def crop(self, y: Tensor) -> Tensor:
        """(..., H', W') -> (..., H, W), undoes `pad`."""
        halo = self.halo
        return y[..., halo : halo + self.height, halo : halo + self.width]
