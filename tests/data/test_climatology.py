"""The climatology finds the annual and daily courses that were put in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from weathersvq.data import climatology
from weathersvq.data.climatology import (
    annual_basis,
    coefficient_names,
    evaluate_climatology,
    fit_climatology,
    hour_of_day,
    year_phase,
)
from weathersvq.errors import InputError


def make_series(start: str, stop: str, step: str = "6h", noise: float = 0.0) -> xr.Dataset:
    """t2m = 280 + 10 cos(phase) + 2 sin(2 phase) + row + daily course of 3 K, warmest at 12 h."""
    times = pd.date_range(start, stop, freq=step, inclusive="left")
    angle = 2 * np.pi * year_phase(times)
    course = 280 + 10 * np.cos(angle) + 2 * np.sin(2 * angle)
    course = course - 3 * np.cos(2 * np.pi * hour_of_day(times) / 24)
    rows = np.arange(3.0)[:, None] + np.zeros(4)
    values = course[:, None, None] + rows
    values += noise * np.random.default_rng(0).normal(size=values.shape)
    return xr.Dataset(
        {"t2m": (("time", "latitude", "longitude"), values.astype(np.float32), {"units": "K"})},
        {"time": times, "latitude": [-10.0, 0, 10], "longitude": [0.0, 90, 180, 270]},
    )


def test_phase_is_the_share_of_the_year() -> None:
    # Noon of 1 January is half a day of 365 or 366; midnight of 31 December is all but one day.
    times = pd.DatetimeIndex(["2015-01-01T12", "2016-01-01T12", "2015-12-31", "2016-12-31"])
    expected = [0.5 / 365, 0.5 / 366, 364 / 365, 365 / 366]
    np.testing.assert_allclose(year_phase(times), expected, rtol=1e-12)


def test_basis() -> None:
    # A quarter of the year on, cos is 0 and sin is 1; of twice the angle -1 and 0.
    np.testing.assert_allclose(annual_basis(np.array([0.25]), 2), [[1, 0, 1, -1, 0]], atol=1e-12)
    assert coefficient_names(2) == ["mean", "cos1", "sin1", "cos2", "sin2"]


def test_known_course_is_found() -> None:
    coefficients = fit_climatology(make_series("2015-01-01", "2017-01-01"))
    assert coefficients["t2m"].dims == ("hour", "coefficient", "latitude", "longitude")
    assert coefficients["t2m"].dtype == np.float32
    at = coefficients["t2m"].sel(latitude=10.0, longitude=90.0)
    # Row 2 adds 2 K; the daily course takes 3 K at midnight and adds 3 K at noon.
    np.testing.assert_allclose(at.sel(coefficient="mean"), [279, 282, 285, 282], atol=1e-3)
    np.testing.assert_allclose(at.sel(coefficient="cos1"), 10, atol=1e-3)
    np.testing.assert_allclose(at.sel(coefficient="sin2"), 2, atol=1e-3)
    np.testing.assert_allclose(at.sel(coefficient=["sin1", "cos2", "cos3", "sin3"]), 0, atol=1e-3)


def test_other_years_leap_or_not_have_the_same_course() -> None:
    coefficients = fit_climatology(make_series("2013-01-01", "2016-01-01"))
    later = make_series("2016-02-20", "2017-03-10", "18h")
    expected = evaluate_climatology(coefficients, later["time"].values)
    assert expected["t2m"].attrs == {"units": "K"}
    xr.testing.assert_allclose(expected.drop_attrs(), later.drop_attrs(), atol=2e-3)


def test_noise_is_averaged_out() -> None:
    # 4 years at one hour a day: 1461 values for 7 coefficients, so a standard error of the curve of
    # 2 K sqrt(7 / 1461) = 0.14 K on average.
    series = make_series("2012-01-01", "2016-01-01", "24h", noise=2.0)
    quiet = make_series("2012-01-01", "2016-01-01", "24h")
    found = evaluate_climatology(fit_climatology(series), series["time"].values)
    spread = float(np.sqrt(((found["t2m"] - quiet["t2m"]) ** 2).mean()))
    assert 0.10 < spread < 0.18


@pytest.mark.parametrize("block_bytes", [1, 48 * 100, 2**30])
def test_blocks_and_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    series = make_series("2015-01-01", "2016-01-01", noise=1.0)
    expected = fit_climatology(series)
    monkeypatch.setattr(climatology, "BLOCK_BYTES", block_bytes)
    xr.testing.assert_allclose(fit_climatology(series.chunk(time=97)), expected, rtol=1e-5)


def test_levels_are_kept() -> None:
    series = make_series("2015-01-01", "2016-01-01").expand_dims(level=[850, 500])
    series["t2m"] = series["t2m"] + xr.DataArray([0.0, -20.0], {"level": [850, 500]})
    series = series.transpose("time", "level", ...)
    found = evaluate_climatology(fit_climatology(series), series["time"].values)
    xr.testing.assert_allclose(found.drop_attrs(), series.astype(np.float32), atol=2e-3)
    assert found["t2m"].dims == series["t2m"].dims


def test_part_of_a_year_is_refused() -> None:
    march = make_series("2019-03-01", "2019-04-01")
    with pytest.raises(InputError, match="must cover the year"):
        fit_climatology(march)
    # ... but the mean by hour is fine: at 6 h the daily course is zero.
    by_hour = fit_climatology(march, harmonics=0)
    np.testing.assert_allclose(
        by_hour["t2m"].sel(hour=6, coefficient="mean"),
        march["t2m"].sel(time=march["time"].dt.hour == 6).mean("time"),
        rtol=1e-6,
    )


def test_missing_values_are_refused() -> None:
    series = make_series("2015-01-01", "2016-01-01")
    series["t2m"][7, 0, 0] = np.nan
    with pytest.raises(InputError, match="t2m has missing values"):
        fit_climatology(series)


def test_hour_without_data() -> None:
    coefficients = fit_climatology(make_series("2015-01-01", "2016-01-01"))
    with pytest.raises(InputError, match=r"no values for 2016-01-01 03:00:00.*hours 0, 6, 12, 18"):
        evaluate_climatology(coefficients, [np.datetime64("2016-01-01T03")])
