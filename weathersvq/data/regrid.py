"""Second step of the flow: from any regular grid to another, by two small matrices.

A field on H x W cells goes to h x w cells as ``rows @ field @ columns.T``. For the conservative
method, `rows` holds the exact overlaps of latitude bands (differences of sines) and `columns`
those of longitude intervals (round the globe), each row divided by its sum, so that constants and
the area mean are kept. For the bilinear method they hold the two interpolation weights.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.errors import InputError
from weathersvq.grid import TOLERANCE, Grid

Method = Literal["conservative", "bilinear"]
METHODS: tuple[Method, ...] = ("conservative", "bilinear")

# A target cell with less than this share of valid source area is NaN rather than a guess.
LEAST_VALID_SHARE = 0.5

Float = NDArray[np.float64]


def interval_overlaps(source_edges: Float, target_edges: Float) -> Float:
    """(m, n) lengths of the overlaps of m target and n source intervals on a line."""
    upper = np.minimum(target_edges[1:, None], source_edges[None, 1:])
    lower = np.maximum(target_edges[:-1, None], source_edges[None, :-1])
    return np.maximum(upper - lower, 0.0)


def latitude_overlaps(source: Grid, target: Grid) -> Float:
    """(h, H) overlap of latitude bands, as area on the unit sphere (differences of sines)."""
    return interval_overlaps(
        np.sin(np.deg2rad(source.latitude_edges)), np.sin(np.deg2rad(target.latitude_edges))
    )


def longitude_overlaps(source: Grid, target: Grid) -> Float:
    """(w, W) overlap of longitude intervals in degrees, counted round the globe."""
    return np.sum(
        [
            interval_overlaps(source.longitude_edges + turn, target.longitude_edges)
            for turn in (-720.0, -360.0, 0.0, 360.0, 720.0)
        ],
        axis=0,
    )


def linear_weights(source: Float, target: Float, period: float | None) -> Float:
    """(m, n) weights of linear interpolation from n ascending points; rows sum to one.

    Beyond the ends the nearest point is taken; with `period`, the points go round.
    """
    if period is None:
        points, index = source, np.arange(source.size)
        wanted = np.clip(target, source[0], source[-1])
    else:
        points = np.concatenate([[source[-1] - period], source, [source[0] + period]])
        index = np.concatenate([[source.size - 1], np.arange(source.size), [0]])
        wanted = source[0] + np.mod(target - source[0], period)
    left = np.clip(np.searchsorted(points, wanted, side="right") - 1, 0, points.size - 2)
    share = (wanted - points[left]) / (points[left + 1] - points[left])
    weights = np.zeros((target.size, source.size))
    rows = np.arange(target.size)
    np.add.at(weights, (rows, index[left]), 1 - share)
    np.add.at(weights, (rows, index[left + 1]), share)
    return weights


class Regridder:
    """Linear map from one grid to another, applied to the last two axes of an array.

    Args:
        source: grid of the data.
        target: grid wanted; it must lie within the source.
        method: `conservative` (means over the target's cells) or `bilinear` (values at centres).

    Raises:
        InputError: an unknown method, or a target that reaches beyond a regional source.
    """

    def __init__(self, source: Grid, target: Grid, method: str = "conservative") -> None:
        if method not in METHODS:
            raise InputError(
                f"unknown regridding method {method!r}; known are {', '.join(METHODS)}"
            )
        self.source, self.target, self.method = source, target, method
        if method == "conservative":
            rows, columns = latitude_overlaps(source, target), longitude_overlaps(source, target)
            complete = np.allclose(
                columns.sum(1), np.diff(target.longitude_edges), rtol=1e-3, atol=0
            ) and bool(np.all(rows.sum(1) > 0))
        else:
            rows = linear_weights(source.latitude, target.latitude, None)
            # Longitudes of a regional source may be counted from another meridian.
            shift = 360 * np.round((source.longitude.mean() - target.longitude) / 360)
            wanted = target.longitude if source.wraps else target.longitude + shift
            columns = linear_weights(source.longitude, wanted, 360.0 if source.wraps else None)
            complete = source.wraps or bool(
                wanted.min() >= source.longitude_edges[0] - TOLERANCE
                and wanted.max() <= source.longitude_edges[-1] + TOLERANCE
            )
        covers_rows = (
            target.latitude[0] >= source.latitude_edges[0] - TOLERANCE
            and target.latitude[-1] <= source.latitude_edges[-1] + TOLERANCE
        )
        if not (complete and covers_rows):
            raise InputError(
                f"the target grid ({target.describe()}) reaches beyond the data "
                f"({source.describe()}); choose a smaller target or use the data's own grid"
            )
        self.rows = rows / rows.sum(axis=1, keepdims=True)
        self.columns = columns / columns.sum(axis=1, keepdims=True)

    def _apply(self, array: NDArray[np.floating]) -> NDArray[np.floating]:
        # The longitude product first: it runs along contiguous memory and shrinks the array most.
        rows = self.rows.astype(array.dtype)
        columns = self.columns.astype(array.dtype)
        narrow = (array.reshape(-1, array.shape[-1]) @ columns.T).reshape(
            *array.shape[:-1], columns.shape[0]
        )
        return np.matmul(rows, narrow)

    def __call__(self, array: NDArray[np.floating]) -> NDArray[np.floating]:
        """Regrid `array` (..., H, W) to (..., h, w), in its own floating type.

        NaN is weighted out; a target cell with less than half of its area valid is NaN.

        Raises:
            InputError: an array whose last two axes are not the source grid's.
        """
        if array.shape[-2:] != self.source.shape:
            raise InputError(
                f"the field is {array.shape[-2]} x {array.shape[-1]}, but the regridder was made "
                f"for {self.source.describe()}"
            )
        # Integers and half precision would lose the means.
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float32)
        missing = np.isnan(array)
        if not missing.any():
            return self._apply(array)
        valid = (~missing).astype(array.dtype)
        share = self._apply(valid)
        total = self._apply(np.where(missing, array.dtype.type(0), array))
        enough = share >= LEAST_VALID_SHARE
        return np.where(enough, total / np.where(enough, share, 1), array.dtype.type(np.nan))


def regrid_dataset(dataset: xr.Dataset, target: Grid, method: str = "conservative") -> xr.Dataset:
    """Regrid every variable that has latitude and longitude, lazily where it is a Dask array.

    Args:
        dataset: canonical dataset, dims (..., latitude, longitude).
        target: grid wanted.
        method: see `Regridder`.

    Raises:
        InputError: see `Regridder`.
    """
    regridder = Regridder(Grid.of(dataset), target, method)

    def regrid(field: xr.DataArray) -> xr.DataArray:
        if not {"latitude", "longitude"} <= set(field.dims):
            return field
        field = field.transpose(..., "latitude", "longitude")
        if field.chunks is not None:
            # One spatial chunk: a target row needs whole source rows.
            field = field.chunk({"latitude": -1, "longitude": -1})
        result = xr.apply_ufunc(
            regridder,
            field,
            input_core_dims=[["latitude", "longitude"]],
            output_core_dims=[["latitude", "longitude"]],
            exclude_dims={"latitude", "longitude"},
            dask="parallelized",
            output_dtypes=[np.float64 if field.dtype == np.float64 else np.float32],
            dask_gufunc_kwargs={
                "output_sizes": dict(zip(("latitude", "longitude"), target.shape, strict=True))
            },
            keep_attrs=True,
        )
        return result.assign_coords(latitude=target.latitude, longitude=target.longitude)

    regridded = xr.Dataset(
        {name: regrid(field) for name, field in dataset.data_vars.items()}, attrs=dataset.attrs
    )
    return regridded.assign_attrs(regridded=f"{method} from {regridder.source.describe()}")
