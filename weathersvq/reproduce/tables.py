"""Experiments as data: a base config, and the axes along which it varies."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import Field, ValidationError

from weathersvq.config import Experiment, load_experiment
from weathersvq.errors import InputError, near_misses
from weathersvq.schema import Section

Scale = Literal["full", "small", "smoke"]
SCALES: tuple[Scale, ...] = get_args(Scale)


class ScaleConfig(Section):
    """How large the runs of a table are."""

    base: str = Field(description="config that all runs start from, a path from the root")
    change: dict[str, Any] = Field({}, description="keys of it that are other here: train.epochs")
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


class TableConfig(Section):
    """A table or figure of the paper, or a study of our own."""

    title: str = Field(description="what it shows")
    question: str = Field("", description="what its runs are to answer")
    paper: PaperRows | None = Field(None, description="the paper's rows that it stands beside")
    scales: dict[Scale, ScaleConfig] = Field(description="by name")
    axes: dict[str, dict[str, dict[str, Any]]] = Field(
        description="axis: value: keys of the config that it changes"
    )
    baseline: dict[str, str] = Field(
        {}, description="axis: the value that others are compared with, seed by seed"
    )
    names: dict[str, dict[str, PaperName]] = Field(
        {}, description="axis: value: what it is called in paper.csv"
    )


@dataclass(frozen=True)
class Run:
    """One training of one experiment.

    Attributes:
        values: the axes' values, by axis.
        seed: of the run.
        experiment: resolved; its name is the run's identity.
    """

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
        return TableConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {where}: {first['msg']}") from error


def plan_runs(
    table: TableConfig,
    scale: Scale,
    root: Path,
    seeds: int | None = None,
    source: str | None = None,
) -> list[Run]:
    """All runs of a table, those of the first seed first.

    Args:
        table: description.
        scale: one of its scales.
        root: folder that configs are named from.
        seeds: how many; as the scale says if None.
        source: data instead of those that the base config names.

    Raises:
        InputError: a scale that the table does not have, or experiments that are not valid.
    """
    if scale not in table.scales:
        raise InputError(f"this table has no scale {scale!r}; it has {', '.join(table.scales)}")
    size = table.scales[scale]
    runs = []
    for seed in range(1, (seeds or size.seeds) + 1):
        for combination in itertools.product(*(axis.items() for axis in table.axes.values())):
            values = dict(zip(table.axes, (label for label, _ in combination), strict=True))
            # A model's own settings give way to those of the scale, and these to the axes'.
            changes: dict[str, Any] = {}
            for change in (size.change, *(change for _, change in combination)):
                changes |= change
            if source is not None:
                changes["data.source"] = source
            changes["seed"] = seed
            runs.append(Run(values, seed, _experiment(root / size.base, changes)))
    return runs


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
