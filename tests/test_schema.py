from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field, ValidationError

from weathersvq.schema import Section, choose, kind_of


class Apple(Section):
    kind: Literal["apple"] = "apple"
    weight: float = Field(1.0, gt=0)
    colour: str = "red"


class Pear(Section):
    kind: Literal["pear"] = "pear"


FRUIT = (Apple, Pear)


def test_sections_are_frozen_and_closed():
    with pytest.raises(ValidationError, match="frozen"):
        Apple().weight = 2.0
    with pytest.raises(ValidationError, match="Extra inputs"):
        Apple(size=3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("pear", Pear()),
        ({"kind": "apple", "weight": 2}, Apple(weight=2)),
        (Apple(colour="green"), Apple(colour="green")),
    ],
)
def test_choose(value, expected):
    assert choose("fruit", FRUIT, value) == expected
    assert kind_of(type(expected)) == expected.kind


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("aple", "unknown fruit 'aple'; did you mean 'apple'.*known: apple, pear"),
        ({"kind": 3}, "unknown fruit '3'"),
        ({"weight": 2}, "`kind` is missing"),
        (7, "expected the name of a fruit or its options; known: apple, pear"),
        (None, "expected the name of a fruit"),
    ],
)
def test_no_such_kind(value, message):
    with pytest.raises(ValueError, match=message):
        choose("fruit", FRUIT, value)


def test_options_that_do_not_belong():
    with pytest.raises(ValidationError) as caught:
        choose("fruit", FRUIT, {"kind": "apple", "wieght": 2, "stone": 1})
    first, second = caught.value.errors()
    assert first["loc"] == ("wieght",)
    assert first["msg"] == (
        "not an option of fruit 'apple'; did you mean 'weight'?; it has weight, colour"
    )
    assert second["loc"] == ("stone",)


def test_wrong_value_keeps_its_place():
    with pytest.raises(ValidationError) as caught:
        choose("fruit", FRUIT, {"kind": "apple", "weight": -1})
    assert caught.value.errors()[0]["loc"] == ("weight",)
