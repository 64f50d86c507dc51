"""Verification, how: the initial times in parts, forecasts beside the truth, sums kept of each part.

Held at a time are one part of each contestant's forecasts, their truth and their climatology; what
stays are a few maps and sums by initial time, which `plan.MOST_BYTES` bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

import dask
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.data.channels import stack_channels
from weathersvq.data.climatology import evaluate_climatology
from weathersvq.data.rolling import RollingFrames
from weathersvq.data.windows import good_times
from weathersvq.data.workers import Workers
from weathersvq.verification.contestants import Times
from weathersvq.verification.plan import Plan
from weathersvq.verification.spectra import has_spectra, zonal_power
from weathersvq.verification.sums import SUMS, region_sums

Fields = NDArray[np.float32]
Float = NDArray[np.float64]

# Forecasts of one contestant that are held at a time.
PART_BYTES = 48 * 2**20
MOST_INITS_AT_ONCE = 96
TRUTH = "truth"


@dataclass(frozen=True, eq=False)
class Case:
    """One initial time's forecast at the last lead, of the first contestant.

    Attributes:
        rmse: area-weighted over the whole grid, units of the variable.
        init: initial time.
        forecast, truth: (H, W).
    """

    rmse: float
    init: np.datetime64
    forecast: Fields
    truth: Fields


@dataclass(frozen=True, eq=False)
class Tally:
    """What is kept of some initial times; those of two sets of them add up to that of both.

    Attributes:
        inits: (n,).
        sums: (F, len(SUMS), n, L, C, R) by forecast, initial time, lead, channel and region.
        squared, error: (F, 2, C, H, W) sums over the initial times at the first and the last lead.
        known: (2, C, H, W) how many have a truth.
        power: (F' + 1, L, C, K) sums of zonal power, of the contestants and of the truth; K is zero
            on grids that do not wrap.
        power_count: (L, C) maps in them.
        best, worst: a case for each channel.
    """

    inits: Times
    sums: Float
    squared: Float
    error: Float
    known: Float
    power: Float
    power_count: Float
    best: tuple[Case | None, ...]
    worst: tuple[Case | None, ...]

    def merged(self, other: Tally) -> Tally:
        """That of both sets, which must be disjoint; initial times in ascending order."""
        inits = np.concatenate([self.inits, other.inits])
        order = np.argsort(inits)
        return Tally(
            inits[order],
            np.concatenate([self.sums, other.sums], axis=2)[:, :, order],
            self.squared + other.squared,
            self.error + other.error,
            self.known + other.known,
            self.power + other.power,
            self.power_count + other.power_count,
            tuple(_chosen(a, b, -1) for a, b in zip(self.best, other.best, strict=True)),
            tuple(_chosen(a, b, 1) for a, b in zip(self.worst, other.worst, strict=True)),
        )


def evaluate(
    plan: Plan,
    crew: Workers | None = None,
    report: Callable[[int, int], None] = lambda _done, _of: None,
) -> Tally:
    """Go through all initial times of a plan.

    Args:
        plan: of `make_plan`.
        crew: each worker takes a stretch of the initial times; this process alone if None.
        report: told how many initial times of how many are done.

    Raises:
        InputError: values that are missing or impossible in forecasts or inputs.
    """
    if crew is None or crew.client is None:
        results: Iterator[Tally] = _evaluate_parts(plan, plan.inits)
    else:
        # A few stretches a worker, so that a slow one does not hold up the rest.
        stretches = np.array_split(plan.inits, min(plan.inits.size, 4 * crew.count))
        results = crew.map(evaluate_stretch, [(plan, stretch) for stretch in stretches])

    def counted() -> Iterator[Tally]:
        done = 0
        for part in results:
            done += part.inits.size
            report(done, plan.inits.size)
            yield part

    return gathered(counted())


def evaluate_stretch(task: tuple[Plan, Times]) -> Tally:
    """What a worker does: some initial times of a plan."""
    # Left to the cluster, chunks of the source would wait for a worker, which waits for them.
    with dask.config.set(scheduler="synchronous"):
        return gathered(_evaluate_parts(*task))


def gathered(parts: Iterable[Tally]) -> Tally:
    """All parts merged, like with like: few are held at a time, and each is copied few times."""
    held: list[Tally] = []
    for part in parts:
        held.append(part)
        while len(held) > 1 and held[-2].inits.size <= held[-1].inits.size:
            later = held.pop()
            held.append(held.pop().merged(later))
    return reduce(Tally.merged, held)


def _evaluate_parts(plan: Plan, inits: Times) -> Iterator[Tally]:
    dataset = plan.open()
    one = 4 * plan.leads.size * len(plan.channels) * int(np.prod(plan.grid.shape))
    size = int(np.clip(PART_BYTES // one, 1, MOST_INITS_AT_ONCE))
    parts = [
        each.parts(dataset, inits, plan.channels, plan.leads, size) for each in plan.contestants
    ]
    truths = _Truth(plan, dataset)
    for start in range(0, inits.size, size):
        here = inits[start : start + size]
        initial, truth = truths(here)
        fields = {each.name: next(part) for each, part in zip(plan.contestants, parts, strict=True)}
        yield tally(plan, here, fields, initial, truth)


class _Truth:
    """Initial states and what followed, the source read once."""

    def __init__(self, plan: Plan, dataset: xr.Dataset) -> None:
        self.leads = plan.leads
        self.times = dataset["time"].values.astype("datetime64[s]")
        self.good = good_times(dataset)
        self.frames = RollingFrames(stack_channels(dataset, plan.channels))

    def __call__(self, inits: Times) -> tuple[Fields, Fields]:
        """(n, C, H, W) at the initial times, (n, L, C, H, W) after them, NaN where not known.

        Where the initial state is not known the truth counts as unknown, too: there is no
        persistence, and all forecasts are scored over the same cells.
        """
        wanted = np.concatenate([inits[:, None], inits[:, None] + self.leads], axis=1)
        place = np.clip(np.searchsorted(self.times, wanted), 0, self.times.size - 1)
        known = (self.times[place] == wanted) & self.good[place]
        needed, inverse = np.unique(place[known], return_inverse=True)
        frames = self.frames(needed)
        fields = np.full((*wanted.shape, *frames.shape[1:]), np.nan, np.float32)
        fields[known] = frames[inverse]
        initial, truth = fields[:, 0], fields[:, 1:]
        truth[np.broadcast_to(np.isnan(initial)[:, None], truth.shape)] = np.nan
        return initial, truth


def tally(
    plan: Plan, inits: Times, fields: dict[str, Fields], initial: Fields, truth: Fields
) -> Tally:
    """The sums of one part.

    Args:
        plan: of it.
        inits: (n,).
        fields: forecasts of each contestant, (n, L, C, H, W).
        initial: (n, C, H, W).
        truth: (n, L, C, H, W), NaN where it is not known.
    """
    count, leads, channels, *shape = truth.shape
    normal = _normal(plan, inits)
    everyone: dict[str, Fields] = dict(fields)
    everyone["persistence"] = np.broadcast_to(initial[:, None], truth.shape)
    if normal is not None:
        everyone["climatology"] = normal
    ends = [0, leads - 1]
    sums = np.empty((len(everyone), len(SUMS), count, leads, channels, len(plan.regions.names)))
    squared = np.zeros((len(everyone), 2, channels, *shape))
    error = np.zeros_like(squared)
    known = np.stack([np.sum(~np.isnan(truth[:, end]), axis=0) for end in ends]).astype(np.float64)
    for number, (name, one) in enumerate(everyone.items()):
        for place, channel in enumerate(plan.channels):
            found = region_sums(
                one[:, :, place].reshape(-1, *shape),
                truth[:, :, place].reshape(-1, *shape),
                None if normal is None else normal[:, :, place].reshape(-1, *shape),
                plan.regions,
                f"{name} of {channel}",
            )
            sums[number, :, :, :, place] = found.reshape(len(SUMS), count, leads, -1)
            for row, end in enumerate(ends):
                apart = np.subtract(one[:, end, place], truth[:, end, place], dtype=np.float64)
                apart[np.isnan(truth[:, end, place])] = 0.0
                error[number, row, place] = apart.sum(axis=0)
                squared[number, row, place] = np.square(apart).sum(axis=0)
    power, power_count = _spectra(plan, list(fields.values()), truth)
    first = next(iter(fields.values()))
    cases = [_cases(inits, first, truth, sums[0], place) for place in range(channels)]
    best, worst = zip(*cases, strict=True)
    return Tally(inits, sums, squared, error, known, power, power_count, best, worst)


def _normal(plan: Plan, inits: Times) -> Fields | None:
    """(n, L, C, H, W) the climatology at the valid times."""
    if plan.climatology is None:
        return None
    valid, inverse = np.unique(inits[:, None] + plan.leads, return_inverse=True)
    frames = evaluate_climatology(plan.climatology, valid)
    fields = stack_channels(frames, plan.channels).to_numpy()
    return np.asarray(fields[inverse.reshape(inits.size, plan.leads.size)])


def _spectra(plan: Plan, fields: list[Fields], truth: Fields) -> tuple[Float, Float]:
    _, leads, channels, _, columns = truth.shape
    waves = columns // 2 + 1 if has_spectra(plan.grid) else 0
    power = np.zeros((len(fields) + 1, leads, channels, waves))
    count = np.zeros((leads, channels))
    if not waves:
        return power, count
    for lead in range(leads):
        for place in range(channels):
            # A map with a gap has no spectrum; then that of the forecast does not count either.
            whole = ~np.isnan(truth[:, lead, place]).any(axis=(1, 2))
            count[lead, place] = whole.sum()
            for row, one in enumerate([*fields, truth]):
                found = zonal_power(one[whole, lead, place], plan.grid)
                power[row, lead, place] = found.sum(axis=0)
    return power, count


def _cases(
    inits: Times, forecast: Fields, truth: Fields, sums: Float, place: int
) -> tuple[Case | None, Case | None]:
    """The best and the worst of a part at the last lead, of those whose truth is known at all."""
    area = sums[SUMS.index("area"), :, -1, place, 0]
    known = np.flatnonzero(area > 0)
    if not known.size:
        return None, None
    rmse = np.sqrt(sums[SUMS.index("squared_error"), known, -1, place, 0] / area[known])

    def case(chosen: int) -> Case:
        here = known[chosen]
        # Copies: a view would hold the whole part.
        return Case(
            float(rmse[chosen]),
            inits[here],
            forecast[here, -1, place].copy(),
            truth[here, -1, place].copy(),
        )

    return case(int(rmse.argmin())), case(int(rmse.argmax()))


def _chosen(one: Case | None, other: Case | None, sign: int) -> Case | None:
    if one is None or other is None:
        return one or other
    # Of equals the earlier one, in whatever order the parts come.
    return min(one, other, key=lambda case: (-sign * case.rmse, case.init))
