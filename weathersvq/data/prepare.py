"""Third step of the flow: from any archive to a store of small maps, ready to train on.

The store is built in a folder of its own beside its target, block by block of time, and moved into
place when it is whole. A run that ended in the middle, however it did, is gone on with by the same
command; the bytes are those of an unbroken run.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from weathersvq import __version__
from weathersvq.atomic import atomic_path
from weathersvq.data.blocks import prepare_block, static_maps
from weathersvq.data.plan import Plan
from weathersvq.data.store import (
    FORM,
    MARK,
    RECIPE,
    Status,
    empty_dataset,
    read_flags,
    recipe_of,
    unfinished,
    write_empty,
    write_static,
)
from weathersvq.data.summary import summarize
from weathersvq.data.workers import Workers
from weathersvq.errors import InputError

PARTIAL = ".partial"


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        times: of the store that are finished, also by earlier runs.
        of: times of the store.
        new_times: finished by this run.
        bytes_read: of the source by this run, as they are in memory.
        stage: what is being done.
    """

    times: int
    of: int
    new_times: int
    bytes_read: int
    stage: str


def partial_path(target: Path) -> Path:
    """Where a store lies until it is whole."""
    return target.with_name(target.name + PARTIAL)


def prepare(
    plan: Plan,
    target: Path,
    workers: Workers,
    *,
    overwrite: bool = False,
    report: Callable[[Progress], None] = lambda _: None,
) -> bool:
    """Make the store that a plan describes, or go on with it.

    Args:
        plan: what is made.
        target: folder of the store, `NAME.zarr`.
        workers: who does it.
        overwrite: replace a store of another recipe; the old one stays until the new is whole.
        report: told after each block.

    Returns:
        Whether anything had to be done.

    Raises:
        InputError: a target of another recipe, one that another run is writing, no room on the
            disk, fields that can't be right (see `plan.on_bad`).
        OSError: faults of disk, network or cluster; what is finished is kept.
    """
    check_store_target(target)
    with _alone(target):
        if _is_there(plan, target, overwrite):
            return False
        folder = partial_path(target)
        if folder.exists() and not _same_recipe(plan, folder, overwrite):
            shutil.rmtree(folder)
        if not folder.exists():
            _check_room(plan, target.parent)
            _create(plan, folder)
        _do_blocks(plan, folder, workers, report)
        report(Progress(plan.count, plan.count, 0, 0, "statistics and climatology"))
        summarize(plan, folder, workers)
        _complete(plan, folder)
        _move_into_place(folder, target)
    return True


def check_store_target(target: Path) -> None:
    """See that `target` can be a store.

    Raises:
        InputError: another suffix than .zarr.
    """
    if target.suffix != ".zarr":
        raise InputError(f"{str(target)!r} is no name for a store; expected NAME.zarr")


def _is_there(plan: Plan, target: Path, overwrite: bool) -> bool:
    """Whether the finished store is there already."""
    if not target.exists():
        return False
    if recipe_of(target) is None and not overwrite:
        raise InputError(
            f"{str(target)!r} exists and is no prepared store; name another, or give --overwrite"
        )
    return recipe_of(target) is not None and _same_recipe(plan, target, overwrite)


def _same_recipe(plan: Plan, folder: Path, overwrite: bool) -> bool:
    """Whether a store was made, or begun, by this plan.

    Raises:
        InputError: by another, which is not to be overwritten; the first differences are shown.
    """
    recipe, wanted = recipe_of(folder) or {}, plan.recipe()
    unlike = [key for key in wanted if recipe.get(key) != wanted[key]]
    if unlike and not overwrite:
        shown = "; ".join(
            f"{key}: {_short(recipe.get(key))} there, {_short(wanted[key])} asked for"
            for key in unlike[:3]
        )
        raise InputError(
            f"{str(folder)!r} was made by another recipe ({shown}); name another store, or give "
            "--overwrite"
        )
    return not unlike


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_room(plan: Plan, parent: Path) -> None:
    parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(parent).free
    if plan.bytes_to_write > free:
        raise InputError(
            f"the store may take {plan.bytes_to_write / 1e9:.1f} GB, but {str(parent)!r} has "
            f"{free / 1e9:.1f} GB left; free some, or prepare fewer variables or a shorter period"
        )


def _create(plan: Plan, folder: Path) -> None:
    """Write the store with nothing in it but what has no times."""
    dataset = empty_dataset(
        plan.fields, plan.static, plan.times, plan.grid, plan.chunk, _attributes(plan),
        plan.comments,
    )  # fmt: skip
    with atomic_path(folder) as fresh:
        write_empty(dataset, fresh)
        write_static(fresh, static_maps(plan))


def _attributes(plan: Plan) -> dict[str, str]:
    """What the store says of itself. No date of today: equal runs give equal bytes."""
    method = "as it is" if plan.source_grid == plan.grid.describe() else plan.method
    kept = {k: v for k, v in plan.attributes.items() if v}
    return {
        **kept,
        "Conventions": "CF-1.8",
        "title": kept.get("title", f"{plan.source}, prepared for weathersvq"),
        "institution": kept.get("institution", "prepared by weathersvq"),
        "source": kept.get("source", plan.source),
        "history": f"prepared by weathersvq {__version__} from {plan.source}",
        "method": f"{method}, from {plan.source_grid} to {plan.grid.describe()}",
        "period": f"{plan.times[0]}/{plan.times[-1]}",
        "notes": "; ".join(plan.notes),
        MARK: FORM,
        RECIPE: json.dumps(plan.recipe(), sort_keys=True),
    }


def _do_blocks(
    plan: Plan, folder: Path, workers: Workers, report: Callable[[Progress], None]
) -> None:
    blocks = plan.blocks
    todo = unfinished(read_flags(folder, plan.fields), blocks)
    finished = plan.count - sum(blocks[n].stop - blocks[n].start for n in todo)
    new, read = 0, 0
    report(Progress(finished, plan.count, 0, 0, "reading"))
    work = partial(prepare_block, _anywhere(plan), str(folder.absolute()))
    for done in workers.map(work, todo):
        new, read = new + done.times, read + done.bytes_read
        report(Progress(finished + new, plan.count, new, read, "reading"))


def _anywhere(plan: Plan) -> Plan:
    """The plan with an absolute path: workers may have been started in another folder."""
    if plan.source == "sample" or "://" in plan.source:
        return plan
    return replace(plan, source=str(Path(plan.source).expanduser().absolute()))


def _complete(plan: Plan, folder: Path) -> None:
    """Write the record of what is in the store, and its metadata in one piece."""
    # Zarr writes each chunk beside its place first; a run that was killed leaves such files.
    for leftover in folder.rglob("*.partial"):
        leftover.unlink()
    flags = read_flags(folder, plan.fields)
    record = completeness(plan.times, flags, plan.fields)
    group = zarr.open_group(folder, mode="r+", use_consolidated=False)
    group.attrs["completeness"] = json.dumps(record, sort_keys=True)
    zarr.consolidate_metadata(folder, zarr_format=2)


def completeness(
    times: NDArray[np.datetime64],
    flags: Mapping[str, NDArray[np.int8]],
    levels: Mapping[str, tuple[int, ...]],
) -> dict[str, dict[str, Any]]:
    """For each channel how many fields there are of each status, and the first time of each.

    Args:
        times: (T,) of the store.
        flags: (T, [level]) of each variable.
        levels: of each variable, hPa.
    """
    record: dict[str, dict[str, Any]] = {}
    for name, values in flags.items():
        columns = values.reshape(values.shape[0], -1).T
        for level, column in zip(levels[name] or (None,), columns, strict=True):
            channel = name if level is None else f"{name}@{level}"
            record[channel] = {
                status.name.lower(): {
                    "fields": int((column == status).sum()),
                    "first": str(times[np.argmax(column == status)]),
                }
                for status in Status
                if (column == status).any()
            }
    return record


def _move_into_place(folder: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.old")
    if old.exists():
        shutil.rmtree(old)
    if target.exists():
        os.rename(target, old)
    os.rename(folder, target)
    if old.exists():
        shutil.rmtree(old)


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Holds the target against other runs; the hold ends with the process, however it ends.

    Raises:
        InputError: another run holds it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(f".{target.name}.lock")
    with lock.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A run that has just ended removed its file: then the hold would be on none.
            held = lock.exists() and lock.stat().st_ino == os.fstat(stream.fileno()).st_ino
        except BlockingIOError:
            held = False
        if not held:
            stream.seek(0)
            raise InputError(
                f"another run (process {stream.read().strip() or 'unknown'}) is writing "
                f"{str(target)!r}; wait for it, or name another store"
            )
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
