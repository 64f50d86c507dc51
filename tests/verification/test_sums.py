"""Sums and scores: numbers by hand, and those of the library `scores`."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scores.continuous import additive_bias, mae, rmse
from scores.processing import aggregate

from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.verification.regions import Regions, find_regions
from weathersvq.verification.sums import METRICS, SUMS, metric_units, metrics, region_sums

# Rows 90S-30S, 30S-30N, 30N-90N: sines of the edges give shares 1/4, 1/2, 1/4 of the area.
GRID = Grid([-60.0, 0.0, 60.0], [0.0, 90.0, 180.0, 270.0])
GLOBE = find_regions(GRID, ["globe"])
HALVES = find_regions(GRID, ["globe", "northern_hemisphere", "tropics"])
SHAPE = (3, 4)


def rows(*values: float) -> np.ndarray:
    """(1, H, W), the same in each column."""
    return np.repeat(np.array(values, np.float32)[:, None], 4, axis=1)[None]


def scored(
    fields: dict[str, np.ndarray], truth: np.ndarray, normal: np.ndarray | None = None,
    regions: Regions = GLOBE,
) -> xr.DataArray:  # fmt: skip
    """Scores of all maps together, dims (metric, forecast, region)."""
    sums = np.stack([region_sums(f, truth, normal, regions, n) for n, f in fields.items()])
    labelled = xr.DataArray(
        sums,
        {"forecast": list(fields), "sum": list(SUMS), "region": list(regions.names)},
        ("forecast", "sum", "map", "region"),
    )
    return metrics(labelled.sum("map"))


def test_area_weights_by_hand() -> None:
    # Errors 1, 2, -4 K with shares 1/4, 1/2, 1/4: mean square (1 + 8 + 16) / 4, mean (1 + 4 - 4) / 4,
    # mean size (1 + 4 + 4) / 4; plain means over rows 21 / 3 and 7 / 3.
    truth = rows(280, 280, 280)
    found = scored({"a": truth + rows(1, 2, -4)}, truth).sel(forecast="a", region="globe")
    expected = {
        "rmse": 2.5,
        "mae": 2.25,
        "bias": 0.25,
        "mse_unweighted": 7.0,
        "mae_unweighted": 7 / 3,
    }
    for name, value in expected.items():
        assert float(found.sel(metric=name)) == pytest.approx(value, rel=1e-6)
    # No climatology and no baseline among the forecasts: nothing to compare with.
    for name in set(METRICS) - set(expected):
        assert np.isnan(found.sel(metric=name))


def test_skill_and_correlation_by_hand() -> None:
    # Truth differs from the climatology by 10, 10, -10 K, the forecast by 10, -10, -10: the mean
    # product 25 - 50 + 25 is nothing. Its only errors are -20 K in half of the area: MSE 200;
    # that of the climatology is 100, that of persistence (5 K off everywhere) 25.
    normal = rows(270, 270, 270)
    truth = normal + rows(10, 10, -10)
    fields = {
        "a": normal + rows(10, -10, -10), "persistence": truth + 5,
        "climatology": normal, "perfect": truth,
    }  # fmt: skip
    found = scored(fields, truth, normal).sel(region="globe")
    assert float(found.sel(forecast="a", metric="acc")) == pytest.approx(0.0, abs=1e-6)
    assert float(found.sel(forecast="perfect", metric="acc")) == pytest.approx(1.0)
    assert np.isnan(found.sel(forecast="climatology", metric="acc"))
    against = found.sel(metric="skill_persistence")
    assert float(against.sel(forecast="a")) == pytest.approx(1 - 200 / 25)
    assert float(against.sel(forecast="persistence")) == 0
    assert float(against.sel(forecast="perfect")) == 1
    against = found.sel(metric="skill_climatology")
    assert float(against.sel(forecast="a")) == pytest.approx(1 - 200 / 100)
    assert float(against.sel(forecast="persistence")) == pytest.approx(1 - 25 / 100)


def test_skill_against_a_perfect_baseline_is_unknown() -> None:
    truth = rows(280, 281, 282)
    found = scored({"a": truth + 1, "persistence": truth}, truth)
    assert np.isnan(found.sel(metric="skill_persistence")).all()


def test_regions_count_their_own_cells_alone() -> None:
    truth = rows(280, 280, 280)
    found = scored({"a": truth + rows(1, 2, 3)}, truth, regions=HALVES).sel(metric="bias")
    # The row on the equator belongs to the tropics and to neither hemisphere.
    assert found.sel(region="northern_hemisphere").item() == pytest.approx(3.0)
    assert found.sel(region="tropics").item() == pytest.approx(2.0)


def test_unknown_truth_counts_neither_above_nor_below() -> None:
    # Two maps; of the first the middle row is unknown: (1/4 + 16/4 + 9) / (1/2 + 1) = 13.25 / 1.5;
    # plain (1 + 16 + 9 * 3) rows of 5.
    truth = np.concatenate([rows(280, np.nan, 280), rows(280, 280, 280)])
    forecast = np.concatenate([rows(281, 282, 284), rows(283, 283, 283)])
    found = scored({"a": forecast}, truth).sel(forecast="a", region="globe")
    assert float(found.sel(metric="rmse")) == pytest.approx((13.25 / 1.5) ** 0.5, rel=1e-6)
    assert float(found.sel(metric="mse_unweighted")) == pytest.approx(44 / 5, rel=1e-6)
    unknown = scored({"a": forecast}, np.full_like(truth, np.nan))
    assert np.isnan(unknown).all()


def test_nan_in_a_forecast_is_an_error_and_never_a_gap() -> None:
    forecast, truth = rows(280, np.nan, 280), rows(280, 280, 280)
    with pytest.raises(InputError, match="mine of t2m has missing values in 4 cells"):
        region_sums(forecast, truth, None, GLOBE, "mine of t2m")
    unknown = rows(280, np.nan, 280)
    assert np.isfinite(region_sums(forecast, unknown, None, GLOBE, "mine of t2m")).all()


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from([0.0, 0.3, 0.9, 1.0]), st.sampled_from([0.0, 0.1, 20.0]))
def test_the_library_scores_agrees(seed: int, unknown: float, size: float) -> None:
    random = np.random.default_rng(seed)
    error, anomaly, normal = random.normal(0, 10, (3, 5, *SHAPE)).astype(np.float32)
    normal = 270 + normal
    forecast, truth = normal + anomaly + np.float32(size) * error, normal + anomaly
    hidden = random.random(truth.shape) < unknown
    truth[hidden] = np.nan
    dims = ("map", "latitude", "longitude")
    weights = xr.DataArray(GRID.area_weights(), {"latitude": GRID.latitude})
    labels = {"latitude": GRID.latitude, "longitude": GRID.longitude}
    one, true, usual = (
        xr.DataArray(each.astype(np.float64), labels, dims) for each in (forecast, truth, normal)
    )
    found = scored({"a": forecast}, truth, normal).sel(forecast="a", region="globe")
    if hidden.all():
        assert np.isnan(found).all()
        return
    near = {"rtol": 1e-6, "atol": 1e-6}
    for name, score in (("rmse", rmse), ("mae", mae), ("bias", additive_bias)):
        np.testing.assert_allclose(
            found.sel(metric=name), score(one, true, weights=weights), err_msg=name, **near
        )
    np.testing.assert_allclose(found.sel(metric="mae_unweighted"), mae(one, true), **near)
    apart = [(each - usual).where(true.notnull()) for each in (one, true)]
    product, own, theirs = (
        float(aggregate(a * b, reduce_dims=dims, weights=weights))
        for a, b in ((apart[0], apart[1]), (apart[0], apart[0]), (apart[1], apart[1]))
    )
    acc = float(found.sel(metric="acc"))
    assert acc == pytest.approx(product / (own * theirs) ** 0.5, abs=1e-6)
    assert abs(acc) <= 1 + 1e-9


@settings(max_examples=30, deadline=None)
@given(seeds, st.lists(st.integers(1, 4), max_size=3))
def test_sums_of_parts_are_those_of_the_whole(seed: int, cuts: list[int]) -> None:
    error = np.random.default_rng(seed).normal(0, 5, (5, *SHAPE)).astype(np.float32)
    truth = np.full_like(error, 280)
    whole = region_sums(truth + error, truth, None, HALVES, "a")
    parts = [
        region_sums(truth[part] + error[part], truth[part], None, HALVES, "a")
        for part in np.split(np.arange(5), sorted(set(cuts)))
    ]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-12)


def test_more_maps_than_a_block_holds() -> None:
    error = np.random.default_rng(0).normal(size=(37, *SHAPE)).astype(np.float32)
    found = region_sums(error, np.zeros_like(error), None, GLOBE, "a")
    squares = np.square(error.astype(np.float64)).sum(axis=(1, 2))
    np.testing.assert_allclose(found[SUMS.index("squared_error_unweighted"), :, 0], squares)


def test_units() -> None:
    assert metric_units("rmse", "m s-1") == "m s-1"
    assert metric_units("mse_unweighted", "K") == "K2"
    assert metric_units("mse_unweighted", "m s-1") == "(m s-1)2"
    assert metric_units("mse_unweighted", "1") == metric_units("acc", "K") == "1"
