"""Long jobs: the bytes of short ones, memory that does not grow, nothing half-written."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import weathersvq.forecasting.job as room
from weathersvq.checkpoint import Checkpoint, model_shape
from weathersvq.config import Experiment
from weathersvq.data.normalize import Normalization
from weathersvq.data.sources import open_source
from weathersvq.errors import InputError
from weathersvq.forecasting.job import ForecastJob, forecast, parse_inits
from weathersvq.forecasting.stream import forecast_targets, write_job
from weathersvq.grid import GLOBAL_5625
from weathersvq.metrics.tally import Tally
from weathersvq.metrics.weather import persistence
from weathersvq.models import build_model
from weathersvq.output import read_forecast, write_forecast

Make = Callable[..., Experiment]
# The wave ends on 6 January: of the last inits only some of what followed is known.
INITS = parse_inits(["2017-01-03/2017-01-06T23/3h"])


@pytest.fixture
def checkpoint(make_experiment: Make) -> Checkpoint:
    torch.manual_seed(0)
    experiment = make_experiment()
    model = build_model(experiment.model, model_shape(experiment.data, GLOBAL_5625, 2))
    normalization = Normalization(("t2m", "u10"), (285.0, 0.0), (8.0, 5.0))
    return Checkpoint(experiment, GLOBAL_5625, normalization, model.state_dict(), name="a model")


@pytest.fixture
def dataset(wave_store: Path) -> xr.Dataset:
    return open_source(wave_store)


def contents(store: Path) -> dict[str, bytes]:
    files = [path for path in store.rglob("*") if path.is_file()]
    return {str(path.relative_to(store)): path.read_bytes() for path in files}


def test_the_same_bytes_and_scores_as_at_once(
    checkpoint: Checkpoint, dataset: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attributes = dict.fromkeys(
        ("title", "institution", "source", "history", "references", "comment"), "x"
    )
    monkeypatch.setattr(room, "forecast_attributes", lambda *_: attributes)
    whole = forecast(checkpoint, dataset, INITS, batch_size=4)
    write_forecast(whole, tmp_path / "whole.zarr")
    reports: list[tuple[int, int]] = []
    job = ForecastJob(checkpoint, dataset, INITS, batch_size=4, part_size=12)
    done = write_job(job, [tmp_path / "streamed.zarr"], report=lambda *r: reports.append(r))
    assert contents(tmp_path / "streamed.zarr") == contents(tmp_path / "whole.zarr")
    assert reports == [(12, 32), (24, 32), (32, 32)]
    xr.testing.assert_identical(done.first, whole.isel(init_time=[0]))
    at_once = Tally()
    initial = dataset.sel(time=INITS).load()
    at_once.add(whole, initial)
    for name in ("t2m", "u10"):
        for one, other in zip(done.tally.rows(name), at_once.rows(name), strict=True):
            for figure, expected in zip(vars(one).values(), vars(other).values(), strict=True):
                assert figure == pytest.approx(expected, rel=1e-9)
    # The baseline of the tally is the one that is made from the source itself.
    leads = whole["lead_time"].values
    rmse = ((persistence(initial, leads).t2m - whole.t2m_truth) ** 2).mean()
    assert done.tally.rows("t2m")[0].persistence_rmse is not None
    assert float(rmse) > 0


def test_a_file_an_init(
    checkpoint: Checkpoint, dataset: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inits = INITS[:5]
    targets = forecast_targets(None, "t2m", inits)
    assert targets[1] == Path("forecasts/t2m_20170103T0300.nc")
    write_job(ForecastJob(checkpoint, dataset, inits, batch_size=2, part_size=2), targets)
    whole = forecast(checkpoint, dataset, inits, batch_size=2)
    for position, target in enumerate(targets):
        np.testing.assert_array_equal(read_forecast(target).t2m[0], whole.t2m[position])
    with pytest.raises(InputError, match="can hold one init only, but 5 are asked for"):
        forecast_targets(Path("a.nc"), None, inits)


def test_the_next_part_is_computed_while_one_is_written(
    checkpoint: Checkpoint, dataset: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ForecastJob(checkpoint, dataset, INITS[:6], part_size=2)
    second = threading.Event()
    computed: list[int] = []
    predict = job._form.predict

    def predict_and_tell(fields: np.ndarray, batch_size: int) -> np.ndarray:
        computed.append(len(fields))
        if len(computed) == 2:
            second.set()
        return predict(fields, batch_size)

    def wait(tally: Tally, part: xr.Dataset, initial: xr.Dataset) -> None:
        # Of the first part: it is not finished before the second has begun.
        assert second.wait(timeout=60)

    monkeypatch.setattr(job._form, "predict", predict_and_tell)
    monkeypatch.setattr(Tally, "add", wait)
    write_job(job, [tmp_path / "a.zarr"])
    assert computed == [2, 2, 2]


def test_bad_data_in_the_last_part_leave_nothing(
    checkpoint: Checkpoint, dataset: xr.Dataset, tmp_path: Path
) -> None:
    spoilt = dataset.load().copy(deep=True)
    spoilt.t2m[230, 3, 4] = np.nan
    job = ForecastJob(checkpoint, spoilt, INITS, part_size=4)
    with pytest.raises(InputError, match="t2m has missing values at 2017-01-06T14:00"):
        write_job(job, [tmp_path / "a.zarr"])
    assert list(tmp_path.glob("*a.zarr*")) == list(tmp_path.glob(".*a.zarr*")) == []


def test_an_interrupted_job_leaves_what_was_there(
    checkpoint: Checkpoint, dataset: xr.Dataset, tmp_path: Path
) -> None:
    target = tmp_path / "a.zarr"
    write_job(ForecastJob(checkpoint, dataset, INITS[:2]), [target])
    before = contents(target)

    def interrupt(done: int, of: int) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    job = ForecastJob(checkpoint, dataset, INITS, part_size=4)
    with pytest.raises(KeyboardInterrupt):
        write_job(job, [target], overwrite=True, report=interrupt)
    assert contents(target) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_fault_of_the_writer_ends_the_job(
    checkpoint: Checkpoint, dataset: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ForecastJob(checkpoint, dataset, INITS, part_size=4)
    computed: list[int] = []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("weathersvq.output.stores._write_files", full)
    with pytest.raises(OSError, match="nothing new is left there"):
        write_job(job, [tmp_path / "a.zarr"], report=lambda done, _: computed.append(done))
    assert max(computed) <= 12, "it went on for long"
    assert not (tmp_path / "a.zarr").exists()


PEAK = """
import sys
import dask.array, numpy as np, xarray as xr
from pathlib import Path
from weathersvq.checkpoint import Checkpoint
from weathersvq.config import load_experiment
from weathersvq.data.normalize import Normalization
from weathersvq.forecasting.job import ForecastJob
from weathersvq.grid import GLOBAL_5625
from weathersvq.forecasting.stream import write_job

folder, count = Path(sys.argv[1]), int(sys.argv[2])
checkpoint = Checkpoint(
    load_experiment(folder / "tiny.yaml"), GLOBAL_5625, Normalization(("t2m",), (280.0,), (10.0,)), {}
)
hours = count + 20
noise = dask.array.random.default_rng(0).normal(280, 5, (hours, 32, 64), chunks=(120, 32, 64))
times = np.datetime64("2000-01-01", "s") + np.arange(hours) * np.timedelta64(3600, "s")
area = {"latitude": GLOBAL_5625.latitude, "longitude": GLOBAL_5625.longitude}
dataset = xr.Dataset({"t2m": (("time", *area), noise.astype("f4"))}, {"time": times, **area})
job = ForecastJob(checkpoint, dataset, times[10 : 10 + count])
write_job(job, [folder / f"{count}.zarr"])
print([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no peak memory in /proc")
def test_memory_does_not_grow_with_the_inits(make_experiment: Make, tmp_path: Path) -> None:
    document = make_experiment(data={"channels": ["t2m"]}).to_dict() | {"model": "persistence"}
    (tmp_path / "tiny.yaml").write_text(Experiment.model_validate(document).to_yaml())

    def peak_mib(count: int) -> float:
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(tmp_path), str(count)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return int(done.stdout.split()[-1]) / 1024

    short, long = peak_mib(192), peak_mib(1216)
    # An init's forecast, truth and error are 3 * 4 * 8 KiB: 1,024 more of them would be 96 MiB.
    assert long - short < 30, f"{short:.0f} MiB, then {long:.0f} MiB"
