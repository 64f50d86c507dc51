"""Fourth step of the flow: statistics of the training split, and the scale of each channel.

Statistics of pieces of a series can be merged, so that many tasks may share the work; the result
depends on the order of merging alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.data.canonical import load_fields, time_step
from weathersvq.data.channels import channel_field
from weathersvq.data.pieces import time_pieces
from weathersvq.data.windows import Period, good_times
from weathersvq.errors import InputError
from weathersvq.variables import Channel

Float = NDArray[np.float64]
Maps = NDArray[np.float32]

# Attribute of a dataset that holds its statistics as JSON.
STATISTICS = "statistics"


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of each channel over all times and cells of the training split.

    Attributes:
        channels: names such as `t2m` or `r@1000`, in the model's order.
        mean, std: one number a channel, in the channel's own units.
        origin: whether they were stored with the data, computed from them, or declared by whoever
            made them; empty where they come from a checkpoint, whose training data say it.
    """

    channels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: Literal["stored", "computed", "declared", ""] = field(
        default="", compare=False, kw_only=True
    )

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.mean) == len(self.std):
            raise InputError("normalisation needs one mean and one std for each channel")
        for name, std in zip(self.channels, self.std, strict=True):
            if not std > 0:
                raise InputError(
                    f"{name} has standard deviation {std:g} over the training period; "
                    "a constant field can't be forecast: leave it out"
                )

    def scale(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(mean, std), each (C, 1, 1), to be applied to arrays (..., C, H, W)."""
        shape = (-1, 1, 1)
        return (
            np.asarray(self.mean, np.float32).reshape(shape),
            np.asarray(self.std, np.float32).reshape(shape),
        )


@dataclass(frozen=True, eq=False)
class Moments:
    """Mergeable statistics of some times: one number a channel, all values alike (unweighted).

    Attributes:
        channels: names such as `t2m` or `r@1000`.
        count: (C,) values.
        mean: (C,); zero where there is no value.
        squares: (C,) sum of the squared deviations from the mean.
        minimum, maximum: (C,); infinite where there is no value.
    """

    channels: tuple[str, ...]
    count: NDArray[np.int64]
    mean: Float
    squares: Float
    minimum: Float
    maximum: Float

    @property
    def std(self) -> Float:
        """(C,) of the population; zero where there is no value."""
        return np.sqrt(self.squares / np.maximum(self.count, 1))

    def select(self, channels: Sequence[str]) -> Moments:
        """Those of some channels, in this order."""
        places = [self.channels.index(name) for name in channels]
        own = [f.name for f in fields(self) if f.name != "channels"]
        return Moments(tuple(channels), *(getattr(self, name)[places] for name in own))


def moments(dataset: xr.Dataset, channels: Sequence[Channel]) -> Moments:
    """Statistics of a piece of a series that fits into memory, in float64.

    A map with any missing value does not count, for its channel.

    Args:
        dataset: canonical dataset, dims (time, [level,] latitude, longitude).
        channels: those wanted.
    """
    return _moments(_load_maps(dataset, channels))


def _load_maps(dataset: xr.Dataset, channels: Sequence[Channel]) -> dict[str, Maps]:
    """(n, H, W) of each channel."""
    return {str(c): load_fields(channel_field(dataset, c)).to_numpy() for c in channels}


def _whole(maps: Maps) -> NDArray[np.bool_]:
    """(n,) which of (n, H, W) have no missing value."""
    return np.asarray(np.isfinite(maps).all(axis=(1, 2)))


def _moments(maps_by_channel: Mapping[str, Maps]) -> Moments:
    rows: list[tuple[int, float, float, float, float]] = []
    for maps in maps_by_channel.values():
        values = maps[_whole(maps)].astype(np.float64)
        if values.size == 0:
            rows.append((0, 0.0, 0.0, np.inf, -np.inf))
            continue
        mean, low, high = float(values.mean()), float(values.min()), float(values.max())
        values -= mean
        rows.append((values.size, mean, float(np.square(values, out=values).sum()), low, high))
    count, *others = zip(*rows, strict=True)
    return Moments(
        tuple(maps_by_channel),
        np.asarray(count, np.int64),
        *(np.asarray(each, np.float64) for each in others),
    )


def merge_moments(parts: Iterable[Moments]) -> Moments:
    """Statistics of all parts together: Chan, Golub, LeVeque (1983), in the order given.

    Raises:
        ValueError: no part, or parts with other channels.
    """
    total: Moments | None = None
    for part in parts:
        total = part if total is None else _merged(total, part)
    if total is None:
        raise ValueError("there are no statistics to merge")
    return total


def _merged(first: Moments, second: Moments) -> Moments:
    if first.channels != second.channels:
        raise ValueError(f"statistics of {first.channels} can't be merged with {second.channels}")
    count = first.count + second.count
    # The share of the second in all; nothing where both are empty.
    share = second.count / np.maximum(count, 1)
    distance = second.mean - first.mean
    return Moments(
        first.channels,
        count,
        # A part without values has the mean zero, which must not count.
        np.where(first.count == 0, second.mean, first.mean + distance * share),
        first.squares + second.squares + np.square(distance) * first.count * share,
        np.minimum(first.minimum, second.minimum),
        np.maximum(first.maximum, second.maximum),
    )


def statistics_to_json(statistics: Moments, period: Period) -> str:
    """The attribute `statistics` of a prepared store; null where a channel has no value."""
    rows = {}
    for place, name in enumerate(statistics.channels):
        empty = statistics.count[place] == 0
        rows[name] = {
            "count": int(statistics.count[place]),
            **{
                key: None if empty else float(getattr(statistics, key)[place])
                for key in ("mean", "std", "minimum", "maximum")
            },
        }
    return json.dumps({"period": str(period), "channels": rows}, allow_nan=False)


def statistics_from_json(text: str) -> tuple[Moments, Period]:
    """Undoes `statistics_to_json`.

    Raises:
        InputError: a text that is no such statistics.
    """
    try:
        content = json.loads(text)
        rows = content["channels"]
        count = np.asarray([row["count"] for row in rows.values()], np.int64)
        empty = count == 0
        mean, std, minimum, maximum = (
            np.asarray([np.nan if row[key] is None else row[key] for row in rows.values()], float)
            for key in ("mean", "std", "minimum", "maximum")
        )
        period = Period.parse(content["period"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"the attribute {STATISTICS} of the data can't be understood ({error!r}); "
            "prepare them again, or remove it"
        ) from error
    return Moments(
        tuple(rows),
        count,
        np.where(empty, 0.0, mean),
        np.where(empty, 0.0, np.square(std) * count),
        np.where(empty, np.inf, minimum),
        np.where(empty, -np.inf, maximum),
    ), period


def fit_normalization(
    dataset: xr.Dataset, channels: Sequence[Channel], period: Period
) -> Normalization:
    """Statistics over `period` (the training split), unweighted over cells, as published.

    Those that a prepared store carries are taken where they are of the same period, else they are
    computed piece by piece. At times that are not usable, a channel counts where its own map is
    whole.

    Raises:
        InputError: no data in the period, a missing value at a usable time, a constant channel.
    """
    names = [str(channel) for channel in channels]
    stored = _stored_moments(dataset, names, period)
    found = _computed_moments(dataset, channels, period) if stored is None else stored
    empty = [name for name, count in zip(names, found.count, strict=True) if count == 0]
    if empty:
        raise InputError(f"{empty[0]} has no whole map in {period} to take statistics from")
    return Normalization(
        found.channels,
        tuple(found.mean.tolist()),
        tuple(found.std.tolist()),
        origin="computed" if stored is None else "stored",
    )


def _stored_moments(dataset: xr.Dataset, names: Sequence[str], period: Period) -> Moments | None:
    """Statistics that came with the data, if they are of these channels, this period and grid."""
    # Only prepared stores know which times are usable, and only theirs is this attribute. What was
    # regridded on the way has other statistics than its source.
    if "usable" not in dataset.coords or "regridded" in dataset.attrs:
        return None
    if STATISTICS not in dataset.attrs:
        return None
    stored, own_period = statistics_from_json(dataset.attrs[STATISTICS])
    if not set(names) <= set(stored.channels):
        return None
    if not period.same_times(own_period, dataset["time"].values[0], time_step(dataset)):
        return None
    return stored.select(names)


def _computed_moments(dataset: xr.Dataset, channels: Sequence[Channel], period: Period) -> Moments:
    times = period.positions(dataset["time"].values)
    if times.size == 0:
        raise InputError(f"the data have no time in {period} to take statistics from")
    training = dataset.isel(time=slice(times[0], times[-1] + 1))

    def parts() -> Iterator[Moments]:
        for piece in time_pieces(training):
            part = training.isel(time=piece)
            maps_by_channel = _load_maps(part, channels)
            for name, maps in maps_by_channel.items():
                missing = good_times(part) & ~_whole(maps)
                if missing.any():
                    when = part["time"].values[missing][0].astype("datetime64[m]")
                    raise InputError(
                        f"{name} has missing values in {period}, first at {when}; fill them, or "
                        "flag them with `weathersvq prepare --on-bad mask`"
                    )
            yield _moments(maps_by_channel)

    return merge_moments(parts())
