"""Verification, how sure: intervals by a block bootstrap over time, and tests of paired differences.

Errors of neighbouring initial times are alike, so whole blocks of consecutive ones are drawn, with
replacement, from all blocks that overlap (the moving block bootstrap of Kuensch, 1989). What is
drawn are statistics by initial time, a few numbers each: a draw is a count of how often each was
drawn, so that thousands of draws are one product of matrices, and every forecast, lead, region and
ratio gets the same draws (paired). The library `scores` draws whole arrays instead, which would be
the counts times the fields; the tests hold ours against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.verification.sums import metrics

Float = NDArray[np.float64]

DRAWS = 1000
CONFIDENCE = 0.95
DAY = np.timedelta64(86400, "s")
# Errors further apart than this count as independent; and those whose forecasts do not overlap. Of
# two models of real weather (configs/examples/ncep_namerica_t.yaml), the daily differences of squared
# errors are correlated by 0.5 after one day and by 0.2 after four.
MEMORY = 5 * DAY
# With fewer blocks than these the ends of an interval are chance.
FEWEST_BLOCKS = 8


@dataclass(frozen=True, eq=False)
class Blocks:
    """How the initial times are drawn.

    Attributes:
        length: initial times of a block.
        counts: (draws, n) how often each initial time is drawn; None: too few for an interval.
        reason: why there is none, one line.
    """

    length: int
    counts: Float | None
    reason: str = ""


def block_length(inits: NDArray[np.datetime64], longest_lead: np.timedelta64) -> int:
    """Initial times of a block: as many as reach over `MEMORY` and over the longest forecast, and
    no fewer than the cube root of their number; whole days, as errors depend on the hour."""
    if inits.size < 2:
        return 1
    spacing = np.median(np.diff(inits)).astype("timedelta64[s]")
    reach = max(MEMORY, longest_lead)
    length = max(math.ceil(inits.size ** (1 / 3)), math.ceil(float(reach / spacing)))
    each_day = int(DAY // spacing) if DAY % spacing == np.timedelta64(0, "s") else 1
    return math.ceil(length / each_day) * each_day


def draw_blocks(
    inits: NDArray[np.datetime64], longest_lead: np.timedelta64, seed: int = 0, draws: int = DRAWS
) -> Blocks:
    """Draw initial times in blocks.

    Args:
        inits: (n,) ascending.
        longest_lead: of the forecasts.
        seed: of the draws; the same seed gives the same intervals.
        draws: how many.

    Returns:
        Counts, or the reason why there are too few initial times for an interval.
    """
    count, length = inits.size, block_length(inits, longest_lead)
    if count < FEWEST_BLOCKS * length:
        return Blocks(
            length,
            None,
            f"no intervals: {count} initial times are fewer than the {FEWEST_BLOCKS * length} that "
            f"a block bootstrap needs here ({FEWEST_BLOCKS} blocks of {length})",
        )
    random = np.random.default_rng(seed)
    blocks = math.ceil(count / length)
    starts = random.integers(0, count - length + 1, size=(draws, blocks))
    drawn = (starts[:, :, None] + np.arange(length)).reshape(draws, -1)[:, :count]
    counts = np.zeros((draws, count))
    np.add.at(counts, (np.arange(draws)[:, None], drawn), 1.0)
    return Blocks(length, counts)


def score_intervals(sums: xr.DataArray, blocks: Blocks) -> tuple[xr.DataArray, xr.DataArray]:
    """Lower and upper ends of the intervals of all scores (`CONFIDENCE`, percentiles).

    Args:
        sums: dims (forecast, sum, init_time, lead_time, channel, region).
        blocks: with counts.

    Returns:
        Two arrays with dims (metric, forecast, lead_time, channel, region).
    """
    ends: list[list[xr.DataArray]] = [[], []]
    # A channel and region at a time: all draws of all leads fit in little memory.
    for channel in sums["channel"].values:
        rows: list[list[xr.DataArray]] = [[], []]
        for region in sums["region"].values:
            scores = metrics(resampled(sums.sel(channel=channel, region=region), blocks))
            for tail, lower in zip(rows, (True, False), strict=True):
                tail.append(_end(scores, lower))
        for tail, parts in zip(ends, rows, strict=True):
            tail.append(xr.concat(parts, dim="region", coords="different", compat="equals"))
    low, high = (
        xr.concat(each, dim="channel", coords="different", compat="equals").transpose(
            "metric", "forecast", "lead_time", "channel", "region"
        )
        for each in ends
    )
    return low, high


def resampled(sums: xr.DataArray, blocks: Blocks) -> xr.DataArray:
    """Total sums of each draw: `init_time` becomes `draw`."""
    assert blocks.counts is not None
    counts = xr.DataArray(blocks.counts, dims=("draw", "init_time"))
    return xr.dot(counts, sums.drop_vars("init_time"), dim="init_time")


def _end(scores: xr.DataArray, low: bool) -> xr.DataArray:
    share = (1 - CONFIDENCE) / 2 if low else (1 + CONFIDENCE) / 2
    values = np.full([scores.sizes[d] for d in scores.dims if d != "draw"], np.nan)
    moved = scores.transpose("draw", ...)
    known = ~np.isnan(moved.values).any(axis=0)
    if known.any():
        values[known] = np.quantile(moved.values[:, known], share, axis=0)
    return moved.isel(draw=0, drop=True).copy(data=values)


def compare(sums: xr.DataArray, blocks: Blocks, names: tuple[str, str]) -> xr.Dataset:
    """Whether the second forecast's RMSE differs from the first one's, over the same initial times.

    The interval of the difference is from the block bootstrap, both forecasts drawn together. The
    p-value is that of the test of Diebold and Mariano in the form of Hering and Genton (2011) on daily
    means of the differences of squared errors (its model of their correlation knows no hour of the
    day), computed by `scores.stats`; two-sided.

    Args:
        sums: dims (forecast, sum, init_time, lead_time, channel), of one region.
        blocks: as drawn for the intervals.
        names: of the two forecasts.

    Returns:
        Variables difference, low, high (second minus first, area-weighted RMSE, units of the
        variable) and p_value, dims (lead_time, channel); NaN where there are too few cases.
    """
    pair = sums.sel(forecast=list(names))
    rmse = metrics(pair.sum("init_time")).sel(metric="rmse", drop=True)
    difference = rmse.sel(forecast=names[1], drop=True) - rmse.sel(forecast=names[0], drop=True)
    unknown = difference * np.nan
    result = {"difference": difference, "low": unknown, "high": unknown, "p_value": unknown}
    if blocks.counts is not None:
        drawn = metrics(resampled(pair, blocks)).sel(metric="rmse", drop=True)
        apart = drawn.sel(forecast=names[1], drop=True) - drawn.sel(forecast=names[0], drop=True)
        result |= {"low": _end(apart, True), "high": _end(apart, False)}
        result["p_value"] = _p_values(pair, names)
    return xr.Dataset(
        {name: value.transpose("lead_time", "channel") for name, value in result.items()}
    )


def _p_values(pair: xr.DataArray, names: tuple[str, str]) -> xr.DataArray:
    from scipy.stats import norm
    from scores.stats.statistical_tests import diebold_mariano

    area = pair.sel(sum="area", drop=True)
    mse = pair.sel(sum="squared_error", drop=True) / area.where(area > 0)
    apart = mse.sel(forecast=names[1], drop=True) - mse.sel(forecast=names[0], drop=True)
    days = apart.assign_coords(init_time=apart["init_time"].dt.floor("D"))
    apart = days.groupby("init_time").mean()
    spacing = float(np.median(np.diff(apart["init_time"].values)) / np.timedelta64(1, "s"))
    values = np.full((apart.sizes["lead_time"], apart.sizes["channel"]), np.nan)
    for place, lead in enumerate(apart["lead_time"].values.astype("timedelta64[s]").astype(int)):
        series = apart.isel(lead_time=place).transpose("channel", "init_time")
        whole = series.dropna("init_time").drop_vars("init_time")
        # Days that begin before the truth of the first one is known.
        steps = min(max(1, math.ceil(lead / spacing)), whole.sizes["init_time"] - 1)
        # Without variance there is nothing to test with; equal forecasts can't be told apart.
        differs = whole.var("init_time").values > 0
        values[place, (whole == 0).all("init_time").values] = 1.0
        if differs.any():
            series = whole.isel(channel=differs)
            series = series.assign_coords(horizon=("channel", np.full(differs.sum(), steps)))
            found = diebold_mariano(series, "channel", "horizon", method="HG")
            values[place, differs] = 2 * norm.sf(np.abs(found["dm_test_stat"].values))
    return xr.DataArray(
        values, {n: apart[n] for n in ("lead_time", "channel")}, ("lead_time", "channel")
    )
