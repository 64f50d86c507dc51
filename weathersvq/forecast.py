"""From a checkpoint and a source to a labelled forecast: tensors become xarray again here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from weathersvq import __version__
from weathersvq.batches import normalized, physical
from weathersvq.checkpoint import Checkpoint
from weathersvq.data.axes import in_hours
from weathersvq.data.canonical import load_fields, time_step
from weathersvq.data.channels import available_channels, stack_channels
from weathersvq.data.checks import check_values
from weathersvq.data.windows import parse_step, parse_time
from weathersvq.device import choose_device
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.models.forecaster import rollout
from weathersvq.variables import Channel, parse_channels

Times = NDArray[np.datetime64]

# Far more than a year of hourly inits is a slip of the keyboard, not a wish.
MOST_INITS = 100_000


def parse_inits(texts: Sequence[str]) -> Times:
    """Initial times, ascending: each text is TIME or START/STOP/STEP (STOP included).

    Raises:
        InputError: unreadable times, none at all, or one named twice.
    """
    inits: list[np.datetime64] = []
    for text in texts:
        parts = text.split("/")
        if len(parts) == 1:
            inits.append(parse_time(text))
        elif len(parts) == 3:
            start, stop, step = parse_time(parts[0]), parse_time(parts[1]), parse_step(parts[2])
            if stop < start:
                raise InputError(f"--init {text!r} ends before it starts")
            if (stop - start) // step >= MOST_INITS:
                raise InputError(f"--init {text!r} names more than {MOST_INITS} times")
            inits += list(np.arange(start, stop + np.timedelta64(1, "s"), step))
        else:
            raise InputError(f"--init {text!r} is neither TIME nor START/STOP/STEP")
    unique, counts = np.unique(np.asarray(inits, dtype="datetime64[s]"), return_counts=True)
    if unique.size == 0:
        raise InputError("no initial time given; name one with --init 2017-01-01")
    if counts.max() > 1:
        raise InputError(f"--init names {unique[counts.argmax()]} twice")
    return unique


def choose_channels(checkpoint: Checkpoint, wanted: str | None) -> tuple[Channel, ...]:
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
            f"--lead {hours:g}h is no multiple of the model's step "
            f"{checkpoint.experiment.data.step}"
        )
    wanted = int(lead // step)
    if offsets.is_regular:
        return tuple(range(1, wanted + 1))
    kept = tuple(target for target in offsets.targets if target <= wanted)
    if not kept or wanted > offsets.targets[-1]:
        raise InputError(
            f"--lead {hours:g}h can't be reached: the model gives leads of "
            f"{', '.join(str(t * step.astype(int) // 3600) + 'h' for t in offsets.targets)} only"
        )
    return kept


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
    """Forecast from each initial time.

    Args:
        checkpoint: trained model.
        dataset: canonical dataset that holds the input times.
        inits: (n,) initial times, ascending; the last input of each.
        channels: those wanted; all of the model's if None.
        lead: longest lead; the trained ones if None. Beyond them the model's output is fed back.
        device: `auto`, `cpu` or `cuda`.
        batch_size: inits run together.

    Returns:
        Dataset (init_time, lead_time, [level,] latitude, longitude), float32, physical units; with
        `NAME_truth` and `NAME_error` (forecast minus truth) where the source knows what followed.

    Raises:
        InputError: a model and data that do not fit, times that the data lack, values that are
            missing or impossible.
    """
    check_fit(checkpoint, dataset)
    model_channels = parse_channels(checkpoint.normalization.channels)
    wanted = model_channels if channels is None else tuple(channels)
    steps = choose_lead_steps(checkpoint, lead)
    offsets, step = checkpoint.experiment.data.offsets, checkpoint.step
    times = dataset["time"].values.astype("datetime64[s]")
    input_offsets = np.asarray(offsets.inputs) * step
    # All inits are looked up before the first one is computed.
    positions = [window_positions(times, init + input_offsets, init) for init in inits]

    target = choose_device(device)
    model = checkpoint.build().to(target)
    stacked = stack_channels(dataset, model_channels)
    index = [model_channels.index(channel) for channel in wanted]
    count = steps[-1] if offsets.is_regular else len(steps)
    parts = []
    for start in range(0, len(inits), batch_size):
        chosen = np.stack(positions[start : start + batch_size])
        needed, inverse = np.unique(chosen, return_inverse=True)
        block = load_fields(stacked.isel(time=needed))
        check_values(block.to_dataset(dim="channel"), model_channels)
        values = block.to_numpy()[inverse.reshape(chosen.shape)]
        inputs = normalized(values, checkpoint.normalization).to(target)
        with torch.inference_mode():
            output = rollout(model, inputs, count)
        parts.append(physical(output, checkpoint.normalization)[:, :, index])
    predicted = np.concatenate(parts)  # (init, lead, channel, latitude, longitude)

    leads = (np.asarray(steps) * step).astype("timedelta64[s]")
    truth = _truth(dataset, times, inits, leads, wanted)
    labelled = _label(predicted, truth, wanted, inits, leads, dataset)
    return labelled.assign_attrs(_attributes(checkpoint, dataset))


def _truth(
    dataset: xr.Dataset,
    times: Times,
    inits: Times,
    leads: NDArray[np.timedelta64],
    channels: Sequence[Channel],
) -> NDArray[np.float32] | None:
    """(init, lead, channel, H, W) what followed, NaN where not known; None if nothing is known."""
    valid = inits[:, None] + leads
    place = np.clip(np.searchsorted(times, valid), 0, times.size - 1)
    known = times[place] == valid
    if not known.any():
        return None
    needed, inverse = np.unique(place[known], return_inverse=True)
    values = load_fields(stack_channels(dataset, channels).isel(time=needed)).to_numpy()
    truth = np.full((*valid.shape, *values.shape[1:]), np.nan, np.float32)
    truth[known] = values[inverse]
    return truth


def _label(
    predicted: NDArray[np.float32],
    truth: NDArray[np.float32] | None,
    channels: Sequence[Channel],
    inits: Times,
    leads: NDArray[np.timedelta64],
    dataset: xr.Dataset,
) -> xr.Dataset:
    """Arrays (init, lead, channel, H, W) as named variables, levels of one variable together."""
    coordinates = {
        "init_time": inits,
        "lead_time": leads,
        "latitude": dataset["latitude"],
        "longitude": dataset["longitude"],
    }
    fields: dict[str, xr.DataArray] = {}
    arrays = {"": predicted}
    if truth is not None:
        arrays |= {"_truth": truth, "_error": predicted - truth}
    for name in dict.fromkeys(channel.name for channel in channels):
        members = [i for i, channel in enumerate(channels) if channel.name == name]
        levels = [channels[i].level for i in members]
        for suffix, values in arrays.items():
            dims: tuple[str, ...] = ("init_time", "lead_time", "latitude", "longitude")
            if levels == [None]:
                field = xr.DataArray(values[:, :, members[0]], coordinates, dims)
            else:
                dims = (*dims[:2], "level", *dims[2:])
                field = xr.DataArray(values[:, :, members], {**coordinates, "level": levels}, dims)
            fields[name + suffix] = field
            fields[name + suffix].attrs["units"] = channels[members[0]].variable.units
    return xr.Dataset(fields)


def _attributes(checkpoint: Checkpoint, dataset: xr.Dataset) -> dict[str, str]:
    """Global attributes: where the forecast comes from."""
    source = dataset.attrs
    kind = type(checkpoint.experiment.model).__name__.removesuffix("Config")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    comment = str(source.get("comment", ""))
    trained = checkpoint.training_data
    return {
        "title": f"weathersvq forecast by {checkpoint.experiment.name}",
        "institution": str(source.get("institution", "not known")),
        "source": f"{kind} model {checkpoint.name} (weathersvq {checkpoint.version}), trained on "
        f"{trained.get('title') or trained.get('source')} {trained.get('period')}; "
        f"initial state: {source.get('title') or source.get('source_name')}",
        "history": f"{now}: made by weathersvq {__version__}",
        "references": "Chen et al. (2024), A Differentiable Sparse Vector Quantization (SVQ) for "
        "Spatio-Temporal Forecasting, arXiv:2312.03406v3",
        "comment": comment or "made by a statistical model; no warranty",
        "model": checkpoint.name,
        "simulated": str(source.get("simulated", "false")),
    }
