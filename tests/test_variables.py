"""The table of names: no two variables share one, units convert, near misses are suggested."""

from __future__ import annotations

from collections import Counter

import pytest

from weathersvq.errors import InputError
from weathersvq.variables import (
    VARIABLES,
    Channel,
    conversion,
    identify,
    parse_channels,
    variable,
)


def test_the_table_has_the_promised_variables() -> None:
    wanted = {"t2m", "u10", "v10", "tcc", "tp", "tisr", "r", "t", "u", "v", "z", "q", "pv", "vo"}
    assert {v.name for v in VARIABLES} == wanted


def test_no_name_means_two_variables() -> None:
    counts = Counter(name for v in VARIABLES for name in set(v.names))
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("entry", VARIABLES, ids=lambda v: v.name)
def test_every_name_is_identified_and_units_are_their_own(entry) -> None:  # type: ignore[no-untyped-def]
    assert all(identify(name, {}) is entry for name in entry.names)
    assert conversion(entry, entry.units) == (1.0, 0.0)
    assert entry.valid_range[0] < entry.valid_range[1]


def test_units_by_hand() -> None:
    assert conversion(variable("t2m"), "degC") == (1.0, 273.15)
    assert conversion(variable("r"), "1") == (100.0, 0.0)
    assert conversion(variable("tcc"), "%") == (0.01, 0.0)
    scale, _ = conversion(variable("u10"), "knots")
    assert scale * 10 == pytest.approx(5.14444, abs=1e-5)  # a knot is 1852 m in 3600 s


def test_foreign_units_are_refused() -> None:
    with pytest.raises(InputError, match="t2m is given in 'm/s'"):
        conversion(variable("t2m"), "m/s")


def test_standard_names_decide_only_where_they_are_unambiguous() -> None:
    assert identify("strange", {"standard_name": "cloud_area_fraction"}) is variable("tcc")
    assert identify("strange", {"standard_name": "eastward_wind"}) is variable("u")
    assert identify("strange", {}) is None


def test_unknown_name_suggests_and_lists() -> None:
    with pytest.raises(
        InputError, match=r"unknown variable 't2n'; known are t2m.*did you mean 't2m'"
    ):
        variable("t2n")


def test_channels() -> None:
    channels = parse_channels("t2m, uv10,r@1000")
    assert list(map(str, channels)) == ["t2m", "u10", "v10", "r@1000"]
    assert channels[-1] == Channel("r", 1000)
    assert Channel.parse("r@1000").variable is variable("r")


@pytest.mark.parametrize("text", ["", "t2m,t2m", "uv10,u10", "r@low", "rain"])
def test_bad_channels(text: str) -> None:
    with pytest.raises(InputError):
        parse_channels(text)
