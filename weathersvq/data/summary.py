"""The end of `prepare`: statistics and climatology of the training period, beside the fields.

Both are sums over pieces of the store. The pieces are the same whoever reads them and are merged in
the order of time, so that the result does not depend on the cluster.
"""

from __future__ import annotations

import shutil
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import zarr

from weathersvq.data.climatology import (
    GROUP,
    Sums,
    climatology_sums,
    merge_sums,
    solve_climatology,
)
from weathersvq.data.normalize import (
    STATISTICS,
    Moments,
    merge_moments,
    moments,
    statistics_to_json,
)
from weathersvq.data.plan import Plan
from weathersvq.data.sources import open_canonical
from weathersvq.data.windows import Period
from weathersvq.data.workers import Workers
from weathersvq.errors import InputError
from weathersvq.variables import Channel

HARMONICS = 3
# Tasks for each variable; each holds the sums of its part, and one piece of it at a time.
PARTS = 8
PIECE_BYTES = 64 * 2**20

Positions = tuple[int, int]


def summarize(plan: Plan, folder: Path, workers: Workers) -> None:
    """Write the attribute `statistics` and, where the period covers the year, the climatology.

    Args:
        plan: of the store.
        folder: the store, all blocks finished.
        workers: who does it.
    """
    period = Period.parse(plan.train_period)
    training = period.positions(plan.times)
    ends = np.linspace(training[0], training[-1] + 1, min(PARTS, training.size) + 1)
    parts = [(int(a), int(b)) for a, b in pairwise(ends)]
    statistics: list[Moments] = []
    climatologies: list[Sums] = []
    for name in plan.fields:
        by_part = dict(
            workers.map(partial(_sums_of_part, plan, str(folder.absolute()), name), parts)
        )
        ordered = [by_part[part] for part in parts]
        statistics.append(merge_moments(found for found, _ in ordered))
        climatologies.append(merge_sums(sums for _, sums in ordered))
    group = zarr.open_group(folder, mode="r+", use_consolidated=False)
    group.attrs[STATISTICS] = statistics_to_json(_side_by_side(statistics), period)
    group.attrs["climatology"] = _write_climatology(folder, climatologies)


def _sums_of_part(
    plan: Plan, folder: str, name: str, part: Positions
) -> tuple[Positions, tuple[Moments, Sums]]:
    """Of one variable between two positions in time."""
    levels = plan.fields[name]
    channels = [Channel(name, level) for level in levels or (None,)]
    dataset = open_canonical(folder, channels)
    found: list[tuple[Moments, Sums]] = []
    step = max(1, PIECE_BYTES // (4 * len(channels) * int(np.prod(plan.grid.shape))))
    # Whole chunks, but for the ends.
    step = max(plan.chunk, step - step % plan.chunk)
    for start in range(part[0], part[1], step):
        piece = dataset.isel(time=slice(start, min(start + step, part[1])))
        piece = piece.compute(scheduler="synchronous")
        found.append((moments(piece, channels), climatology_sums(piece, HARMONICS)))
    return part, (merge_moments(m for m, _ in found), merge_sums(s for _, s in found))


def _side_by_side(several: list[Moments]) -> Moments:
    """Statistics of several variables as one."""
    columns = ("count", "mean", "squares", "minimum", "maximum")
    return Moments(
        tuple(name for one in several for name in one.channels),
        *(np.concatenate([getattr(one, column) for one in several]) for column in columns),
    )


def _write_climatology(folder: Path, several: list[Sums]) -> str:
    """Write the group; gives the words on it."""
    shutil.rmtree(folder / GROUP, ignore_errors=True)
    like = open_canonical(folder)
    first = several[0]
    together = Sums(
        first.harmonics,
        first.hours,
        first.first,
        first.last,
        {name: normal for one in several for name, normal in one.normal.items()},
        {name: right for one in several for name, right in one.right.items()},
    )
    try:
        coefficients = solve_climatology(together, like)
    except InputError:
        return "none: the training period does not cover the year"
    coefficients.drop_encoding().to_zarr(
        folder, group=GROUP, mode="w", zarr_format=2, consolidated=False
    )
    return f"by hour of day, {HARMONICS} harmonics a year, fitted on {coefficients.fitted_on}"
