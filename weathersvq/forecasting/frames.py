"""From a checkpoint and frames to labelled pictures: what `forecast` is for fields, for frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq import __version__
from weathersvq.atomic import atomic_path
from weathersvq.checkpoint import Checkpoint
from weathersvq.config import Split
from weathersvq.errors import InputError, near_misses
from weathersvq.forecasting.inference import inference_form
from weathersvq.series import FrameSeries

SUFFIXES = (".zarr", ".nc")


def parse_windows(texts: Sequence[str], count: int) -> NDArray[np.intp]:
    """Numbers of windows, ascending: each text is N or START/STOP[/STEP] (STOP included).

    Args:
        texts: as given by a user.
        count: windows there are.

    Raises:
        InputError: no numbers, or windows that there are not.
    """
    chosen: list[int] = []
    for text in texts:
        parts = text.split("/")
        try:
            numbers = [int(part) for part in parts]
        except ValueError:
            numbers = []
        if not 1 <= len(numbers) <= 3 or (len(numbers) == 3 and numbers[2] < 1):
            raise InputError(
                f"init {text!r} is not a window's number N or START/STOP/STEP, which frames are "
                "forecast from"
            )
        start, stop, step = [*(numbers * 2)[:2], 1] if len(numbers) < 3 else numbers
        chosen += range(start, stop + 1, step)
    wanted = np.unique(np.asarray(chosen, np.intp))
    if wanted.size == 0 or wanted[0] < 0 or wanted[-1] >= count:
        raise InputError(
            f"init {', '.join(texts)} is not among the {count} windows 0 to {count - 1}"
        )
    return wanted


def open_frame_series(checkpoint: Checkpoint, source: str | None = None) -> FrameSeries:
    """The frames that a model was trained on, or others of the same form.

    Raises:
        InputError: frames of another size or with other channels than the model's.
    """
    config = checkpoint.experiment.data
    if source is not None:
        config = config.model_copy(update={"source": source, "form": None, "options": {}})
    series = FrameSeries(config)  # type: ignore[arg-type]
    for what, own, trained in (
        ("frames of", series.grid.describe(), checkpoint.grid.describe()),
        ("channels", ", ".join(series.channels), ", ".join(checkpoint.normalization.channels)),
    ):
        if own != trained:
            raise InputError(
                f"the model {checkpoint.name} was trained on {what} {trained}, but "
                f"{config.source} has {what} {own}"
            )
    return series


def forecast_frames(
    checkpoint: Checkpoint,
    series: FrameSeries,
    origins: NDArray[np.intp],
    *,
    steps: int | None = None,
    device: str = "auto",
    batch_size: int = 16,
) -> xr.Dataset:
    """Forecast from the windows with these origins.

    Args:
        checkpoint: trained model.
        series: frames of the model's size.
        origins: (n,) position of each window's last input frame.
        steps: frames to forecast; as many as trained if None. Beyond them output is fed back.
        device: `auto`, `cpu` or `cuda`.
        batch_size: windows run together.

    Returns:
        Dataset (window, lead, row, column), each channel under its name with its units, with
        `NAME_truth` and `NAME_error` (forecast minus truth), NaN beyond the end of a clip, and
        `NAME_last_input` (window, row, column).
    """
    frames, offsets = series.frames, series.config.offsets
    count = steps or len(offsets.targets)
    if not offsets.is_regular and count > len(offsets.targets):
        raise InputError(
            f"lead {count} can't be reached: the model gives the frames at {offsets.targets} only"
        )
    leads = np.arange(1, count + 1) if offsets.is_regular else np.asarray(offsets.targets[:count])
    form = inference_form(checkpoint, count, device=device)
    clip_of = np.searchsorted(frames.starts, origins, side="right") - 1
    ends = frames.starts[clip_of] + np.asarray([frames.clips[i].length for i in clip_of])
    predicted = np.empty((origins.size, count, *frames.shape[1:]), np.float32)
    truth = np.full_like(predicted, np.nan)
    last_input = np.empty((origins.size, *frames.shape[1:]), np.float32)
    for start in range(0, origins.size, batch_size):
        part = slice(start, start + batch_size)
        positions = origins[part, None] + np.asarray(offsets.inputs)
        values = frames.read(positions.ravel()).reshape(*positions.shape, *frames.shape[1:])
        last_input[part] = values[:, -1]
        predicted[part] = form.predict(values, batch_size)
        valid = origins[part, None] + leads
        known = valid < ends[part, None]
        truth[part][known] = frames.read(valid[known])
    return _label(predicted, truth, last_input, leads, origins, clip_of, series).assign_attrs(
        title=f"weathersvq forecast of frames by {checkpoint.experiment.name}",
        source=f"model {checkpoint.name} (weathersvq {checkpoint.version}), frames of "
        f"{frames.source}",
        history=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}: made by weathersvq {__version__}",
        model=checkpoint.name,
        step=frames.step,
    )


def frame_forecast(
    checkpoint: Checkpoint,
    windows: Sequence[str],
    lead: object = None,
    *,
    source: str | os.PathLike[str] | xr.Dataset = "sample",
    device: str = "auto",
) -> tuple[xr.Dataset, FrameSeries]:
    """The forecast that a person's words ask for, and the frames that it was made from.

    Args:
        checkpoint: of a model of frames.
        windows: numbers of windows of the test split, see `parse_windows`.
        lead: how many frames; as many as trained if None.
        source: frames; those that the model was trained on if `sample`.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        InputError: see `parse_windows`, `open_frame_series` and `forecast_frames`.
    """
    if lead is not None and not (str(lead).isdecimal() and int(str(lead)) > 0):
        raise InputError(f"lead {str(lead)!r} is not a number of frames above zero")
    if isinstance(source, xr.Dataset):
        raise InputError(f"{checkpoint.name} forecasts frames; give them as a file or a folder")
    series = open_frame_series(checkpoint, None if source == "sample" else os.fspath(source))
    origins = split_origins(series)
    chosen = origins[parse_windows(windows, origins.size)]
    steps = None if lead is None else int(str(lead))
    return forecast_frames(checkpoint, series, chosen, steps=steps, device=device), series


def _label(
    predicted: NDArray[np.float32],
    truth: NDArray[np.float32],
    last_input: NDArray[np.float32],
    leads: NDArray[np.intp],
    origins: NDArray[np.intp],
    clip_of: NDArray[np.intp],
    series: FrameSeries,
) -> xr.Dataset:
    frames = series.frames
    coordinates = {
        "lead": ("lead", leads, {"long_name": f"lead in steps of {frames.step}"}),
        "clip": ("window", np.asarray([frames.clips[i].name for i in clip_of])),
        "last_input": (
            "window",
            origins - frames.starts[clip_of],
            {"long_name": "position in the clip of the last input frame"},
        ),
    }
    dims = ("window", "lead", "row", "column")
    fields: dict[str, tuple[tuple[str, ...], NDArray[np.float32], dict[str, str]]] = {}
    for index, (name, unit) in enumerate(zip(series.channels, series.units, strict=True)):
        for suffix, values in (
            ("", predicted), ("_truth", truth), ("_error", predicted - truth)
        ):  # fmt: skip
            fields[name + suffix] = (dims, values[:, :, index], {"units": unit})
        fields[f"{name}_last_input"] = (
            ("window", "row", "column"), last_input[:, index], {"units": unit}
        )  # fmt: skip
    return xr.Dataset(fields, coordinates)


def check_frame_target(path: Path, overwrite: bool) -> None:
    """Before anything is computed.

    Raises:
        InputError: another suffix, or a file that is there.
    """
    if path.suffix not in SUFFIXES:
        hint = near_misses(path.suffix, SUFFIXES)
        raise InputError(f"--out {path} is neither NAME.zarr nor NAME.nc{hint}")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; add --overwrite to replace it, or name another file")


def write_frames(forecast: xr.Dataset, path: Path, *, overwrite: bool = False) -> Path:
    """Write a forecast of frames as Zarr or NetCDF, whole or not at all.

    Raises:
        InputError: see `check_frame_target`.
    """
    check_frame_target(path, overwrite)
    # One chunk a window: that is how frames are looked at.
    one_window = {name: (1, *field.shape[1:]) for name, field in forecast.data_vars.items()}
    with atomic_path(path) as temporary:
        if path.suffix == ".nc":
            forecast.to_netcdf(
                temporary, engine="netcdf4",
                encoding={name: {"zlib": True, "complevel": 4} for name in forecast.data_vars},
            )  # fmt: skip
        else:
            forecast.to_zarr(
                temporary, mode="w", zarr_format=2, consolidated=True,
                encoding={name: {"chunks": chunks} for name, chunks in one_window.items()},
            )  # fmt: skip
    return path


def split_origins(series: FrameSeries, split: Split = "test") -> NDArray[np.intp]:
    """Origins of all windows of a split, whose numbers a user names them by."""
    return series.windows(split).origins
