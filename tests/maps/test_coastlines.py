"""Coastlines: bundled, without lines across the map, never fetched."""

from __future__ import annotations

import numpy as np
from cartopy.io import shapereader

from weathersvq.maps import coastline_file


def test_the_bundled_coastline_has_no_lines_across_the_map() -> None:
    path = coastline_file("110m")
    assert path is not None
    lines = [np.asarray(line.coords) for shape in shapereader.Reader(str(path)).geometries()
             for line in getattr(shape, "geoms", [shape])]  # fmt: skip
    assert len(lines) > 100
    for line in lines:
        assert np.abs(np.diff(line[:, 0])).max() < 180
        assert line[:, 1].min() > -86  # the ice shelves end at 85.61 S
        on_the_date_line = np.isclose(np.abs(line[:, 0]), 180)
        assert not (on_the_date_line[1:] & on_the_date_line[:-1]).any()
    # Africa's west coast at Dakar (14.7 N, 17.5 W) is there to within 110m accuracy.
    points = np.concatenate(lines)
    assert np.hypot(points[:, 0] + 17.5, points[:, 1] - 14.7).min() < 1.0


def test_missing_finer_coastlines_are_never_fetched() -> None:
    assert coastline_file("10m") is None
