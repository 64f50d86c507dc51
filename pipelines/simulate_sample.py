"""Before the flow: makes the sample climate, nine simulated years on the 5.625 degree grid.

SPEEDY physics (jcm, `pip install weathersvq[simulate]`) at T31 with eight levels, real orography
and sea-surface temperatures that repeat each year, writes two Zarr stores under its own calendar:

    OUT/surface_1h.zarr   hourly t2m, u10, v10, r, tcc
    OUT/levels_6h.zarr    six-hourly r, t, u, v, z at 150, 500 and 850 hPa

The nine years are two independent simulations that meet between training and validation, where no
window may reach across. Each runs in a process of its own, side by side:

    python pipelines/simulate_sample.py --segment training
    python pipelines/simulate_sample.py --segment evaluation

Killed at any moment and started again, each goes on where it was, with the same bytes as an
unbroken run. A short run of its own:

    python pipelines/simulate_sample.py --period 2010-01-01/2010-01-14 --spinup-days 2 \\
        --out runs/trial

The model is in speedy.py, the form of the stores in sample_store.py, beside this file.
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    # One thread a process, as two segments run side by side; said before numpy and XLA count cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault(
        "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    )
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

import argparse
import datetime as dt
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sample_store import (
    DAYS_A_CHUNK,
    ON_LEVELS,
    STORES,
    SURFACE,
    Days,
    create_store,
    write_chunk,
)
from speedy import Climate, Fields, Floats, jcm_version

from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625


@dataclass(frozen=True)
class Segment:
    """One unbroken simulation.

    Attributes:
        name: names the state file.
        period: what is written.
        seed: of the small pressure noise that the air at rest starts with.
        spinup_days: simulated before the period and discarded.
    """

    name: str
    period: Days
    seed: int
    spinup_days: int


SAMPLE_PERIOD = Days.parse("2010-01-01/2018-12-31")
# Other noise and another day of the year to start from: the calendar years 2009 and 2015 are alike,
# and equal starts would give validation the weather of the first training weeks.
SEGMENTS = (
    Segment("training", Days.parse("2010-01-01/2015-12-31"), seed=1, spinup_days=120),
    Segment("evaluation", Days.parse("2016-01-01/2018-12-31"), seed=2, spinup_days=150),
)


def identity(segment: Segment) -> str:
    """What must agree between a state file and the program that goes on from it."""
    return json.dumps(
        {
            "format": 1,
            "jcm": jcm_version(),
            "segment": [segment.name, str(segment.period), segment.seed, segment.spinup_days],
        }
    )


def save_state(path: Path, segment: Segment, climate: Climate, days_done: int) -> None:
    """Write the leaves of the model's state, its clock and the days done; replaces atomically."""
    import jax

    leaves, structure = jax.tree_util.tree_flatten(climate.model.run_state)
    arrays: dict[str, Any] = {f"leaf_{i:04d}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
    digest = hashlib.sha256(str(structure).encode()).hexdigest()
    temporary = path.with_suffix(".tmp")
    with open(temporary, "wb") as file:
        np.savez(
            file,
            identity=np.array(identity(segment)),
            structure=np.array(digest),
            days_done=np.array(days_done),
            **arrays,
        )
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_state(path: Path, segment: Segment, climate: Climate) -> int:
    """Put the saved state into the model; gives the number of days that are written.

    Raises:
        InputError: a state of another run or of another version.
    """
    import jax
    import jax.numpy as jnp

    template, structure = jax.tree_util.tree_flatten(climate.model.run_state)
    with np.load(path, allow_pickle=False) as saved:
        if str(saved["identity"]) != identity(segment):
            raise InputError(
                f"{path} was left by another run ({saved['identity']}); "
                "give another --out or remove it"
            )
        misfit = InputError(f"{path} does not fit the installed jcm; remove it to start afresh")
        if str(saved["structure"]) != hashlib.sha256(str(structure).encode()).hexdigest():
            raise misfit
        leaves = [saved[f"leaf_{i:04d}"] for i in range(len(template))]
        # The kind only: a fresh model's clock is int64 until its first step makes it int32.
        same = all(
            new.shape == np.shape(old) and new.dtype.kind == np.asarray(old).dtype.kind
            for new, old in zip(leaves, template, strict=True)
        )
        if not same:
            raise misfit
        days_done = int(saved["days_done"])
    state = jax.tree_util.tree_unflatten(structure, [jnp.asarray(leaf) for leaf in leaves])
    climate.model.restore_state(state.dynamics, state.physics, time=state.time, step=state.step)
    return days_done


def join(days: Sequence[Fields]) -> Fields:
    """Fields of successive days, one after the other along time."""
    return {name: np.concatenate([day[name] for day in days]) for name in days[0]}


def area_mean(field: Floats) -> float:
    """Mean of (..., 32, 64) over time and the area of the globe."""
    return float(
        np.average(field.mean(axis=-1), axis=-1, weights=GLOBAL_5625.area_weights()).mean()
    )


def simulate(segment: Segment, store_period: Days, folder: Path, console: Console) -> None:
    """Simulate one segment into the stores in `folder`, from wherever it was left.

    Raises:
        InputError: stores or a state that belong to another run.
        FloatingPointError: the simulation has left the finite or the storable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = f"SPEEDY physics, jcm {jcm_version()}, T31L8, regridded conservatively"
    for store in STORES:
        create_store(folder, store, store_period, GLOBAL_5625, source)
    state_path = folder / f"state_{segment.name}.npz"
    climate = Climate(segment.period.start, segment.spinup_days, segment.seed)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if state_path.exists():
        done = load_state(state_path, segment, climate)
        say(f"{segment.name}: goes on after {done} of {segment.period.days} days")
    else:
        say(f"{segment.name}: {segment.spinup_days} days of spin-up")
        started = time.perf_counter()
        climate.spin_up()
        save_state(state_path, segment, climate, 0)
        done = 0
        say(f"{segment.name}: spun up in {time.perf_counter() - started:.0f} s")

    before = (segment.period.first - store_period.first).days
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"{segment.name}, days", total=segment.period.days, completed=done)
        while done < segment.period.days:
            started = time.perf_counter()
            count = min(DAYS_A_CHUNK, segment.period.days - done)
            days = []
            for number in range(done, done + count):
                days.append(climate.day(number))
                progress.advance(bar)
            surface = join([day.surface for day in days])
            on_levels = join([day.on_levels for day in days])
            for store, fields in ((SURFACE, surface), (ON_LEVELS, on_levels)):
                write_chunk(folder, store, (before + done) * store.steps_a_day, fields)
            # Only now: killed in between, the chunk is simulated and written once more, the same.
            save_state(state_path, segment, climate, done + count)
            first = segment.period.first + dt.timedelta(days=done)
            say(
                f"{segment.name} {first} +{count} d: mean t2m {area_mean(surface['t2m']):.2f} K, "
                f"max |u10| {np.abs(surface['u10']).max():.1f} m/s, "
                f"max |u| {np.abs(on_levels['u']).max():.1f} m/s, "
                f"{(time.perf_counter() - started) / count:.2f} s a day, "
                f"{done + count}/{segment.period.days}"
            )
            done += count
    say(f"{segment.name}: complete, {segment.period}")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Simulate the sample climate (needs the extra `simulate`)."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--segment",
        choices=[segment.name for segment in SEGMENTS],
        help=f"one part of the sample, {SAMPLE_PERIOD}; run both, side by side or in turn",
    )
    what.add_argument("--period", metavar="START/STOP", help="days of a run of its own, for trials")
    parser.add_argument("--spinup-days", type=int, help="default: that of the segment, or 120")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/sample"), help="folder (%(default)s)"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    console = Console()
    try:
        if options.spinup_days is not None and options.spinup_days < 1:
            raise InputError(f"--spinup-days {options.spinup_days} is less than 1")
        if options.segment is not None:
            segment = next(s for s in SEGMENTS if s.name == options.segment)
            store_period = SAMPLE_PERIOD
        else:
            segment = Segment("period", Days.parse(options.period), seed=1, spinup_days=120)
            store_period = segment.period
        if options.spinup_days is not None:
            segment = replace(segment, spinup_days=options.spinup_days)
        simulate(segment, store_period, options.out, console)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except (OSError, FloatingPointError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
