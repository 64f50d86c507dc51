"""Second step of the flow: from any regular grid to another, by two small sparse matrices.

A field on H x W cells goes to h x w cells as ``rows @ field @ columns.T``. For the conservative
method, `rows` holds the exact overlaps of latitude bands (differences of sines) and `columns`
those of longitude intervals (round the globe), each row divided by its sum, so that constants and
the area mean are kept. For the bilinear method they hold the two interpolation weights.

Only true overlaps are stored, so a source row is read once, in order, and a missing value reaches
exactly the target cells that it overlaps. Each field is worked on alone, by one thread and without
BLAS: its result depends on neither the other fields, nor chunks, nor the number of threads.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray
from scipy.sparse import csr_array

from weathersvq.errors import InputError
from weathersvq.grid import TOLERANCE, Grid

Method = Literal["conservative", "bilinear"]
METHODS: tuple[Method, ...] = ("conservative", "bilinear")

# A target cell with less than this share of valid source area is NaN rather than a guess.
LEAST_VALID_SHARE = 0.5
# Half the cells of a float32 mask may sum to a little less than a half.
ROUNDING = 1e-6
# Edges that should coincide overlap by this share of a cell at most.
SLIVER = 1e-11
# Half-way edges of a Gaussian grid end 0.27 of a row before the poles, whatever its size.
GAUSSIAN_CAP = 0.3

Float = NDArray[np.float64]


def interval_overlaps(source_edges: Float, target_edges: Float) -> Float:
    """(m, n) lengths of the overlaps of m target and n source intervals on a line."""
    upper = np.minimum(target_edges[1:, None], source_edges[None, 1:])
    lower = np.maximum(target_edges[:-1, None], source_edges[None, :-1])
    return np.maximum(upper - lower, 0.0)


def band_edges(grid: Grid) -> Float:
    """(H + 1,) sines of the latitudes where rows end; between them lie the rows' shares of area.

    A row beyond which none fits before the pole reaches to the pole.
    """
    edges = grid.latitude_edges.copy()
    first, last = np.diff(grid.latitude)[[0, -1]]
    if edges[0] + 90 < GAUSSIAN_CAP * first:
        edges[0] = -90
    if 90 - edges[-1] < GAUSSIAN_CAP * last:
        edges[-1] = 90
    return np.sin(np.deg2rad(edges))


def latitude_overlaps(source: Grid, target: Grid) -> Float:
    """(h, H) overlap of latitude bands, as area on the unit sphere (differences of sines)."""
    return interval_overlaps(band_edges(source), band_edges(target))


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


def weighted_means(weights: Float) -> csr_array:
    """The weights (m, n) as a sparse matrix whose rows sum to one, without slivers."""
    true = np.where(weights > SLIVER * weights.sum(axis=1, keepdims=True), weights, 0.0)
    return csr_array(true / true.sum(axis=1, keepdims=True))


class Regridder:
    """Linear map from one grid to another, applied to the last two axes of an array.

    Args:
        source: grid of the data.
        target: grid wanted; it must lie within the source.
        method: `conservative` (means over the target's cells) or `bilinear` (values at centres).

    Attributes:
        rows: (h, H) sparse; row i holds the weights of the source's rows in row i of the target.
        columns: (w, W) sparse, likewise for columns.

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
        self.rows, self.columns = weighted_means(rows), weighted_means(columns)
        self._rows = {np.dtype(t): self.rows.astype(t) for t in (np.float32, np.float64)}

    def __call__(self, array: NDArray[np.number]) -> NDArray[np.floating]:
        """Regrid `array` (..., H, W) to (..., h, w): float64 stays, all else becomes float32.

        NaN is weighted out; a target cell with less than half of its area valid is NaN. Needs
        memory for the result and about three fields, however many `array` holds.

        Raises:
            InputError: an array whose last two axes are not the source grid's.
        """
        if array.shape[-2:] != self.source.shape:
            raise InputError(
                f"the field is {array.shape[-2]} x {array.shape[-1]}, but the regridder was made "
                f"for {self.source.describe()}"
            )
        dtype = _floating_type(array.dtype)
        result = np.empty((*array.shape[:-2], *self.target.shape), dtype)
        # Made once: the pages of fresh memory for every field would cost more than its sums do.
        whole, work = np.empty((2, *self.source.shape), dtype)
        for index in np.ndindex(array.shape[:-2]):
            field: NDArray[Any] = array[index]
            if field.dtype != dtype or not field.flags.c_contiguous:
                np.copyto(whole, field)
                field = whole
            result[index] = self._regrid_field(field, work)
        return result

    def _regrid_field(self, field: NDArray[np.floating], work: NDArray[np.floating]) -> Float:
        """(h, w) from (H, W), by means of another (H, W)."""
        result = self._product(field)
        # NaN times a weight is NaN, and so is every sum with it: a missing value always shows in
        # the small result, and the large field need not be searched.
        affected = np.isnan(result)
        if not affected.any():
            return result
        missing = np.isnan(field)
        np.logical_not(missing, out=work)
        share = self._product(work)
        np.copyto(work, field)
        np.copyto(work, 0, where=missing)
        total = self._product(work)
        enough = affected & (share >= LEAST_VALID_SHARE - ROUNDING)
        # Cells that no missing value overlaps keep the very value that they have without any.
        return np.divide(total, share, out=result, where=enough)

    def _product(self, field: NDArray[np.floating]) -> Float:
        """rows @ field @ columns.T, NaN and infinities included."""
        # Rows first: they are whole runs of memory. The sums along what remains cost little, and
        # in float64 the area mean holds to 1e-6 from the finest grids, too.
        narrow = np.ascontiguousarray((self._rows[field.dtype] @ field).T, dtype=np.float64)
        return (self.columns @ narrow).T


def _floating_type(dtype: DTypeLike) -> np.dtype[np.floating]:
    """What a type (of any byte order) is regridded in: integers and half precision lose means."""
    is_double = np.dtype(dtype).newbyteorder("=") == np.float64
    return np.dtype(np.float64 if is_double else np.float32)


def regrid_dataset(dataset: xr.Dataset, target: Grid, method: str = "conservative") -> xr.Dataset:
    """Regrid every variable that has latitude and longitude, lazily where it is a Dask array.

    One pass: each chunk of the source is read once. A task holds whole maps for the times (and
    levels) of one chunk, twice where chunks cut the maps, so that memory is bounded by that size
    times the number of workers, plus the result; the number of times does not matter.

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
            output_dtypes=[_floating_type(field.dtype)],
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
