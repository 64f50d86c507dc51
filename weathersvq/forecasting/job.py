"""From a checkpoint and a source to labelled forecasts, of one initial time or of years of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.checkpoint import Checkpoint
from weathersvq.data.axes import in_hours
from weathersvq.data.canonical import time_step
from weathersvq.data.channels import available_channels, stack_channels
from weathersvq.data.checks import check_values
from weathersvq.data.rolling import RollingFrames
from weathersvq.data.sources import open_source
from weathersvq.data.windows import parse_step, parse_time
from weathersvq.errors import InputError
from weathersvq.forecasting.inference import (
    Difference,
    Precision,
    differences,
    inference_form,
    parse_precision,
)
from weathersvq.forecasting.labels import forecast_attributes, named_fields
from weathersvq.grid import Grid
from weathersvq.variables import Channel, parse_channels

Times = NDArray[np.datetime64]
Fields = NDArray[np.float32]

# Forecasts that are held together as a part of a long job, at most: as float32, and in batches.
PART_BYTES = 32 * 2**20
PART_BATCHES = 4

# Far more than a year of hourly inits is a slip of the keyboard, not a wish.
MOST_INITS = 100_000


def parse_inits(moments: Sequence[str | date | np.datetime64]) -> Times:
    """Initial times, ascending: each is a time, or text TIME or START/STOP/STEP (STOP included).

    Raises:
        InputError: unreadable times, none at all, or one named twice.
    """
    inits: list[np.datetime64] = []
    for text in moments:
        parts = text.split("/") if isinstance(text, str) else []
        if len(parts) <= 1:
            inits.append(parse_time(text))
        elif len(parts) == 3:
            start, stop, step = parse_time(parts[0]), parse_time(parts[1]), parse_step(parts[2])
            if stop < start:
                raise InputError(f"init {text!r} ends before it starts")
            if (stop - start) // step >= MOST_INITS:
                raise InputError(f"init {text!r} names more than {MOST_INITS} times")
            inits += list(np.arange(start, stop + np.timedelta64(1, "s"), step))
        else:
            raise InputError(f"init {text!r} is neither TIME nor START/STOP/STEP")
    unique, counts = np.unique(np.asarray(inits, dtype="datetime64[s]"), return_counts=True)
    if unique.size == 0:
        raise InputError("no initial time given; name one, such as 2017-01-01")
    if counts.max() > 1:
        raise InputError(f"the initial time {unique[counts.argmax()]} is given twice")
    return unique


def choose_channels(
    checkpoint: Checkpoint, wanted: str | Iterable[str] | None
) -> tuple[Channel, ...]:
    """The model's channels that the user asked for; all of them if nothing was named.

    `t` asks for every level of t that the model has.

    Raises:
        InputError: a variable that is unknown, or that the model does not forecast.
    """
    has = parse_channels(checkpoint.normalization.channels)
    if wanted is None:
        return has
    chosen: list[Channel] = []
    for channel in parse_channels(wanted):
        matches = [c for c in has if c == channel or (not channel.level and c.name == channel.name)]
        if not matches:
            raise InputError(
                f"the model {checkpoint.name} does not forecast {channel}; "
                f"it forecasts {', '.join(map(str, has))}"
            )
        chosen += matches
    return tuple(chosen)


def open_for(checkpoint: Checkpoint, source: str | os.PathLike[str] | xr.Dataset) -> xr.Dataset:
    """A source as a canonical dataset of the model's channels, on its grid if that is global.

    Raises:
        InputError, OSError: see `open_source`.
    """
    grid = checkpoint.field_grid if checkpoint.field_grid.is_global else None
    return open_source(source, parse_channels(checkpoint.normalization.channels), grid=grid)


def check_fit(checkpoint: Checkpoint, dataset: xr.Dataset) -> None:
    """Whether the model can be applied to these data.

    Raises:
        InputError: another grid, another step, or a variable or level that the data lack.
    """
    source = dataset.attrs.get("source_name", "the source")
    grid = Grid.of(dataset)
    if not grid.matches(checkpoint.field_grid):
        raise InputError(
            f"the model {checkpoint.name} was trained on the grid {checkpoint.grid.describe()}, "
            f"but {source} is on {grid.describe()}; use data on the model's grid or train on these"
        )
    step = time_step(dataset)
    if step != checkpoint.step:
        raise InputError(
            f"the model {checkpoint.name} takes steps of {checkpoint.experiment.data.step}, "
            f"but {source} has one of {in_hours(step)}"
        )
    available = available_channels(dataset)
    for channel in parse_channels(checkpoint.normalization.channels):
        if channel not in available:
            raise InputError(
                f"the model {checkpoint.name} needs {channel}, which {source} does not have; "
                f"it has {', '.join(map(str, available))}"
            )


def window_positions(times: Times, wanted: Times, init: np.datetime64) -> NDArray[np.intp]:
    """Positions of one init's input times in the source.

    Raises:
        InputError: times that the source does not have: it says which it covers or lacks.
    """
    first, last = (t.astype("datetime64[m]") for t in (times[0], times[-1]))
    if not times[0] <= init <= times[-1]:
        raise InputError(f"init {init} is not covered by the source, which has {first} to {last}")
    positions = np.clip(np.searchsorted(times, wanted), 0, times.size - 1)
    missing = [str(t.astype("datetime64[m]")) for t in wanted[times[positions] != wanted]]
    if missing:
        some = ", ".join(missing[:3]) + (f" ... {missing[-1]}" if len(missing) > 3 else "")
        raise InputError(
            f"init {init} needs the {wanted.size} times up to it; {len(missing)} of them are not "
            f"in the source ({some}), which has {first} to {last}"
        )
    return positions


def choose_lead_steps(checkpoint: Checkpoint, lead: np.timedelta64 | None) -> tuple[int, ...]:
    """Leads in steps of the data: the trained ones, cut or carried on to `lead`.

    Raises:
        InputError: a lead that is no multiple of the step, or that the offsets can't be carried to.
    """
    offsets, step = checkpoint.experiment.data.offsets, checkpoint.step
    if lead is None:
        return offsets.targets
    hours = lead.astype("timedelta64[s]").astype(int) / 3600
    if lead % step != np.timedelta64(0, "s"):
        raise InputError(
            f"lead {hours:g}h is no multiple of the model's step {checkpoint.experiment.data.step}"
        )
    wanted = int(lead // step)
    if offsets.is_regular:
        return tuple(range(1, wanted + 1))
    kept = tuple(target for target in offsets.targets if target <= wanted)
    if not kept or wanted > offsets.targets[-1]:
        raise InputError(
            f"lead {hours:g}h can't be reached: the model gives leads of "
            f"{', '.join(str(t * step.astype(int) // 3600) + 'h' for t in offsets.targets)} only"
        )
    return kept


@dataclass(frozen=True, eq=False)
class Part:
    """The forecasts of some of a job's inits.

    Attributes:
        forecast: see `forecast`.
        initial: canonical dataset whose times are the inits: the state that they start from.
    """

    forecast: xr.Dataset
    initial: xr.Dataset


class ForecastJob:
    """Forecasts from any number of initial times, looked up before the first one is computed.

    Iterating gives them in parts. The next part's inputs are read in a thread while the present one
    is computed, each chunk of the source once. Held at a time are the chunks that reach from the
    first to the last time of a part, and two parts (inputs, forecasts, truths); beside that an init
    takes the bytes of its input positions.

    Args:
        checkpoint: trained model.
        dataset: canonical dataset that holds the input times.
        inits: (n,) initial times, ascending; the last input of each.
        channels: those wanted; all of the model's if None.
        lead: longest lead; the trained ones if None. Beyond them the model's output is fed back.
        device: `auto`, `cpu` or `cuda`.
        batch_size: inits run together.
        part_size: inits of a part; if None, PART_BATCHES batches, or fewer that fit PART_BYTES.
        precision: `fp32` or `bf16`, see `InferenceForm`.
        compiled: whether torch compiles the model.

    Attributes:
        dataset: as given.
        inits: (n,) initial times.
        leads: (L,) timedelta64.
        channels: of the forecasts.

    Raises:
        InputError: a model and data that do not fit, times that the data lack, no compiler; while
            iterating, values that are missing or impossible.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        dataset: xr.Dataset,
        inits: Times,
        *,
        channels: Sequence[Channel] | None = None,
        lead: np.timedelta64 | None = None,
        device: str = "auto",
        batch_size: int = 16,
        part_size: int | None = None,
        precision: Precision = "fp32",
        compiled: bool = False,
    ) -> None:
        check_fit(checkpoint, dataset)
        self._model_channels = parse_channels(checkpoint.normalization.channels)
        self.channels = self._model_channels if channels is None else tuple(channels)
        steps = choose_lead_steps(checkpoint, lead)
        offsets, step = checkpoint.experiment.data.offsets, checkpoint.step
        self.dataset = dataset
        self.inits = inits
        self.leads = (np.asarray(steps) * step).astype("timedelta64[s]")
        self._times = dataset["time"].values.astype("datetime64[s]")
        input_offsets = np.asarray(offsets.inputs) * step
        # All inits are looked up before the first one is computed: (n, T_in).
        self._inputs = np.stack(
            [window_positions(self._times, init + input_offsets, init) for init in inits]
        )
        self._has_truth = bool(np.isin(inits[:, None] + self.leads, self._times).any())
        self._frames = RollingFrames(stack_channels(dataset, self._model_channels))
        self._area = {name: dataset[name].values for name in ("latitude", "longitude")}
        self._attributes = forecast_attributes(checkpoint, dataset)
        self._checkpoint, self._device = checkpoint, device
        self._count = steps[-1] if offsets.is_regular else len(steps)
        self._form = inference_form(
            checkpoint, self._count, precision=precision, compiled=compiled, device=device
        )
        self.batch_size = batch_size
        init_bytes = 4 * self._count * len(self.channels) * int(np.prod(Grid.of(dataset).shape))
        fitting = PART_BYTES // (init_bytes * batch_size)
        self.part_size = part_size or batch_size * max(1, min(PART_BATCHES, fitting))

    def __iter__(self) -> Iterator[Part]:
        parts = [
            slice(start, start + self.part_size)
            for start in range(0, self.inits.size, self.part_size)
        ]
        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead = reader.submit(self._read, parts[0])
            for part, following in zip(parts, [*parts[1:], None], strict=True):
                inputs, truth = ahead.result()
                if following is not None:
                    ahead = reader.submit(self._read, following)
                yield self._forecast(self.inits[part], inputs, truth)

    def whole(self) -> xr.Dataset:
        """All parts as one dataset in memory, see `forecast`."""
        parts = [part.forecast for part in self]
        return parts[0] if len(parts) == 1 else xr.concat(parts, dim="init_time", join="override")

    def precision_errors(self) -> dict[Channel, Difference]:
        """How far the first batch is from the same forecasts in fp32, by channel."""
        inputs, _ = self._read(slice(self.batch_size))
        full = inference_form(self._checkpoint, self._count, device=self._device)
        apart = differences(self._form, full, inputs)
        by_channel = dict(zip(self._model_channels, apart, strict=True))
        return {channel: by_channel[channel] for channel in self.channels}

    def _read(self, part: slice) -> tuple[Fields, Fields | None]:
        """Inputs (n, T_in, C, H, W), and what followed (n, L, C', H, W), NaN where not known."""
        inputs = self._inputs[part]
        valid = self.inits[part, None] + self.leads
        place = np.clip(np.searchsorted(self._times, valid), 0, self._times.size - 1)
        known = self._times[place] == valid
        wanted = np.concatenate([inputs.ravel(), place[known]])
        needed, inverse = np.unique(wanted, return_inverse=True)
        frames = self._frames(needed)
        self._check(needed, np.unique(inverse[: inputs.size]), frames)
        truth = None
        if self._has_truth:
            index = [self._model_channels.index(channel) for channel in self.channels]
            truth = np.full((*valid.shape, len(index), *frames.shape[2:]), np.nan, np.float32)
            truth[known] = frames[inverse[inputs.size :]][:, index]
        return frames[inverse[: inputs.size].reshape(inputs.shape)], truth

    def _check(self, positions: NDArray[np.intp], used: NDArray[np.intp], frames: Fields) -> None:
        """Whether the frames that are inputs can be what they claim to be."""
        field = xr.DataArray(
            frames[used],
            {"time": self._times[positions[used]], "channel": list(map(str, self._model_channels))},
            ("time", "channel", "latitude", "longitude"),
        )
        check_values(field.to_dataset(dim="channel"), self._model_channels)

    def _forecast(self, inits: Times, inputs: Fields, truth: Fields | None) -> Part:
        """Run the model and label what it gives."""
        predicted = self._form.predict(inputs, self.batch_size)
        if self.channels != self._model_channels:
            index = [self._model_channels.index(channel) for channel in self.channels]
            predicted, inputs = predicted[:, :, index], inputs[:, :, index]
        coordinates = {"init_time": inits, "lead_time": self.leads, **self._area}
        arrays = {"": predicted}
        if truth is not None:
            arrays |= {"_truth": truth, "_error": predicted - truth}
        named = {
            suffix: named_fields(values, self.channels, coordinates, suffix)
            for suffix, values in arrays.items()
        }
        # Each variable with its truth and error, then the next one.
        columns = zip(*(each.items() for each in named.values()), strict=True)
        fields = dict(item for column in columns for item in column)
        initial = named_fields(inputs[:, -1], self.channels, {"time": inits, **self._area})
        return Part(xr.Dataset(fields).assign_attrs(self._attributes), xr.Dataset(initial))


def forecast(
    checkpoint: Checkpoint,
    dataset: xr.Dataset,
    inits: Times,
    *,
    channels: Sequence[Channel] | None = None,
    lead: np.timedelta64 | None = None,
    device: str = "auto",
    batch_size: int = 16,
) -> xr.Dataset:
    """Forecast from each initial time, all in memory; `ForecastJob` gives them in parts.

    Args:
        checkpoint, dataset, inits, channels, lead, device, batch_size: see `ForecastJob`.

    Returns:
        Dataset (init_time, lead_time, [level,] latitude, longitude), float32, physical units; with
        `NAME_truth` and `NAME_error` (forecast minus truth) where the source knows what followed.

    Raises:
        InputError: see `ForecastJob`.
    """
    job = ForecastJob(
        checkpoint, dataset, inits, channels=channels, lead=lead, device=device,
        batch_size=batch_size,
    )  # fmt: skip
    return job.whole()


def make_job(
    checkpoint: Checkpoint,
    inits: Times,
    var: str | Iterable[str] | None = None,
    lead: str | timedelta | np.timedelta64 | int | None = None,
    *,
    source: str | os.PathLike[str] | xr.Dataset = "sample",
    device: str = "auto",
    precision: str = "fp32",
    compiled: bool = False,
) -> ForecastJob:
    """The job that a person's words ask for, not yet begun.

    Raises:
        InputError: see `parse_step`, `parse_precision`, `choose_channels`, `open_for` and
            `ForecastJob`.
    """
    longest = None if lead is None else parse_step(lead)
    reduced = parse_precision(precision)
    channels = choose_channels(checkpoint, var)
    return ForecastJob(
        checkpoint, open_for(checkpoint, source), inits, channels=channels, lead=longest,
        device=device, precision=reduced, compiled=compiled,
    )  # fmt: skip
