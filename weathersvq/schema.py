"""Under every config section: frozen, unknown keys refused, alternatives chosen by their `kind`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from weathersvq.errors import near_misses


class Section(BaseModel):
    """Base of every section of a config.

    A subclass gives each field a description; the options' documentation is made from them.
    Sections that are alternatives to each other carry `kind: Literal["name"] = "name"`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError(f"{size} is even; expected an odd size, which keeps the map's")
    return size


# Of a convolution or a pooling that has a cell in its middle.
OddSize = Annotated[int, Field(ge=1), AfterValidator(_odd)]


def kind_of(section: type[Section]) -> str:
    """The name by which a config chooses this section."""
    return str(section.model_fields["kind"].default)


def choose(what: str, sections: Sequence[type[Section]], value: object) -> Section:
    """The section that `value` stands for, out of alternatives.

    Args:
        what: the choice's name in messages, such as `translator`.
        sections: the alternatives, each with a `kind`.
        value: a section, the name of a kind (all options at their defaults), or a mapping of
            `kind` and options.

    Raises:
        ValueError: no kind, or one that does not exist.
        ValidationError: options that the kind does not have, or with wrong values.
    """
    if isinstance(value, Section) and isinstance(value, tuple(sections)):
        return value
    if isinstance(value, str):
        value = {"kind": value}
    known = {kind_of(section): section for section in sections}
    listed = ", ".join(known)
    if not isinstance(value, Mapping):
        raise ValueError(f"expected the name of a {what} or its options; known: {listed}")
    if "kind" not in value:
        raise ValueError(f"`kind` is missing, which chooses the {what}; known: {listed}")
    kind = str(value["kind"])
    if kind not in known:
        raise ValueError(f"unknown {what} {kind!r}{near_misses(kind, known)}; known: {listed}")
    section = known[kind]
    options = [name for name in section.model_fields if name != "kind"]
    unknown: list[InitErrorDetails] = [
        {
            "type": PydanticCustomError(
                "unknown_option",
                "not an option of {what} {kind}{hint}; it has {options}",
                {
                    "what": what,
                    "kind": repr(kind),
                    "hint": near_misses(str(name), options),
                    "options": ", ".join(options) or "none",
                },
            ),
            "loc": (str(name),),
            "input": str(name),
        }
        for name in value
        if name not in section.model_fields
    ]
    if unknown:
        raise ValidationError.from_exception_data(section.__name__, unknown)
    return section.model_validate(dict(value))
