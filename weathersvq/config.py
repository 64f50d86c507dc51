"""Every option of an experiment: YAML in, YAML out, `--set a.b=c` in between.

Sections are frozen and refuse unknown keys. The data and train sections can be checked without
torch; the model section is checked by the model tables, which import it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from weathersvq.data.regrid import METHODS
from weathersvq.data.windows import Offsets, Period, parse_step
from weathersvq.errors import InputError, near_misses
from weathersvq.grid import WEATHERBENCH_GRIDS, Grid
from weathersvq.schema import Section, kind_of
from weathersvq.variables import Channel, parse_channels


def _consecutive_inputs(value: object) -> object:
    return list(range(1 - value, 1)) if isinstance(value, int) else value


def _consecutive_targets(value: object) -> object:
    return list(range(1, value + 1)) if isinstance(value, int) else value


def _period_text(value: object) -> object:
    # YAML reads a bare 2016 as a number and a bare 2016-01-01 as a date.
    return str(value) if isinstance(value, int | date) else value


def _grid_text(value: object) -> object:
    # ... and 5.625 as a number too.
    return str(value) if isinstance(value, float) else value


Split = Literal["train", "validation", "test"]
PeriodText = Annotated[str, BeforeValidator(_period_text)]


class WindowsConfig(Section):
    """What all kinds of data have: a source, and windows that are cut from it."""

    source: str = Field(description="`sample`, a folder, a file, a Zarr store or a URL")
    inputs: Annotated[tuple[int, ...], BeforeValidator(_consecutive_inputs)] = Field(
        description="input offsets in steps, ending at 0; a number n means the last n steps"
    )
    targets: Annotated[tuple[int, ...], BeforeValidator(_consecutive_targets)] = Field(
        description="target offsets in steps, from 1; a number n means the next n steps"
    )
    train_every: int = Field(1, ge=1, description="keep each n-th training window")
    evaluate_every: int = Field(1, ge=1, description="keep each n-th validation and test window")
    selection: Literal["validation", "test"] = Field(
        "validation",
        description="where the best epoch is chosen; `test` repeats the published protocol, "
        "which saw the test period, and is named in every report",
    )

    @property
    def offsets(self) -> Offsets:
        return Offsets(self.inputs, self.targets)

    @model_validator(mode="after")
    def _offsets_fit(self) -> Self:
        _ = self.offsets
        return self


class DataConfig(WindowsConfig):
    """Gridded fields: what is read, and when."""

    kind: Literal["weather"] = "weather"
    channels: tuple[str, ...] = Field(description="variables in the model's order: t2m, r@1000 ...")
    step: str = Field("1h", description="time step of the data")
    train: PeriodText = Field(
        description="training period, START/STOP; statistics are taken from it alone"
    )
    validation: PeriodText = Field(description="period on which the best epoch is chosen")
    test: PeriodText = Field(description="period that is reported")
    grid: Annotated[str, BeforeValidator(_grid_text)] = Field(
        "5.625",
        description="cells of a global source, in degrees: 5.625 (32 x 64), 2.8125 (64 x 128) or "
        "1.40625 (128 x 256); a source on another grid is regridded. Regional data keep their own",
    )
    regrid: str = Field("conservative", description="method for global sources on another grid")

    @field_validator("channels")
    @classmethod
    def _known_channels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        channels = parse_channels(value)
        static = [channel.name for channel in channels if channel.variable.static]
        if static:
            raise ValueError(f"{static[0]} is a map without time, which can't be forecast")
        return tuple(map(str, channels))

    @field_validator("grid")
    @classmethod
    def _known_grid(cls, value: str) -> str:
        if value not in WEATHERBENCH_GRIDS:
            raise ValueError(f"expected one of {', '.join(WEATHERBENCH_GRIDS)} (degrees)")
        return value

    @field_validator("regrid")
    @classmethod
    def _known_method(cls, value: str) -> str:
        if value not in METHODS:
            raise ValueError(f"expected one of {', '.join(METHODS)}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        parse_step(self.step)
        splits = {
            name: Period.parse(getattr(self, name)) for name in ("train", "validation", "test")
        }
        for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
            if splits[first].overlaps(splits[second]):
                raise ValueError(
                    f"the {first} and {second} periods overlap "
                    f"({getattr(self, first)} and {getattr(self, second)})"
                )
        return self

    @property
    def parsed_channels(self) -> tuple[Channel, ...]:
        return parse_channels(self.channels)

    @property
    def target_grid(self) -> Grid:
        """Where global data are taken to."""
        return Grid.equiangular(float(self.grid))

    def period(self, split: Split) -> Period:
        return Period.parse(getattr(self, split))


class FrameDataConfig(WindowsConfig):
    """Frames of pictures: video, traffic on a city's grid, anything in rows and columns."""

    kind: Literal["frames"] = "frames"
    form: str | None = Field(
        None,
        description="how the source is laid out, such as `kth` or `pictures`; found out if not given",
    )
    options: dict[str, Any] = Field(
        {}, description="of that form, such as a layout or a value range"
    )
    step: str = Field("1 frame", description="what lies between two frames, for labels")


class TrainConfig(Section):
    """How weights are found."""

    epochs: int = Field(50, ge=1, description="at most this many passes over the training windows")
    patience: int = Field(10, ge=1, description="epochs without improvement before stopping early")
    batch_size: int = Field(16, ge=1, description="windows at a time, over all processes")
    accumulate: int = Field(
        1, ge=1, description="batches whose gradients are averaged before a step of the optimiser"
    )
    lr: float = Field(1e-3, gt=0, description="highest learning rate")
    schedule: Literal["cosine", "onecycle", "constant"] = Field(
        "cosine", description="course of the learning rate over the whole run"
    )
    warmup_epochs: float = Field(5, ge=0, description="cosine: epochs from warmup_lr up to lr")
    warmup_lr: float = Field(1e-5, ge=0, description="cosine: learning rate of the first step")
    final_lr: float = Field(1e-6, ge=0, description="cosine: learning rate of the last step")
    loss: Literal["mae", "mse", "huber"] = Field("mae", description="of normalised fields")
    noise: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the input values that training multiplies by uniform noise in [-2, 2]",
    )
    gradient_clip: float | None = Field(None, gt=0, description="highest gradient norm")
    precision: Literal["fp32", "tf32", "bf16"] = Field(
        "fp32", description="tf32 is for GPUs, elsewhere as fp32; bf16 runs under autocast"
    )
    compile: bool = Field(
        False,
        description="whether torch compiles the network: a minute or two at the start, for long runs "
        "on a GPU; on a CPU, bf16 is faster without",
    )
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of an average of the weights, which is then kept"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads; all cores if not given")

    @model_validator(mode="after")
    def _warmup_fits(self) -> TrainConfig:
        if self.schedule == "cosine" and self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs ({self.warmup_epochs:g}) must be below epochs ({self.epochs})"
            )
        return self


def _model_section(value: object) -> object:
    # The only import of torch from here, and only where a model section is looked at.
    from weathersvq.models import validate_model_config

    return validate_model_config(value)


def _kind_of_data(value: object) -> str:
    kind = (
        value.get("kind", "weather") if isinstance(value, Mapping) else getattr(value, "kind", "")
    )
    return str(kind)


class Experiment(Section):
    """One training run, whole: what `weathersvq train` reads and what a checkpoint carries."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="names the run's folder and files")
    description: str = Field("", description="one line for reports")
    benchmark: str | None = Field(
        None,
        description="published benchmark whose list of models `--set model=NAME` chooses from",
    )
    seed: int = Field(1, ge=0, description="of weights, order of windows and dropped paths")
    data: Annotated[
        Annotated[DataConfig, Tag("weather")] | Annotated[FrameDataConfig, Tag("frames")],
        Discriminator(
            _kind_of_data,
            custom_error_type="unknown_data",
            custom_error_message="unknown kind of data; known: weather, frames",
        ),
    ] = Field(description="kind: weather (the default) or frames, and its options")
    model: Annotated[Any, BeforeValidator(_model_section)] = Field(
        description="kind: simvp ... and its options"
    )
    train: TrainConfig

    @property
    def fields(self) -> DataConfig:
        """The section `data` of an experiment on gridded fields.

        Raises:
            InputError: an experiment on frames.
        """
        if isinstance(self.data, FrameDataConfig):
            raise InputError(f"{self.name} is about frames; expected gridded fields (data.kind)")
        return self.data

    def to_dict(self) -> dict[str, Any]:
        """Plain data, every default spelt out."""
        return {
            **self.model_dump(mode="json", exclude={"model"}),
            "model": self.model.model_dump(mode="json"),
        }

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)


def _keys_with_lines(node: yaml.Node, path: tuple[str, ...] = ()) -> Iterator[tuple[str, int]]:
    """Every (dotted key path, line from 1) of a YAML document."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield ".".join(inner), key.start_mark.line + 1
            yield from _keys_with_lines(value, inner)


def _set(document: dict[str, Any], assignment: str) -> None:
    """Apply one `--set a.b=c`; the value is read as YAML."""
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise InputError(f"--set {assignment!r} is not of the form section.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {assignment!r}: the value is not readable as YAML") from error
    *sections, key = path.strip().split(".")
    for section in sections:
        inner = document.setdefault(section, {})
        if not isinstance(inner, dict):
            raise InputError(f"--set {assignment!r}: {section} is a value, not a section")
        document = inner
    document[key] = value


def _with_published_model(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its model's name replaced by what its benchmark's list says of it."""
    name, benchmark = document["model"], document.get("benchmark")
    if not isinstance(name, str) or not isinstance(benchmark, str):
        return document
    from weathersvq.models import MODELS
    from weathersvq.models.published import load_benchmark

    models = load_benchmark(benchmark).models
    if name not in models:
        if name in [kind_of(model.Config) for model in MODELS]:
            return document
        raise InputError(
            f"the benchmark {benchmark} has no model {name!r}{near_misses(name, models)}; "
            f"there are {', '.join(models)}"
        )
    entry = models[name]
    train = {**document.get("train", {}), **entry.train}
    return {**document, "model": entry.model.model_dump(mode="json"), "train": train}


def _problems(
    error: ValidationError, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], ErrorDetails]]:
    """Every (key path, problem), also of the sections that the model tables checked themselves."""
    for problem in error.errors():
        inner = problem.get("ctx", {}).get("error")
        # Which of the alternatives was chosen is no part of the key path.
        keys = [str(key) for key in problem["loc"]]
        here = (*path, *(keys[:1] + keys[2:] if keys[:1] == ["data"] and not path else keys))
        if isinstance(inner, ValidationError):
            yield from _problems(inner, here)
        else:
            yield here, problem


def _explain(error: ValidationError, lines: Mapping[str, int], origin: str) -> str:
    """The first problem in one line: file, line, key path, what was expected."""
    problems = list(_problems(error))
    path, first = problems[0]
    name = ".".join(path)
    # A missing key has no line of its own: the nearest section that is there has.
    line = next(
        (
            lines[part]
            for part in (".".join(path[:n]) for n in range(len(path), 0, -1))
            if part in lines
        ),
        None,
    )
    where = origin if line is None else f"{origin}, line {line}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = f"unknown key{near_misses(path[-1], _section_keys(path[:-1]))}"
    elif first["type"] == "missing":
        message = "this key is missing"
    elif not isinstance(first["input"], dict | list | BaseModel):
        message = f"{first['input']!r}: {message[0].lower()}{message[1:]}"
    more = len(problems) - 1
    rest = f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""
    return f"{where}: {name}: {message}{rest}" if name else f"{where}: {message}{rest}"


def _section_keys(path: Sequence[str]) -> list[str]:
    """Known keys of a section, for suggestions; none for sections inside the model."""
    known: dict[str, type[Section]] = {"data": DataConfig, "train": TrainConfig}
    section = Experiment if not path else known.get(path[0])
    return list(section.model_fields) if section else []


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read and check a config.

    Args:
        path: YAML file.
        overrides: `section.key=value` assignments, applied in order.

    Raises:
        InputError: no such file, not YAML, or a key that is unknown, missing or of a wrong type
            (key path and line are named).
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't read the config {str(path)!r}: {error}") from error
    try:
        node = yaml.compose(text)
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{path} is not valid YAML: {problem}") from error
    if not isinstance(document, dict) or node is None:
        raise InputError(f"{path} holds no configuration; expected sections data, model and train")
    document = with_settings(document, overrides)
    return experiment_from_dict(document, dict(_keys_with_lines(node)), str(path))


def with_settings(document: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Plain data of a config, changed by `section.key=value` assignments.

    Raises:
        InputError: an assignment of another form, or a model that its benchmark does not have.
    """
    document = copy.deepcopy(document)
    # A model that is chosen brings its own training settings; single keys come after it.
    for assignment in sorted(assignments, key=lambda each: not each.startswith("model=")):
        _set(document, assignment)
        if assignment.startswith("model="):
            document = _with_published_model(document)
    return document


def experiment_from_dict(
    document: Mapping[str, Any], lines: Mapping[str, int] | None = None, origin: str = "config"
) -> Experiment:
    """Check plain data.

    Raises:
        InputError: see `load_experiment`.
    """
    try:
        return Experiment.model_validate(document)
    except ValidationError as error:
        raise InputError(_explain(error, lines or {}, origin)) from error


def config_differences(before: Any, now: Any, path: str = "") -> list[str]:
    """Where two plain configs differ, as `a.b: 1 -> 2`."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in dict.fromkeys([*before, *now])
            for line in config_differences(
                before.get(key), now.get(key), f"{path}.{key}".lstrip(".")
            )
        ]
    return [] if before == now else [f"{path}: {before} -> {now}"]
