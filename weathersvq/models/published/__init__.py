"""The published benchmarks: their shapes, and the settings and sizes of every model on them.

One YAML a benchmark beside this file. A config that names its benchmark can choose any model of the
list by name (`--set model=predrnn`) and gets the settings that were published for it there.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field

from weathersvq.errors import InputError, near_misses
from weathersvq.models import ModelConfig
from weathersvq.models.forecaster import Shape
from weathersvq.schema import Section


def _window(value: object) -> object:
    """`12 x 1 x 32 x 64 -> 12` as numbers."""
    if not isinstance(value, str):
        return value
    inputs, _, out_steps = value.partition("->")
    return (*map(int, inputs.split("x")), int(out_steps))


class PublishedSize(Section):
    """What was published of a model's size; figures are rounded."""

    parameters_m: float | None = Field(None, gt=0, description="parameters in millions")
    gmacs: float | None = Field(None, gt=0, description="multiply-accumulates a window in 1e9")
    note: str = Field("", description="why ours is another, where it is")


class Entry(Section):
    """One model of a benchmark, with the settings published for it."""

    title: str = Field(description="the name it has in papers")
    model: ModelConfig = Field(description="model section of a config")
    train: dict[str, Any] = Field({}, description="keys of the train section that go with it")
    published: dict[str, PublishedSize] = Field({}, description="sizes by case")


class Benchmark(Section):
    """A list of models, and the shapes of windows on which they were compared."""

    title: str = Field(description="for tables")
    source: str = Field(description="where the published figures stand")
    cases: dict[str, Annotated[tuple[int, int, int, int, int], BeforeValidator(_window)]] = Field(
        description="name: T_in x C x H x W -> T_out"
    )
    wraps: bool = Field(False, description="whether the last column borders on the first")
    models: dict[str, Entry] = Field(description="by the name that `--set model=` takes")

    def shape(self, case: str) -> Shape:
        """Sizes of a case's windows.

        Raises:
            InputError: no such case.
        """
        if case not in self.cases:
            raise InputError(
                f"no case {case!r}{near_misses(case, self.cases)}; there are "
                f"{', '.join(self.cases)}"
            )
        in_steps, channels, height, width, out_steps = self.cases[case]
        return Shape(in_steps, out_steps, channels, channels, height, width, self.wraps)


def benchmark_names() -> tuple[str, ...]:
    """The benchmarks there are."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(file.name[:-5] for file in files if file.name.endswith(".yaml")))


@cache
def load_benchmark(name: str) -> Benchmark:
    """One of the benchmarks.

    Raises:
        InputError: no such benchmark.
    """
    names = benchmark_names()
    if name not in names:
        raise InputError(
            f"no benchmark {name!r}{near_misses(name, names)}; there are {', '.join(names)}"
        )
    text = (resources.files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
    return Benchmark.model_validate(yaml.safe_load(text))
