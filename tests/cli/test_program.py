"""The command line as a person meets it: exit codes, one-line errors, files where they belong."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from weathersvq.bundled import bundled_model, bundled_sample
from weathersvq.config import Experiment

Run = Callable[..., tuple[int, str, str]]


def test_the_first_forecast(run: Run) -> None:
    code, out, _ = run("forecast", "--init", "2017-01-01", "--var", "t2m")
    assert code == 0
    assert "RMSE" in out
    assert "persistence" in out
    assert "climate simulation" in out.splitlines()[-1]
    files = {path.name for path in Path("forecasts").iterdir()}
    assert files == {
        "t2m_20170101T0000.nc",
        "t2m_20170101T0000_forecast.png",
        "t2m_20170101T0000_error.png",
    }
    with xr.open_dataset("forecasts/t2m_20170101T0000.nc", decode_timedelta=True) as dataset:
        assert dataset.t2m.dims == ("time", "latitude", "longitude")
        assert dataset.t2m.shape == (12, 32, 64)
        assert 230 < float(dataset.t2m.min()) < float(dataset.t2m.max()) < 325
        assert {"t2m_truth", "t2m_error"} <= set(dataset.data_vars)
    assert run("forecast", "--init", "2017-01-01", "--var", "t2m", "--no-maps")[0] == 0, "a repeat"


def test_several_inits_into_one_zarr(run: Run) -> None:
    command = ["forecast", "--init", "2017-01-01/2017-01-02/12h", "--var", "uv10", "--lead", "30h",
               "--out", "wind.zarr", "--no-maps"]  # fmt: skip
    assert run(*command)[0] == 0
    with xr.open_zarr("wind.zarr", consolidated=True, decode_timedelta=True) as store:
        assert store.sizes["time"] == 3
        assert store.sizes["prediction_timedelta"] == 30
        assert "10m_u_component_of_wind" in store
    code, _, error = run(*command)
    assert code == 2
    assert "--overwrite" in error
    assert run(*command, "--overwrite")[0] == 0


def test_reduced_precision_says_what_it_costs(run: Run) -> None:
    code, out, _ = run("forecast", "--init", "2017-01-01/2017-01-02/6h", "--var", "t2m,tcc",
                       "--precision", "bf16", "--out", "a.zarr", "--no-maps")  # fmt: skip
    assert code == 0
    assert "5 inits from 2017-01-01T00:00 UTC" in out
    lines = [line for line in out.splitlines() if line.startswith("bf16 against fp32")]
    figures = [re.fullmatch(
        r"bf16 against fp32, first 5 inits: (\w+) differs by at most (\S+?)( K)?, by (\S+?)( K)? in "
        r"the mean \(all leads and cells, unweighted\)", line
    ) for line in lines]  # fmt: skip
    assert [each and each[1] for each in figures] == ["t2m", "tcc"]
    assert [each and (each[3], each[5]) for each in figures] == [(" K", " K"), (None, None)]
    for each in figures:
        assert each
        assert 0 < float(each[4]) < float(each[2])
    assert float(lines and figures[0][2]) < 2  # type: ignore[index]


def test_without_a_compiler(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    code, _, error = run("forecast", "--init", "2017-01-01", "--compile")
    assert code == 2
    assert error.startswith("weathersvq: --compile needs a C++ compiler and found no g++")
    assert error.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_help_is_quick_and_complete() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "weathersvq.cli", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert all(verb in result.stdout for verb in ("forecast", "train", "inspect"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--init", "2017-13-01"], "'2017-13-01' is not a time"),
        (["--init", "1990-01-01"], "not covered by the source, which has 2016-12-20T00:00 to"),
        (["--init", "2016-12-20T05"], "needs the 12 times up to it"),
        (["--init", "2017-01-01", "--var", "t2n"], "did you mean 't2m'"),
        (["--init", "2017-01-01", "--var", "z@500"], "does not forecast z@500"),
        (["--init", "2017-01-01", "--lead", "90min"], "no multiple of the model's step"),
        (["--init", "2017-01-01", "--lead", "soon"], "is not a length of time"),
        (["--init", "2017-01-01", "--device", "tpu"], "unknown device 'tpu'"),
        (["--init", "2017-01-01", "--precision", "bf61"], "did you mean 'bf16'"),
        (["--init", "2017-01-01", "--model", "none.safetensors"], "no checkpoint at"),
        (["--init", "2017-01-01", "--source", "none.nc"], "none.nc"),
        (["--init", "2017-01-01", "--out", "forecast.txt"], "forecast.txt"),
        (["--init", "2017-01-01", "--out", "/proc/none/forecast.nc"], "/proc"),
        (["--init", "2017-01-01/2017-01-02/6h", "--out", "a.nc"], "can hold one init only"),
    ],
)
def test_mistakes_end_in_one_line_and_nothing_written(
    run: Run, arguments: list[str], message: str
) -> None:
    code, _, error = run("forecast", *arguments)
    assert code == 2
    assert error.startswith("weathersvq: ")
    assert error.count("\n") == 1
    assert message in error
    assert list(Path().iterdir()) == []


def test_training_and_forecasting_by_command(
    run: Run, make_experiment: Callable[..., Experiment], wave_store: Path
) -> None:
    Path("tiny.yaml").write_text(make_experiment().to_yaml())
    code, out, _ = run("train", "tiny.yaml", "--set", "train.epochs=2", "--out", "run")
    assert code == 0
    assert "best_epoch" in out
    code, _, error = run("train", "tiny.yaml", "--out", "run")
    assert code == 2
    assert "--resume" in error
    assert run("train", "tiny.yaml", "--set", "train.epochs=2", "--out", "run", "--resume")[0] == 0
    code, out, _ = run("forecast", "--init", "2017-01-03", "--source", wave_store,
                       "--model", "run/model.safetensors")  # fmt: skip
    assert code == 0
    assert "climate simulation" not in out
    assert Path("forecasts/all_20170103T0000.nc").is_file()
    assert Path("forecasts/all_20170103T0000_u10_error.png").is_file()


def test_levels_through_the_whole_road(
    run: Run, make_experiment: Callable[..., Experiment], wave_store: Path
) -> None:
    dataset = xr.open_zarr(wave_store, consolidated=True).load()
    t = xr.concat([dataset.t2m - 40, dataset.t2m - 10], dim="level").assign_coords(level=[500, 850])
    dataset.assign(t=t.transpose("time", "level", "latitude", "longitude")).to_zarr(
        wave_store, mode="w", zarr_format=2, consolidated=True
    )
    experiment = make_experiment(
        data={"channels": ["t@850", "u10", "t@500"]}, train={"epochs": 2, "warmup_epochs": 0}
    )
    Path("levels.yaml").write_text(experiment.to_yaml())
    assert run("train", "levels.yaml", "--out", "run")[0] == 0
    command = ["forecast", "--init", "2017-01-03", "--source", wave_store,
               "--model", "run/model.safetensors"]  # fmt: skip
    code, out, _ = run(*command, "--var", "t", "--out", "t.nc")
    assert code == 0
    assert "at 850 hPa" in out
    with xr.open_dataset("t.nc", decode_timedelta=True) as result:
        assert result.t.dims == ("time", "level", "latitude", "longitude")
        # Each level has its own truth: the wave was lowered by 40 K and by 10 K.
        difference = result.t_truth.sel(level=850) - result.t_truth.sel(level=500)
        np.testing.assert_allclose(difference, 30, atol=1e-3)
    assert Path("t_t850_error.png").is_file()
    assert run(*command, "--out", "all.zarr", "--no-maps")[0] == 0


def test_bundled_model_and_other_data(run: Run, wave_store: Path) -> None:
    code, _, error = run("forecast", "--init", "2017-01-01", "--source", wave_store)
    assert code == 2
    assert "r" in error
    assert list(Path().iterdir()) == []


def test_full_disk_is_a_fault_of_the_world(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("weathersvq.output.write_netcdf", full)
    code, _, error = run("forecast", "--init", "2017-01-01", "--var", "t2m", "--no-maps")
    assert code == 1
    assert error.count("\n") == 1
    assert "No space left" in error


@pytest.mark.parametrize("name", ["sample", "bundled"])
def test_inspect_what_is_bundled(run: Run, name: str) -> None:
    code, out, _ = run("inspect", name)
    assert code == 0
    assert "32 x 64" in out
    assert "t2m" in out


def test_inspect_a_forecast_and_nonsense(run: Run) -> None:
    run("forecast", "--init", "2017-01-01", "--var", "t2m", "--no-maps", "--out", "a.nc")
    code, out, _ = run("inspect", "a.nc")
    assert code == 0
    assert "forecast" in out
    Path("text.nc").write_text("not a file of data")
    for name in ("text.nc", "nothing.zarr", "text.safetensors"):
        code, _, error = run("inspect", name)
        assert code == 2
        assert error.count("\n") == 1


def test_the_bundle_is_small() -> None:
    sample = sum(p.stat().st_size for p in bundled_sample().rglob("*") if p.is_file())
    assert sample <= 8 * 2**20
    assert bundled_model().stat().st_size <= 8 * 2**20


def test_mistakes_in_a_config(run: Run, make_experiment: Callable[..., Experiment]) -> None:
    Path("bad.yaml").write_text(make_experiment().to_yaml().replace("epochs:", "epoch:", 1))
    code, _, error = run("train", "bad.yaml")
    assert code == 2
    assert "bad.yaml, line" in error
    assert not Path("runs").exists()


def test_a_store_is_prepared_inspected_and_forecast_from(run: Run) -> None:
    command = ["prepare", "--source", "sample", "--vars", "t2m,uv10,tcc,r", "--period",
               "2016-12-28/2017-01-03", "--scheduler", "synchronous", "--out", "week.zarr"]  # fmt: skip
    code, out, err = run(*command)
    assert (code, out.splitlines()[-1]) == (0, "wrote week.zarr")
    assert "168 times from 2016-12-28T00:00 to 2017-01-03T23:00 of t2m, u10, v10, tcc, r" in out
    assert "frames/s" in err
    assert "MB/s read" in err
    assert "complete and made by the same recipe" in run(*command)[1]
    code, out, _ = run("inspect", "week.zarr")
    assert "168 good" in out
    with xr.open_zarr("week.zarr") as store:
        mean = float(store.t2m.astype(float).mean())
    assert f"mean {mean:.6g}, standard deviation" in out
    forecasts = [run("forecast", "--init", "2017-01-01", "--var", "t2m", "--no-maps",
                     "--source", source, "--out", f"{source}.nc")
                 for source in ("week.zarr", "sample")]  # fmt: skip
    assert [code for code, _, _ in forecasts] == [0, 0]
    with xr.open_dataset("week.zarr.nc") as one, xr.open_dataset("sample.nc") as other:
        np.testing.assert_array_equal(one.t2m, other.t2m)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "a.nc"], "'a.nc' is no name for a store; expected NAME.zarr"),
        (["--scheduler", "locl"], "unknown scheduler 'locl'; did you mean 'local'?; expected"),
        (["--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers at 'tcp://127.0.0.1:9'"),
        (["--on-bad", "ignore"], "--on-bad 'ignore': input should be 'raise', 'mask' or 'skip'"),
        (["--levels", "high"], "--levels 'high': input should be a valid integer"),
        (["--derive", "wind"], "unknown variable 'wind'"),
        (["--vars", "t2m,q"], "sample has no variable q; it has"),
        (["--period", "1999"], "the period 1999 holds none of the source's times"),
        (["--source", "weatherbench3"], "did you mean 'weatherbench2'"),
    ],
)
def test_mistakes_with_prepare(run: Run, options: list[str], message: str) -> None:
    asked = {"--source": "sample", "--out": "a.zarr", "--scheduler": "synchronous"}
    asked |= dict(zip(options[::2], options[1::2], strict=True))
    code, _, err = run("prepare", *[text for pair in asked.items() for text in pair])
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert list(Path().iterdir()) == []
