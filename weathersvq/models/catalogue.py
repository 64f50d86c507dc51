"""What there is to choose from: sizes of all models beside the published ones, options of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from weathersvq.errors import InputError, near_misses
from weathersvq.models import MODELS
from weathersvq.models.forecaster import Forecaster, Shape
from weathersvq.models.published import Benchmark, PublishedSize, benchmark_names, load_benchmark
from weathersvq.models.quantizers import QUANTIZERS
from weathersvq.models.quantizers.base import Quantizer
from weathersvq.models.size import Size, measure
from weathersvq.models.translators import TRANSLATORS
from weathersvq.models.translators.base import Translator
from weathersvq.schema import Section, kind_of

PARTS: dict[str, Sequence[type[Forecaster] | type[Translator] | type[Quantizer]]] = {
    "model": MODELS,
    "translator": TRANSLATORS,
    "quantizer": QUANTIZERS,
}


@dataclass(frozen=True)
class Row:
    """One model on one shape of windows, ours beside what was published."""

    name: str
    title: str
    config: Section
    setting: str
    size: Size
    published: PublishedSize

    @property
    def differences(self) -> tuple[float | None, float | None]:
        """Ours over the published, minus 1: parameters and multiply-accumulates."""
        parameters, macs = self.published.parameters_m, self.published.gmacs
        return (
            None if parameters is None else self.size.parameters / 1e6 / parameters - 1,
            None if macs is None else self.size.macs / 1e9 / macs - 1,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the keys that programs rely on."""
        return {
            "name": self.name,
            "kind": self.config.model_dump()["kind"],
            "setting": self.setting,
            "parameters": self.size.parameters,
            "macs": self.size.macs,
            "published_parameters_m": self.published.parameters_m,
            "published_gmacs": self.published.gmacs,
        }


def describe_shape(shape: Shape) -> str:
    """`12 x 1 x 32 x 64 -> 12`."""
    return f"{' x '.join(map(str, shape.inputs))} -> {shape.out_steps}"


@dataclass(frozen=True)
class SizeList:
    """The models of a benchmark on one shape of windows."""

    title: str
    source: str
    setting: str
    rows: tuple[Row, ...]


def size_lists(
    name: str | None, *, case: str | None = None, shape: Shape | None = None
) -> Iterator[SizeList]:
    """Sizes of the models of a benchmark.

    Args:
        name: of the benchmark; none for all of them, on all their shapes.
        case: one of its shapes; the first if not given.
        shape: a shape of one's own instead, beside which published figures stand where the
            benchmark has the same.

    Raises:
        InputError: no such benchmark or case.
    """
    if name is None:
        for each in benchmark_names():
            benchmark = load_benchmark(each)
            for known in benchmark.cases:
                yield _size_list(benchmark, benchmark.shape(known), known)
        return
    benchmark = load_benchmark(name)
    if shape is None:
        case = case or next(iter(benchmark.cases))
        yield _size_list(benchmark, benchmark.shape(case), case)
    else:
        same = [each for each in benchmark.cases if benchmark.shape(each) == shape]
        yield _size_list(benchmark, shape, same[0] if same else "")


def _size_list(benchmark: Benchmark, shape: Shape, case: str) -> SizeList:
    setting = describe_shape(shape)
    rows = [
        Row(
            name,
            entry.title,
            entry.model,
            setting,
            measure(entry.model, shape),
            entry.published.get(case, PublishedSize()),
        )
        for name, entry in benchmark.models.items()
    ]
    return SizeList(benchmark.title, benchmark.source, setting, tuple(rows))


@dataclass(frozen=True)
class Option:
    """One key of a part's config section."""

    name: str
    default: str
    description: str


@dataclass(frozen=True)
class Part:
    """A model, a translator or a quantizer, as a person reads about it."""

    kind: str
    role: str
    summary: str
    reference: str
    options: tuple[Option, ...]


def find_part(name: str) -> Part:
    """What is known of a model, translator or quantizer.

    Raises:
        InputError: none of that name.
    """
    known: list[str] = []
    for role, classes in PARTS.items():
        for each in classes:
            kind = kind_of(each.Config)
            known.append(kind)
            if kind == name:
                lines = (each.__doc__ or "").strip().splitlines()
                return Part(kind, role, lines[0], each.reference, tuple(_options(each.Config())))
    raise InputError(
        f"no model, translator or quantizer {name!r}{near_misses(name, known)}; "
        f"there are {', '.join(known)}"
    )


def _options(section: Section, prefix: str = "") -> Iterator[Option]:
    """The options of a section at its defaults, those of sections inside by their dotted names."""
    for name, field in type(section).model_fields.items():
        if name == "kind":
            continue
        default = getattr(section, name)
        if not isinstance(default, Section):
            yield Option(prefix + name, str(default), field.description or "")
        elif "kind" in type(default).model_fields:
            kind = kind_of(type(default))
            yield Option(prefix + name, kind, field.description or "")
        else:
            yield from _options(default, f"{prefix}{name}.")
