"""Experiments as data: a base config, and the axes along which it varies."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import Field, ValidationError

from weathersvq.config import Experiment, load_experiment
from weathersvq.errors import InputError, near_misses
from weathersvq.schema import Section

Scale = Literal["full", "small", "smoke"]
# What can be shown of runs (`views`), or without any.
View = Literal[
    "errors", "frames", "usage", "kurtosis", "by_size", "curves", "embedding", "weights",
    "density", "latents", "error_maps", "strips", "settings", "quantizers", "sizes", "covering",
]  # fmt: skip
# Axis: value: keys of the config that it changes.
Axes = dict[str, dict[str, dict[str, Any]]]
SCALES: tuple[Scale, ...] = get_args(Scale)


class ScaleConfig(Section):
    """How large the runs of a study are."""

    base: str = Field(description="config that all runs start from, a path from the root")
    change: dict[str, Any] = Field({}, description="keys of it that are other here: train.epochs")
    axes: Axes = Field({}, description="what values of axes change at this scale, beside the rest")
    seeds: int = Field(1, ge=1, description="runs of each experiment")


class PaperRows(Section):
    """Where the paper's own figures are in paper.csv."""

    table: str = Field(description="its number")
    dataset: str = Field("", description="such as WeatherBench-S")
    variable: str = Field("", description="such as t2m")


class PaperName(Section):
    """What paper.csv calls an axis's value: a model, or a part of a setting."""

    model: str = Field("", description="column model")
    setting: str = Field("", description="part of the column setting")


class StudyConfig(Section):
    """Runs on the same data, compared with each other."""

    paper: PaperRows | None = Field(None, description="the paper's rows that it stands beside")
    scales: dict[Scale, ScaleConfig] = Field(description="by name")
    axes: Axes = Field({}, description="axis: value: keys of the config that it changes")
    against: tuple[dict[str, str], ...] = Field(
        (), description="each: the values of axes that others are compared with, seed by seed"
    )
    names: dict[str, dict[str, PaperName]] = Field(
        {}, description="axis: value: what it is called in paper.csv, if not as here"
    )


class TableConfig(Section):
    """A table or figure of the paper, or a study of our own."""

    title: str = Field(description="what it shows")
    question: str = Field("", description="what its runs are to answer")
    differs: str = Field("", description="why ours can't be set beside the paper's, where it can't")
    views: tuple[View, ...] = Field(("errors",), description="what is shown of the runs, in order")
    runs_of: str | None = Field(None, description="another table, whose studies are taken")
    of: tuple[str, ...] = Field((), description="studies of it that are taken, if not all")
    only: dict[str, tuple[str, ...]] = Field({}, description="axis: the values that are taken")
    studies: dict[str, StudyConfig] = Field({}, description="by the name of their data")

    def has(self, scale: Scale) -> bool:
        """Whether it can be had at a scale: a study has it, or there is nothing to run."""
        return not self.studies or any(scale in each.scales for each in self.studies.values())


@dataclass(frozen=True)
class Run:
    """One training of one experiment.

    Attributes:
        study: that asks for it.
        values: the axes' values, by axis.
        seed: of the run.
        experiment: resolved; its name is the run's identity.
    """

    study: str
    values: Mapping[str, str]
    seed: int
    experiment: Experiment

    @property
    def folder_name(self) -> str:
        """The same for the same experiment, whatever table asks for it."""
        return self.experiment.name


def parse_scale(text: str) -> Scale:
    """A scale by its name.

    Raises:
        InputError: none of that name.
    """
    for scale in SCALES:
        if scale == text:
            return scale
    raise InputError(f"no scale {text!r}{near_misses(text, SCALES)}; known: {', '.join(SCALES)}")


def table_names(folder: Path) -> tuple[str, ...]:
    """The tables that are described in a folder.

    Raises:
        InputError: no such folder.
    """
    if not folder.is_dir():
        raise InputError(
            f"no folder {str(folder)!r} with tables; run from the project's root or name it with "
            "--tables"
        )
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def load_table(name: str, folder: Path) -> TableConfig:
    """One table's description.

    Raises:
        InputError: no such table, or a description with mistakes.
    """
    names = table_names(folder)
    if name not in names:
        raise InputError(
            f"no table {name!r}{near_misses(name, names)}; there are {', '.join(names)}"
        )
    path = folder / f"{name}.yaml"
    try:
        table = TableConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {where}: {first['msg']}") from error
    if table.runs_of is None:
        return table
    studies = load_table(table.runs_of, folder).studies
    narrowed = {
        name: _narrowed(study, table.only)
        for name, study in studies.items()
        if not table.of or name in table.of
    }
    return table.model_copy(update={"studies": narrowed})


def _narrowed(study: StudyConfig, only: Mapping[str, Sequence[str]]) -> StudyConfig:
    """The study with some values of its axes left away."""
    axes = {
        axis: {label: change for label, change in values.items() if label in only.get(axis, values)}
        for axis, values in study.axes.items()
    }
    return study.model_copy(update={"axes": axes})


def plan_runs(
    table: TableConfig,
    scale: Scale,
    root: Path,
    seeds: int | None = None,
    source: str | None = None,
    study: str | None = None,
) -> list[Run]:
    """All runs of a table, those of the first seed first.

    Args:
        table: description.
        scale: of the runs; studies that do not have it are left out.
        root: folder that configs are named from.
        seeds: how many; as the scale says if None.
        source: data instead of those that the base config names.
        study: the only one that is asked for.

    Raises:
        InputError: an unknown study, a scale that none has, a source for several studies, or
            experiments that are not valid.
    """
    if study is not None and study not in table.studies:
        raise InputError(
            f"no study {study!r}{near_misses(study, table.studies)}; this table has "
            f"{', '.join(table.studies)}"
        )
    chosen = {
        name: each
        for name, each in table.studies.items()
        if scale in each.scales and study in (None, name)
    }
    if not chosen and table.studies:
        known = [each for each in SCALES if table.has(each)]
        raise InputError(f"no scale {scale!r} here; there are {', '.join(known)}")
    if source is not None and len(chosen) > 1:
        raise InputError(
            f"--source {source!r} can serve one study only; name it with --study: "
            f"{', '.join(chosen)}"
        )
    runs = [
        run
        for name, each in chosen.items()
        for run in _study_runs(name, each, each.scales[scale], root, seeds, source)
    ]
    return sorted(runs, key=lambda run: run.seed)


def _study_runs(
    name: str, study: StudyConfig, size: ScaleConfig, root: Path, seeds: int | None,
    source: str | None,
) -> Iterator[Run]:  # fmt: skip
    for seed in range(1, (seeds or size.seeds) + 1):
        for labels in itertools.product(*study.axes.values()):
            values = dict(zip(study.axes, labels, strict=True))
            # A model's own settings give way to those of the scale, and these to the axes'.
            changes = dict(size.change)
            for axis, label in values.items():
                changes |= study.axes[axis][label]
                changes |= size.axes.get(axis, {}).get(label, {})
            if source is not None:
                changes["data.source"] = source
            changes["seed"] = seed
            yield Run(name, values, seed, _experiment(root / size.base, changes))


def _experiment(base: Path, changes: Mapping[str, Any]) -> Experiment:
    overrides = [f"{key}={_flow(value)}" for key, value in changes.items()]
    experiment = load_experiment(base, overrides)
    content = essence(experiment)
    for key in ("name", "description", "benchmark"):
        content.pop(key, None)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return experiment.model_copy(update={"name": f"run_{digest[:12]}"})


def essence(section: Section) -> dict[str, Any]:
    """What a section says that its defaults do not, so that a key that is added later with a
    default leaves old experiments what they were."""
    kept: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            kept[name] = essence(value)
        elif name == "kind" or value != field.default:
            kept[name] = value
    return kept


def _flow(value: Any) -> str:
    """A value as one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.removesuffix("...").strip()
