"""Third step of the flow, before anything is read: what `prepare` shall make, and whether it can.

A person's `Request` and what the source has become a `Plan`: plain values that travel to workers
and say, block by block of time, what is to be read and written. Whatever can be known to be wrong
is found here, before an hour is spent on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator

from weathersvq import __version__
from weathersvq.data.axes import in_hours, name_axes, orient
from weathersvq.data.canonical import select_channels
from weathersvq.data.channels import available_channels
from weathersvq.data.derive import derive, needs
from weathersvq.data.files import open_file, open_zarr
from weathersvq.data.regrid import Method
from weathersvq.data.remote import DEFAULT_NETWORK, Network, resolve
from weathersvq.data.sources import open_canonical, source_variables
from weathersvq.data.store import chunk_steps
from weathersvq.data.windows import Period, parse_step
from weathersvq.errors import InputError
from weathersvq.grid import WEATHERBENCH_GRIDS, Grid
from weathersvq.schema import Section
from weathersvq.variables import Channel, parse_channels, variable

OnBad = Literal["raise", "mask", "skip"]
Times = NDArray[np.datetime64]

# Fields in memory at a time in each worker; twice that while the next piece is being read.
PIECE_BYTES = 64 * 2**20


class Request(Section):
    """What a person asks `prepare` for."""

    source: str = Field(description="anything that open_source reads, or an alias of archives.yaml")
    variables: str | None = Field(
        None, description="such as t2m,uv10,r@1000; all that the source has if not given"
    )
    levels: tuple[int, ...] = Field((), description="hPa, of all variables on levels")
    derive: tuple[str, ...] = Field((), description="variables to compute from others")
    period: str | None = Field(None, description="START/STOP; all times if not given")
    step: str | None = Field(None, description="take every ..., such as 6h; the source's own step")
    grid: str = Field(
        "5.625",
        description="5.625, 2.8125, 1.40625 (degrees), a file on the grid wanted, or source",
    )
    method: Method = "conservative"
    on_bad: OnBad = Field("raise", description="what to do with fields that can't be right")
    train_period: str | None = Field(
        None, description="START/STOP of statistics and climatology; all times if not given"
    )

    @field_validator("levels")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(value)))


@dataclass(frozen=True)
class Plan:
    """What is made, and from what; plain values, so that it can be sent to workers.

    Attributes:
        source: with the address of an alias spelt out.
        reads: channels that are read, levels spelt out.
        derived: names of variables computed from them.
        fields: levels of each variable written; empty for one near the surface.
        comments: on derived variables, how they were.
        static: maps without time that are written.
        first, step, count: the regular time axis.
        latitude, longitude: of the grid written, degrees.
        method: of regridding.
        on_bad: `raise`, `mask` or `skip`.
        chunk: times in a chunk of the store.
        block: times in a block, the unit of work: one chunk, or several where the source's are long.
        train_period: of statistics and climatology.
        attributes: of the source, to be kept.
        notes: what had to be done with the source's times.
        source_grid: where the data come from, in words.
        bytes_a_time: of the fields read, as float32.
        network: how remote sources are read.
    """

    source: str
    reads: tuple[str, ...]
    derived: tuple[str, ...]
    fields: dict[str, tuple[int, ...]]
    comments: dict[str, str]
    static: tuple[str, ...]
    first: str
    step: int
    count: int
    latitude: tuple[float, ...]
    longitude: tuple[float, ...]
    method: Method
    on_bad: OnBad
    chunk: int
    block: int
    train_period: str
    attributes: dict[str, str]
    notes: tuple[str, ...]
    source_grid: str
    bytes_a_time: int
    network: Network

    @cached_property
    def times(self) -> Times:
        """(T,) of the store."""
        first = np.datetime64(self.first, "s")
        return first + np.arange(self.count) * np.timedelta64(self.step, "s")

    @cached_property
    def grid(self) -> Grid:
        return Grid(self.latitude, self.longitude)

    @property
    def blocks(self) -> list[slice]:
        """Of the time axis; each begins with a chunk."""
        return [
            slice(start, min(start + self.block, self.count))
            for start in range(0, self.count, self.block)
        ]

    @property
    def channels(self) -> list[Channel]:
        """Everything written that has times, levels spelt out."""
        return [
            Channel(name, level)
            for name, levels in self.fields.items()
            for level in levels or (None,)
        ]

    @property
    def bytes_to_write(self) -> int:
        """Of all fields as float32; compression makes it a fifth to a half less."""
        return 4 * len(self.channels) * self.count * self.grid.shape[0] * self.grid.shape[1]

    @property
    def worker_bytes(self) -> int:
        """What a worker holds at most: the piece in work, the next one, and the block's maps."""
        pieces = 2 * max(PIECE_BYTES, self.bytes_a_time)
        maps = 4 * self.block * len(self.channels) * self.grid.shape[0] * self.grid.shape[1]
        return pieces + maps

    def describe(self) -> str:
        """What will be done, for people."""
        channels = ", ".join(map(str, self.channels))
        return (
            f"{self.count} times from {self.times[0].astype('datetime64[m]')} to "
            f"{self.times[-1].astype('datetime64[m]')} of {channels}: {self.source_grid} to "
            f"{self.grid.describe()} ({self.method}); {self.bytes_a_time * self.count / 1e9:.2f} GB "
            f"to read, at most {self.bytes_to_write / 1e9:.2f} GB to write, about "
            f"{self.worker_bytes / 2**20:.0f} MiB in memory for each worker"
        )

    def recipe(self) -> dict[str, Any]:
        """All that decides what the store holds; two stores of one recipe are the same."""
        content = asdict(self)
        for name in ("network", "block", "bytes_a_time", "attributes", "notes"):
            del content[name]
        return json.loads(json.dumps(content | {"version": __version__}))


def parse_request(
    *, source: str, levels: str | None, derive: str | None, **others: str | None
) -> Request:
    """A request from the texts of a command line; lists are separated by commas.

    Raises:
        InputError: a value that is none of those possible.
    """
    try:
        parts = [part.strip() for part in (levels or "").split(",") if part.strip()]
        named = [part.strip() for part in (derive or "").split(",") if part.strip()]
        for name in named:
            variable(name)
        return Request.model_validate(
            {"source": source, "levels": parts, "derive": named, **others}
        )
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-").replace("variables", "vars")
        raise InputError(f"{option} {first['input']!r}: {first['msg'].lower()}") from error


def make_plan(request: Request, network: Network = DEFAULT_NETWORK) -> Plan:
    """See what the source has and what of it is wanted.

    Raises:
        InputError: a variable, level or period that the source does not have, a step that does not
            fit, times that are missing, repeated or unsorted (where `on_bad` is `raise`), a target
            grid beyond the data.
        OSError: a source that can't be reached.
    """
    source = resolve(request.source)
    derived = tuple(dict.fromkeys(n for n in request.derive if not variable(n).static))
    dataset, asked = _open_wanted(request, derived, source, network)
    reads = available_channels(
        dataset[[n for n, f in dataset.data_vars.items() if "time" in f.dims]]
    )
    whole = derive(dataset.isel(time=slice(0, 1)), derived)
    fields = {
        name: tuple(int(v) for v in whole[name]["level"].values)
        if "level" in whole[name].dims
        else ()
        for name in dict.fromkeys([*asked, *derived])
        if not variable(name).static
    }
    if not fields:
        raise InputError("only maps without times are asked for; name a variable such as t2m")
    times, source_step, notes = _source_times(dataset, request, source)
    first, step, count = _time_axis(times, source_step, request, source)
    _refuse_gaps(times, first + np.arange(count) * step, request, dataset)
    _refuse_sums(set(fields) - set(derived), step, source_step)
    target = _target_grid(request.grid, dataset)
    chunk = chunk_steps(target, step)
    stored = max(
        field.chunks[field.get_axis_num("time")][0]
        for field in dataset.data_vars.values()
        if field.chunks is not None and "time" in field.dims
    )
    stop = first + (count - 1) * step
    train = Period.parse(request.train_period) if request.train_period else Period(first, stop)
    if train.start > stop or train.stop < first:
        raise InputError(
            f"the period of the statistics, {train}, holds none of the times prepared, "
            f"{first} to {stop}"
        )
    return Plan(
        source=source,
        reads=tuple(map(str, reads)),
        derived=derived,
        fields=fields,
        comments={name: str(whole[name].attrs["comment"]) for name in derived},
        static=tuple(str(n) for n in dataset if "time" not in dataset[n].dims),
        first=str(first),
        step=int(step / np.timedelta64(1, "s")),
        count=count,
        latitude=tuple(target.latitude.tolist()),
        longitude=tuple(target.longitude.tolist()),
        method=request.method,
        on_bad=request.on_bad,
        chunk=chunk,
        # Stored chunks that hold more times than ours are read once only if they are not cut.
        block=chunk * max(1, -(-int(stored * source_step / step) // chunk)),
        train_period=str(train),
        attributes={str(k): str(v) for k, v in dataset.attrs.items() if k not in _OWN_ATTRIBUTES},
        notes=tuple(notes),
        source_grid=Grid.of(dataset).describe(),
        bytes_a_time=4 * len(reads) * int(np.prod(Grid.of(dataset).shape)),
        network=network,
    )


# What the source's dataset says of itself as it is open now.
_OWN_ATTRIBUTES = ("source_name", "grid", "statistics", "regridded")


def open_planned(plan: Plan) -> xr.Dataset:
    """What a plan reads, on the source's own grid, its times in the source's order."""
    channels = parse_channels(plan.reads) + tuple(Channel(name) for name in plan.static)
    return open_canonical(plan.source, channels, ordered=False, network=plan.network)


def _open_wanted(
    request: Request, derived: Sequence[str], source: str, network: Network
) -> tuple[xr.Dataset, list[str]]:
    """What has to be read, levels selected, and the names of it that were asked for."""
    if request.variables is None:
        known = open_canonical(source, None, ordered=False, network=network)
        channels = tuple(Channel(str(n)) for n in known.data_vars if str(n) not in derived)
    else:
        channels = parse_channels(request.variables)
    asked = list(dict.fromkeys(c.name for c in channels))
    asked += [n for n in request.derive if variable(n).static and n not in asked]
    twice = [name for name in derived if name in asked]
    if twice:
        raise InputError(f"{twice[0]} is to be both read and derived; name it in one of the two")
    names = list(asked)
    if derived:
        has = source_variables(source, network)
        names += [n for name in derived for n in needs(name, has)]
    dataset = open_canonical(
        source, [Channel(n) for n in dict.fromkeys(names)], ordered=False, network=network
    )
    levels = sorted({c.level for c in channels if c.level is not None} | set(request.levels))
    if levels:
        # Where a level is asked for of what has none, the selection says so.
        chosen = [c for c in channels if c.level is not None]
        for name, field in dataset.data_vars.items():
            on_levels = "level" in field.dims
            chosen += [Channel(str(name), v) for v in levels] if on_levels else [Channel(str(name))]
        dataset = select_channels(dataset, chosen, source)
    return dataset, asked


def _source_times(
    dataset: xr.Dataset, request: Request, source: str
) -> tuple[Times, np.timedelta64, list[str]]:
    """(sorted times without repetitions, their step, what was wrong with them)."""
    given = dataset["time"].values
    times, counts = np.unique(given, return_counts=True)
    notes = []
    if np.any(np.diff(given) < np.timedelta64(0, "s")):
        notes.append("the times of the source are not in order: they were sorted")
    repeated = times[counts > 1]
    if repeated.size:
        notes.append(
            f"the source has {_listed(repeated)} more than once: equal fields were taken once, "
            "unlike ones flagged as repeated"
        )
    if notes and request.on_bad == "raise":
        raise InputError(
            f"{source}: {notes[0].partition(':')[0]}; mend the source, or give --on-bad mask or skip"
        )
    if times.size < 2:
        raise InputError(f"{source} holds fewer than two times; expected a series")
    return times, np.diff(times).min(), notes


def _listed(times: Times) -> str:
    """The first few of many times."""
    texts = [str(t.astype("datetime64[m]")) for t in times[:3]]
    rest = f" and {times.size - 3} others" if times.size > 3 else ""
    return ", ".join(texts) + rest


def _time_axis(
    times: Times, source_step: np.timedelta64, request: Request, source: str
) -> tuple[np.datetime64, np.timedelta64, int]:
    """(first time, step, number of times) of the store."""
    step = parse_step(request.step) if request.step else source_step
    if step % source_step != np.timedelta64(0, "s"):
        raise InputError(
            f"the step {request.step} is no multiple of the source's, {in_hours(source_step)}"
        )
    has = f"{source} has {times[0].astype('datetime64[h]')} to {times[-1].astype('datetime64[h]')}"
    if request.period is None:
        first, stop = times[0], times[-1]
    else:
        period = Period.parse(request.period)
        inside = period.positions(times)
        if inside.size == 0:
            raise InputError(f"the period {request.period} holds none of the source's times; {has}")
        # The axis goes through the source's own times, back to the beginning of the period.
        first = times[inside[0]]
        first = first - (first - period.start) // step * step
        stop = period.stop
    count = int((stop - first) // step) + 1
    last = first + (count - 1) * step
    if first < times[0] or last > times[-1]:
        raise InputError(f"the period {request.period} reaches beyond the source; {has}")
    if count < 2:
        raise InputError(f"the period {request.period} holds only one time; expected a series")
    odd = times[(times >= first) & (times <= last) & ((times - first) % source_step != 0)]
    if odd.size:
        raise InputError(
            f"the times of {source} are irregular: {_listed(odd)} lie between its steps of "
            f"{in_hours(source_step)}"
        )
    return first, step, count


def _refuse_gaps(times: Times, axis: Times, request: Request, dataset: xr.Dataset) -> None:
    gaps = axis[~np.isin(axis, times)]
    if gaps.size and request.on_bad == "raise":
        years = dataset.attrs.get("missing_years")
        files = f" (there is no file of {years})" if years else ""
        raise InputError(
            f"{dataset.attrs['source_name']} lacks {gaps.size} of the {axis.size} times asked for, "
            f"{_listed(gaps)}{files}; "
            "choose another period, or give --on-bad mask or skip, which flag them"
        )


def _refuse_sums(names: Iterable[str], step: np.timedelta64, source_step: np.timedelta64) -> None:
    """A sum over an hour, taken every six hours, is no sum over six hours."""
    for name in names:
        if step != source_step and "sum" in variable(name).cell_methods:
            raise InputError(
                f"{name} is summed over the source's step of {in_hours(source_step)} and can't be "
                f"taken every {in_hours(step)}; leave it out or keep the step"
            )


def _target_grid(text: str, dataset: xr.Dataset) -> Grid:
    """The grid that a person names."""
    own = Grid.of(dataset)
    if text == "source" or (text in WEATHERBENCH_GRIDS and not own.is_global):
        return own
    if text in WEATHERBENCH_GRIDS:
        return Grid.equiangular(float(text))
    path = Path(text).expanduser()
    if not path.exists():
        raise InputError(
            f"unknown grid {text!r}; expected {', '.join(WEATHERBENCH_GRIDS)} (degrees), `source`, "
            "or a file on the grid wanted"
        )
    like = open_zarr(str(path)) if path.is_dir() else open_file(str(path))[0][0]
    target = Grid.of(orient(name_axes(like, text, time_needed=False), text))
    return target
