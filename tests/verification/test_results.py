"""Scores split by lead, region, season and hour, and the files that hold them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from weathersvq.errors import InputError
from weathersvq.verification.results import Results, check_file, parse_by, totals
from weathersvq.verification.sums import METRICS, SUMS

HOUR = np.timedelta64(3600, "s").astype("timedelta64[ns]")


def year_of_sums(seed: int = 0) -> xr.DataArray:
    """Initial times every 109 hours of 2017, three leads, whole numbers as sums."""
    inits = np.datetime64("2017-01-01", "ns") + np.arange(80) * 109 * HOUR
    coordinates = {
        "forecast": ["a"],
        "sum": list(SUMS),
        "init_time": inits,
        "lead_time": np.array([6, 12, 30]) * HOUR,
        "channel": ["t2m"],
        "region": ["globe", "land"],
    }
    shape = [len(values) for values in coordinates.values()]
    values = np.random.default_rng(seed).integers(0, 100, shape).astype(np.float64)
    return xr.DataArray(values, coordinates, tuple(coordinates))


class TestTotals:
    @settings(max_examples=12, deadline=None)
    @given(st.integers(0, 1000), st.sets(st.sampled_from(["lead", "region", "season", "hour"])))
    def test_groups_add_up_to_the_whole(self, seed: int, axes: set[str]) -> None:
        by = [axis for axis in ("lead", "region", "season", "hour") if axis in axes]
        sums = year_of_sums(seed)
        found = totals(sums, by)
        over = [axis for axis in ("lead_time", "season", "hour") if axis in found.dims]
        expected = sums.sum(["init_time", "lead_time"])
        if "region" not in by:
            expected = expected.sel(region="globe", drop=True)
        xr.testing.assert_equal(
            found.fillna(0).sum(over), expected.transpose(*found.sum(over).dims)
        )

    def test_season_and_hour_are_of_the_valid_time(self) -> None:
        sums = year_of_sums()
        inits = sums["init_time"].values
        found = totals(sums, ("lead", "season", "hour"))
        assert found["season"].values.tolist() == ["DJF", "MAM", "JJA", "SON"]
        for lead in sums["lead_time"].values:
            valid = pd.DatetimeIndex(inits + lead)
            spring = valid.month.isin([3, 4, 5]) & (valid.hour == 5)
            one = sums.sel(region="globe", lead_time=lead).isel(init_time=spring).sum("init_time")
            picked = found.sel(season="MAM", hour=5, lead_time=lead)
            np.testing.assert_array_equal(picked.squeeze(), one.squeeze())

    def test_only_seasons_and_hours_that_there_are(self) -> None:
        sums = year_of_sums().isel(init_time=slice(0, 4), lead_time=[0])
        found = totals(sums, ("season", "hour"))
        # 0 h + 6, 109 h + 6 = 19, 218 + 6 = 8 and 327 + 6 = 21 o'clock.
        assert found["season"].values.tolist() == ["DJF"]
        assert found["hour"].values.tolist() == [6, 8, 19, 21]


def test_scores_are_labelled(results: Results) -> None:
    scores = results.scores()
    assert scores.dims == ("metric", "forecast", "lead_time", "channel", "region")
    assert scores["metric"].values.tolist() == list(METRICS)
    assert scores["forecast"].values.tolist() == ["good", "bad", "persistence", "climatology"]
    assert results.scores(by=()).dims == ("metric", "forecast", "channel")
    rmse = results.scores(by=("lead", "region")).sel(metric="rmse", channel="t2m", region="globe")
    np.testing.assert_allclose(rmse.sel(forecast="good"), 1, rtol=0.02)
    np.testing.assert_allclose(rmse.sel(forecast="bad"), 2, rtol=0.02)


def test_scores_over_all_leads_are_roots_of_means(results: Results) -> None:
    rmse = results.scores(()).sel(metric="rmse")
    by_lead = results.scores(("lead",)).sel(metric="rmse")
    np.testing.assert_allclose(rmse, (by_lead**2).mean("lead_time") ** 0.5)


def test_intervals_hold_the_scores(results: Results) -> None:
    # 48 initial times, four hours apart: eight days, not eight blocks of five.
    assert results.ends is None
    assert results.blocks.length == 30
    assert "48 initial times are fewer than the 240" in results.blocks.reason
    dataset = results.dataset()
    assert set(dataset.data_vars) == {"t2m", "u10", "t2m_power", "u10_power"}
    assert dataset.attrs["intervals"] == results.blocks.reason


def test_intervals_in_the_dataset(spread: Results) -> None:
    dataset = spread.dataset()
    scores = dataset["t2m"]
    assert dataset["t2m_low"].dims == scores.dims == ("metric", "forecast", "lead_time", "region")
    inside = (dataset["t2m_low"] <= scores) & (scores <= dataset["t2m_high"])
    assert inside.sel(metric="rmse").all()
    # Seasons and hours have too few cases each.
    by_hour = replace(spread, by=("lead", "hour")).dataset()
    assert "t2m_low" not in by_hour


def test_comparison(spread: Results) -> None:
    found = spread.comparison("bad").sel(channel="t2m")
    np.testing.assert_allclose(found["difference"], 1, atol=0.05)
    assert (found["low"] > 0).all()
    assert (found["p_value"] < 0.001).all()


def test_error_growth_by_hand(results: Results) -> None:
    rmse = results.by_lead.sel(metric="rmse", channel="u10", region="globe")
    growth = results.error_growth().sel(channel="u10")
    share = rmse.sel(forecast="persistence") / rmse.sel(forecast="climatology")
    np.testing.assert_allclose(growth["share"].sel(forecast="persistence"), share)
    # The wave moves by 7.5 degrees of its phase an hour: persistence is off by 2 sin(phase / 2).
    first, second = np.sin(np.deg2rad(7.5 / 2)), np.sin(np.deg2rad(15 / 2))
    rate = float(growth["rate"].sel(forecast="persistence").isel(lead_time=1))
    assert rate == pytest.approx(24 * np.log(second / first), rel=1e-3)
    assert np.isnan(growth["rate"].isel(lead_time=0)).all()


def test_rmse_by_init(results: Results) -> None:
    found = results.rmse_by_init()
    assert found.dims == ("forecast", "init_time", "channel")
    np.testing.assert_allclose(found.sel(forecast="bad"), 2, rtol=0.1)


def test_netcdf_and_csv(spread: Results, tmp_path: Path) -> None:
    spread.write(tmp_path / "scores.nc")
    with xr.open_dataset(tmp_path / "scores.nc", decode_timedelta=True) as dataset:
        xr.testing.assert_allclose(dataset["t2m"], spread.dataset()["t2m"])
        assert dataset["t2m"].attrs["units_of_variable"] == "K"
        assert "mse_unweighted [K2]" in dataset["t2m"].attrs["units_of_metrics"]
        assert dataset.attrs["initial_times"] == "48"
        assert dataset.attrs["weighting"].startswith("area-weighted, except")
    spread.write(tmp_path / "scores.csv")
    table = pd.read_csv(tmp_path / "scores.csv")
    # Eight scores of four forecasts less the climatology's correlation with itself; 3 leads, 9
    # regions, 2 variables.
    assert len(table) == (8 * 4 - 1) * 3 * 9 * 2
    row = table.query(
        "variable == 't2m' and metric == 'rmse' and forecast == 'good' and lead_hours == 3 "
        "and region == 'land'"
    )
    scores = spread.scores().sel(metric="rmse", forecast="good", channel="t2m", region="land")
    assert row["value"].item() == pytest.approx(float(scores.isel(lead_time=2)))
    assert row["units"].item() == "K"
    assert row["low"].item() < row["value"].item() < row["high"].item()


def test_parse_by() -> None:
    assert parse_by("hour, lead") == ("lead", "hour")
    assert parse_by("") == ()
    with pytest.raises(InputError, match=r"--by 'seson' is not known.*season"):
        parse_by("lead,seson")


def test_check_file(tmp_path: Path) -> None:
    there = tmp_path / "scores.nc"
    check_file(there, (".nc", ".csv"))
    with pytest.raises(InputError, match=r"ends in '.txt'; expected .nc or .csv"):
        check_file(tmp_path / "scores.txt", (".nc", ".csv"))
    there.touch()
    with pytest.raises(InputError, match="exists already"):
        check_file(there, (".nc",))
    check_file(there, (".nc",), overwrite=True)
