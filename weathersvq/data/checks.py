"""Beside the flow: whether values can be what they claim to be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.data.store import MEANINGS, Status
from weathersvq.errors import InputError
from weathersvq.variables import Channel, Variable, variable


def judge(
    values: NDArray[np.float32], quantity: Variable, *, covers_globe: bool
) -> NDArray[np.int8]:
    """What is wrong with each map: good, missing, constant or out of range.

    A part of a map may be missing here: whether it matters shows after regridding.

    Args:
        values: (..., H, W) in canonical units.
        quantity: whose limits count.
        covers_globe: of the whole globe no quantity has one value everywhere; of a region some may.

    Returns:
        (...) of `Status`.
    """
    maps = values.reshape(-1, values.shape[-2] * values.shape[-1])
    # Minimum and maximum carry NaN along, so that looking for it costs nothing.
    low, high = maps.min(axis=1), maps.max(axis=1)
    flags = np.full(low.shape, Status.GOOD, dtype=np.int8)
    for index in np.flatnonzero(np.isnan(low)):
        valid = maps[index][~np.isnan(maps[index])]
        if valid.size == 0:
            flags[index] = Status.MISSING
        else:
            low[index], high[index] = valid.min(), valid.max()
    lowest, highest = quantity.valid_range
    there = flags == Status.GOOD
    if covers_globe or not quantity.may_be_uniform:
        flags[there & (low == high)] = Status.CONSTANT
    flags[there & ((low < lowest) | (high > highest))] = Status.OUT_OF_RANGE
    return flags.reshape(values.shape[:-2])


def describe_problem(channel: Channel, time: np.datetime64, status: Status) -> str:
    """One line on a field that is not good."""
    text = f"{channel} at {time.astype('datetime64[m]')}: {MEANINGS[status]}"
    if status is Status.OUT_OF_RANGE:
        low, high = channel.variable.valid_range
        text += f" ({low:g} to {high:g} {channel.variable.units})"
    return text


def check_values(dataset: xr.Dataset, channels: Sequence[Channel]) -> None:
    """See that the values of a loaded window can be what they claim to be.

    Args:
        dataset: loaded; a variable a channel, named by it (`t2m`, `r@1000`).
        channels: those to be looked at.

    Raises:
        InputError: a missing or impossible value, with variable, time and value.
    """
    for channel in channels:
        field = dataset[str(channel)]
        values = field.to_numpy()
        quantity = variable(channel.name)
        low, high = quantity.valid_range
        missing = ~np.isfinite(values)
        if missing.any():
            raise InputError(
                f"{channel} has missing values at {_time_of(field, missing)}; "
                "choose another init or fill them"
            )
        outside = (values < low) | (values > high)
        if not outside.any():
            continue
        worst = float(values[outside].flat[0])
        raise InputError(
            f"{channel} is {worst:g} at {_time_of(field, outside)}, but {quantity.long_name} "
            f"lies between {low:g} and {high:g} {quantity.units}; {_hint(values, quantity)}"
        )


def _hint(values: np.ndarray, quantity: Variable) -> str:
    """What the values look like, if not what they should be."""
    if quantity.units == "K" and values.min() > -100 and values.max() < 70:
        return "these look like degrees Celsius: set the units attribute to degC"
    if quantity.units == "1" and values.min() >= -1 and values.max() <= 101:
        return "these look like percent: set the units attribute to %"
    if quantity.units == "%" and values.min() > -3000 and values.max() < 19000:
        return "these look like percent taken for shares of one: set the units attribute to %"
    return "check its units attribute"


def _time_of(field: xr.DataArray, where: np.ndarray) -> str:
    position = int(np.argwhere(where)[0][field.dims.index("time")])
    return str(field["time"].values[position].astype("datetime64[m]"))
