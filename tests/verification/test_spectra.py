"""Power by zonal wavenumber: waves whose power is known, and Parseval's theorem."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.verification.spectra import has_spectra, zonal_power

ANGLES = np.deg2rad(GLOBAL_5625.longitude)


@pytest.mark.parametrize("wavenumber", [1, 3, 31])
def test_a_pure_wave_has_its_power_in_one_wavenumber(wavenumber: int) -> None:
    # The mean square of 2 cos(k x) over a circle is 2, whatever the phase; that of 5 is 25.
    wave = 5 + 2 * np.cos(wavenumber * ANGLES + 0.4)
    power = zonal_power(np.broadcast_to(wave, (1, 32, 64)).astype(np.float32), GLOBAL_5625)[0]
    expected = np.zeros(33)
    expected[[0, wavenumber]] = 25, 2
    np.testing.assert_allclose(power, expected, atol=1e-5)


def test_the_shortest_wave_is_its_own_mirror() -> None:
    # cos(32 x) at 64 columns is 1, -1, 1 ...: mean square 1.
    wave = np.broadcast_to(np.cos(32 * ANGLES), (1, 32, 64)).astype(np.float32)
    assert zonal_power(wave, GLOBAL_5625)[0, 32] == pytest.approx(1)


def test_rows_count_by_their_area() -> None:
    # A wave on the northern of two rows alone has half of its power; near a pole almost none.
    grid = Grid(GLOBAL_5625.latitude, GLOBAL_5625.longitude)
    wave = np.zeros((2, 32, 64), np.float32)
    wave[0, 16:] = wave[1, 31] = np.cos(2 * ANGLES)
    power = zonal_power(wave, grid)[:, 2]
    assert power[0] == pytest.approx(0.25)
    share = (1 - np.sin(np.deg2rad(84.375))) / 2
    assert power[1] == pytest.approx(0.5 * share)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 5, 64, 65]))
def test_parseval(seed: int, columns: int) -> None:
    grid = Grid(np.linspace(-80, 80, 9), np.arange(columns) * 360 / columns)
    field = np.random.default_rng(seed).normal(3, 2, (2, 9, columns)).astype(np.float32)
    power = zonal_power(field, grid)
    assert power.shape == (2, columns // 2 + 1)
    weights = grid.area_weights()[:, None]
    square = (field.astype(np.float64) ** 2 * weights).mean(axis=(1, 2))
    np.testing.assert_allclose(power.sum(axis=1), square, rtol=1e-6)
    variance = (field.var(axis=2, dtype=np.float64) * weights[:, 0]).mean(axis=1)
    np.testing.assert_allclose(power[:, 1:].sum(axis=1), variance, rtol=1e-6)


def test_a_smoother_field_has_less_power_at_every_wave() -> None:
    field = np.random.default_rng(0).normal(size=(1, 32, 64)).astype(np.float32)
    smooth = (np.roll(field, 1, 2) + 2 * field + np.roll(field, -1, 2)) / 4
    ratio = zonal_power(smooth, GLOBAL_5625) / zonal_power(field, GLOBAL_5625)
    # The filter's response to wavenumber k is cos(pi k / 64) squared, its power that squared.
    expected = np.cos(np.pi * np.arange(33) / 64) ** 4
    np.testing.assert_allclose(ratio[0], expected, atol=1e-5)


def test_only_rows_round_the_globe_have_wavenumbers() -> None:
    assert has_spectra(GLOBAL_5625)
    assert not has_spectra(Grid([40, 50, 60], [0, 10, 20]))
