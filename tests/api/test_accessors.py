"""What forecasts do by themselves: maps, scores, saving; and how a notebook shows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import weathersvq as ws
from weathersvq.api.notebook import animation_html
from weathersvq.api.selection import chosen
from weathersvq.errors import InputError
from weathersvq.metrics.weather import verify
from weathersvq.output import read_forecast

HOUR = np.timedelta64(1, "h")


@pytest.fixture(scope="module")
def fc() -> xr.Dataset:
    return ws.forecast(init=["2017-01-01", "2017-01-02"], var="t2m,uv10", lead="6h")


def title(figure: Figure) -> str:
    return figure.get_suptitle()


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_a_map_shows_the_lead_and_init_asked_for(fc: xr.Dataset) -> None:
    first = fc.t2m.svq.map()
    assert "init 2017-01-01 00:00 UTC,  lead 6 h" in title(first)
    assert title(first).startswith("Forecast of 2 metre temperature")
    assert "climate simulation, not past weather" in texts(first)
    second = fc.t2m.svq.map(init="2017-01-02", lead="3h")
    assert "init 2017-01-02 00:00 UTC,  lead 3 h" in title(second)
    # The same map, chosen by xarray.
    third = fc.t2m.isel(init_time=1).sel(lead_time=3 * HOUR).svq.map()
    assert title(third) == title(second)


def test_errors_and_truths_and_sources_have_maps_of_their_own(fc: xr.Dataset) -> None:
    assert title(fc.t2m_error.svq.map()).startswith("Error of forecast 2 metre temperature")
    assert title(fc.t2m_truth.svq.map()).startswith("2 metre temperature\ninit")
    data = ws.open_source("sample", "t2m")
    assert "valid 2017-01-01 06:00 UTC" in title(data.t2m.svq.map(time="2017-01-01T06"))
    assert "RMSE" in fc.svq.error_map("t2m", lead="6h").axes[2].get_title()


def test_one_map_is_chosen() -> None:
    field = xr.DataArray(
        np.arange(2 * 3 * 2 * 4).reshape(2, 3, 2, 2, 2),
        {
            "init_time": np.array(["2017-01-01", "2017-01-02"], "datetime64[ns]"),
            "lead_time": np.arange(1, 4) * HOUR.astype("timedelta64[ns]"),
            "level": [500, 850],
        },
        ("init_time", "lead_time", "level", "latitude", "longitude"),
        name="t",
    )
    # Strides 24, 8, 4: the second init, first lead, second level begin at 24 + 0 + 4.
    found = chosen(field, init="2017-01-02", lead="1h", level=850)
    np.testing.assert_array_equal(found.values, [[28, 29], [30, 31]])
    # First init, last lead: 16.
    assert chosen(field, level=500).values[0, 0] == 16
    for mistake, message in (
        ({}, "several levels; name one: level= one of 500, 850"),
        ({"level": 500, "lead": "9h"}, "t has no lead 9h; it has 1h to 3h"),
        ({"level": 300}, "t has no level 300 hPa; it has 500 hPa to 850 hPa"),
        ({"level": 500, "init": "2018-01-01"}, "no initial time 2018-01-01T00:00; it has 2017"),
        ({"level": 500, "time": "2018-01-01"}, "no time 2018-01-01T00:00 to choose"),
    ):
        with pytest.raises(InputError, match=message):
            chosen(field, **mistake)  # type: ignore[arg-type]


def test_strips_wind_and_animations(fc: xr.Dataset) -> None:
    alone = fc.t2m.svq.strip(leads=["2h", "6h"])
    beside = fc.svq.strip("t2m", leads=["2h", "6h"])
    maps = [sum(len(axes.get_title()) > 0 for axes in each.axes) for each in (alone, beside)]
    assert len(beside.axes) > len(alone.axes)
    assert maps[0] == 2
    # Where nothing of the truth is known there is none to show.
    unknown = fc.assign(t2m_truth=fc.t2m_truth * np.nan).svq.strip("t2m", leads=["2h", "6h"])
    assert len(unknown.axes) == len(alone.axes)
    assert "RMSE of 2 metre temperature, lead 3 h" in title(fc.svq.rmse_map("t2m", lead="3h"))
    assert "lead 3 h" in title(fc.svq.wind(lead="3h", style="streamlines"))
    with pytest.raises(InputError, match="no u in this forecast"):
        fc.svq.wind(level=850)
    with pytest.raises(InputError, match="t2m is one map only"):
        fc.t2m.isel(lead_time=0).svq.animate()
    movie = fc.isel(lead_time=slice(2)).t2m.svq.animate(init="2017-01-02")
    page = animation_html(movie)
    assert page.startswith('<img alt="animation" src="data:image/gif;base64,R0lGOD')


def test_scores_stand_beside_persistence(fc: xr.Dataset) -> None:
    table = fc.svq.scores()
    assert list(table.columns) == [
        "variable", "units", "lead_hours", "mean", "rmse", "bias", "mae", "persistence_rmse",
    ]  # fmt: skip
    assert len(table) == 3 * 6
    rows = table.set_index(["variable", "lead_hours"])
    expected = verify(fc)["t2m"].sel(lead_time=4 * HOUR)
    assert rows.loc[("t2m", 4.0), "rmse"] == pytest.approx(float(expected.sel(metric="rmse")))
    still = fc.t2m_truth - fc.t2m_initial
    weights = np.cos(np.deg2rad(fc.latitude))
    # Cosines of the centres are the rows' areas to within a thousandth of their mean here.
    mean = (still.sel(lead_time=4 * HOUR) ** 2).weighted(weights).mean()
    assert rows.loc[("t2m", 4.0), "persistence_rmse"] == pytest.approx(float(mean) ** 0.5, rel=2e-3)
    # One variable, one init, one lead: what is selected is what is scored.
    one = fc[["t2m", "t2m_truth"]].isel(init_time=0).sel(lead_time=4 * HOUR).svq.scores()
    assert one["lead_hours"].tolist() == [4.0]
    assert one["rmse"].item() != rows.loc[("t2m", 4.0), "rmse"]
    assert one["persistence_rmse"].notna().all()


def test_scores_of_many_inits_come_in_parts(
    fc: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fc.svq.scores()
    monkeypatch.setattr("weathersvq.api.accessors.MAPS_AT_A_TIME", 1)
    parts = fc.svq.scores()
    np.testing.assert_allclose(parts["rmse"], whole["rmse"], rtol=1e-6)


def test_what_is_saved_is_what_was_forecast(fc: xr.Dataset, tmp_path: Path) -> None:
    path = fc.svq.save(tmp_path / "f.zarr")
    back = read_forecast(path)
    assert not [name for name in back.coords if str(name).endswith("_initial")]
    np.testing.assert_array_equal(back["t2m"].values, fc["t2m"].values)
    with pytest.raises(InputError, match="exists already"):
        fc.svq.save(path)
    assert fc.isel(init_time=[0]).svq.save(tmp_path / "f.nc").is_file()


def test_mistakes_are_told(fc: xr.Dataset) -> None:
    with pytest.raises(InputError, match="no tm2 in this forecast; did you mean 't2m'"):
        fc.svq.error_map("tm2")
    with pytest.raises(InputError, match="no truth of t2m"):
        fc.drop_vars("t2m_truth").svq.error_map("t2m")
    with pytest.raises(InputError, match="it is no forecast"):
        _ = ws.open_source("sample", "t2m").svq


SHOWN = """
import io
from contextlib import redirect_stdout
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import sys
import weathersvq as ws
ws.open_source("sample", "t2m")
assert "matplotlib" not in sys.modules
from matplotlib.figure import Figure
found, _ = shell.display_formatter.format(Figure(figsize=(1, 1)))
assert found["image/png"][:4] == b"\\x89PNG", list(found)
print("shown")
"""


def test_a_notebook_shows_figures() -> None:
    pytest.importorskip("IPython")
    result = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True)
    assert result.stdout.strip().endswith("shown"), result.stderr
