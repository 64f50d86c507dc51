"""The grids: centres, cell edges and exact areas. The one place that knows 5.625 degrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weathersvq.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

Float = NDArray[np.float64]

# Centres in files are often float32 or rounded to a few digits: differences below this (degrees)
# are the same place.
TOLERANCE = 1e-3


def _edges(centres: Float) -> Float:
    """Cell edges (n + 1) half-way between centres (n); the outer cells are symmetric."""
    middle = (centres[1:] + centres[:-1]) / 2
    first = centres[0] - (middle[0] - centres[0])
    last = centres[-1] + (centres[-1] - middle[-1])
    return np.concatenate([[first], middle, [last]])


class Grid:
    """A regular (or Gaussian) latitude/longitude grid, global or regional.

    Args:
        latitude: (H,) cell centres in degrees north, ascending.
        longitude: (W,) cell centres in degrees east, ascending, equally spaced.

    Attributes:
        latitude_edges: (H + 1,) degrees, half-way between centres and never beyond a pole.
        longitude_edges: (W + 1,) degrees.

    Raises:
        InputError: centres that are not one-dimensional and ascending, latitudes beyond the poles,
            longitudes that are not equally spaced or span more than the globe.
    """

    def __init__(self, latitude: ArrayLike, longitude: ArrayLike) -> None:
        self.latitude: Float = np.asarray(latitude, dtype=np.float64)
        self.longitude: Float = np.asarray(longitude, dtype=np.float64)
        for name, centres in (("latitude", self.latitude), ("longitude", self.longitude)):
            if centres.ndim != 1 or centres.size < 2 or not np.all(np.diff(centres) > 0):
                raise InputError(
                    f"{name} must be a list of at least two ascending cell centres, "
                    f"not an array of shape {centres.shape}"
                )
        if self.latitude[0] < -90 - TOLERANCE or self.latitude[-1] > 90 + TOLERANCE:
            raise InputError(
                f"latitudes reach from {self.latitude[0]:g} to {self.latitude[-1]:g} degrees; "
                "expected -90 to 90"
            )
        steps = np.diff(self.longitude)
        if np.ptp(steps) > 2 * TOLERANCE:
            raise InputError(
                f"longitudes are not equally spaced (steps from {steps.min():g} to "
                f"{steps.max():g} degrees); regrid the data to a regular grid first"
            )
        self.longitude_edges: Float = _edges(self.longitude)
        span = self.longitude_edges[-1] - self.longitude_edges[0]
        if span > 360 + 2 * TOLERANCE * self.longitude.size:
            raise InputError(f"longitudes span {span:g} degrees; expected at most 360")
        self.latitude_edges: Float = np.clip(_edges(self.latitude), -90.0, 90.0)

    @classmethod
    def equiangular(cls, degrees: float) -> Grid:
        """The global WeatherBench grid of this spacing: no centre on a pole, longitude from 0.

        Raises:
            InputError: a spacing that does not divide 180 degrees.
        """
        rows = round(180 / degrees)
        if rows < 2 or abs(rows * degrees - 180) > 1e-9:
            raise InputError(f"grid spacing {degrees:g} does not divide 180 degrees")
        return cls(
            -90 + degrees * (np.arange(rows) + 0.5),
            degrees * np.arange(2 * rows),
        )

    @classmethod
    def of(cls, dataset: xr.Dataset | xr.DataArray) -> Grid:
        """The grid of a canonical dataset (coordinates `latitude` and `longitude`)."""
        return cls(dataset["latitude"].values, dataset["longitude"].values)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.latitude.size, self.longitude.size

    @property
    def wraps(self) -> bool:
        """Whether the last column borders on the first, round the globe."""
        step = self.longitude[1] - self.longitude[0]
        return bool(abs(step * self.longitude.size - 360) < step / 4)

    @property
    def is_global(self) -> bool:
        """Whether the cells cover the sphere: longitudes go round and rows reach both poles."""
        reach = 90 - 1e-2 - 0.25 * float(np.diff(self.latitude).max())
        return self.wraps and self.latitude_edges[0] < -reach and self.latitude_edges[-1] > reach

    def cell_areas(self) -> Float:
        """(H, W) exact areas on the unit sphere, in steradian: width times difference of sines."""
        rows = np.diff(np.sin(np.deg2rad(self.latitude_edges)))
        return np.outer(rows, np.deg2rad(np.diff(self.longitude_edges)))

    def area_weights(self) -> Float:
        """(H,) weight of each row in an area mean; their mean is one."""
        rows = self.cell_areas().sum(axis=1)
        return rows / rows.mean()

    def matches(self, other: Grid) -> bool:
        """Whether both have the same centres, to within rounding."""
        return self.shape == other.shape and bool(
            np.allclose(self.latitude, other.latitude, atol=TOLERANCE, rtol=0)
            and np.allclose(self.longitude, other.longitude, atol=TOLERANCE, rtol=0)
        )

    def describe(self) -> str:
        """For messages: size and reach, such as ``32 x 64, 87.2S..87.2N, 0.0E..354.4E``."""

        def latitude(value: float) -> str:
            return f"{abs(value):.1f}{'S' if value < 0 else 'N'}"

        def longitude(value: float) -> str:
            return f"{abs(value):.1f}{'W' if value < 0 else 'E'}"

        return (
            f"{self.shape[0]} x {self.shape[1]}, "
            f"{latitude(self.latitude[0])}..{latitude(self.latitude[-1])}, "
            f"{longitude(self.longitude[0])}..{longitude(self.longitude[-1])}"
        )

    def __repr__(self) -> str:
        return f"Grid({self.describe()})"


@dataclass(frozen=True)
class PixelGrid:
    """The cells of pictures: rows and columns without a place on the globe."""

    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.rows, self.columns

    @property
    def wraps(self) -> bool:
        """Pictures have edges."""
        return False

    def describe(self) -> str:
        """For messages."""
        return f"{self.rows} x {self.columns} pixels"


GLOBAL_5625 = Grid.equiangular(5.625)
# Spacings in degrees for which WeatherBench publishes data: 32 x 64, 64 x 128 and 128 x 256.
WEATHERBENCH_GRIDS = ("5.625", "2.8125", "1.40625")
