"""Cuts the bundled slice out of the sample climate: three weeks of hourly surface maps.

    python pipelines/bundle_sample.py

reads runs/sample/surface_1h.zarr (see simulate_sample.py), writes weathersvq/bundled/sample.zarr,
which makes the first command work offline. Values are packed in steps four times those of the store
(0.01 K, 0.01 m/s, 0.008 % humidity, 8e-5 of cloud cover), which saves a fifth of the size.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import xarray as xr
from sample_store import DAYS_A_CHUNK, HOURS_A_DAY, SURFACE, Days

from weathersvq.atomic import atomic_path
from weathersvq.errors import InputError

BUNDLED = Path(__file__).parents[1] / "weathersvq" / "bundled" / "sample.zarr"
# Twelve days of inits before and nine after the new year that the first command starts from.
BUNDLED_PERIOD = "2016-12-20/2017-01-10"
COARSER = 4
LARGEST = 8 * 10**6  # bytes: everybody who installs the package carries it


def size_of(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def cut(source: Path, period: Days) -> xr.Dataset:
    """The slice of the store at `source`, in its packed form.

    Raises:
        InputError: no store there, or one that lacks a part of the period.
    """
    if not source.is_dir():
        raise InputError(f"no store at {source}; run pipelines/simulate_sample.py first")
    times = period.times(SURFACE.step)
    dataset = xr.open_zarr(source, consolidated=True, mask_and_scale=False, chunks=None)
    part = dataset.sel(time=slice(times[0], times[-1])).load()
    lacking = [
        str(name)
        for name, field in part.data_vars.items()
        if (field == field.attrs["_FillValue"]).any()
    ]
    if part.sizes["time"] != times.size or lacking:
        raise InputError(
            f"{source} does not hold all of {period}; let pipelines/simulate_sample.py finish"
        )
    return part


def coarsen(field: xr.DataArray) -> xr.DataArray:
    """The packed field in steps `COARSER` times as large; `scale_factor` says so."""
    packed = np.rint(field.values / COARSER).astype(np.int16)
    scale = field.attrs["scale_factor"] * COARSER
    return field.copy(data=packed).assign_attrs(scale_factor=scale)


def bundle(source: Path, period: Days, target: Path) -> int:
    """Write the slice to `target`, one chunk a variable and week or so; gives its bytes.

    Raises:
        InputError: see `cut`; or a slice that is too large to be carried by the package.
    """
    part = cut(source, period)
    hours = part.sizes["time"]
    weeks = max(1, hours // (DAYS_A_CHUNK * HOURS_A_DAY))
    chunk = -(-hours // weeks)
    compressor = numcodecs.Blosc(cname="zstd", clevel=9, shuffle=numcodecs.Blosc.SHUFFLE)
    encoding: dict[str, dict[str, Any]] = {}
    part = part.assign({name: coarsen(field) for name, field in part.data_vars.items()})
    part = part.drop_encoding()
    for name, field in part.data_vars.items():
        encoding[str(name)] = {
            "chunks": (chunk, *field.shape[1:]),
            "compressors": (compressor,),
        }
    encoding["latitude"] = encoding["longitude"] = {"_FillValue": None}
    encoding["time"] = {
        "dtype": "int64",
        "units": f"hours since {period.first} 00:00:00",
        "calendar": "proleptic_gregorian",
    }
    part.attrs["history"] += f"; {period} cut out by pipelines/bundle_sample.py"
    with atomic_path(target) as temporary:
        part.to_zarr(temporary, encoding=encoding, zarr_format=2, consolidated=True)
        size = size_of(temporary)
        if size > LARGEST:
            raise InputError(
                f"{period} takes {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f} MB; "
                "choose a shorter --period"
            )
    return size


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Cut the bundled slice out of the sample climate.")
    parser.add_argument("--source", type=Path, default=Path("runs/sample") / SURFACE.name)
    parser.add_argument("--period", default=BUNDLED_PERIOD, metavar="START/STOP")
    parser.add_argument("--target", type=Path, default=BUNDLED)
    options = parser.parse_args(arguments)
    try:
        size = bundle(options.source, Days.parse(options.period), options.target)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    print(f"{options.target}: {options.period}, {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
