"""`weathersvq map`: every kind from both forms of a stored forecast, and mistakes in one line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from weathersvq.cli import pictures
from weathersvq.grid import Grid
from weathersvq.output import write_forecast

Run = Callable[..., tuple[int, str, str]]
BRITAIN = Grid(np.arange(50, 58.25, 0.5), np.arange(-10, 2.25, 0.5))


def make_forecast() -> xr.Dataset:
    """Two inits and three leads of t2m, u10, v10 and t at two levels; truth of all but t."""
    leads = (np.arange(1, 4) * np.timedelta64(6, "h")).astype("timedelta64[ns]")
    dims = ("init_time", "lead_time", "latitude", "longitude")
    steps = np.broadcast_to(np.arange(3.0)[:, None, None], (2, 3, *BRITAIN.shape)).copy()
    fields = {"t2m": 280 + steps, "u10": 3 + steps, "v10": 4 - steps}
    data: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, values in fields.items():
        data |= {
            name: (dims, values),
            f"{name}_truth": (dims, values - 1),
            f"{name}_error": (dims, np.ones_like(values)),
        }
    data["t"] = ((*dims[:2], "level", *dims[2:]), np.stack([steps + 250, steps + 270], axis=2))
    about = ("title", "institution", "source", "history", "references", "comment")
    return xr.Dataset(
        data,
        {
            "init_time": np.array(["2017-01-01", "2017-01-02"], "datetime64[ns]"),
            "lead_time": leads,
            "level": [500, 850],
            "latitude": BRITAIN.latitude,
            "longitude": BRITAIN.longitude,
        },
        dict.fromkeys(about, "a test") | {"simulated": "true"},
    )


@pytest.fixture
def draw(run: Run) -> Run:
    """`weathersvq map` beside the two forecasts."""
    write_forecast(make_forecast(), "two.zarr")
    write_forecast(make_forecast().isel(init_time=[0]).drop_dims("level"), "one.nc")
    return partial(run, "map")


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["two.zarr"], "two_u10_forecast.png"),
        (["two.zarr", "--var", "t@850", "--lead", "6h"], "two_t850_forecast.png"),
        (["two.zarr", "--kind", "error", "--init", "2017-01-02"], "two_u10_error.png"),
        (["two.zarr", "--kind", "strip", "--var", "u10"], "two_u10_strip.png"),
        (["one.nc", "--kind", "wind", "--style", "streamlines"], "one_wind.png"),
        (["two.zarr", "--kind", "rmse", "--out", "a/b.pdf"], "a/b.pdf"),
        (["one.nc", "--kind", "animation", "--lead", "12h"], "one_t2m_animation.gif"),
    ],
    ids=lambda value: " ".join(value[1:3]) if isinstance(value, list) else "",
)
def test_each_kind(draw: Run, arguments: list[str], written: str) -> None:
    assert draw(*arguments) == (0, f"wrote {written}\n", "")
    start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".gif": b"GIF8"}[Path(written).suffix]
    assert Path(written).read_bytes().startswith(start)


def asked(kind: str, **options: str) -> pictures.Picture:
    given = dict.fromkeys(("var", "init", "lead", "style")) | options
    return pictures.plan_picture(Path("two.zarr"), kind, out=None, **given)  # type: ignore[arg-type]


def test_defaults_and_choices(draw: Run) -> None:
    plain = asked("forecast")
    assert plain.init == np.datetime64("2017-01-01")
    assert plain.lead == np.timedelta64(18, "h")
    course, truth = asked("strip", lead="12h", var="u10", init="2017-01-02T00").course()
    assert course.lead_time.size == 2
    assert truth is not None
    assert float((course - truth).mean()) == 1
    assert course.init_time == np.datetime64("2017-01-02")
    assert asked("animation", var="t@500").course()[1] is None
    assert [str(each) for each in asked("wind").channels] == ["u10", "v10"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.nc"], "no forecast at none.nc"),
        (["two.zarr", "--kind", "strp"], "unknown kind 'strp'; did you mean 'strip'?; expected"),
        (["two.zarr", "--var", "t2n"], "did you mean 't2m'"),
        (["two.zarr", "--var", "r"], "no r in this forecast; it holds"),
        (["two.zarr", "--var", "uv10"], "--kind forecast shows one variable, not --var uv10"),
        (["two.zarr", "--kind", "wind", "--var", "t2m"], "--kind wind shows two components"),
        (["two.zarr", "--kind", "wind", "--var", "t2m,u10"], "are not the eastward and northward"),
        (["two.zarr", "--var", "t"], "t is on levels (500, 850 hPa); choose one, as in t@500"),
        (["two.zarr", "--init", "2018-01-01"], "holds no init time 2018-01-01T00:00; it has 2017"),
        (["two.zarr", "--lead", "7h"], "holds no lead time 7 h; it has 6 h, 12 h, 18 h"),
        (["two.zarr", "--lead", "soon"], "'soon' is not a length of time"),
        (["two.zarr", "--kind", "rmse", "--init", "2017-01-01"], "leave --init away"),
        (["two.zarr", "--kind", "error", "--var", "t@500"], "no truth for t in this forecast"),
        (["two.zarr", "--kind", "rmse", "--var", "t@500"], "no truth for t@500 in this forecast"),
        (["two.zarr", "--style", "arrows"], "--style arrows is of --kind wind alone"),
        (["two.zarr", "--kind", "wind", "--style", "lines"], "unknown style 'lines'"),
        (["two.zarr", "--out", "a.gif"], "expected .png or .pdf or .svg"),
        (["two.zarr", "--kind", "animation", "--out", "a.png"], "expected .gif or .mp4"),
        (["two.zarr", "--out", "/proc/none/a.png"], "cannot write in folder /proc/none"),
    ],
)
def test_mistakes_end_in_one_line(draw: Run, arguments: list[str], message: str) -> None:
    before = sorted(Path().rglob("*.*"))
    code, out, error = draw(*arguments)
    assert (code, out) == (2, "")
    assert error.startswith("weathersvq: ")
    assert error.count("\n") == 1
    assert message in error
    assert sorted(Path().rglob("*.*")) == before


def test_no_wind_to_draw(draw: Run) -> None:
    write_forecast(make_forecast()[["t2m"]].isel(init_time=[0]), "warm.nc")
    code, _, error = draw("warm.nc", "--kind", "wind")
    assert code == 2
    assert "no wind in this forecast; it holds t2m" in error
    assert draw("warm.nc")[1] == "wrote warm_forecast.png\n"
