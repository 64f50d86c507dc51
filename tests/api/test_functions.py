"""`import weathersvq as ws`: the same results as the verbs', in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import weathersvq as ws
from weathersvq.cli.program import app
from weathersvq.config import Experiment
from weathersvq.data.frames import open_frame_store
from weathersvq.data.windows import parse_step, parse_time
from weathersvq.errors import InputError
from weathersvq.output import read_forecast

INIT = "2017-01-01"


@pytest.fixture(scope="module")
def fc() -> xr.Dataset:
    return ws.forecast(init=INIT, var="t2m", lead="6h")


def run(*arguments: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output


def test_names_are_stable() -> None:
    assert ws.__all__ == [
        "InputError", "evaluate", "forecast", "load_model", "open_forecast", "open_source",
        "prepare", "prepare_frames", "train",
    ]  # fmt: skip
    assert dir(ws) == sorted([*ws.__all__, "__version__"])
    for name in ws.__all__:
        assert getattr(ws, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'forcast'"):
        _ = ws.forcast  # type: ignore[attr-defined]


def test_a_forecast_is_that_of_the_verb(fc: xr.Dataset, tmp_path: Path) -> None:
    run("forecast", "--init", INIT, "--var", "t2m", "--lead", "6h", "--no-maps",
        "--out", str(tmp_path / "f.nc"))  # fmt: skip
    written = read_forecast(tmp_path / "f.nc")
    assert set(written.data_vars) == set(fc.data_vars) == {"t2m", "t2m_truth", "t2m_error"}
    for name in written.data_vars:
        np.testing.assert_array_equal(fc[name].values, written[name].values)
    assert (fc["lead_time"].values == written["lead_time"].values).all()


@pytest.mark.parametrize(
    "init",
    [
        date(2017, 1, 1),
        datetime(2017, 1, 1, 3, tzinfo=timezone(timedelta(hours=3))),
        np.datetime64("2017-01-01T00", "ns"),
        pd.Timestamp(INIT),
        pd.DatetimeIndex([INIT]),
        np.array([INIT], dtype="datetime64[ns]"),
        ["2017-01-01T00"],
    ],
)
def test_a_time_of_any_type(init: object, fc: xr.Dataset) -> None:
    for lead in ("6h", timedelta(hours=6), np.timedelta64(6, "h")):
        found = ws.forecast(init, ["t2m"], lead)  # type: ignore[arg-type]
        assert found["t2m"].identical(fc["t2m"])


def test_times_and_lengths_are_read() -> None:
    utc = np.datetime64("2017-01-01T00:00:00")
    assert parse_time(datetime(2017, 1, 1, tzinfo=UTC)) == utc
    assert parse_time(np.datetime64("2017-01")) == utc
    assert parse_step(timedelta(days=1)) == np.timedelta64(86400, "s")
    for number in (72, "72"):
        with pytest.raises(InputError, match="is a number without a unit"):
            parse_step(number)


def test_a_dataset_is_a_source(fc: xr.Dataset) -> None:
    data = ws.open_source("sample", "t2m,r,u10,v10,tcc")
    few = data.sel(time=slice("2016-12-31", "2017-01-01")).load()
    assert ws.forecast(INIT, "t2m", "6h", source=few)["t2m"].identical(fc["t2m"])
    # As a file may have it: other names, units and order of the rows.
    other = few.rename(t2m="2m_temperature", latitude="lat", longitude="lon").isel(
        lat=slice(None, None, -1)
    )
    found = ws.forecast(INIT, "t2m", "6h", source=other)
    np.testing.assert_array_equal(found["t2m"].values, fc["t2m"].values)


def test_flags_of_a_dataset_stay(make_wave: Callable[..., xr.Dataset]) -> None:
    wave = make_wave(steps=4)
    usable = np.array([True, False, True, True])
    found = ws.open_source(wave.assign_coords(usable=("time", usable)))
    np.testing.assert_array_equal(found["usable"].values, usable)


def test_many_forecasts_are_streamed_to_a_store(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = tmp_path / "many.zarr"
    inits = "2017-01-01/2017-01-02/12h"
    stored = ws.forecast(
        inits, "t2m", "3h", out=path, report=lambda done, of: told.append((done, of))
    )
    assert told[-1] == (3, 3)
    assert stored["t2m"].chunks is not None
    in_memory = ws.forecast(inits, "t2m", "3h")
    np.testing.assert_array_equal(stored["t2m"].values, in_memory["t2m"].values)
    assert stored.svq.scores().equals(in_memory.svq.scores())
    reopened = ws.open_forecast(path, source="sample")
    assert reopened.svq.scores().equals(in_memory.svq.scores())
    assert ws.open_forecast(path).svq.scores()["persistence_rmse"].isna().all()
    with pytest.raises(InputError, match="exists already"):
        ws.forecast(INIT, out=path)


def test_a_model_is_trained_and_used(
    make_experiment: Callable[..., Experiment], tmp_path: Path, wave_store: Path
) -> None:
    experiment = make_experiment()
    settings = {"train.epochs": 1, "train.warmup_epochs": 0}
    model = ws.train(experiment.to_dict(), settings, out=tmp_path / "a", progress=False)
    assert model.path == tmp_path / "a" / "model.safetensors"
    assert model.experiment.train.epochs == 1
    again = ws.train(experiment, settings, out=tmp_path / "b", progress=False)
    (tmp_path / "c.yaml").write_text(experiment.to_yaml(), encoding="utf-8")
    third = ws.train(tmp_path / "c.yaml", settings, out=tmp_path / "c", progress=False)
    for other in (again, third):
        for name, weights in model.weights.items():
            assert weights.equal(other.weights[name]), name
    fc = ws.forecast("2017-01-04", source=wave_store, model=model)
    assert fc.sizes["lead_time"] == 4
    assert ws.load_model(model) is model
    results = ws.evaluate(
        {"one": model, "two": tmp_path / "b" / "model.safetensors"}, source=wave_store,
        var=["t2m"], by=["lead"],
    )  # fmt: skip
    scores = results.scores()
    assert list(scores["forecast"].values[:3]) == ["one", "two", "persistence"]
    one, two = (scores.sel(forecast=name, metric="rmse") for name in ("one", "two"))
    np.testing.assert_array_equal(one.values, two.values)
    assert results.write(tmp_path / "s.csv").read_text(encoding="utf-8").startswith("variable")
    assert results.curves("t2m").axes[0].get_ylabel() == "RMSE [K]"
    for mistake, message in (
        (("u10",), "'u10' is not in these results"),
        (("t2m", "rsme"), "'rmse'"),
    ):
        with pytest.raises(InputError, match=message):
            results.curves(*mistake)
    page = results.report(tmp_path / "r.md")
    assert "one" in page.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="exists already"):
        results.report(page)


def test_a_store_is_prepared(wave_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.zarr"
    data = ws.prepare(wave_store, out, ["t2m"], period="2016-12-29/2016-12-30")
    assert data.sizes["time"] == 48
    assert list(data.data_vars) == ["t2m"]
    assert ws.open_source(out)["t2m"].identical(data["t2m"])


def test_frames_of_an_array_are_those_of_its_file(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    array = random.integers(0, 256, (5, 6, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "a.npy", array)
    stores = (
        ws.prepare_frames(array, tmp_path / "a.zarr", layout="nthw"),
        ws.prepare_frames(tmp_path / "a.npy", tmp_path / "b.zarr", layout="nthw"),
    )
    one, other = (open_frame_store(store) for store in stores)
    assert one.shape == (30, 1, 8, 8)
    every = np.arange(30)
    np.testing.assert_array_equal(one.read(every), other.read(every))
    np.testing.assert_array_equal(one.read(every)[:, 0], array.reshape(-1, 8, 8))
    with pytest.raises(InputError, match="exists"):
        ws.prepare_frames(array, stores[1], layout="nthw")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ws.forecast("2017-01-01T25"), "is not a time"),
        (lambda: ws.forecast("2031-01-01"), "not covered by the source"),
        (lambda: ws.forecast([]), "no initial time given"),
        (lambda: ws.forecast([INIT, INIT]), "is given twice"),
        (lambda: ws.forecast(INIT, "t2n"), "did you mean 't2m'"),
        (lambda: ws.forecast(INIT, lead=12), "12 is a number without a unit"),
        (lambda: ws.forecast(INIT, lead="90min"), r"lead 1\.5h is no multiple"),
        (lambda: ws.forecast(INIT, precision="fp8"), "unknown precision"),
        (lambda: ws.forecast(INIT, model="none.safetensors"), "no checkpoint at"),
        (lambda: ws.forecast([INIT, "2017-01-02"], out="a.nc"), "can hold one init only"),
        (lambda: ws.open_source("sample", grid="3"), "unknown grid '3'"),
        (lambda: ws.train({"name": "x"}), "config: data: this key is missing"),
        (lambda: ws.train("none.yaml"), "can't read the config"),
        (lambda: ws.evaluate(by="week"), "'week' is not known"),
        (lambda: ws.evaluate([xr.Dataset()]), "save it"),
        (lambda: ws.evaluate(xr.Dataset()), "save it"),
        (lambda: ws.prepare("sample", "a.nc"), "no name for a store"),
    ],
)
def test_mistakes_are_told_in_a_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
