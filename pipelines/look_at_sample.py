"""Looks at the sample climate: two pictures and a page of numbers for docs/.

    python pipelines/look_at_sample.py

reads the stores that simulate_sample.py writes, as far as they have got (whole months), and makes
docs/sample_climate.md with its pictures: sample_climate.png (temperature, storm tracks, diurnal
range, winds) and sample_climate_series.png (is anything drifting?).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from cartopy import crs
from cartopy.mpl.geoaxes import GeoAxes
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sample_store import ON_LEVELS, SURFACE
from scores_report import markdown_table
from speedy import GRAVITY

from weathersvq.atomic import atomic_path
from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625
from weathersvq.maps import add_coastlines

Float = NDArray[np.float64]

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
NOTE = "Climate simulation (SPEEDY physics by jcm), own calendar, not past weather"

# Latitude and longitude of places whose seasons and days are known to differ.
PLACES: Mapping[str, tuple[float, float]] = {
    "Sahara": (23, 10),
    "US plains": (40, 262),
    "Amazon": (-5, 300),
    "Siberia": (62, 110),
    "Central Pacific": (0, 200),
    "Antarctica": (-80, 60),
}
PERSISTENCE_HOURS = (24, 72)
SEASONS: Mapping[str, tuple[int, ...]] = {"December-February": (12, 1, 2), "June-August": (6, 7, 8)}


def cell(place: str) -> tuple[int, int]:
    """Row and column of the grid cell of a place."""
    latitude, longitude = PLACES[place]
    return (
        int(np.abs(GLOBAL_5625.latitude - latitude).argmin()),
        int(np.abs(GLOBAL_5625.longitude - longitude).argmin()),
    )


def global_mean(values: Float) -> float:
    """Area mean of (..., H, W), and the plain mean of what else there is."""
    rows = values.mean(axis=-1).reshape(-1, values.shape[-2]).mean(axis=0)
    return float(np.average(rows, weights=GLOBAL_5625.area_weights()))


@dataclass
class Mean:
    """A mean that is gathered piece by piece."""

    total: Float | float = 0.0
    count: int = 0

    def add(self, pieces: Float) -> None:
        """Count the pieces along the first axis."""
        self.total = self.total + pieces.sum(axis=0, dtype=np.float64)
        self.count += pieces.shape[0]

    @property
    def value(self) -> Float:
        return np.asarray(self.total) / self.count


@dataclass
class Statistics:
    """What the pictures and the table are made of.

    Attributes:
        cycle: of t2m, (24, 32, 64) mean by hour (UTC) for each month of the year.
        wind: means of u10, v10 and of the wind speed.
        storms: squares of the 24-hour changes of 500 hPa height (m2) for each season.
        changes: squares of the changes over 24 and 72 hours for each variable, area means.
        series: a row for each simulated month.
    """

    cycle: dict[int, Mean] = field(default_factory=lambda: {m: Mean() for m in range(1, 13)})
    wind: dict[str, Mean] = field(default_factory=dict)
    storms: dict[str, Mean] = field(default_factory=lambda: {s: Mean() for s in SEASONS})
    changes: dict[tuple[str, int], Mean] = field(default_factory=dict)
    series: dict[pd.Timestamp, dict[str, float]] = field(default_factory=dict)

    def add_changes(self, name: str, values: Float, step: int) -> None:
        """Count the persistence errors of `values` (time, H, W), `step` hours apart."""
        for hours in PERSISTENCE_HOURS:
            difference = values[hours // step :] - values[: -(hours // step)]
            squares = np.average(
                np.square(difference).mean(axis=-1), axis=-1, weights=GLOBAL_5625.area_weights()
            )
            self.changes.setdefault((name, hours), Mean()).add(squares)

    def add_surface(self, month: pd.Timestamp, fields: Mapping[str, Float]) -> None:
        """Count one month of the hourly surface store."""
        days = fields["t2m"].reshape(-1, 24, *GLOBAL_5625.shape)
        self.cycle[month.month].add(days)
        speed = np.hypot(fields["u10"], fields["v10"])
        for name, values in (("u10", fields["u10"]), ("v10", fields["v10"]), ("speed", speed)):
            self.wind.setdefault(name, Mean()).add(values)
        for name, values in fields.items():
            self.add_changes(name, values[::6], 6)
        self.series[month] = {
            "t2m": global_mean(fields["t2m"]),
            "r": global_mean(fields["r"]),
            "tcc": global_mean(fields["tcc"]),
            "speed": global_mean(speed),
            "largest speed": float(speed.max()),
            "coldest": float(fields["t2m"].min()),
            "warmest": float(fields["t2m"].max()),
        }

    def add_levels(self, month: pd.Timestamp, fields: Mapping[str, Float]) -> None:
        """Count one month of the six-hourly store on levels."""
        level = ON_LEVELS.levels.index(500)
        height = fields["z"][:, level] / GRAVITY
        self.add_changes("z500/g", height, ON_LEVELS.step)
        self.add_changes("t850", fields["t"][:, ON_LEVELS.levels.index(850)], ON_LEVELS.step)
        steps = 24 // ON_LEVELS.step
        for season, months in SEASONS.items():
            if month.month in months:
                self.storms[season].add(np.square(height[steps:] - height[:-steps]))
        self.series[month]["largest u150"] = float(
            np.abs(fields["u"][:, ON_LEVELS.levels.index(150)]).max()
        )

    def mean_t2m(self, month: int) -> Float:
        """(32, 64) mean of a month of the year."""
        return self.cycle[month].value.mean(axis=0)

    def diurnal_range(self) -> Float:
        """(32, 64) warmest less coldest hour of the mean day, mean over the months there are."""
        present = [mean.value for mean in self.cycle.values() if mean.count]
        return np.mean([np.ptp(day, axis=0) for day in present], axis=0)


def simulated_months(
    store: xr.Dataset, names: tuple[str, ...]
) -> Iterator[tuple[pd.Timestamp, dict[str, Float]]]:
    """Each month that is complete, with its fields as arrays (float32)."""
    times = pd.DatetimeIndex(store["time"].values)
    for month in pd.date_range(times[0].normalize().replace(day=1), times[-1], freq="MS"):
        where = np.flatnonzero((times.year == month.year) & (times.month == month.month))
        part = store.isel(time=slice(where[0], where[-1] + 1))
        # A month begun but not finished lacks its end; one not begun, all of it.
        if part[names[0]].isel(time=[0, -1]).isnull().any():
            continue
        yield month, {name: part[name].values.astype(np.float32) for name in names}


def gather(folder: Path) -> Statistics:
    """Read both stores, as far as they have got.

    Raises:
        InputError: no store, or no complete January, July and winter in it.
    """
    for store in (SURFACE, ON_LEVELS):
        if not (folder / store.name).is_dir():
            raise InputError(f"no store at {folder / store.name}; run simulate_sample.py first")
    statistics = Statistics()
    with xr.open_zarr(folder / SURFACE.name) as surface:
        for month, fields in simulated_months(surface, tuple(SURFACE.packing)):
            statistics.add_surface(month, fields)
    with xr.open_zarr(folder / ON_LEVELS.name) as levels:
        for month, fields in simulated_months(levels, ("z", "t", "u")):
            if month in statistics.series:
                statistics.add_levels(month, fields)
    if any(mean.count == 0 for mean in statistics.cycle.values()):
        raise InputError(f"{folder} does not hold a whole year yet; let the simulation go on")
    return statistics


# Pictures


def draw_map(
    axes: GeoAxes, values: Float, title: str, units: str, colours: str, limits: tuple[float, float]
) -> None:
    """One map of (32, 64) cells with coastlines and a colour bar."""
    image = axes.pcolormesh(
        GLOBAL_5625.longitude_edges,
        GLOBAL_5625.latitude_edges,
        values,
        transform=crs.PlateCarree(),
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
    )
    add_coastlines(axes)
    axes.set_title(title, fontsize=10)
    bar = axes.figure.colorbar(image, ax=axes, orientation="horizontal", pad=0.04, shrink=0.8)
    bar.set_label(units, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def draw_maps(statistics: Statistics, path: Path) -> None:
    """Temperature in January and July, storm tracks, diurnal range and winds."""
    figure = Figure(figsize=(11, 12), layout="constrained")
    # Centred on an edge of cells, the map has its seam between cells, too.
    projection = crs.Robinson(central_longitude=GLOBAL_5625.longitude_edges[0])
    axes: list[GeoAxes] = [figure.add_subplot(3, 2, i + 1, projection=projection) for i in range(6)]
    for panel, month, name in ((axes[0], 1, "January"), (axes[1], 7, "July")):
        celsius = statistics.mean_t2m(month) - 273.15
        draw_map(panel, celsius, f"2 m temperature, {name}", "°C", "RdYlBu_r", (-45, 45))
    for panel, season in zip(axes[2:4], SEASONS, strict=True):
        storms = np.sqrt(statistics.storms[season].value)
        title = f"Storm tracks: 24-hour changes of 500 hPa height, {season}"
        draw_map(panel, storms, title, "root mean square, m", "viridis", (0, 120))
    title = "Diurnal range of 2 m temperature (mean day)"
    draw_map(axes[4], statistics.diurnal_range(), title, "K", "magma", (0, 16))
    speed = statistics.wind["speed"].value
    draw_map(axes[5], speed, "10 m wind: mean speed and mean vector", "m/s", "YlGnBu", (0, 14))
    longitude, latitude = np.meshgrid(GLOBAL_5625.longitude[::2], GLOBAL_5625.latitude[2:-2:2])
    axes[5].quiver(
        longitude,
        latitude,
        statistics.wind["u10"].value[2:-2:2, ::2],
        statistics.wind["v10"].value[2:-2:2, ::2],
        transform=crs.PlateCarree(),
        scale=160,
        width=0.002,
    )
    first, last = min(statistics.series), max(statistics.series)
    months = f"{first:%Y-%m} to {last:%Y-%m} ({len(statistics.series)} months)"
    figure.suptitle(f"The sample climate, {months}\n{NOTE}")
    save(figure, path)


def draw_series(statistics: Statistics, path: Path) -> None:
    """Monthly series of the whole period, and the seasons of some places."""
    series = series_table(statistics)
    figure = Figure(figsize=(11, 9), layout="constrained")
    axes: NDArray[Any] = np.asarray(figure.subplots(3, 2))

    def line(panel: Axes, column: str, label: str, scale: float = 1, offset: float = 0) -> None:
        values = series[column] * scale + offset
        panel.plot(series.index, values, label=label, linewidth=1.2)
        if len(series) > 12:
            panel.plot(series.index, values.rolling(12, center=True).mean(), color="0.4")
        panel.set_ylabel(label, fontsize=9)

    line(axes[0, 0], "t2m", "global mean 2 m temperature, °C", offset=-273.15)
    line(axes[0, 1], "largest speed", "largest 10 m wind of the month, m/s")
    line(axes[1, 0], "speed", "global mean 10 m wind speed, m/s")
    line(axes[1, 1], "r", "global mean humidity (lowest level), %")
    line(axes[2, 0], "tcc", "global mean cloud cover, %", scale=100)
    months = np.arange(1, 13)
    for place in PLACES:
        row, column = cell(place)
        celsius = [statistics.mean_t2m(int(month))[row, column] - 273.15 for month in months]
        axes[2, 1].plot(months, celsius, marker=".", label=place)
    axes[2, 1].set(xlabel="month", xticks=months)
    axes[2, 1].set_ylabel("2 m temperature, °C", fontsize=9)
    axes[2, 1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for panel in axes.flat:
        panel.grid(alpha=0.3)
    figure.suptitle(f"The sample climate over the years (grey: 12-month mean)\n{NOTE}")
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
    print(path)


# Numbers


def series_table(statistics: Statistics) -> pd.DataFrame:
    """A row for each month; those not simulated yet are NaN, so that lines break there."""
    return pd.DataFrame.from_dict(statistics.series, orient="index").sort_index().asfreq("MS")


def report(statistics: Statistics) -> str:
    """The page docs/sample_climate.md: means, ranges, extremes, persistence errors, each year."""
    table = series_table(statistics)
    first, last = (f"{month:%Y-%m}" for month in (table.index[0], table.index[-1]))
    lines = [
        "# The sample climate",
        "",
        "Made by `python pipelines/simulate_sample.py`; this page and its pictures by "
        "`python pipelines/look_at_sample.py`.",
        "",
        f"**{NOTE}.** T31 with eight levels, regridded conservatively to 32 x 64: hourly t2m, u10, "
        "v10, r (lowest model level) and tcc, six-hourly r, t, u, v and z at 150, 500 and 850 hPa. "
        f"On this page: {len(statistics.series)} months, {first} to {last}.",
        "",
        "Two independent simulations, each with its own discarded spin-up, meet between training "
        "(2010-2015) and validation and test (2016-2018), where no window reaches across. What is "
        "not like the real climate: sea-surface, sea-ice and deep-soil temperatures repeat each year, "
        "so temperature is easier to predict; humidity is high over sea and near zero over parts of "
        "Antarctica.",
        "",
        "![seasons, storm tracks, diurnal range, winds](pictures/sample_climate.png)",
        "",
        "![the years](pictures/sample_climate_series.png)",
        "",
    ]
    for month, name in ((1, "January"), (7, "July")):
        celsius = global_mean(statistics.mean_t2m(month)) - 273.15
        lines.append(
            f"- Global mean 2 metre temperature in {name}: {celsius:.2f} °C (area-weighted)"
        )
    rows = []
    for place, (_, longitude) in PLACES.items():
        row, column = cell(place)
        january, july = (statistics.mean_t2m(m)[row, column] - 273.15 for m in (1, 7))
        day = np.mean([mean.value[:, row, column] for mean in statistics.cycle.values()], axis=0)
        local = (int(day.argmax()) + longitude / 15) % 24
        reach = statistics.diurnal_range()[row, column]
        rows.append([place, *(f"{number:.1f}" for number in (january, july, reach, local))])
    header = ["place", "January [°C]", "July [°C]", "diurnal range [K]", "warmest [local hour]"]
    lines += ["", "## 2 metre temperature at some places", "", *markdown_table(header, rows)]
    rows = []
    for name in dict.fromkeys(name for name, _ in statistics.changes):
        errors = [np.sqrt(statistics.changes[name, hours].value) for hours in PERSISTENCE_HOURS]
        rows.append([name, *(f"{error:.3g}" for error in errors)])
    header = ["variable", *(f"{hours} h" for hours in PERSISTENCE_HOURS)]
    lines += ["", "## RMSE of persistence", "", *markdown_table(header, rows)]
    years = table.groupby(pd.DatetimeIndex(table.index).year)
    extremes = {"largest speed": "max", "largest u150": "max", "coldest": "min", "warmest": "max"}
    by_year = years.agg({name: extremes.get(str(name), "mean") for name in table.columns})
    complete = by_year[years["t2m"].count() == 12]
    rows = [[str(year), *(f"{v:.5g}" for v in row)] for year, row in complete.iterrows()]
    header = ["year", *map(str, complete.columns)]
    lines += ["", "## The complete years (SI units)", "", *markdown_table(header, rows), ""]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Draw and count the sample climate.")
    parser.add_argument("--source", type=Path, default=Path("runs/sample"), help="folder of stores")
    parser.add_argument("--out", type=Path, default=PICTURES, help="folder of the pictures")
    options = parser.parse_args(arguments)
    try:
        statistics = gather(options.source)
        page = options.out.parent / "sample_climate.md"
        with atomic_path(page) as temporary:
            temporary.write_text(report(statistics), encoding="utf-8")
        print(page)
        draw_maps(statistics, options.out / "sample_climate.png")
        draw_series(statistics, options.out / "sample_climate_series.png")
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
