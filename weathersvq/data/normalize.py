"""Fourth step of the flow: statistics of the training split, and the scale of each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.data.canonical import load_fields
from weathersvq.data.channels import channel_field
from weathersvq.data.windows import Period
from weathersvq.errors import InputError
from weathersvq.variables import Channel


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of each channel over all times and cells of the training split.

    Attributes:
        channels: names such as `t2m` or `r@1000`, in the model's order.
        mean, std: one number a channel, in the channel's own units.
    """

    channels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.mean) == len(self.std):
            raise InputError("normalisation needs one mean and one std for each channel")
        for name, std in zip(self.channels, self.std, strict=True):
            if not std > 0:
                raise InputError(
                    f"{name} has standard deviation {std:g} over the training period; "
                    "a constant field can't be forecast: leave it out"
                )

    def scale(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(mean, std), each (C, 1, 1), to be applied to arrays (..., C, H, W)."""
        shape = (-1, 1, 1)
        return (
            np.asarray(self.mean, np.float32).reshape(shape),
            np.asarray(self.std, np.float32).reshape(shape),
        )


def fit_normalization(
    dataset: xr.Dataset, channels: Sequence[Channel], period: Period
) -> Normalization:
    """Statistics over `period` (the training split), in float64, without loading it whole.

    The mean and the mean square deviation are taken unweighted over cells, as published.

    Raises:
        InputError: no data in the period, a missing value, a constant channel.
    """
    means, stds = [], []
    for channel in channels:
        field = channel_field(dataset, channel)
        times = period.positions(field["time"].values)
        if times.size == 0:
            raise InputError(f"the data have no time in {period} to take statistics from")
        # Blocks bound the memory; deviations from a first guess keep the squares exact.
        block = max(1, 2**24 // int(np.prod(field.shape[1:])))
        guess = float(field.isel(time=times[0]).mean())
        count, total, squares = 0, 0.0, 0.0
        for start in range(0, times.size, block):
            values = load_fields(field.isel(time=times[start : start + block])).to_numpy()
            deviation = values.astype(np.float64) - guess
            count += deviation.size
            total += float(deviation.sum())
            squares += float(np.square(deviation).sum())
        if not np.isfinite(total):
            raise InputError(f"{channel} has missing values in {period}; mask or fill them first")
        means.append(guess + total / count)
        stds.append(float(np.sqrt(max(squares / count - (total / count) ** 2, 0.0))))
    return Normalization(tuple(map(str, channels)), tuple(means), tuple(stds))
