"""Statistics come from the training split alone and match a plain computation."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from weathersvq.data import normalize
from weathersvq.data.normalize import (
    Moments,
    Normalization,
    fit_normalization,
    merge_moments,
    moments,
    statistics_from_json,
    statistics_to_json,
)
from weathersvq.data.pieces import time_pieces
from weathersvq.data.windows import Period
from weathersvq.errors import InputError
from weathersvq.variables import Channel, parse_channels

T2M = parse_channels("t2m")


def series(values: np.ndarray, **more: np.ndarray) -> xr.Dataset:
    """Maps (n, H, W) as a dataset of hourly t2m, and of other variables of the same size."""
    times = np.datetime64("2016-12-28", "s") + np.arange(len(values)) * np.timedelta64(3600, "s")
    dims = ("time", "latitude", "longitude")
    fields = {
        name: (dims, maps.astype(np.float32)) for name, maps in ({"t2m": values} | more).items()
    }
    coords = {
        "time": times,
        "latitude": np.arange(values.shape[1]) * 1.0,
        "longitude": np.arange(values.shape[2]) * 1.0,
    }
    return xr.Dataset(fields, coords)


def test_statistics_see_the_training_split_only(make_wave: Callable[..., xr.Dataset]) -> None:
    dataset = make_wave(steps=96, names=("t2m", "u10"))
    changed = dataset.copy(deep=True)
    changed.t2m[48:] = 0.0  # everything after the training split
    period = Period.parse("2016-12-28/2016-12-29")
    channels = parse_channels("u10,t2m")
    fitted = fit_normalization(changed, channels, period)
    assert fitted == fit_normalization(dataset, channels, period)
    assert fitted.channels == ("u10", "t2m")
    expected = dataset.t2m[:48].values.astype(np.float64)
    assert fitted.mean[1] == pytest.approx(expected.mean(), rel=1e-9)
    assert fitted.std[1] == pytest.approx(expected.std(), rel=1e-7)


def test_chunked_data_give_the_same_statistics(make_wave: Callable[..., xr.Dataset]) -> None:
    dataset = make_wave(steps=50)
    channels, period = parse_channels("t2m"), Period.parse("2016/2017")
    lazy = fit_normalization(dataset.chunk({"time": 7}), channels, period)
    assert lazy == fit_normalization(dataset, channels, period)


def test_missing_values_constants_and_empty_periods_are_refused(
    make_wave: Callable[..., xr.Dataset],
) -> None:
    dataset = make_wave(steps=30)
    channels, period = parse_channels("t2m"), Period.parse("2016/2017")
    with pytest.raises(InputError, match="no time in"):
        fit_normalization(dataset, channels, Period.parse("1999"))
    with pytest.raises(InputError, match="constant"):
        fit_normalization(dataset * 0 + 280, channels, period)
    dataset.t2m[3, 4, 5] = np.nan
    with pytest.raises(InputError, match="missing values"):
        fit_normalization(dataset, channels, period)


def test_scale_has_the_shape_of_frames() -> None:
    mean, std = Normalization(("a", "b"), (1.0, 2.0), (3.0, 4.0)).scale()
    assert mean.shape == std.shape == (2, 1, 1)


@given(
    cuts=st.sets(st.integers(1, 39), max_size=6),
    holes=st.sets(st.integers(0, 39), max_size=39),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_merged_pieces_are_the_whole(cuts: set[int], holes: set[int], scale: float) -> None:
    # A mean of 1e5 standard deviations: sums of squares in one go would lose every digit.
    values = (scale * (1e5 + np.random.default_rng(1).normal(size=(40, 3, 5)))).astype(np.float32)
    dataset = series(values)
    for hole in holes:
        dataset.t2m[hole, hole % 3, hole % 5] = np.nan
    edges = [0, *sorted(cuts), 40]
    parts = [moments(dataset.isel(time=slice(a, b)), T2M) for a, b in pairwise(edges)]
    found = merge_moments(parts)
    kept = np.delete(values, sorted(holes), axis=0).astype(np.float64)
    assert found.count[0] == kept.size
    np.testing.assert_allclose(found.mean[0], kept.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.std[0], kept.std(), rtol=1e-9)
    assert (found.minimum[0], found.maximum[0]) == (kept.min(), kept.max())


def test_merging_by_hand() -> None:
    # {1, 3}: mean 2, squared deviations 1 + 1. All: sum 38, sum of squares 316.
    first = moments(series(np.array([[[1.0, 3.0]]])), T2M)
    second = moments(series(np.array([[[5.0, 9.0]], [[10.0, 10.0]]])), T2M)
    assert (first.mean[0], first.squares[0], second.count[0]) == (2.0, 2.0, 4)
    merged = merge_moments([first, second])
    assert merged.mean[0] == pytest.approx(38 / 6, rel=1e-15)
    assert merged.squares[0] == pytest.approx(316 - 38**2 / 6, rel=1e-14)
    with pytest.raises(ValueError, match="can't be merged"):
        merge_moments([first, first.select([])])
    with pytest.raises(ValueError, match="no statistics"):
        merge_moments([])


def test_a_part_without_values_changes_nothing() -> None:
    empty = moments(series(np.full((2, 1, 2), np.nan)), T2M)
    some = moments(series(np.array([[[280.0, 290.0]]])), T2M)
    for parts in ([empty, some], [some, empty], [empty, empty, some]):
        assert statistics_to_json(merge_moments(parts), Period.parse("2016")) == (
            statistics_to_json(some, Period.parse("2016"))
        )


def test_channels_lose_their_own_maps_only() -> None:
    values = np.arange(12.0).reshape(3, 2, 2)
    dataset = series(values, u10=-values)
    dataset.t2m[1, 0, 0] = np.nan
    found = moments(dataset, parse_channels("t2m,u10"))
    assert found.count.tolist() == [8, 12]
    assert found.mean.tolist() == [(0 + 1 + 2 + 3 + 8 + 9 + 10 + 11) / 8, -5.5]
    assert found.select(["u10"]).count.tolist() == [12]


def test_levels_are_channels() -> None:
    dataset = series(np.ones((2, 2, 2))).rename(t2m="r").expand_dims(level=[500, 1000], axis=1)
    dataset["r"] = dataset["r"] * xr.DataArray([1.0, 7.0], {"level": [500, 1000]})
    found = moments(dataset, (Channel("r", 1000), Channel("r", 500)))
    assert found.channels == ("r@1000", "r@500")
    assert found.mean.tolist() == [7.0, 1.0]


def test_statistics_survive_json() -> None:
    values = np.random.default_rng(0).normal(280, 10, size=(4, 3, 3))
    dataset = series(values, u10=np.full((4, 3, 3), np.nan))
    before = moments(dataset, parse_channels("t2m,u10"))
    text = statistics_to_json(before, Period.parse("2016-12-28"))
    content = json.loads(text)
    assert content["period"] == "2016-12-28T00:00:00/2016-12-28T23:59:59"
    assert content["channels"]["t2m"]["std"] == pytest.approx(
        values.astype(np.float32).astype(np.float64).std(), rel=1e-12
    )
    assert content["channels"]["u10"] == {
        "count": 0, "mean": None, "std": None, "minimum": None, "maximum": None
    }  # fmt: skip
    after, period = statistics_from_json(text)
    assert period == Period.parse("2016-12-28")
    np.testing.assert_array_equal(after.count, before.count)
    np.testing.assert_array_equal(after.mean, before.mean)
    np.testing.assert_allclose(after.squares, before.squares, rtol=1e-14)
    np.testing.assert_array_equal(after.minimum, before.minimum)
    np.testing.assert_array_equal(after.maximum, before.maximum)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"period": "x", "channels": {}}', '{"channels": {"t2m": 3}}', "[1]"]
)
def test_damaged_statistics_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="attribute statistics"):
        statistics_from_json(text)


@pytest.fixture
def prepared() -> xr.Dataset:
    """60 hours of t2m and u10 as a prepared store gives them: hour 7 lacks u10, hour 30 all."""
    generator = np.random.default_rng(2)
    t2m, u10 = generator.normal(280, 10, (60, 3, 4)), generator.normal(3, 5, (60, 3, 4))
    dataset = series(t2m, u10=u10)
    dataset.u10[7] = np.nan
    dataset.u10[30] = np.nan
    dataset.t2m[30, 1, 1] = np.nan
    usable = np.ones(60, dtype=bool)
    usable[[7, 30]] = False
    # Statistics as the tasks of `prepare` make them, of pieces that do not fit the training period.
    training = dataset.isel(time=slice(0, 48))
    parts = [moments(training.isel(time=slice(a, a + 13)), CHANNELS) for a in range(0, 48, 13)]
    text = statistics_to_json(merge_moments(parts), Period.parse("2016-12-28/2016-12-29"))
    return dataset.assign_coords(usable=("time", usable)).assign_attrs(statistics=text)


CHANNELS = parse_channels("t2m,u10")
TRAINING = Period.parse("2016-12-28T00/2016-12-29T23")


def test_stored_and_computed_statistics_agree(prepared: xr.Dataset) -> None:
    stored = fit_normalization(prepared, CHANNELS, TRAINING)
    computed = fit_normalization(prepared.drop_attrs(), CHANNELS, TRAINING)
    assert (stored.origin, computed.origin) == ("stored", "computed")
    np.testing.assert_allclose(stored.mean, computed.mean, rtol=1e-12)
    np.testing.assert_allclose(stored.std, computed.std, rtol=1e-12)
    # t2m is whole at hour 7, where only u10 is bad: 47 maps of t2m, 46 of u10.
    t2m = np.delete(prepared.t2m.values[:48], 30, axis=0).astype(np.float64)
    u10 = np.delete(prepared.u10.values[:48], [7, 30], axis=0).astype(np.float64)
    np.testing.assert_allclose(computed.mean, [t2m.mean(), u10.mean()], rtol=1e-12)
    np.testing.assert_allclose(computed.std, [t2m.std(), u10.std()], rtol=1e-12)
    one = fit_normalization(prepared, parse_channels("u10"), TRAINING)
    assert (one.channels, one.mean) == (("u10",), stored.mean[1:])


@pytest.mark.parametrize(
    "change",
    [
        lambda d: (d, Period.parse("2016-12-28/2016-12-28")),  # another period
        lambda d: (d.isel(time=slice(5, None)), Period.parse("2016-12-28T05/2016-12-29")),
        lambda d: (d.assign_attrs(regridded="from elsewhere"), TRAINING),
        lambda d: (d.drop_vars("usable").isel(time=slice(0, 7)), Period.parse("2016-12-28")),
        lambda d: (d.rename(u10="v10"), TRAINING),  # a channel without statistics
    ],
    ids=["period", "cut", "regridded", "not prepared", "channel"],
)
def test_statistics_of_something_else_are_not_taken(
    prepared: xr.Dataset, change: Callable[[xr.Dataset], tuple[xr.Dataset, Period]]
) -> None:
    dataset, period = change(prepared)
    channels = tuple(Channel(str(name)) for name in dataset.data_vars)
    assert fit_normalization(dataset, channels, period).origin == "computed"


def test_a_missing_value_at_a_usable_time_is_refused(prepared: xr.Dataset) -> None:
    prepared.t2m[40, 2, 2] = np.nan
    with pytest.raises(InputError, match=r"t2m has missing values.*2016-12-29T16:00"):
        fit_normalization(prepared.drop_attrs(), CHANNELS, TRAINING)
    nothing = prepared.drop_attrs().where(False).assign_coords(usable=("time", np.zeros(60, bool)))
    with pytest.raises(InputError, match="t2m has no whole map"):
        fit_normalization(nothing, CHANNELS, TRAINING)


def test_pieces_keep_chunks_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = series(np.zeros((50, 2, 4)))  # 32 bytes a time
    assert list(time_pieces(dataset, 32 * 20)) == [slice(0, 20), slice(20, 40), slice(40, 50)]
    seven = dataset.chunk(time=7)
    assert [s.stop for s in time_pieces(seven, 32 * 20)] == [14, 28, 42, 50]
    assert [s.stop for s in time_pieces(seven, 1)] == [7, 14, 21, 28, 35, 42, 49, 50]
    # Cut, it has chunks of 2, 7, 7, 7, 7, 7, 7, 1.
    assert [s.stop for s in time_pieces(seven.isel(time=slice(5, None)), 32 * 20)] == [16, 30, 45]
    unlike = xr.merge([seven, series(np.zeros((50, 2, 4))).rename(t2m="u10").chunk(time=11)])
    assert [s.stop for s in time_pieces(unlike, 32 * 40)] == [14, 28, 42, 50]

    whole = fit_normalization(seven + np.arange(4.0), T2M, Period.parse("2016"))
    monkeypatch.setattr(normalize, "time_pieces", lambda d: time_pieces(d, 1))
    pieces = fit_normalization(seven + np.arange(4.0), T2M, Period.parse("2016"))
    assert (whole.mean[0], whole.std[0]) == (1.5, pytest.approx(np.sqrt(1.25)))
    np.testing.assert_allclose(pieces.std, whole.std, rtol=1e-12)


def test_moments_are_empty_without_maps() -> None:
    assert isinstance(found := moments(series(np.zeros((0, 2, 2))), T2M), Moments)
    assert found.count.tolist() == [0]
