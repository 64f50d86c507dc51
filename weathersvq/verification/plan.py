"""Verification, what: which variables, leads, regions and initial times can be compared by all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.data.canonical import time_step
from weathersvq.data.climatology import fit_climatology, stored_for
from weathersvq.data.sources import open_source
from weathersvq.data.windows import Period, parse_step
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.variables import Channel, parse_channels
from weathersvq.verification.contestants import (
    Contestant,
    Stored,
    Times,
    Trained,
    open_contestants,
)
from weathersvq.verification.regions import Regions, find_regions
from weathersvq.verification.sums import CLIMATOLOGY, PERSISTENCE, SUMS

BY = ("lead", "region", "season", "hour")
YEAR = np.timedelta64(365, "D")
# Of the sums that are kept of all initial times.
MOST_BYTES = 2**30


@dataclass(frozen=True, eq=False)
class Plan:
    """An evaluation before it begins. Small enough to be sent to every worker.

    Attributes:
        contestants: at least one.
        source: of truth and initial states.
        channels: that all of them forecast.
        leads: (L,) timedelta64[s] that all of them give.
        inits: (n,) of all of them.
        period: asked for.
        regions: the whole grid first.
        grid: of all maps.
        climatology: coefficients; None where there is none.
        notes: what a reader must know, a sentence each.
        source_attributes: of the data.
    """

    contestants: tuple[Contestant, ...]
    source: str
    channels: tuple[Channel, ...]
    leads: NDArray[np.timedelta64]
    inits: Times
    period: Period
    regions: Regions
    grid: Grid
    climatology: xr.Dataset | None
    climatology_period: str = ""
    notes: tuple[str, ...] = ()
    source_attributes: dict[str, str] = field(default_factory=dict)

    @property
    def forecasts(self) -> tuple[str, ...]:
        """Names of all that is scored: the contestants, then the baselines."""
        normal = (CLIMATOLOGY,) if self.climatology is not None else ()
        return (*(each.name for each in self.contestants), PERSISTENCE, *normal)

    @property
    def simulated(self) -> bool:
        return self.source_attributes.get("simulated") == "true"

    @property
    def sum_bytes(self) -> int:
        """Of the sums that are kept until the end: all else is bounded by one part."""
        each = len(self.forecasts) * len(SUMS) * len(self.channels) * len(self.regions.names)
        return 8 * each * self.inits.size * self.leads.size

    def open(self) -> xr.Dataset:
        """The source with all channels that any contestant needs."""
        return _open(self.source, self.contestants, self.grid)


def make_plan(
    names: Sequence[str],
    *,
    source: str = "sample",
    period: str | None = None,
    every: str | None = None,
    limit: int | None = None,
    var: str | None = None,
    lead: str | None = None,
    regions: Sequence[str] = (),
    climatology: str | None = None,
) -> Plan:
    """Find what can be compared.

    Args:
        names: checkpoints, `bundled`, forecasts (.nc, .zarr), each also as NAME=PATH.
        source: of truth and initial states.
        period: START/STOP in which whole forecasts lie. If None, what source and stored forecasts
            cover of the first model's test period, or of all time where there is no model.
        every: distance of the initial times, counted from midnight of the period's first day.
        limit: at most so many initial times, spread evenly over the period.
        var: variables; all that are common if None.
        lead: longest lead; all that are common if None.
        regions: see `regions.find_regions`.
        climatology: period of the climatology; the first model's training period if None.

    Raises:
        InputError: contestants of different grids or without common variables, leads or initial
            times; a period that source or forecasts do not cover; more to keep than `MOST_BYTES`;
            see also `find_regions`.
    """
    spacing = None if every is None else parse_step(every)
    longest = None if lead is None else parse_step(lead)
    asked = None if period is None else Period.parse(period)
    contestants = open_contestants(names, longest)
    grid = _common_grid(contestants)
    notes: list[str] = []
    channels = _common_channels(contestants, var, notes)
    leads = contestants[0].leads
    for each in contestants[1:]:
        leads = np.intersect1d(leads, each.leads)
    if leads.size == 0:
        raise InputError("the forecasts have no lead in common; compare ones of the same step")
    chosen = find_regions(grid, regions)
    dataset = _open(source, contestants, grid)
    if not Grid.of(dataset).matches(grid):
        raise InputError(
            f"the forecasts are on the grid {grid.describe()}, but {source} is on "
            f"{Grid.of(dataset).describe()}; give the source that they were made from"
        )
    if asked is None:
        asked = _default_period(contestants, dataset, leads[-1], notes)
    _check_covered(asked, dataset, source)
    inits = _common_inits(contestants, dataset, asked, leads[-1], spacing, limit)
    notes += _seen_before(contestants, asked)
    normal, over = _fit(contestants, dataset, channels, climatology, notes)
    attributes = {k: str(v) for k, v in dataset.attrs.items()}
    plan = Plan(
        contestants, source, channels, leads, inits, asked, chosen, grid, normal, over,
        tuple(notes), attributes,
    )  # fmt: skip
    if plan.sum_bytes > MOST_BYTES:
        raise InputError(
            f"the sums of {inits.size} initial times, {leads.size} leads, {len(channels)} variables "
            f"and {len(chosen.names)} regions would take {plan.sum_bytes / 2**30:.1f} GiB; give "
            "--every or --limit, or fewer by --lead, --var or --region"
        )
    return plan


def _open(source: str, contestants: Sequence[Contestant], grid: Grid) -> xr.Dataset:
    needed = dict.fromkeys(channel for each in contestants for channel in each.channels)
    return open_source(source, tuple(needed), grid=grid if grid.is_global else None)


def _common_grid(contestants: Sequence[Contestant]) -> Grid:
    first = contestants[0]
    for each in contestants[1:]:
        if not each.grid.matches(first.grid):
            raise InputError(
                f"{each.name} is on the grid {each.grid.describe()}, {first.name} on "
                f"{first.grid.describe()}; only forecasts on one grid can be compared: regrid one"
            )
    return first.grid


def _common_channels(
    contestants: Sequence[Contestant], var: str | None, notes: list[str]
) -> tuple[Channel, ...]:
    common = [c for c in contestants[0].channels if all(c in e.channels for e in contestants)]
    if not common:
        each = "; ".join(f"{c.name} has {', '.join(map(str, c.channels))}" for c in contestants)
        raise InputError(f"the forecasts have no variable in common: {each}")
    if var is None:
        left = {str(c) for each in contestants for c in each.channels} - set(map(str, common))
        if left:
            notes.append(f"Not compared, as not all forecast them: {', '.join(sorted(left))}.")
        return tuple(common)
    wanted: list[Channel] = []
    for channel in parse_channels(var):
        found = [
            c for c in common if c == channel or (not channel.level and c.name == channel.name)
        ]
        if not found:
            raise InputError(
                f"--var {channel} is not forecast by all; common are {', '.join(map(str, common))}"
            )
        wanted += found
    return tuple(wanted)


def _default_period(
    contestants: Sequence[Contestant],
    dataset: xr.Dataset,
    longest: np.timedelta64,
    notes: list[str],
) -> Period:
    times = dataset["time"].values.astype("datetime64[s]")
    covered = [Period(times[0], times[-1])]
    covered += [each.reach(longest) for each in contestants if isinstance(each, Stored)]
    tests = [each.test_period for each in contestants if isinstance(each, Trained)]
    start = max(each.start for each in [*covered, *tests[:1]])
    stop = min(each.stop for each in [*covered, *tests[:1]])
    if start > stop:
        # What is asked for below says which of them do not overlap.
        return [*tests, *covered][0]
    found = Period(start, stop)
    if tests and not tests[0].same_times(found, times[0], time_step(dataset)):
        notes.append(
            f"Only a part of the test period of the first model, {tests[0]}, is there: {found}."
        )
    return found


def _check_covered(period: Period, dataset: xr.Dataset, source: str) -> None:
    times = dataset["time"].values.astype("datetime64[s]")
    first, last, step = times[0], times[-1], time_step(dataset)
    if period.start > first - step and period.stop < last + step:
        return
    start, stop = max(first, period.start), min(last, period.stop)
    minutes = [str(t.astype("datetime64[m]")) for t in (first, last, start, stop)]
    raise InputError(
        f"the period {period} is not covered by {source}, which has {minutes[0]} to {minutes[1]}; "
        + (
            f"they overlap in {minutes[2]}/{minutes[3]}: give --period {minutes[2]}/{minutes[3]}"
            if start <= stop
            else "they do not overlap"
        )
    )


def _common_inits(
    contestants: Sequence[Contestant],
    dataset: xr.Dataset,
    period: Period,
    longest: np.timedelta64,
    spacing: np.timedelta64 | None,
    limit: int | None,
) -> Times:
    inits = contestants[0].inits(dataset, period, longest)
    for each in contestants[1:]:
        inits = np.intersect1d(inits, each.inits(dataset, period, longest))
    if inits.size == 0:
        raise InputError(
            f"the forecasts have no initial time in {period} in common; they must start at the "
            "same hours"
        )
    if spacing is not None:
        since = inits - period.start.astype("datetime64[D]")
        kept = inits[since % spacing == np.timedelta64(0, "s")]
        if kept.size == 0:
            raise InputError(
                f"no initial time in {period} lies a multiple of "
                f"{spacing / np.timedelta64(3600, 's'):g} h after midnight of its first day; the "
                f"first of {inits.size} is {inits[0]}: give another --every"
            )
        inits = kept
    if limit is not None and inits.size > limit:
        inits = inits[np.unique(np.linspace(0, inits.size - 1, limit).round().astype(int))]
    return inits


def _seen_before(contestants: Sequence[Contestant], period: Period) -> list[str]:
    """A score on data that a model has learnt from is no score."""
    notes = []
    for each in contestants:
        if not isinstance(each, Trained):
            continue
        for use, other in (
            ("was trained on", each.train_period),
            ("had its best epoch chosen on", each.validation_period),
        ):
            if period.overlaps(other):
                notes.append(
                    f"Not a test: {each.name} {use} a part of this period ({other}); its scores "
                    "are better than they will be on new data."
                )
    return notes


def _fit(
    contestants: Sequence[Contestant],
    dataset: xr.Dataset,
    channels: Sequence[Channel],
    asked: str | None,
    notes: list[str],
) -> tuple[xr.Dataset | None, str]:
    """The climatology, with as many annual harmonics as the years allow; and its period."""
    trained = [each.train_period for each in contestants if isinstance(each, Trained)]
    if asked is None and not trained:
        notes.append("No climatology, ACC and skill against it: name its period (--climatology).")
        return None, ""
    over = Period.parse(asked) if asked is not None else trained[0]
    positions = over.positions(dataset["time"].values)
    names = list(dict.fromkeys(channel.name for channel in channels))
    if positions.size == 0:
        if asked is not None:
            _check_covered(over, dataset, "the source")
        notes.append(
            f"No climatology, ACC and skill against it: the source has no times of {over}, the "
            "training period of the first model; name another period (--climatology)."
        )
        return None, ""
    training = dataset[names].isel(time=positions)
    times = training["time"].values
    years = (times[-1] - times[0]) / YEAR
    # Fewer waves for fewer years: they would follow the weather of the year. Below one year there
    # is no annual course: the mean by hour of the day is left.
    harmonics = 3 if years >= 1.99 else 2 if years >= 0.99 else 0
    stored = stored_for(training, harmonics)
    normal = fit_climatology(training, harmonics) if stored is None else stored
    waves = f"{harmonics} annual harmonics by hour of day" if harmonics else "mean by hour of day"
    return normal, f"{over} ({waves})"
