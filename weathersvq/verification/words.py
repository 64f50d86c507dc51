"""Verification, words: numbers, units and times as the report writes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from weathersvq.variables import Channel


def interval(low: float, high: float, *, signed: bool = False) -> str:
    if np.isnan(low) or np.isnan(high):
        return ""
    return f"({low:+.3g} to {high:+.3g})" if signed else f"({low:.4g} to {high:.4g})"


def four_digits(value: xr.DataArray) -> str:
    number = float(value)
    return "" if np.isnan(number) else f"{number:.4g}"


def doubling(rate: float) -> str:
    """Rate per day -> time, or why there is none."""
    if np.isnan(rate):
        return ""
    return "no growth" if rate <= 0 else f"{24 * np.log(2) / rate:.1f} h"


def title_of(channel: Channel) -> str:
    at = "" if channel.level is None else f" at {channel.level} hPa"
    return f"{channel.variable.long_name}{at}"


def after_number(units: str) -> str:
    return "" if units == "1" else f" {units}"


def in_brackets(units: str) -> str:
    return "" if units == "1" else f" [{units}]"


def minute(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).replace("T", " ")


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
