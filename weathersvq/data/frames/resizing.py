"""Frames to another size, as the published loaders of the benchmarks do it.

Every method is linear and works on rows and columns apart: two small sparse matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from weathersvq.errors import InputError

Method = Literal["bilinear", "cubic", "antialiased"]
Fit = Literal["stretch", "crop"]


@dataclass(frozen=True)
class Resize:
    """To one size, whatever comes.

    Attributes:
        size: (H, W) of the result.
        method: `bilinear` and `cubic` look at the 2 or 4 nearest pixels an axis, as OpenCV does
            (cubic with a = -0.75); `antialiased` blurs before it takes the 2 nearest, as
            scikit-image does when it makes frames smaller.
        fit: `stretch` changes the proportions where they differ; `crop` covers the size and cuts
            what reaches beyond it, the same on both sides.
        rounded: to the integers that came in; else float32.
    """

    size: tuple[int, int]
    method: Method = "antialiased"
    fit: Fit = "stretch"
    rounded: bool = True

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise InputError(f"size {list(self.size)} is not a height and a width above zero")

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """(h, w, C) -> (H, W, C); an image that has the size already stays as it is."""
        (height, width), count = image.shape[:2], image.shape[2]
        rows, columns = self.size
        if (height, width) == self.size:
            return image
        if self.fit == "crop":
            scale = max(rows / height, columns / width)
            rows, columns = (
                max(rows, round(scale * height)), max(columns, round(scale * width))
            )  # fmt: skip
        values = image.astype(np.float32)
        values = axis_weights(height, rows, self.method) @ values.reshape(height, -1)
        turned = values.reshape(rows, width, count).transpose(1, 0, 2).reshape(width, -1)
        turned = axis_weights(width, columns, self.method) @ turned
        result = turned.reshape(columns, rows, count).transpose(1, 0, 2)
        top, left = (rows - self.size[0]) // 2, (columns - self.size[1]) // 2
        result = result[top : top + self.size[0], left : left + self.size[1]]
        # Cubic shoots over at edges, and all of them by a rounding: nothing is brighter than white.
        result = result.clip(*_limits(image))
        if self.rounded and image.dtype.kind in "ui":
            return np.rint(result).astype(image.dtype)
        return np.ascontiguousarray(result, np.float32)


def _limits(image: NDArray[Any]) -> tuple[float, float]:
    if image.dtype.kind in "ui":
        return float(np.iinfo(image.dtype).min), float(np.iinfo(image.dtype).max)
    return float(image.min()), float(image.max())


@lru_cache(maxsize=32)
def axis_weights(source: int, target: int, method: Method) -> csr_array:
    """How much each pixel along an axis of length `source` adds to those of length `target`.

    Pixels are areas: the centre of pixel i lies at i + 1/2. What would be taken from beyond the
    edge is taken from the edge.

    Returns:
        (target, source) sparse, rows sum to 1.
    """
    scale = source / target
    centres = (np.arange(target) + 0.5) * scale - 0.5
    first = np.floor(centres).astype(np.intp)
    fraction = centres - first
    if method == "cubic":
        taps = np.arange(-1, 3)
        weights = _cubic(fraction[:, None] - taps)
    else:
        taps = np.arange(2)
        weights = np.stack([1 - fraction, fraction], axis=1)
    places = (first[:, None] + taps).clip(0, source - 1)
    rows = np.repeat(np.arange(target), taps.size)
    matrix = csr_array((weights.ravel(), (rows, places.ravel())), shape=(target, source))
    if method == "antialiased" and scale > 1:
        matrix = matrix @ _blur(source, (scale - 1) / 2)
    return csr_array(matrix.astype(np.float32))


def _cubic(distance: NDArray[np.float64], a: float = -0.75) -> NDArray[np.float64]:
    """Cubic convolution (Keys 1981); for the four nearest pixels the values sum to 1."""
    d = np.abs(distance)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _blur(length: int, sigma: float) -> csr_array:
    """Gaussian along an axis, cut off at 4 sigma; beyond an edge the image is mirrored at it."""
    radius = int(4 * sigma + 0.5)
    taps = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (taps / sigma) ** 2)
    kernel /= kernel.sum()
    # 2 1 | 0 1 2 3 | 2 1: the pixel at the edge is not repeated.
    period = max(1, 2 * (length - 1))
    places = np.abs((np.arange(length)[:, None] + taps + length - 1) % period - (length - 1))
    rows = np.repeat(np.arange(length), taps.size)
    values = np.broadcast_to(kernel, places.shape).ravel()
    return csr_array((values, (rows, places.ravel())), shape=(length, length))
