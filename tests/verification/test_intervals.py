"""Intervals and the paired test: analytic cases, and the library `scores`."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scores.processing import block_bootstrap

from weathersvq.verification.intervals import (
    Blocks,
    block_length,
    compare,
    draw_blocks,
    resampled,
    score_intervals,
)
from weathersvq.verification.sums import SUMS

DAY = np.timedelta64(86400, "s")
HOUR = np.timedelta64(3600, "s")
START = np.datetime64("2017-01-01", "s")


def sums_of(**errors: np.ndarray) -> xr.DataArray:
    """Sums of forecasts with one cell: errors (n,) by initial time, two days apart."""
    found = []
    for error in errors.values():
        one = dict.fromkeys(SUMS, np.zeros_like(error))
        one |= dict.fromkeys(("area", "cells"), np.ones_like(error))
        one["error"] = error
        one["absolute_error"] = one["absolute_error_unweighted"] = np.abs(error)
        one["squared_error"] = one["squared_error_unweighted"] = error**2
        found.append(np.stack([one[name] for name in SUMS]))
    count = np.shape(next(iter(errors.values())))[0]
    coordinates = {
        "forecast": list(errors),
        "sum": list(SUMS),
        "init_time": (START + 2 * np.arange(count) * DAY).astype("datetime64[ns]"),
        "lead_time": np.array([12 * HOUR]).astype("timedelta64[ns]"),
        "channel": ["t2m"],
        "region": ["globe"],
    }
    values = np.stack(found)[:, :, :, None, None, None]
    return xr.DataArray(values, coordinates, tuple(coordinates))


def drawn(sums: xr.DataArray, seed: int = 0) -> Blocks:
    return draw_blocks(sums["init_time"].values, 12 * HOUR, seed)


def test_blocks_reach_over_five_days_and_over_the_longest_forecast() -> None:
    hourly = START + np.arange(100) * HOUR
    assert block_length(hourly, 12 * HOUR) == 120
    assert block_length(hourly, 240 * HOUR) == 240
    assert block_length(hourly, 121 * HOUR) == 144  # whole days
    assert block_length(hourly[::6], 12 * HOUR) == 20
    assert block_length(hourly[::7], 12 * HOUR) == 18  # 17.1 would not reach
    # The cube root of their number where they lie far apart.
    assert block_length(START + np.arange(1000) * 5 * DAY, 12 * HOUR) == 10
    assert block_length(hourly[:1], 12 * HOUR) == 1


def test_too_few_cases_are_said_and_nothing_is_drawn() -> None:
    few = draw_blocks(START + np.arange(959) * HOUR, 12 * HOUR)
    assert few.counts is None
    assert few.reason == (
        "no intervals: 959 initial times are fewer than the 960 that a block bootstrap needs here "
        "(8 blocks of 120)"
    )
    enough = draw_blocks(START + np.arange(960) * HOUR, 12 * HOUR)
    assert enough.counts is not None
    assert enough.reason == ""


@settings(max_examples=30, deadline=None)
@given(st.integers(160, 300), st.integers(0, 1000))
def test_every_draw_is_of_whole_blocks(count: int, seed: int) -> None:
    blocks = draw_blocks(START + np.arange(count) * 6 * HOUR, 12 * HOUR, seed, draws=20)
    assert blocks.length == 20
    assert blocks.counts is not None
    assert (blocks.counts.sum(axis=1) == count).all()
    again = draw_blocks(START + np.arange(count) * 6 * HOUR, 12 * HOUR, seed, draws=20)
    np.testing.assert_array_equal(blocks.counts, again.counts)
    # Whole blocks and at most one that is cut: so many times the count goes up by what begins.
    rises = np.diff(blocks.counts, axis=1, prepend=0)
    assert (rises.clip(min=0).sum(axis=1) <= -(-count // 20)).all()


def test_independent_errors_have_the_textbook_interval() -> None:
    # The mean of n independent errors has the standard error s / sqrt(n).
    error = np.random.default_rng(0).normal(0.5, 2.0, 400)
    sums = sums_of(a=error)
    blocks = Blocks(1, np.random.default_rng(1).multinomial(400, np.full(400, 1 / 400), 4000))
    low, high = (
        float(end.sel(metric="bias", forecast="a").item()) for end in score_intervals(sums, blocks)
    )
    half = 1.96 * error.std() / 20
    assert low == pytest.approx(error.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(error.mean() + half, abs=0.1 * half)
    # Ours, in blocks of eight, differs from it by chance alone.
    ours = drawn(sums)
    assert ours.length == 8
    first, last = score_intervals(sums, ours)
    width = float((last - first).sel(metric="bias").item())
    assert width == pytest.approx(2 * half, rel=0.25)


def test_persistent_errors_have_wider_intervals_as_the_library_scores_finds() -> None:
    # An autoregression with 0.8 from one initial time to the next: the variance of its mean is
    # (1 + 0.8) / (1 - 0.8) = 9 times that of independent errors.
    random = np.random.default_rng(3)
    noise = random.normal(size=1300)
    error = np.zeros_like(noise)
    for i in range(1, noise.size):
        error[i] = 0.8 * error[i - 1] + noise[i]
    error = error[100:]
    sums = sums_of(a=error)
    blocks = drawn(sums)
    means = resampled(sums.sel(sum="error", forecast="a"), blocks).values.ravel() / error.size
    series = xr.DataArray(error, dims="time")
    theirs = block_bootstrap(
        series, blocks={"time": blocks.length}, n_iteration=300, circular=False
    ).mean("time")
    assert blocks.length == 11
    assert means.std() == pytest.approx(float(theirs.std()), rel=0.15)
    alone = error.std() / error.size**0.5
    assert 1.9 < means.std() / alone < 3.1  # sqrt(9), less what blocks of 11 cut off


def test_an_interval_holds_its_score_and_grows_with_confidence() -> None:
    random = np.random.default_rng(5)
    sums = sums_of(a=random.normal(0, 1, 100), persistence=random.normal(0, 2, 100))
    low, high = score_intervals(sums, drawn(sums))
    assert low.dims == ("metric", "forecast", "lead_time", "channel", "region")
    rmse = {"metric": "rmse", "forecast": "a"}
    value = float(sums.sel(sum="squared_error", forecast="a").mean() ** 0.5)
    assert float(low.sel(rmse).item()) < value < float(high.sel(rmse).item())
    # Skill of the baseline against itself is nothing in every draw.
    own = {"metric": "skill_persistence", "forecast": "persistence"}
    assert float(low.sel(own).item()) == float(high.sel(own).item()) == 0


class TestPairs:
    def compared(self, first: np.ndarray, second: np.ndarray) -> dict[str, float]:
        sums = sums_of(a=first, b=second)
        found = compare(sums.isel(region=0, drop=True), drawn(sums), ("a", "b"))
        assert found["difference"].dims == ("lead_time", "channel")
        return {str(name): float(value.item()) for name, value in found.items()}

    def test_what_is_plainly_better(self) -> None:
        random = np.random.default_rng(0)
        found = self.compared(random.normal(0, 2, 200), random.normal(0, 1, 200))
        assert -1.5 < found["difference"] < -0.5
        assert found["low"] < found["difference"] < found["high"] < 0
        assert found["p_value"] < 0.001

    def test_a_pair_tells_more_than_two_intervals(self) -> None:
        # Errors that share most of what they are: each interval alone is wide.
        shared = np.random.default_rng(1).normal(0, 3, 200)
        first, second = 1.05 * shared, shared
        found = self.compared(first, second)
        low, high = score_intervals(sums_of(a=first, b=second), drawn(sums_of(a=first)))
        apart = (high - low).sel(metric="rmse", forecast="a").item()
        assert found["high"] < 0
        assert found["high"] - found["low"] < 0.1 * apart

    def test_what_depends_on_the_hour_alone_is_no_chance(self) -> None:
        # One is better by 1 K2 at noon and as much worse at midnight, but for a little at random.
        random = np.random.default_rng(6)
        sums = sums_of(a=np.tile([2.0, 1.0], 200), b=np.tile([1.0, 2.0], 200))
        inits = (START + 12 * np.arange(400) * HOUR).astype("datetime64[ns]")
        sums = sums.assign_coords(init_time=inits)
        sums.loc[{"sum": "squared_error", "forecast": "b"}] += random.normal(0.02, 0.1, 400)[
            :, None, None, None
        ]
        found = compare(sums.isel(region=0, drop=True), drawn(sums), ("a", "b"))
        # The standard error of 400 differences of 0.1 is 0.005: four of them are plain to see, which
        # the hours, of a standard deviation of 3, would drown.
        assert drawn(sums).length == 10
        assert float(found["p_value"].item()) < 0.001
        assert float(found["low"].item()) > 0

    def test_swapped_is_the_other_sign(self) -> None:
        random = np.random.default_rng(2)
        first, second = random.normal(0, 1, 100), random.normal(0, 1.1, 100)
        one, other = self.compared(first, second), self.compared(second, first)
        assert one["difference"] == pytest.approx(-other["difference"])
        assert one["low"] == pytest.approx(-other["high"])
        assert one["p_value"] == pytest.approx(other["p_value"])

    def test_equal_forecasts_cannot_be_told_apart(self) -> None:
        error = np.random.default_rng(3).normal(0, 1, 100)
        assert self.compared(error, error) == {
            "difference": 0, "low": 0, "high": 0, "p_value": 1,
        }  # fmt: skip

    def test_p_is_small_as_often_as_it_says(self) -> None:
        # Of 200 pairs that are equally good some 5% have p below 5%: 10, and by chance up to 20.
        pairs = [sums_of(**dict(zip("ab", random.normal(0, 1, (2, 80)), strict=True)))
                 for random in np.random.default_rng(4).spawn(200)]  # fmt: skip
        sums = xr.concat(pairs, dim="channel").assign_coords(channel=np.arange(200))
        found = compare(sums.isel(region=0, drop=True), drawn(sums), ("a", "b"))
        below = int((found["p_value"] < 0.05).sum())
        assert 2 <= below <= 20

    def test_too_few_cases_have_neither_interval_nor_p(self) -> None:
        sums = sums_of(a=np.ones(10), b=np.zeros(10))
        found = compare(sums.isel(region=0, drop=True), drawn(sums), ("a", "b"))
        assert float(found["difference"].item()) == -1
        assert np.isnan([found[name].item() for name in ("low", "high", "p_value")]).all()
