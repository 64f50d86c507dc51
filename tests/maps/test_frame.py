"""Where grids lie on paper."""

from __future__ import annotations

import numpy as np

from weathersvq.grid import GLOBAL_5625, Grid
from weathersvq.maps import frame_of, unrolled

BRITAIN = Grid(np.arange(50, 58.25, 0.25), np.arange(-10, 2.25, 0.25))


def test_columns_are_unrolled_by_hand() -> None:
    # Columns centred on 0, 90, 180, 270; the cut at 180 W runs through the one centred on 180.
    grid = Grid([-45.0, 45.0], [0.0, 90.0, 180.0, 270.0])
    edges, values = unrolled(np.array([[0.0, 1, 2, 3], [4, 5, 6, 7]]), grid, west=-180.0)
    np.testing.assert_allclose(edges, [-180, -135, -45, 45, 135, 180])
    np.testing.assert_allclose(values, [[2, 3, 0, 1, 2], [6, 7, 4, 5, 6]])


def test_frames_fit_their_grids() -> None:
    assert frame_of(GLOBAL_5625).outline is None
    frame = frame_of(BRITAIN)
    assert frame.reach == (-10.125, 2.125, 49.875, 58.125)
    assert 1 < frame.aspect < 2.5  # 8 degrees of latitude by 12 of longitude at 54 N
