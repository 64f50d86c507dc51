"""Verification, scales: how much power a field has at each zonal wavenumber; does a forecast blur?

A forecast that is trained on a mean error is smoothest where it is least certain: its power falls
below the truth's at high wavenumbers. RMSE rewards that; the spectrum shows it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weathersvq.grid import Grid

Float = NDArray[np.float64]


def has_spectra(grid: Grid) -> bool:
    """Whether rows go round the globe; else there are no zonal wavenumbers."""
    return grid.wraps


def zonal_power(maps: NDArray[np.float32], grid: Grid) -> Float:
    """Power by zonal wavenumber, a mean over the rows weighted by their area.

    One-sided: the powers of wavenumbers above zero add up to the mean zonal variance of the field
    (Parseval), that of zero is the mean square of the zonal means.

    Args:
        maps: (n, H, W), without NaN.
        grid: one that wraps.

    Returns:
        (n, W // 2 + 1) squared units of the field.
    """
    columns = maps.shape[-1]
    amplitudes = np.fft.rfft(maps.astype(np.float64), axis=-1) / columns
    power = np.abs(amplitudes) ** 2
    # Each wave stands for its mirror image, too, except those that are their own.
    mirrored = slice(1, (columns + 1) // 2)
    power[..., mirrored] *= 2
    weights = grid.area_weights() / grid.shape[0]
    return np.einsum("nhk,h->nk", power, weights)
