"""Strips: which leads, what they share, what is written."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.maps import lead_strip

Make = Callable[..., xr.DataArray]
Texts = Callable[[Figure], str]
BRITAIN = Grid(np.arange(50, 58.25, 0.5), np.arange(-10, 2.25, 0.5))


def maps_of(figure: Figure) -> list[QuadMesh]:
    meshes = [c for axes in figure.axes for c in axes.collections if isinstance(c, QuadMesh)]
    return [mesh for mesh in meshes if mesh.get_array().size > 300]


@pytest.mark.parametrize(
    ("held", "shown"), [(12, "2 4 6 8 10 12"), (7, "1 3 5 7"), (4, "1 2 3 4"), (1, "1")]
)
def test_leads_are_evenly_spaced_up_to_the_last(make_course: Make, held: int, shown: str) -> None:
    figure = lead_strip(make_course(held, BRITAIN))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [f"{hour} h" for hour in shown.split()]
    # The fields are 280 + lead: each map shows its own.
    values = [float(mesh.get_array().mean()) for mesh in maps_of(figure)]
    assert values == [280 + int(hour) for hour in shown.split()]


def test_rows_share_their_colours(make_course: Make, texts: Texts) -> None:
    forecast = make_course(4)
    truth = forecast - xr.DataArray([0.0, 0.5, 1.0, 2.0], dims="lead_time")
    # The last truth is unknown.
    truth = truth.where(truth.lead_time < truth.lead_time[3])
    figure = lead_strip(forecast, truth, leads=["2h", np.timedelta64(3, "h"), "4h"], note="a note")
    maps = maps_of(figure)
    assert len(maps) == 9
    limits = [(mesh.norm.vmin, mesh.norm.vmax) for mesh in maps]
    assert len(set(limits[:6])) == 1
    assert len(set(limits[6:])) == 1
    assert limits[6][0] == -limits[6][1] == -1
    text = texts(figure)
    assert "RMSE 0.5 K | " in text
    assert "RMSE 1 K | " in text
    assert "no truth" in text
    assert "a note" in text
    assert "Forecast, truth and error of 2 metre temperature\ninit 2017-01-01 06:00 UTC" in text


def test_nothing_is_written_over_something_else(make_course: Make) -> None:
    leads = ["6h", "12h"]
    figure = lead_strip(make_course(), make_course(name="t2m_truth"), leads=leads, note="a note")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.texts]
    boxes += [axes.get_tightbbox(renderer) for axes in figure.axes]
    assert not [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if a.overlaps(b)]
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)


def test_what_is_no_strip(make_course: Make) -> None:
    course = make_course(4, BRITAIN)
    with pytest.raises(InputError, match=r"no lead 9h in this forecast of t2m; it has 4 from"):
        lead_strip(course, leads=["9h"])
    with pytest.raises(InputError, match=r"expected \(lead_time, latitude, longitude\)"):
        lead_strip(course.isel(lead_time=0))
    with pytest.raises(InputError, match="t2m and t2m_truth differ in lead_time"):
        lead_strip(course, make_course(3, BRITAIN, "t2m_truth"))
    with pytest.raises(InputError, match="the array has no name"):
        lead_strip(course.rename(None))
