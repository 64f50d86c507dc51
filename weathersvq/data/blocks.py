"""Third step of the flow, block by block: read, check, derive, regrid and write a piece of time.

A block is prepared by one function of plain values, `prepare_block`, so that any process on any
machine that sees source and store can do it, twice if need be: its result depends on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.data.checks import describe_problem, judge
from weathersvq.data.derive import derive, needs
from weathersvq.data.patience import retrying
from weathersvq.data.plan import PIECE_BYTES, Plan, open_planned
from weathersvq.data.regrid import Regridder
from weathersvq.data.store import Status, write_block
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.variables import Channel, variable

Fields = dict[str, NDArray[np.float32]]
Flags = dict[str, NDArray[np.int8]]


@dataclass(frozen=True)
class Done:
    """What a block took.

    Attributes:
        block: its number.
        times: of the store that it wrote.
        bytes_read: of the source, as they are in memory.
    """

    block: int
    times: int
    bytes_read: int


@dataclass(frozen=True)
class Opened:
    """A source that stays open in a process from block to block."""

    dataset: xr.Dataset
    times: NDArray[np.datetime64]
    regridder: Regridder | None
    chunk_ends: NDArray[np.intp]


@lru_cache(maxsize=2)
def _opened(key: str) -> Opened:
    plan = _PLANS[key]
    dataset = open_planned(plan)
    source, target = Grid.of(dataset), plan.grid
    fields = [f for f in dataset.data_vars.values() if "time" in f.dims]
    chunks = fields[0].chunks
    lengths = (dataset.sizes["time"],) if chunks is None else chunks[0]
    return Opened(
        dataset[[str(f.name) for f in fields]],
        dataset["time"].values,
        None if source.matches(target) else Regridder(source, target, plan.method),
        np.cumsum(lengths),
    )


# Plans hold dictionaries, which can't be keys of a cache.
_PLANS: dict[str, Plan] = {}


def opened(plan: Plan) -> Opened:
    """The plan's source, opened once a process."""
    key = repr(plan)
    _PLANS[key] = plan
    return _opened(key)


def prepare_block(plan: Plan, folder: str, number: int) -> Done:
    """Prepare one block of the store at `folder` and write it.

    Raises:
        InputError: fields that can't be right, where the plan says `raise`; damaged data.
        OSError: a source that can't be read, a disk that can't be written.
    """
    source = opened(plan)
    block = plan.blocks[number]
    times = plan.times[block]
    fields, flags = _empty(plan, times.size)
    bytes_read = 0
    first_copy, copies = _positions(source.times, times)
    present = np.flatnonzero(first_copy >= 0)
    for name in flags:
        flags[name][first_copy < 0] = Status.ABSENT
    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = None
        pieces = list(_pieces(plan, source, first_copy, present))
        for index, piece in enumerate(pieces):
            ahead = ahead or reader.submit(_read, plan, source, first_copy[piece])
            read = ahead.result()
            following = pieces[index + 1] if index + 1 < len(pieces) else None
            # The next piece is read while this one is worked on.
            ahead = (
                None
                if following is None
                else reader.submit(_read, plan, source, first_copy[following])
            )
            bytes_read += read.nbytes
            _work(plan, source, read, times[piece], piece, fields, flags)
    _flag_unlike_copies(plan, source, copies, fields, flags)
    _apply_policy(plan, fields, flags)
    write_block(Path(folder), block.start, fields, flags)
    return Done(number, times.size, bytes_read)


def _empty(plan: Plan, count: int) -> tuple[Fields, Flags]:
    fields: Fields = {}
    flags: Flags = {}
    for name, levels in plan.fields.items():
        shape = (count, len(levels)) if levels else (count,)
        fields[name] = np.full((*shape, *plan.grid.shape), np.nan, dtype=np.float32)
        flags[name] = np.full(shape, Status.GOOD, dtype=np.int8)
    return fields, flags


def _positions(
    has: NDArray[np.datetime64], wanted: NDArray[np.datetime64]
) -> tuple[NDArray[np.intp], dict[int, NDArray[np.intp]]]:
    """Where each wanted time is in the source, in any order: (n,) first copies, -1 where there is
    none; and, by position in `wanted`, all copies where there are several."""
    order = np.argsort(has, kind="stable")
    left = np.searchsorted(has, wanted, side="left", sorter=order)
    right = np.searchsorted(has, wanted, side="right", sorter=order)
    first = np.where(right > left, order[np.minimum(left, has.size - 1)], -1)
    copies = {int(i): order[left[i] : right[i]] for i in np.flatnonzero(right - left > 1)}
    return first, copies


def _pieces(
    plan: Plan, source: Opened, positions: NDArray[np.intp], present: NDArray[np.intp]
) -> Iterator[NDArray[np.intp]]:
    """Parts of `present`, each about PIECE_BYTES, that don't cut the source's chunks."""
    room = max(1, PIECE_BYTES // plan.bytes_a_time)
    chunk = np.searchsorted(source.chunk_ends, positions[present], side="right")
    piece: list[int] = []
    for group in np.split(present, np.flatnonzero(np.diff(chunk)) + 1):
        if piece and len(piece) + group.size > room:
            yield np.array(piece)
            piece = []
        piece += group.tolist()
    if piece:
        yield np.array(piece)


def _read(plan: Plan, source: Opened, positions: NDArray[np.intp]) -> xr.Dataset:
    """The fields at these positions of the source, in memory."""
    consecutive = positions.size == positions[-1] - positions[0] + 1 and np.all(
        np.diff(positions) == 1
    )
    where = slice(int(positions[0]), int(positions[-1]) + 1) if consecutive else positions
    part = source.dataset.isel(time=where)
    at = f"{plan.source} at {source.times[positions[0]].astype('datetime64[m]')}"

    def load() -> xr.Dataset:
        # Side by side are the workers; within one, Zarr fetches the chunks of a field together.
        return part.compute(scheduler="synchronous")

    if "://" in plan.source:
        return retrying(load, at, plan.network)
    try:
        return load()
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(
            f"{at} can't be read ({' '.join(str(error).split())}); the source seems damaged: fetch "
            "or make it again"
        ) from error


def _work(
    plan: Plan,
    source: Opened,
    read: xr.Dataset,
    times: NDArray[np.datetime64],
    piece: NDArray[np.intp],
    fields: Fields,
    flags: Flags,
) -> None:
    """Check, derive and regrid a piece; the results go to the rows `piece` of the block."""
    read = read.assign_coords(time=times)
    covers_globe = Grid.of(read).is_global
    verdicts: Flags = {}
    for name, field in read.data_vars.items():
        verdicts[str(name)] = judge(
            field.to_numpy(), variable(str(name)), covers_globe=covers_globe
        )
        _refuse_bad(plan, Channel(str(name)), field, verdicts[str(name)])
    whole = derive(read, plan.derived)
    for name in plan.derived:
        field = whole[name]
        verdict = judge(field.to_numpy(), variable(name), covers_globe=covers_globe)
        for ingredient in needs(name, list(verdicts)):
            verdict = _worst(verdict, verdicts[ingredient])
        _refuse_bad(plan, Channel(name), field, verdict)
        verdicts[name] = verdict
    for name in plan.fields:
        values = whole[name].to_numpy()
        maps = values if source.regridder is None else source.regridder(values)
        missing = np.isnan(maps).reshape(*maps.shape[:-2], -1)
        verdict = verdicts[name]
        good = verdict == Status.GOOD
        verdict[good & missing.any(axis=-1)] = Status.INCOMPLETE
        verdict[good & missing.all(axis=-1)] = Status.MISSING
        _refuse_bad(plan, Channel(name), whole[name], verdict)
        fields[name][piece] = maps
        flags[name][piece] = verdict


def _worst(own: NDArray[np.int8], ingredient: NDArray[np.int8]) -> NDArray[np.int8]:
    """What is wrong with an ingredient is wrong with what is made of it."""
    if ingredient.ndim < own.ndim:
        ingredient = np.broadcast_to(ingredient[:, None], own.shape)
    return np.where(ingredient == Status.GOOD, own, ingredient)


def _refuse_bad(
    plan: Plan, channel: Channel, field: xr.DataArray, verdict: NDArray[np.int8]
) -> None:
    """With `raise`, the first field that is not good ends the run."""
    bad = np.argwhere(verdict != Status.GOOD)
    if plan.on_bad != "raise" or not bad.size:
        return
    position = bad[0]
    if verdict.ndim == 2:
        channel = Channel(channel.name, int(field["level"].values[position[1]]))
    time = field["time"].values[position[0]]
    problem = describe_problem(channel, time, Status(int(verdict[tuple(position)])))
    raise InputError(
        f"{plan.source}: {problem}; mend the source, or give --on-bad mask (that field is left "
        "missing) or skip (that time is)"
    )


def _flag_unlike_copies(
    plan: Plan,
    source: Opened,
    copies: dict[int, NDArray[np.intp]],
    fields: Fields,
    flags: Flags,
) -> None:
    """Of a time that the source has several times, unlike fields are not to be trusted."""
    for row, positions in copies.items():
        read = derive(_read(plan, source, np.sort(positions)), plan.derived)
        for name in fields:
            values = read[name].to_numpy()
            alike = (values == values[:1]) | (np.isnan(values) & np.isnan(values[:1]))
            same = alike.all(axis=(0, -2, -1))
            flags[name][row] = np.where(same, flags[name][row], Status.REPEATED)


def _apply_policy(plan: Plan, fields: Fields, flags: Flags) -> None:
    """Masks what is not good; with `skip`, everything at the times where anything is not."""
    if plan.on_bad == "skip":
        bad = np.zeros(next(iter(flags.values())).shape[0], dtype=bool)
        for verdict in flags.values():
            wrong = verdict != Status.GOOD
            bad |= wrong if wrong.ndim == 1 else wrong.any(axis=1)
        for verdict in flags.values():
            rows = verdict[bad]
            verdict[bad] = np.where(rows == Status.GOOD, Status.LEFT_OUT, rows)
    for name, verdict in flags.items():
        kept = (verdict == Status.GOOD) | (verdict == Status.INCOMPLETE)
        fields[name][~kept] = np.nan


def static_maps(plan: Plan) -> Fields:
    """(H, W) maps without time of the plan, on the store's grid.

    Raises:
        InputError: values that are not possible.
    """
    dataset = open_planned(plan)
    source = Grid.of(dataset)
    maps: Fields = {}
    for name in plan.static:
        values = dataset[name].compute(scheduler="synchronous").to_numpy()
        low, high = variable(name).valid_range
        if not (np.nanmin(values) >= low and np.nanmax(values) <= high):
            raise InputError(
                f"{name} in {plan.source} reaches from {np.nanmin(values):g} to "
                f"{np.nanmax(values):g}, but expected is {low:g} to {high:g} "
                f"{variable(name).units}; check its units attribute"
            )
        same = source.matches(plan.grid)
        maps[name] = values if same else Regridder(source, plan.grid, plan.method)(values)
    return maps
