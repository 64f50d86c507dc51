"""Part of simulate_sample.py: the two Zarr stores, their calendar and how values are packed."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array
import numcodecs
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from weathersvq.data.windows import Period
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.variables import AXES, variable

Floats = NDArray[np.floating]

HOUR = np.timedelta64(1, "h")
HOURS_A_DAY = 24
# A week is what divides the training years (313 weeks), so that the border between the segments is
# a border between chunks and the two processes never touch the same file.
DAYS_A_CHUNK = 7
LEVEL_STEP = 6
LEVELS = (150, 500, 850)  # hPa


@dataclass(frozen=True)
class Days:
    """Whole days, both ends included."""

    first: dt.date
    last: dt.date

    @classmethod
    def parse(cls, text: str) -> Days:
        """Read ``2010-01-01/2010-01-14``.

        Raises:
            InputError: anything that is no period.
        """
        period = Period.parse(text)
        return cls(*(time.astype("datetime64[D]").item() for time in (period.start, period.stop)))

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def start(self) -> np.datetime64:
        """The first label, at midnight."""
        return np.datetime64(self.first.isoformat(), "s")

    def times(self, step: int) -> NDArray[np.datetime64]:
        """Labels every `step` hours, from the first midnight to the end of the last day."""
        return self.start + np.arange(0, self.days * HOURS_A_DAY, step) * HOUR

    def __str__(self) -> str:
        return f"{self.first}/{self.last}"


@dataclass(frozen=True)
class Packing:
    """Fixed-point form of one variable: value = scale * int16 + offset, and -32768 is missing."""

    scale: float
    offset: float

    MISSING = np.int16(-32768)

    @property
    def limits(self) -> tuple[float, float]:
        return self.offset - 32767 * self.scale, self.offset + 32767 * self.scale

    def pack(self, values: Floats, what: str) -> NDArray[np.int16]:
        """Pack physical values, to within half of `scale`.

        Raises:
            FloatingPointError: values that are not finite or beyond the limits; nothing is clipped.
        """
        low, high = self.limits
        if not np.isfinite(values).all():
            count = int(np.size(values) - np.isfinite(values).sum())
            raise FloatingPointError(f"{what} has {count} values that are not finite")
        if values.min() < low or values.max() > high:
            raise FloatingPointError(
                f"{what} reaches from {values.min():g} to {values.max():g}, but only "
                f"{low:g} to {high:g} can be stored"
            )
        return np.rint((values.astype(np.float64) - self.offset) / self.scale).astype(np.int16)


# Steps far below what matters to weather and beside the precision of any observation.
SURFACE_PACKING: Mapping[str, Packing] = {
    "t2m": Packing(0.0025, 260.0),
    "u10": Packing(0.0025, 0.0),
    "v10": Packing(0.0025, 0.0),
    "r": Packing(0.002, 50.0),
    "tcc": Packing(2e-5, 0.5),
}
LEVEL_PACKING: Mapping[str, Packing] = {
    "r": Packing(0.002, 50.0),
    "t": Packing(0.0025, 250.0),
    "u": Packing(0.005, 0.0),
    "v": Packing(0.005, 0.0),
    "z": Packing(3.0, 75000.0),
}

TITLE = "Simulated climate for weathersvq (not past weather)"
COMMENT = (
    "A climate simulation under its own calendar: SPEEDY physics by jcm at T31 with 8 levels, "
    "sea-surface temperature, sea ice and deep soil temperature repeating each year. Dates say the "
    "season and the hour, not what the weather was; scores on it are not comparable with published "
    "ones. Two independent simulations, 2010-2015 and 2016-2018. t2m lies between the air and the "
    "skin temperature of the model; the instantaneous height of the sun was put in place of the "
    "model's daily mean; r without level is that of the lowest model level (0.95 of surface "
    "pressure)."
)
LEVEL_COMMENT = (
    " t, u, v and z are those of half an hour after the time given, r that of the time itself; "
    "below the ground t and z go on with 6.5 K km-1, the others are those of the lowest level."
)


@dataclass(frozen=True)
class Store:
    """One of the two Zarr stores: its variables, its step in hours and its levels."""

    name: str
    packing: Mapping[str, Packing]
    step: int
    levels: tuple[int, ...] = ()

    @property
    def dims(self) -> tuple[str, ...]:
        return ("time", *(("level",) if self.levels else ()), "latitude", "longitude")

    @property
    def steps_a_day(self) -> int:
        return HOURS_A_DAY // self.step


SURFACE = Store("surface_1h.zarr", SURFACE_PACKING, 1)
ON_LEVELS = Store("levels_6h.zarr", LEVEL_PACKING, LEVEL_STEP, LEVELS)
STORES = (SURFACE, ON_LEVELS)


def empty_dataset(store: Store, period: Days, grid: Grid, source: str) -> xr.Dataset:
    """Lazy dataset of the whole period, all missing: the form into which chunks are written."""
    coords: dict[str, Any] = {
        "time": ("time", period.times(store.step), AXES["time"]),
        "latitude": ("latitude", grid.latitude, AXES["latitude"]),
        "longitude": ("longitude", grid.longitude, AXES["longitude"]),
    }
    if store.levels:
        coords["level"] = ("level", np.array(store.levels, dtype=np.int32), AXES["level"])
    sizes = {name: len(value[1]) for name, value in coords.items()}
    shape = tuple(sizes[name] for name in store.dims)
    chunks = (DAYS_A_CHUNK * store.steps_a_day, *shape[1:])
    fields = {}
    for name in store.packing:
        known = variable(name)
        attributes = {
            "standard_name": known.standard_name,
            "long_name": known.long_name,
            "units": known.units,
            "cell_methods": known.cell_methods,
        }
        if name == "r" and not store.levels:
            attributes["long_name"] = "relative humidity at the lowest model level"
        missing = dask.array.full(shape, np.nan, dtype=np.float32, chunks=chunks)
        fields[name] = (store.dims, missing, attributes)
    today = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d")
    return xr.Dataset(
        fields,
        coords=coords,
        attrs={
            "Conventions": "CF-1.8",
            "title": TITLE,
            "institution": "weathersvq",
            "source": source,
            "history": f"{today}: made by pipelines/simulate_sample.py",
            "references": "https://github.com/climate-analytics-lab/jax-gcm",
            "comment": COMMENT + (LEVEL_COMMENT if store.levels else ""),
            "simulated": "true",
        },
    )


def create_store(folder: Path, store: Store, period: Days, grid: Grid, source: str) -> None:
    """Write the empty store unless it is there already; of two that try at once, one wins.

    Raises:
        InputError: a store that is there for another period.
    """
    target = folder / store.name
    if not target.exists():
        dataset = empty_dataset(store, period, grid, source)
        compressor = numcodecs.Blosc(cname="zstd", clevel=7, shuffle=numcodecs.Blosc.SHUFFLE)
        encoding: dict[str, dict[str, Any]] = {
            name: {
                "dtype": "int16",
                "scale_factor": packing.scale,
                "add_offset": packing.offset,
                "_FillValue": packing.MISSING,
                "compressors": (compressor,),
            }
            for name, packing in store.packing.items()
        }
        times = dataset.sizes["time"]
        encoding["time"] = {
            "dtype": "int64",
            "units": f"hours since {period.first} 00:00:00",
            "calendar": "proleptic_gregorian",
            "chunks": (times,),
        }
        for name in set(dataset.coords) - {"time"}:
            encoding[str(name)] = {"_FillValue": None}
        temporary = Path(tempfile.mkdtemp(prefix=f".{store.name}.", dir=folder)) / store.name
        dataset.to_zarr(
            temporary, compute=False, encoding=encoding, zarr_format=2, consolidated=True
        )
        try:
            temporary.rename(target)
        except OSError:
            if not target.exists():
                raise
        finally:
            shutil.rmtree(temporary.parent)
    with xr.open_zarr(target, consolidated=True) as existing:
        expected = period.times(store.step)
        found = existing["time"].values
        if found.size != expected.size or found[0] != expected[0] or found[-1] != expected[-1]:
            raise InputError(
                f"{target} covers {found[0]} to {found[-1]}, not {period}; "
                "give another --out or remove it"
            )


def write_chunk(folder: Path, store: Store, first: int, fields: Mapping[str, Floats]) -> None:
    """Pack and write `fields` (time, [level,] latitude, longitude) from time index `first` on.

    Raises:
        FloatingPointError: values that are not finite or can't be stored; see `Packing.pack`.
        InputError: a store that was made with another packing.
    """
    packed = {
        name: packing.pack(fields[name], f"{name} in {store.name} from index {first}")
        for name, packing in store.packing.items()
    }
    group = zarr.open_group(folder / store.name, mode="r+", use_consolidated=False)
    for name, values in packed.items():
        array = group[name]
        assert isinstance(array, zarr.Array)
        packing = store.packing[name]
        stored = (array.attrs["scale_factor"], array.attrs["add_offset"])
        if stored != (packing.scale, packing.offset):
            raise InputError(
                f"{folder / store.name} packs {name} by scale and offset {stored}, not "
                f"{(packing.scale, packing.offset)}; give another --out or remove it"
            )
        array[first : first + values.shape[0]] = values
