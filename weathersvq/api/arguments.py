"""Arguments of the functions: their types, and their forms in the words of the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from weathersvq.checkpoint import Checkpoint

    AnyPath: TypeAlias = str | os.PathLike[str]
    Source: TypeAlias = AnyPath | xr.Dataset
    Model: TypeAlias = AnyPath | Checkpoint
    Moment = str | date | np.datetime64
    Length = str | timedelta | np.timedelta64
    Names = str | Iterable[str]
    Report = Callable[[int, int], None]


def silent(_done: int, _of: int) -> None:
    """A report to nobody."""


def moments(init: Moment | int | Iterable[Moment | int]) -> list[Any]:
    """One or several initial times, or numbers of windows, as a list."""
    return [init] if isinstance(init, str | date | np.datetime64 | int) else list(init)


def listed(names: Names | None) -> str | None:
    """`["t2m", "u10"]` -> `t2m,u10`; None if there are none."""
    if names is None or isinstance(names, str):
        return names
    return ",".join(names) or None
