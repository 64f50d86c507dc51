"""Beside the flow: what a store, a checkpoint or a forecast holds, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from weathersvq.bundled import bundled_model
from weathersvq.data.axes import in_hours
from weathersvq.data.canonical import time_step
from weathersvq.data.channels import available_channels
from weathersvq.data.frames import is_frame_store, open_frame_store
from weathersvq.data.prepare import completeness
from weathersvq.data.sources import open_canonical
from weathersvq.data.store import read_flags, recipe_of, store_attributes
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.output import read_forecast
from weathersvq.variables import Channel

Row = tuple[str, str]


def describe(name: str) -> list[Row]:
    """(label, value) rows on what `name` stands for.

    Args:
        name: `sample`, `bundled`, a checkpoint, a forecast (.nc, .zarr), or any source.

    Raises:
        InputError: nothing there, or nothing that can be read.
    """
    path = bundled_model() if name == "bundled" else Path(name)
    if path.suffix == ".safetensors":
        return list(_checkpoint(path))
    if is_frame_store(path):
        return list(_frames(path))
    if path.exists():
        try:
            return list(_forecast(read_forecast(path)))
        except InputError:
            pass  # no forecast: data, or nothing that can be read, which open_source explains
    return list(_store(name))


def _frames(path: Path) -> Iterator[Row]:
    frames = open_frame_store(path)
    count, _, height, width = frames.shape
    channels = frames.channels
    yield "kind", "frames"
    yield "source", frames.source
    yield "frames", f"{count:,} of {height} x {width} pixels, {frames.step} apart"
    named = zip(channels.names, channels.units, strict=True)
    yield "channels", ", ".join(f"{name} [{unit}]" for name, unit in named)
    yield "range", f"{channels.low:g} to {channels.high:g}"
    for split in ("train", "validation", "test"):
        lengths = [clip.length for clip in frames.clips if clip.split == split]
        if lengths:
            span = f"{min(lengths)} to {max(lengths)} frames each"
            yield f"clips for {split}", f"{len(lengths):,}, {span}"
    if frames.comment:
        yield "comment", frames.comment


def _store(name: str) -> Iterator[Row]:
    dataset = open_canonical(name)
    times = dataset["time"].values
    step = time_step(dataset)
    yield "kind", "data"
    yield "title", str(dataset.attrs.get("title", ""))
    yield "variables", ", ".join(map(str, available_channels(dataset)))
    yield "grid", Grid.of(dataset).describe()
    yield (
        "times",
        f"{_minute(times[0])} to {_minute(times[-1])}, {times.size} steps of {in_hours(step)}",
    )
    gaps = int(np.sum(np.diff(times) != step))
    yield "gaps", str(gaps)
    yield "size", f"{dataset.nbytes / 2**20:.0f} MiB in memory"
    yield from _attributes(dataset, "source", "comment", "references")
    recipe = recipe_of(Path(name))
    if recipe is not None:
        yield from _prepared(Path(name), recipe, dataset)


def _prepared(folder: Path, recipe: dict[str, Any], dataset: xr.Dataset) -> Iterator[Row]:
    """How a store was made, what of it is good, and what else it carries."""
    yield "prepared from", f"{recipe['source']} by weathersvq {recipe['version']}"
    attributes = store_attributes(folder)
    for label in ("method", "notes"):
        if attributes.get(label):
            yield label, attributes[label]
    flags = read_flags(folder, recipe["fields"])
    levels = {channel: tuple(values) for channel, values in recipe["fields"].items()}
    for channel, counts in completeness(dataset["time"].values, flags, levels).items():
        problems = ", ".join(
            f"{entry['fields']} {status.replace('_', ' ')} (first {entry['first'][:16]})"
            for status, entry in counts.items()
            if status != "good"
        )
        good = counts.get("good", {"fields": 0})["fields"]
        yield f"fields of {channel}", f"{good} good" + (f", {problems}" if problems else "")
    if "statistics" in attributes:
        statistics = json.loads(attributes["statistics"])
        yield "statistics over", statistics["period"]
        for channel, values in statistics["channels"].items():
            units = Channel.parse(channel).variable.units
            yield (
                f"scale of {channel}",
                f"mean {values['mean']:.6g}, standard deviation {values['std']:.6g}, "
                f"{values['minimum']:.6g} to {values['maximum']:.6g}"
                f"{'' if units == '1' else ' ' + units}, unweighted",
            )
    yield "climatology", attributes.get("climatology", "none")


def _forecast(dataset: xr.Dataset) -> Iterator[Row]:
    inits, leads = dataset["init_time"].values, dataset["lead_time"].values
    yield "kind", "forecast"
    yield "title", str(dataset.attrs.get("title", ""))
    yield "variables", ", ".join(map(str, dataset.data_vars))
    yield "grid", Grid.of(dataset).describe()
    yield "inits", f"{inits.size}, {_minute(inits[0])} to {_minute(inits[-1])}"
    yield "leads", f"{leads.size}, {in_hours(leads[0])} to {in_hours(leads[-1])}"
    yield from _attributes(dataset, "source", "history", "comment")


def _checkpoint(path: Path) -> Iterator[Row]:
    # Reading weights needs torch; the other kinds do not.
    from weathersvq.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(path)
    data = checkpoint.experiment.data
    model = checkpoint.experiment.model.model_dump()
    yield "kind", "checkpoint"
    yield "name", checkpoint.experiment.name
    yield "description", checkpoint.experiment.description
    yield "model", ", ".join(f"{key} {value}" for key, value in _flat(model))
    parameters = sum(p.numel() for p in checkpoint.build().parameters())
    yield "parameters", f"{parameters:,}"
    yield "variables", ", ".join(checkpoint.normalization.channels)
    yield "grid", checkpoint.grid.describe()
    yield "inputs", f"{len(data.inputs)} steps of {data.step}, offsets {list(data.inputs)}"
    yield "targets", f"{len(data.targets)} steps of {data.step}, offsets {list(data.targets)}"
    for name, mean, std in zip(
        checkpoint.normalization.channels,
        checkpoint.normalization.mean,
        checkpoint.normalization.std,
        strict=True,
    ):
        yield f"scale of {name}", f"mean {mean:.6g}, standard deviation {std:.6g}"
    for key, value in checkpoint.training_data.items():
        yield f"trained on: {key}", str(value)
    for key, value in checkpoint.scores.items():
        yield f"score: {key}", f"{value:.4g}" if isinstance(value, float) else str(value)
    yield "written by", f"weathersvq {checkpoint.version}"


def _flat(tree: dict[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _attributes(dataset: xr.Dataset, *names: str) -> Iterator[Row]:
    for name in names:
        if dataset.attrs.get(name):
            yield name, str(dataset.attrs[name])


def _minute(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]"))
