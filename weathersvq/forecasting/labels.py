"""The last half step of a forecast: arrays become named fields again, with where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq import __version__
from weathersvq.variables import Channel

if TYPE_CHECKING:
    from weathersvq.checkpoint import Checkpoint

AREA = ("latitude", "longitude")


def named_fields(
    values: NDArray[np.float32],
    channels: Sequence[Channel],
    coordinates: Mapping[str, Any],
    suffix: str = "",
) -> dict[str, xr.DataArray]:
    """Arrays of channels as variables, levels of one variable together.

    Args:
        values: (..., C, H, W).
        channels: C of them.
        coordinates: of the first axes, in their order, then of latitude and longitude.
        suffix: of the variables' names.

    Returns:
        By name with suffix, dims (..., [level,] latitude, longitude), with units.
    """
    leading = tuple(name for name in coordinates if name not in AREA)
    fields: dict[str, xr.DataArray] = {}
    for name in dict.fromkeys(channel.name for channel in channels):
        members = [i for i, channel in enumerate(channels) if channel.name == name]
        levels = [channels[i].level for i in members]
        if levels == [None]:
            own = values[..., members[0], :, :]
            field = xr.DataArray(own, coordinates, (*leading, *AREA))
        else:
            own = values[..., members, :, :]
            on_levels = {**coordinates, "level": levels}
            field = xr.DataArray(own, on_levels, (*leading, "level", *AREA))
        field.attrs["units"] = channels[members[0]].variable.units
        fields[name + suffix] = field
    return fields


def forecast_attributes(checkpoint: Checkpoint, dataset: xr.Dataset) -> dict[str, str]:
    """Global attributes of a forecast: where it comes from."""
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
