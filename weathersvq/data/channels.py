"""Between prepare and windows: one channel of a canonical dataset, or several stacked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from weathersvq.errors import InputError
from weathersvq.variables import Channel


def channel_field(dataset: xr.Dataset, channel: Channel) -> xr.DataArray:
    """The (time, latitude, longitude) field of one channel, lazy if the dataset is.

    Raises:
        InputError: a variable or level that the dataset does not have.
    """
    if channel.name not in dataset.data_vars:
        raise InputError(
            f"the data have no variable {channel.name}; they have "
            f"{', '.join(map(str, available_channels(dataset)))}"
        )
    field = dataset[channel.name]
    if "level" in field.dims:
        levels = field["level"].values.tolist()
        if channel.level is None:
            if len(levels) > 1:
                raise InputError(
                    f"{channel.name} is on the levels {levels} hPa; name one, as in "
                    f"{channel.name}@{levels[-1]}"
                )
            field = field.isel(level=0, drop=True)
        elif channel.level not in levels:
            raise InputError(f"{channel} is not in the data; {channel.name} is on {levels} hPa")
        else:
            field = field.sel(level=channel.level, drop=True)
    elif channel.level is not None:
        raise InputError(f"{channel.name} has no level axis in the data; name it without @")
    return field.transpose("time", "latitude", "longitude")


def stack_channels(dataset: xr.Dataset, channels: Sequence[Channel]) -> xr.DataArray:
    """The channels as one (time, channel, latitude, longitude) float32 array, lazy if it was.

    Raises:
        InputError: see `channel_field`.
    """
    fields = [channel_field(dataset, channel).astype(np.float32) for channel in channels]
    stacked = xr.concat(
        fields, dim="channel", coords="minimal", compat="override", combine_attrs="drop"
    )
    return stacked.assign_coords(channel=[str(c) for c in channels]).transpose(
        "time", "channel", "latitude", "longitude"
    )


def available_channels(dataset: xr.Dataset) -> tuple[Channel, ...]:
    """Every channel that the dataset holds, levels spelt out."""
    found: list[Channel] = []
    for name, field in dataset.data_vars.items():
        if "level" in field.dims:
            found += [Channel(str(name), int(level)) for level in field["level"].values]
        else:
            found.append(Channel(str(name)))
    return tuple(found)
