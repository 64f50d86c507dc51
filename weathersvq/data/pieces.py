"""Beside the flow: a long series in pieces of time that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

# Bytes of the fields, as float32, that are read at a time.
PIECE_BYTES = 64 * 2**20


def time_pieces(dataset: xr.Dataset, most_bytes: int = PIECE_BYTES) -> Iterator[slice]:
    """Pieces of the time axis, each of about `most_bytes` in all variables together.

    Dask chunks (of the first variable that has any) are not cut, so that none is read twice: a
    chunk larger than that is a piece.
    """
    fields = [field for field in dataset.data_vars.values() if "time" in field.dims]
    length = dataset.sizes["time"]
    chunks = next((f.chunksizes["time"] for f in fields if f.chunks is not None), (1,) * length)
    most = max(1, most_bytes * length // max(1, sum(field.nbytes for field in fields)))
    start = stop = 0
    for chunk in chunks:
        if stop > start and stop + chunk - start > most:
            yield slice(start, stop)
            start = stop
        stop += chunk
    if stop > start:
        yield slice(start, stop)
