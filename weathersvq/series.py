"""What training sees of its data, whatever they are: maps in a row, splits, windows, statistics.

A kind of data is a section of the config and a `Series` here. Nothing above this floor asks which
kind it has.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from weathersvq.batches import Batches, ReadFrames, frame_reader, picture_reader
from weathersvq.checkpoint import model_shape
from weathersvq.config import DataConfig, FrameDataConfig, Split, WindowsConfig
from weathersvq.data.canonical import time_step
from weathersvq.data.normalize import Normalization, fit_normalization
from weathersvq.data.sources import open_source
from weathersvq.data.windows import Windows, clip_windows, find_windows, good_times, parse_step
from weathersvq.errors import InputError
from weathersvq.grid import Grid, PixelGrid
from weathersvq.models.forecaster import Shape

Report = Callable[[int, int], None]


def _silent(_done: int, _of: int) -> None:
    """No report."""


class Series(ABC):
    """Maps of one size in a row, and how they are used.

    Attributes:
        config: the section `data`.
        channels: names, in the model's order.
        units: one a channel.
        grid: where the cells are.
    """

    config: WindowsConfig
    channels: tuple[str, ...]
    units: tuple[str, ...]
    grid: Grid | PixelGrid

    @property
    def shape(self) -> Shape:
        """Sizes that a model gets."""
        return model_shape(self.config, self.grid, len(self.channels))

    @abstractmethod
    def windows(self, split: Split) -> Windows:
        """The windows of one split, thinned as the config says.

        Raises:
            InputError: a split without a single window.
        """

    @abstractmethod
    def fit_normalization(self) -> Normalization:
        """Scales of the channels, from the training split or declared.

        Raises:
            InputError: see `normalize.fit_normalization`.
        """

    @abstractmethod
    def reader(
        self,
        normalization: Normalization,
        first: int,
        last: int,
        scratch: Path | None = None,
        report: Report = _silent,
    ) -> ReadFrames:
        """Access to the normalised maps at positions `first` to `last`; see `frame_reader`."""

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """What identifies the training split: plain data, without where it lies."""

    @abstractmethod
    def labels(self) -> dict[str, str]:
        """Title, period and the like, as they stand in a checkpoint."""

    def identity(self, normalization: Normalization) -> dict[str, Any]:
        """What a model was trained on, for its checkpoint.

        The fingerprint is a SHA-256 of what identifies the training split and of its statistics:
        other data have another one, without every byte being read again. Windows left out are
        counted before thinning (`train_every`).
        """
        windows = self.windows("train")
        identity = {**self.labels(), "windows": int(windows.origins.size)}
        content = {
            **identity,
            **self.content(),
            "mean": normalization.mean,
            "std": normalization.std,
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return {
            "source": self.config.source,
            **identity,
            "units": list(self.units),
            "windows_left_out_for_gaps": windows.across_gaps,
            "windows_left_out_for_flags": windows.flagged,
            "statistics": normalization.origin,
            "fingerprint": digest,
        }

    def batches(
        self,
        normalization: Normalization,
        split: Split,
        batch_size: int,
        *,
        shuffle_seed: int | None = None,
        scratch: Path | None = None,
        report: Report = _silent,
    ) -> Batches:
        """Batches of one split.

        Args:
            normalization: of the training split.
            split: which.
            batch_size: windows a batch.
            shuffle_seed: see `Batches`.
            scratch, report: see `frame_reader`.
        """
        origins, offsets = self.windows(split).origins, self.config.offsets
        first, last = origins[0] + offsets.inputs[0], origins[-1] + offsets.targets[-1]
        return Batches(
            self.reader(normalization, int(first), int(last), scratch, report),
            origins,
            offsets,
            batch_size,
            shuffle_seed,
        )


class FieldSeries(Series):
    """Gridded fields at regular times.

    Args:
        config: section `data`.

    Raises:
        InputError: data with another step or without a variable, see `open_source`.
    """

    config: DataConfig
    grid: Grid

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self.channels = config.channels
        self.units = tuple(channel.variable.units for channel in config.parsed_channels)
        self.dataset: xr.Dataset = open_source(
            config.source, config.parsed_channels, grid=config.target_grid, method=config.regrid
        )
        self.grid = Grid.of(self.dataset)
        step = time_step(self.dataset)
        if step != parse_step(config.step):
            raise InputError(
                f"data.step is {config.step}, but {config.source} has a step of "
                f"{step.astype('timedelta64[s]').astype(int) / 3600:g} h"
            )

    def windows(self, split: Split) -> Windows:
        """Every n-th window without a gap or a flagged time."""
        times, config = self.dataset["time"].values, self.config
        windows = find_windows(
            times,
            parse_step(config.step),
            config.offsets,
            config.period(split),
            config.train_every if split == "train" else config.evaluate_every,
            good_times(self.dataset),
        )
        if windows.origins.size == 0:
            left_out = windows.describe_left_out()
            raise InputError(
                f"data.{split} ({getattr(config, split)}) holds no window of "
                f"{len(config.inputs)} inputs and {len(config.targets)} targets"
                f"{f' (left out: {left_out})' if left_out else ''}; the data reach from "
                f"{times[0].astype('datetime64[h]')} to {times[-1].astype('datetime64[h]')}"
            )
        return windows

    def fit_normalization(self) -> Normalization:
        config = self.config
        return fit_normalization(self.dataset, config.parsed_channels, config.period("train"))

    def reader(
        self,
        normalization: Normalization,
        first: int,
        last: int,
        scratch: Path | None = None,
        report: Report = _silent,
    ) -> ReadFrames:
        return frame_reader(
            self.dataset, normalization, first, last, scratch=scratch, report=report
        )

    @cached_property
    def _training_times(self) -> Any:
        times = self.dataset["time"].values
        return times[self.config.period("train").positions(times)]

    def labels(self) -> dict[str, str]:
        attributes, times = self.dataset.attrs, self._training_times
        return {
            "title": str(attributes.get("title", "")),
            "simulated": str(attributes.get("simulated", "false")),
            "references": str(attributes.get("references", "")),
            "period": self.config.train,
            "first": str(times[0].astype("datetime64[s]")),
            "last": str(times[-1].astype("datetime64[s]")),
        }

    def content(self) -> dict[str, Any]:
        return {
            "source": "",
            "times": int(self._training_times.size),
            "latitude": self.grid.latitude.round(4).tolist(),
            "longitude": self.grid.longitude.round(4).tolist(),
        }


class FrameSeries(Series):
    """Frames of pictures, in clips.

    Args:
        config: section `data`.

    Raises:
        InputError: see `open_frames`.
    """

    config: FrameDataConfig
    grid: PixelGrid

    def __init__(self, config: FrameDataConfig) -> None:
        from weathersvq.data.frames import open_frames

        self.config = config
        self.frames = open_frames(config.source, config.form, **config.options)
        self.channels, self.units = self.frames.channels.names, self.frames.channels.units
        self.grid = PixelGrid(*self.frames.size)

    def windows(self, split: Split) -> Windows:
        """Every n-th window inside the clips of a split, as far apart as the clips say."""
        config, chosen = self.config, self.frames.of_split(split)
        clips = [self.frames.clips[i] for i in chosen]
        windows = clip_windows(
            self.frames.starts[chosen],
            np.asarray([clip.length for clip in clips], np.intp),
            np.asarray([clip.stride for clip in clips], np.intp),
            config.offsets,
            config.train_every if split == "train" else config.evaluate_every,
        )
        if windows.origins.size == 0:
            longest = max((clip.length for clip in clips), default=0)
            needed = config.targets[-1] - config.inputs[0] + 1
            raise InputError(
                f"{config.source} holds no {split} window of {len(config.inputs)} inputs and "
                f"{len(config.targets)} targets: of its {len(clips)} {split} clips the longest has "
                f"{longest} frames, and a window takes {needed}"
            )
        return windows

    def fit_normalization(self) -> Normalization:
        """The declared range becomes 0 to 1, as published; nothing is fitted."""
        channels, count = self.frames.channels, len(self.channels)
        return Normalization(
            self.channels,
            (channels.low,) * count,
            (channels.high - channels.low,) * count,
            origin="declared",
        )

    def reader(
        self,
        normalization: Normalization,
        first: int,
        last: int,
        scratch: Path | None = None,
        report: Report = _silent,
    ) -> ReadFrames:
        """From memory where they fit; else each window is read when it is needed."""
        return picture_reader(self.frames, normalization, first, last, report=report)

    def labels(self) -> dict[str, str]:
        return {"title": self.frames.source, "period": "train", "step": self.frames.step}

    def content(self) -> dict[str, Any]:
        clips = [self.frames.clips[i] for i in self.frames.of_split("train")]
        return {
            "source": "",
            "title": "",
            "clips": [[clip.name, clip.length, clip.stride] for clip in clips],
            "size": list(self.frames.size),
        }


def open_series(config: WindowsConfig) -> Series:
    """The data of a config.

    Raises:
        InputError: nothing there, or data that do not fit the config.
    """
    if isinstance(config, DataConfig):
        return FieldSeries(config)
    if isinstance(config, FrameDataConfig):
        return FrameSeries(config)
    raise TypeError(f"{type(config).__name__} is not a section of data")
