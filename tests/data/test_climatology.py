"""The climatology finds the annual and daily courses that were put in."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from weathersvq.data import climatology
from weathersvq.data.climatology import (
    annual_basis,
    climatology_sums,
    coefficient_names,
    evaluate_climatology,
    fit_climatology,
    hour_of_day,
    merge_sums,
    solve_climatology,
    stored_climatology,
    stored_for,
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
    monkeypatch.setattr(climatology, "PIECE_BYTES", block_bytes)
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


def with_holes() -> xr.Dataset:
    """A year of t2m and of r at two levels: t2m lacks a month, r@500 every tenth map."""
    series = make_series("2015-01-01", "2016-01-01", noise=1.0)
    levels = xr.DataArray([0.5, 2.0], {"level": [500, 1000]}, "level")
    humidity = (series["t2m"] * levels).transpose("time", "level", ...).astype(np.float32)
    dataset = series.assign(r=humidity)
    dataset["t2m"][200:320, 1, 2] = np.nan
    dataset["r"][::10, 0] = np.nan
    usable = np.ones(dataset.sizes["time"], dtype=bool)
    usable[200:320] = False
    usable[::10] = False
    return dataset.assign_coords(usable=("time", usable)).assign_attrs(source_name="nowhere")


def in_parts(dataset: xr.Dataset, edges: list[int]) -> climatology.Sums:
    bounds = [0, *edges, dataset.sizes["time"]]
    return merge_sums(climatology_sums(dataset.isel(time=slice(a, b))) for a, b in pairwise(bounds))


def test_each_field_is_fitted_to_its_own_whole_maps() -> None:
    dataset = with_holes()
    found = fit_climatology(dataset)
    times = pd.DatetimeIndex(dataset["time"].values)
    noon = hour_of_day(times) == 12
    for name, level, bad in (
        ("t2m", None, np.isin(np.arange(1460), np.arange(200, 320))),
        ("r", 500, np.arange(1460) % 10 == 0),
        ("r", 1000, np.zeros(1460, dtype=bool)),
    ):
        field = dataset[name] if level is None else dataset[name].sel(level=level)
        rows = noon & ~bad
        # The same by a least-squares routine on these maps alone.
        expected = np.linalg.lstsq(
            annual_basis(year_phase(times[rows]), 3),
            field.values[rows, 2, 3].astype(np.float64),
        )[0]
        own = found[name] if level is None else found[name].sel(level=level)
        got = own.sel(hour=12).transpose("coefficient", ...).values[:, 2, 3]
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)


def test_parts_in_one_order_always_give_the_same_bytes() -> None:
    dataset = with_holes()
    # Parts of less than a day lack hours of the day, which the others have.
    edges = [1, 3, 500, 502, 1300]
    first, again = in_parts(dataset, edges), in_parts(dataset, edges)
    for name in ("t2m", "r"):
        np.testing.assert_array_equal(first.right[name], again.right[name])
    xr.testing.assert_identical(
        solve_climatology(first, dataset), solve_climatology(again, dataset)
    )
    # ... and, to rounding, those of the whole.
    whole = fit_climatology(dataset)
    xr.testing.assert_allclose(solve_climatology(first, dataset), whole, rtol=1e-5, atol=1e-5)
    assert whole.attrs["fitted_on"] == "2015-01-01T00:00:00/2015-12-31T18:00:00"
    assert solve_climatology(first, dataset).attrs == whole.attrs
    assert first.hours.tolist() == [0, 6, 12, 18]


def test_sums_that_do_not_belong_together() -> None:
    series = make_series("2015-01-01", "2015-01-03")
    with pytest.raises(ValueError, match="unlike variables or harmonics"):
        merge_sums([climatology_sums(series, 3), climatology_sums(series, 2)])
    with pytest.raises(ValueError, match="no sums"):
        merge_sums([])


def test_a_variable_that_is_bad_half_the_year_is_named() -> None:
    series = make_series("2015-01-01", "2016-01-01")
    series["t2m"][:800, 0, 0] = np.nan
    series = series.assign_coords(usable=("time", np.arange(1460) >= 800))
    with pytest.raises(InputError, match=r"fitted to t2m in 2015-01-01.*must cover the year"):
        fit_climatology(series)


def test_a_stored_climatology_is_found_beside_its_store(tmp_path: Path) -> None:
    store = tmp_path / "prepared.zarr"
    training = with_holes()
    training.drop_vars("usable").to_zarr(store, zarr_format=2, consolidated=True)
    training.attrs["source_name"] = str(store)
    assert stored_climatology(str(store)) is None
    fitted = fit_climatology(training)
    fitted.to_zarr(store, group="climatology", mode="a", zarr_format=2, consolidated=False)

    found = stored_for(training, 3)
    assert found is not None
    xr.testing.assert_allclose(found, fitted, rtol=0, atol=0)
    one_level = training[["r"]].sel(level=[1000])
    assert stored_for(one_level, 3)["r"].sizes["level"] == 1
    assert stored_for(one_level.drop_vars("usable"), 3).attrs == fitted.attrs


@pytest.mark.parametrize(
    ("change", "harmonics"),
    [
        (lambda d: d, 2),
        (lambda d: d.isel(time=slice(0, -1)), 3),
        (lambda d: d.isel(latitude=slice(0, 2)), 3),
        (lambda d: d.assign(u10=d["t2m"]), 3),
        (lambda d: d.assign_coords(level=[500, 850]), 3),
        (lambda d: d.assign_attrs(source_name="sample"), 3),
        (lambda d: d.assign_attrs(source_name="gs://bucket/store.zarr"), 3),
        (lambda d: d.drop_attrs(), 3),
    ],
    ids=["harmonics", "period", "grid", "variable", "level", "sample", "remote", "nameless"],
)
def test_a_stored_climatology_of_something_else_is_not_taken(
    tmp_path: Path, change: Callable[[xr.Dataset], xr.Dataset], harmonics: int
) -> None:
    training = with_holes().assign_attrs(source_name=str(tmp_path))
    fit_climatology(training).to_zarr(tmp_path, group="climatology", mode="a", zarr_format=2)
    assert stored_for(training, 3) is not None
    assert stored_for(change(training), harmonics) is None
