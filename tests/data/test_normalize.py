"""Statistics come from the training split alone and match a plain computation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from weathersvq.data.normalize import Normalization, fit_normalization
from weathersvq.data.windows import Period
from weathersvq.errors import InputError
from weathersvq.variables import parse_channels


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
