"""Verification, the outcome: scores by lead, region, season and hour, with intervals, as a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from weathersvq import __version__
from weathersvq.atomic import atomic_path
from weathersvq.errors import InputError, near_misses
from weathersvq.variables import Channel
from weathersvq.verification.evaluation import TRUTH, Tally
from weathersvq.verification.intervals import (
    CONFIDENCE,
    Blocks,
    compare,
    draw_blocks,
    score_intervals,
)
from weathersvq.verification.plan import BY, Plan
from weathersvq.verification.sums import CLIMATOLOGY, METRICS, SUMS, metric_units, metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEASONS = ("DJF", "MAM", "JJA", "SON")
OUTPUTS = (".nc", ".csv")
REPORTS = (".html", ".md")


def parse_by(text: str) -> tuple[str, ...]:
    """Axes that scores are split by, in the order of `BY`.

    Raises:
        InputError: an unknown axis.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        if part not in BY:
            raise InputError(
                f"--by {part!r} is not known{near_misses(part, BY)}; expected some of {','.join(BY)}"
            )
    return tuple(axis for axis in BY if axis in parts)


def check_file(path: Path, suffixes: Sequence[str], *, overwrite: bool = False) -> None:
    """Whether scores or a report may be written to `path`; asked before the work is done.

    Raises:
        InputError: another suffix, or something there that is not to be replaced.
    """
    if path.suffix not in suffixes:
        raise InputError(
            f"{str(path)!r} ends in {path.suffix or 'nothing'!r}; expected {' or '.join(suffixes)}"
        )
    if path.exists() and not (overwrite and path.is_file()):
        raise InputError(f"{path} exists already; choose another name or give --overwrite")


@dataclass(frozen=True, eq=False)
class Results:
    """Scores of a finished evaluation.

    Attributes:
        plan, tally: of it.
        by: axes that scores are split by.
        seed: of the bootstrap.
    """

    plan: Plan
    tally: Tally
    by: tuple[str, ...] = ("lead", "region")
    seed: int = 0

    @cached_property
    def sums(self) -> xr.DataArray:
        """Dims (forecast, sum, init_time, lead_time, channel, region)."""
        plan = self.plan
        coordinates: dict[str, Any] = {
            "forecast": list(plan.forecasts),
            "sum": list(SUMS),
            "init_time": self.tally.inits.astype("datetime64[ns]"),
            "lead_time": plan.leads.astype("timedelta64[ns]"),
            "channel": list(map(str, plan.channels)),
            "region": list(plan.regions.names),
        }
        return xr.DataArray(self.tally.sums, coordinates, tuple(coordinates))

    @cached_property
    def blocks(self) -> Blocks:
        return draw_blocks(self.tally.inits, self.plan.leads[-1], self.seed)

    @cached_property
    def by_lead(self) -> xr.DataArray:
        """Scores with dims (metric, forecast, lead_time, channel, region), over all initial times."""
        return self.scores(("lead", "region"))

    @cached_property
    def ends(self) -> tuple[xr.DataArray, xr.DataArray] | None:
        """Lower and upper ends of the intervals of `by_lead`; None where there are too few cases."""
        return None if self.blocks.counts is None else score_intervals(self.sums, self.blocks)

    def scores(self, by: Sequence[str] | None = None) -> xr.DataArray:
        """Scores split by some of `BY`, by `self.by` if None: dims (metric, forecast, [lead_time,] channel, [region,]
        [season,] [hour]).

        Season and hour (UTC) are those of the valid time. Without `region` they are of the whole
        grid, without `lead` over all leads.
        """
        return metrics(totals(self.sums, self.by if by is None else by))

    @cached_property
    def spectra(self) -> xr.DataArray | None:
        """Mean power with dims (forecast, lead_time, channel, wavenumber), truth last; or None."""
        if not self.tally.power.shape[-1]:
            return None
        count = self.tally.power_count[None, :, :, None]
        names = [*(each.name for each in self.plan.contestants), TRUTH]
        return xr.DataArray(
            self.tally.power / np.where(count > 0, count, np.nan),
            {
                "forecast": names,
                "lead_time": self.sums["lead_time"].values,
                "channel": self.sums["channel"].values,
                "wavenumber": np.arange(self.tally.power.shape[-1]),
            },
            ("forecast", "lead_time", "channel", "wavenumber"),
        )

    def comparison(self, other: str) -> xr.Dataset:
        """The first contestant against another one, over the whole grid: see `intervals.compare`."""
        whole = self.sums.isel(region=0, drop=True)
        return compare(whole, self.blocks, (self.plan.contestants[0].name, other))

    def error_maps(self, forecast: str) -> xr.Dataset:
        """RMSE and bias of each cell at the first and the last lead: dims (lead_time, channel,
        latitude, longitude)."""
        number = self.plan.forecasts.index(forecast)
        known = np.where(self.tally.known > 0, self.tally.known, np.nan)
        coordinates = {
            "lead_time": self.sums["lead_time"].values[[0, -1]],
            "channel": self.sums["channel"].values,
            "latitude": self.plan.grid.latitude,
            "longitude": self.plan.grid.longitude,
        }
        maps = {
            "rmse": np.sqrt(self.tally.squared[number] / known),
            "bias": self.tally.error[number] / known,
        }
        return xr.Dataset(
            {name: (tuple(coordinates), values) for name, values in maps.items()}, coordinates
        )

    def rmse_by_init(self) -> xr.DataArray:
        """RMSE of each forecast at the last lead over the whole grid: (forecast, init_time, channel)."""
        last = self.sums.isel(lead_time=-1, region=0, drop=True)
        return metrics(last).sel(metric="rmse", drop=True)

    def error_growth(self) -> xr.Dataset:
        """How errors grow with lead over the whole grid.

        Returns:
            Dims (forecast, lead_time, channel): `share`, RMSE over that of climatology (1: nothing
            of the initial state is left), NaN without one; `rate`, growth of the logarithm of RMSE
            per day up to this lead from the one before, so that ln 2 / rate is the time in which the
            error doubles.
        """
        rmse = self.by_lead.sel(metric="rmse", drop=True).isel(region=0, drop=True)
        days = rmse["lead_time"] / np.timedelta64(1, "D")
        logarithm = rmse.copy(data=np.log(rmse.where(rmse > 0).values))
        rate = logarithm.diff("lead_time") / days.diff("lead_time")
        share = xr.full_like(rmse, np.nan)
        if CLIMATOLOGY in rmse["forecast"].values:
            share = rmse / rmse.sel(forecast=CLIMATOLOGY, drop=True)
        return xr.Dataset({"share": share, "rate": rate.reindex(lead_time=rmse["lead_time"])})

    def dataset(self) -> xr.Dataset:
        """Everything for other programs: scores split by `by`, intervals, spectra.

        Returns:
            For each channel `NAME` (`t2m`, `t_850`) with dims (metric, forecast, [lead_time,]
            [region,] [season,] [hour]); `NAME_low` and `NAME_high` where there are intervals;
            `NAME_power` where the grid goes round the globe.
        """
        scores = self.scores()
        arrays: dict[str, xr.DataArray] = {}
        for channel in self.plan.channels:
            key = str(channel)
            name, units = key.replace("@", "_"), channel.variable.units
            arrays[name] = _named(scores.sel(channel=key, drop=True), units)
            # Seasons and hours have too few independent cases each.
            if self.ends is not None and self.by in (("lead",), ("lead", "region")):
                for end, array in zip(("low", "high"), self.ends, strict=True):
                    one = array.sel(channel=key, drop=True)
                    if "region" not in self.by:
                        one = one.isel(region=0, drop=True)
                    arrays[f"{name}_{end}"] = _named(one, units)
            if self.spectra is not None:
                power = self.spectra.sel(channel=key, drop=True)
                power = power.rename(forecast="field")
                arrays[f"{name}_power"] = power.assign_attrs(
                    units=metric_units("mse", units), long_name="power by zonal wavenumber"
                )
        return xr.Dataset(arrays).assign_attrs(self._attributes())

    def _attributes(self) -> dict[str, str]:
        plan = self.plan
        interval = self.blocks.reason or (
            f"{CONFIDENCE:.0%} percentile intervals, moving block bootstrap, blocks of "
            f"{self.blocks.length} initial times, seed {self.seed}"
        )
        return {
            "title": f"scores of {', '.join(plan.forecasts)}",
            "source": f"weathersvq {__version__}; truth: {plan.source}",
            "period": str(plan.period),
            "initial_times": str(self.tally.inits.size),
            "weighting": "area-weighted, except mse_unweighted and mae_unweighted",
            "skill": "1 - MSE / MSE of the baseline, area-weighted",
            "climatology": plan.climatology_period or "none",
            "intervals": interval,
            "season_and_hour": "of the valid time, UTC",
            "simulated": str(plan.simulated).lower(),
        }

    def curves(self, var: str, metric: str = "rmse") -> Figure:
        """One score of a variable by lead over the whole grid, with intervals where there are any.

        Raises:
            InputError: a variable or a score that the results do not have.
        """
        from weathersvq.verification.pictures import curves_by_lead

        for asked, known in ((var, list(map(str, self.plan.channels))), (metric, list(METRICS))):
            if asked not in known:
                raise InputError(
                    f"{asked!r} is not in these results{near_misses(asked, known)}; they have "
                    f"{', '.join(known)}"
                )
        return curves_by_lead(self, Channel.parse(var), metric)

    def table(self) -> pd.DataFrame:
        """The scores of `dataset`, a row each; NaN left out."""
        frames = []
        dataset = self.dataset()
        for channel in self.plan.channels:
            name = str(channel).replace("@", "_")
            columns = {"value": dataset[name]}
            for end in ("low", "high"):
                if f"{name}_{end}" in dataset:
                    columns[end] = dataset[f"{name}_{end}"]
            frame = xr.Dataset(columns).to_dataframe().dropna(subset="value").reset_index()
            frame = frame[[*map(str, dataset[name].dims), *columns]]
            frame.insert(0, "variable", str(channel))
            units = [metric_units(metric, channel.variable.units) for metric in frame["metric"]]
            frame.insert(2, "units", units)
            frames.append(frame)
        table = pd.concat(frames)
        if "lead_time" in table:
            hours = table["lead_time"].dt.total_seconds() / 3600
            table = table.assign(lead_time=hours).rename(columns={"lead_time": "lead_hours"})
        return table

    def report(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """One page of it all: `.html`, or `.md` with its pictures beside it.

        Raises:
            InputError: see `check_file`.
        """
        from weathersvq.verification.report import write_report

        path = Path(path)
        check_file(path, REPORTS, overwrite=overwrite)
        write_report(self, path)
        return path

    def write(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """The scores as NetCDF or CSV, by suffix; whole or not at all.

        Raises:
            InputError: see `check_file`.
        """
        path = Path(path)
        check_file(path, OUTPUTS, overwrite=overwrite)
        with atomic_path(path) as fresh:
            if path.suffix == ".csv":
                self.table().to_csv(fresh, index=False)
            else:
                self.dataset().to_netcdf(fresh, engine="netcdf4")
        return path


def totals(sums: xr.DataArray, by: Sequence[str]) -> xr.DataArray:
    """Sums added over all axes that are not in `by`; exact, however they are split."""
    if "region" not in by:
        sums = sums.isel(region=0, drop=True)
    # lead_time last: over it is added only after the valid times' groups are told apart.
    over = ["init_time"] + ([] if "lead" in by else ["lead_time"])
    valid = sums["init_time"] + sums["lead_time"]
    labels = {
        "season": (valid.dt.season, SEASONS),
        "hour": (valid.dt.hour, sorted(set(np.ravel(valid.dt.hour.values).tolist()))),
    }
    groups = [axis for axis in ("season", "hour") if axis in by]
    if not groups:
        return sums.sum(over)
    held = [[v for v in labels[axis][1] if (labels[axis][0] == v).any()] for axis in groups]
    parts = []
    for values in product(*held):
        mask = xr.ones_like(valid, dtype=bool)
        for axis, value in zip(groups, values, strict=True):
            mask &= labels[axis][0] == value
        part = xr.dot(sums, mask.astype(np.float64), dim=over)
        parts.append(part.expand_dims({a: [v] for a, v in zip(groups, values, strict=True)}))
    whole = xr.combine_by_coords([part.rename("sums").to_dataset() for part in parts])["sums"]
    if "season" in groups:
        whole = whole.sel(season=[season for season in SEASONS if season in whole["season"].values])
    return whole


def _named(scores: xr.DataArray, units: str) -> xr.DataArray:
    each = ", ".join(f"{m} [{metric_units(m, units)}]" for m in map(str, scores["metric"].values))
    return scores.assign_attrs(units_of_metrics=each, units_of_variable=units)
