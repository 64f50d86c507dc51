"""Verification, who: trained models and stored forecasts, behind one face."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.bundled import bundled_model
from weathersvq.data.axes import in_hours
from weathersvq.data.windows import Offsets, Period, find_windows, good_times
from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.metrics.tally import field_names, forecast_fields
from weathersvq.output import read_forecast
from weathersvq.variables import Channel, parse_channels, variable
from weathersvq.verification.sums import BASELINES

if TYPE_CHECKING:
    from weathersvq.checkpoint import Checkpoint

Times = NDArray[np.datetime64]
Row = tuple[str, str]

SECOND = np.timedelta64(1, "s")
DAY = np.timedelta64(86400, "s")


class Contestant(ABC):
    """What gives forecasts; small enough to be sent to another process, which opens it itself.

    Attributes:
        name: in tables, distinct.
        path: of its file.
        channels: that it forecasts.
        leads: (L,) timedelta64[s] that it gives.
        grid: of its maps.
    """

    name: str
    path: Path
    channels: tuple[Channel, ...]
    leads: NDArray[np.timedelta64]
    grid: Grid

    @abstractmethod
    def inits(self, dataset: xr.Dataset, period: Period, longest: np.timedelta64) -> Times:
        """Initial times whose whole forecast lies in the period, ascending, datetime64[s].

        Raises:
            InputError: none, or a period that is not covered.
        """

    @abstractmethod
    def parts(
        self, dataset: xr.Dataset, inits: Times, channels: Sequence[Channel],
        leads: NDArray[np.timedelta64], size: int,
    ) -> Iterator[NDArray[np.float32]]:  # fmt: skip
        """Forecasts of `size` inits after the other: (n, L, C, H, W), physical units."""

    @abstractmethod
    def card(self) -> list[Row]:
        """What it is, how it was made and of what, for the model card."""


class Trained(Contestant):
    """A checkpoint, which is run.

    Args:
        path: of the checkpoint.
        lead: longest lead wanted; the trained ones if None.
        name: in tables; the experiment's if None.

    Raises:
        InputError: see `load_checkpoint`; a model of pictures; a lead that can't be reached.
    """

    def __init__(
        self, path: Path, lead: np.timedelta64 | None = None, name: str | None = None
    ) -> None:
        # Only checkpoints need torch.
        from weathersvq.checkpoint import load_checkpoint
        from weathersvq.forecasting.job import choose_lead_steps

        self.path = path
        checkpoint = load_checkpoint(path, weights=False)
        self.grid = checkpoint.field_grid
        self.name = name or checkpoint.experiment.name
        self.channels = parse_channels(checkpoint.normalization.channels)
        self.step = checkpoint.step
        steps = np.asarray(choose_lead_steps(checkpoint, lead))
        self.leads = (steps * self.step).astype("timedelta64[s]")
        self._offsets = checkpoint.experiment.data.offsets
        self.train_period = checkpoint.experiment.fields.period("train")
        self.validation_period = checkpoint.experiment.fields.period("validation")
        self.test_period = checkpoint.experiment.fields.period("test")

    def __getstate__(self) -> dict[str, object]:
        # The weights are read again where they are needed.
        return {key: value for key, value in self.__dict__.items() if key != "checkpoint"}

    @cached_property
    def checkpoint(self) -> Checkpoint:
        from weathersvq.checkpoint import load_checkpoint

        return load_checkpoint(self.path)

    def inits(self, dataset: xr.Dataset, period: Period, longest: np.timedelta64) -> Times:
        from weathersvq.forecasting.job import check_fit

        check_fit(self.checkpoint, dataset)
        offsets = Offsets(self._offsets.inputs, (int(longest // self.step),))
        times = dataset["time"].values
        windows = find_windows(times, self.step, offsets, period, 1, good_times(dataset))
        if windows.origins.size == 0:
            left_out = windows.describe_left_out()
            raise InputError(
                f"the period {period} holds no window of {self.name}, which takes "
                f"{1 - self._offsets.inputs[0]} steps and forecasts {in_hours(longest)}"
                f"{f' (left out: {left_out})' if left_out else ''}; give a longer one"
            )
        return np.asarray(times[windows.origins].astype("datetime64[s]"))

    def parts(
        self, dataset: xr.Dataset, inits: Times, channels: Sequence[Channel],
        leads: NDArray[np.timedelta64], size: int,
    ) -> Iterator[NDArray[np.float32]]:  # fmt: skip
        from weathersvq.forecasting.job import ForecastJob

        # Without what followed: the truth is read once for all.
        job = ForecastJob(
            self.checkpoint, dataset, inits, channels=channels, lead=leads[-1], part_size=size,
        )  # fmt: skip
        for part in job:
            yield stacked(part.forecast, channels, leads)

    def card(self) -> list[Row]:
        checkpoint = self.checkpoint
        experiment, trained = checkpoint.experiment, checkpoint.training_data
        data = experiment.fields
        model = experiment.model.model_dump()
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        parameters = sum(p.numel() for p in checkpoint.build().parameters())
        scores = {k: v for k, v in checkpoint.scores.items() if not k.startswith("test")}
        return [
            ("what it is", experiment.description or f"a {experiment.model.kind} model"),
            ("variables", ", ".join(checkpoint.normalization.channels)),
            ("grid", self.grid.describe()),
            ("inputs", f"{len(data.inputs)} steps of {data.step}"),
            (
                "trained leads",
                f"{len(data.targets)}, up to {data.targets[-1]} steps of {data.step}",
            ),
            ("configuration", "; ".join(f"{key} {value}" for key, value in _flat(model))),
            ("training", "; ".join(f"{k} {v}" for k, v in _flat(experiment.train.model_dump()))),
            ("parameters", f"{parameters:,}"),
            ("trained on", f"{trained.get('title') or trained.get('source')}, {data.train}"),
            ("training windows", str(trained.get("windows", "not known"))),
            ("best epoch chosen on", f"{data.validation} ({trained_choice(scores)})"),
            ("held out for testing", data.test),
            ("seed", str(experiment.seed)),
            ("fingerprint of its training data", str(trained.get("fingerprint", "not known"))),
            ("file", f"{self.path.name}, SHA-256 {digest}"),
            ("written by", f"weathersvq {checkpoint.version}"),
        ]


class Stored(Contestant):
    """Forecasts in a NetCDF file or a Zarr store of ours.

    Args:
        path: of the file.
        lead: longest lead wanted; all if None.
        name: in tables; that of the file if None.

    Raises:
        InputError: see `read_forecast`; units that are not those of the variable.
    """

    def __init__(
        self, path: Path, lead: np.timedelta64 | None = None, name: str | None = None
    ) -> None:
        self.path, self.name = path, name or path.stem
        dataset = read_forecast(path)
        self.grid = Grid.of(dataset)
        self.channels = tuple(Channel(*field) for field in forecast_fields(dataset))
        for field in field_names(dataset):
            given, expected = dataset[field].attrs.get("units"), variable(field).units
            if given is not None and given != expected:
                raise InputError(
                    f"{path} gives {field} in {given!r}, but forecasts are compared in "
                    f"{expected!r}; convert it first"
                )
        leads = dataset["lead_time"].values.astype("timedelta64[s]")
        self.leads = leads if lead is None else leads[leads <= lead]
        if lead is not None and self.leads.size == 0:
            raise InputError(
                f"--lead {in_hours(lead)} is shorter than every lead of {path}, whose first is "
                f"{in_hours(leads[0])}"
            )
        self._attributes = {k: str(v) for k, v in dataset.attrs.items()}
        self._inits = dataset["init_time"].values.astype("datetime64[s]")

    def reach(self, longest: np.timedelta64) -> Period:
        """From the first initial time to the end of the last forecast."""
        return Period(self._inits[0], self._inits[-1] + longest)

    def inits(self, dataset: xr.Dataset, period: Period, longest: np.timedelta64) -> Times:
        first, last = self._inits[0], self._inits[-1]
        spacing = np.median(np.diff(self._inits)) if self._inits.size > 1 else DAY
        room = max(spacing, DAY)
        inside = (self._inits >= period.start) & (self._inits + longest <= period.stop)
        if not inside.any() or period.start + room < first or last + longest + room < period.stop:
            overlap = f"{max(first, period.start)}/{min(last + longest, period.stop)}"
            has = bool(inside.any())
            raise InputError(
                f"the period {period} is not covered by {self.path}, whose {self._inits.size} "
                f"inits reach from {first} to {last}; "
                + (f"they overlap in {overlap}: give --period {overlap}" if has
                   else "no whole forecast of it lies in the period")
            )  # fmt: skip
        chosen = self._inits[inside]
        times = dataset["time"].values.astype("datetime64[s]")
        good = times[good_times(dataset)]
        known = np.isin(chosen, good) & np.isin(chosen + longest, good)
        if not known.any():
            raise InputError(
                f"the source knows neither start nor end of any forecast of {self.path} in {period}"
                f"; it has {times[0]} to {times[-1]}"
            )
        return np.asarray(chosen[known])

    def parts(
        self, dataset: xr.Dataset, inits: Times, channels: Sequence[Channel],
        leads: NDArray[np.timedelta64], size: int,
    ) -> Iterator[NDArray[np.float32]]:  # fmt: skip
        forecast = read_forecast(self.path)
        for start in range(0, inits.size, size):
            part = inits[start : start + size].astype("datetime64[ns]")
            yield stacked(forecast.sel(init_time=part), channels, leads)

    def card(self) -> list[Row]:
        named = ("title", "institution", "source", "history", "references", "comment", "model")
        rows = [(name, self._attributes[name]) for name in named if self._attributes.get(name)]
        inits = f"{self._inits.size}, {self._inits[0]} to {self._inits[-1]}"
        return [
            ("what it is", f"stored forecasts, {self.path.name}"),
            ("variables", ", ".join(map(str, self.channels))),
            ("grid", self.grid.describe()),
            ("inits", inits),
            *rows,
        ]


def open_contestants(
    names: Sequence[str], lead: np.timedelta64 | None = None
) -> tuple[Contestant, ...]:
    """Models and forecasts by their paths; `NAME=PATH` gives one a name of the user's.

    Raises:
        InputError: see `Trained` and `Stored`; a name that a baseline has.
    """
    found: list[Contestant] = []
    for text in names:
        own, equals, rest = text.partition("=")
        path, label = (rest, own) if equals and not Path(text).exists() else (text, None)
        stored = Path(path).suffix in (".nc", ".zarr")
        contestant: Contestant = (
            Stored(Path(path), lead, label)
            if stored
            else Trained(bundled_model() if path == "bundled" else Path(path), lead, label)
        )
        taken = {each.name for each in found}
        if contestant.name in BASELINES:
            raise InputError(f"{text!r} is named like a baseline; give OTHER={path}")
        if contestant.name in taken:
            # Neighbours of equal name are told apart by their folders, or by a number.
            folder = f"{Path(path).absolute().parent.name}/{contestant.name}"
            contestant.name = (
                folder if folder not in taken else f"{contestant.name} ({len(found) + 1})"
            )
        found.append(contestant)
    return tuple(found)


def stacked(
    forecast: xr.Dataset, channels: Sequence[Channel], leads: NDArray[np.timedelta64]
) -> NDArray[np.float32]:
    """(n, L, C, H, W) of a forecast dataset, at some of its leads."""
    place = np.searchsorted(forecast["lead_time"].values.astype("timedelta64[s]"), leads)
    fields = []
    for channel in channels:
        field = forecast[channel.name]
        if channel.level is not None:
            field = field.sel(level=channel.level)
        field = field.transpose("init_time", "lead_time", "latitude", "longitude")
        fields.append(field.isel(lead_time=place).to_numpy().astype(np.float32, copy=False))
    return np.stack(fields, axis=2)


def trained_choice(scores: dict[str, object]) -> str:
    """Such as `epoch 5, validation loss 0.0886`."""
    loss = scores.get("validation_loss")
    known = f", validation loss {loss:.4g}" if isinstance(loss, float) else ""
    return f"epoch {scores.get('best_epoch', 'not known')}{known}"


def _flat(tree: dict[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value
