"""Numbers and names as the report writes them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from weathersvq.variables import Channel
from weathersvq.verification.words import (
    doubling,
    four_digits,
    interval,
    listed,
    minute,
    sentence,
    title_of,
)


def test_numbers() -> None:
    assert interval(0.12345, 12.3456) == "(0.1235 to 12.35)"
    assert interval(-0.12345, 0.5, signed=True) == "(-0.123 to +0.5)"
    assert interval(np.nan, 1.0) == ""
    assert four_digits(xr.DataArray(1.23456)) == "1.235"
    assert four_digits(xr.DataArray(np.nan)) == ""
    # An error that grows by ln 2 a day doubles in a day.
    assert doubling(float(np.log(2))) == "24.0 h"
    assert doubling(-0.1) == "no growth"
    assert doubling(np.nan) == ""


def test_names() -> None:
    assert title_of(Channel("t", 850)) == "temperature at 850 hPa"
    assert title_of(Channel("t2m")) == "2 metre temperature"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert minute(np.datetime64("2017-01-01T06:00:00")) == "2017-01-01 06:00"
    assert sentence("no intervals") == "No intervals."
    assert sentence("") == ""
