"""Within the first step: the canonical datasets of several files as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from weathersvq.data.axes import check_times, in_hours, with_horizontal_axes
from weathersvq.errors import InputError
from weathersvq.grid import Grid


def join_parts(parts: Sequence[xr.Dataset], name: str, *, ordered: bool = True) -> xr.Dataset:
    """One canonical dataset from those of several files: along time, then variable by variable.

    Variables that cover other times are cut to the times that all have.

    Args:
        parts: canonical datasets, in any order.
        name: of the source, for messages.
        ordered: whether the times of all files together must strictly increase.

    Raises:
        InputError: parts on other grids, levels or time steps, times that overlap, or none in
            common.
    """
    parts = _on_one_grid(parts, name)
    static: dict[str, xr.DataArray] = {}
    groups: dict[tuple[str, ...], list[xr.Dataset]] = {}
    for part in parts:
        maps = [str(n) for n, field in part.data_vars.items() if "time" not in field.dims]
        # Of a static map that several files carry, one is enough.
        static |= {n: part[n].drop_vars("time", errors="ignore") for n in maps}
        if len(maps) < len(part.data_vars):
            part = part.drop_vars(maps)
            groups.setdefault(tuple(sorted(map(str, part.data_vars))), []).append(part)
    _refuse_unlike_contents(groups, name)
    joined = [_along_time(group, name, ordered) for group in groups.values()]
    _refuse_unlike_steps(joined, name)
    try:
        xr.align(*joined, join="exact", exclude=["time"])
        together = xr.merge(joined, join="inner", compat="override", combine_attrs="override")
    except xr.AlignmentError as error:
        raise InputError(
            f"the parts of {name} are on different levels; open those of one kind"
        ) from error
    if joined and together.sizes["time"] == 0:
        raise InputError(f"the variables of {name} have no time in common")
    return together.assign(static).assign_attrs(parts[0].attrs | {"source_name": name})


def _on_one_grid(parts: Sequence[xr.Dataset], name: str) -> list[xr.Dataset]:
    first, grid = parts[0], Grid.of(parts[0])
    for part in parts:
        own = Grid.of(part)
        if not own.matches(grid):
            raise InputError(
                f"the parts of {name} are on two grids: {first.attrs['source_name']} on "
                f"{grid.describe()}, {part.attrs['source_name']} on {own.describe()}"
            )
    # Rounding differs between files; only equal labels can be joined.
    return [with_horizontal_axes(part, grid.latitude, grid.longitude) for part in parts]


def _refuse_unlike_contents(groups: Iterable[tuple[str, ...]], name: str) -> None:
    owners: dict[str, tuple[str, ...]] = {}
    for names in groups:
        for variable_name in names:
            if owners.setdefault(variable_name, names) != names:
                raise InputError(
                    f"{name} has {variable_name} in files of unlike contents ("
                    f"{', '.join(owners[variable_name])}; {', '.join(names)}); open those of one "
                    "kind"
                )


def _refuse_unlike_steps(groups: Sequence[xr.Dataset], name: str) -> None:
    """Cutting hourly data to another variable's six hours would be a surprise."""
    steps: dict[np.timedelta64, str] = {}
    for group in groups:
        if group.sizes["time"] > 1:
            step = np.diff(np.unique(group["time"].values)).min()
            steps.setdefault(step, ", ".join(map(str, group.data_vars)))
    if len(steps) > 1:
        listed = "; ".join(f"{names} every {in_hours(step)}" for step, names in steps.items())
        raise InputError(
            f"the variables of {name} have different time steps ({listed}); name those of one step"
        )


def _along_time(parts: Sequence[xr.Dataset], name: str, ordered: bool) -> xr.Dataset:
    if len(parts) == 1:
        return parts[0]
    by_time = sorted(parts, key=lambda part: part["time"].values[0])
    joined = xr.concat(
        by_time, dim="time", data_vars="minimal", coords="minimal", compat="override",
        join="exact", combine_attrs="override",
    )  # fmt: skip
    check_times(joined["time"].values, name, ordered=ordered)
    return joined
