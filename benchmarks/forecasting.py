"""What a long job costs beside its model, and what the inference form, bf16 and compiling gain.

Two models: the published SimVP + SVQ for t2m (12.8 M parameters, random weights, one variable) and
the bundled one (0.7 M, five variables). The job reads a Zarr store, forecasts from inits 6 h apart,
writes forecasts, truths and errors to another store and scores them; the bare model gets the same
windows as normalised tensors that are ready in memory.

    python benchmarks/forecasting.py            192 inits, three rounds
    python benchmarks/forecasting.py --quick    64 inits, one round, nothing compiled
    python benchmarks/forecasting.py --inits 1460 --repeats 1       a year
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from common import Row, interleaved_seconds, paired_ratio, print_rows

from weathersvq.batches import normalized
from weathersvq.bundled import bundled_model
from weathersvq.checkpoint import Checkpoint, load_checkpoint, model_shape
from weathersvq.config import load_experiment
from weathersvq.data.normalize import Normalization
from weathersvq.data.sources import open_source
from weathersvq.forecasting.inference import Precision, inference_form
from weathersvq.forecasting.job import ForecastJob, Times, open_for
from weathersvq.forecasting.stream import write_job
from weathersvq.grid import GLOBAL_5625
from weathersvq.models import build_model

BATCH = 16
STEP = np.timedelta64(6, "h")
PLAIN, BARE = "plain module", "bare model"
T2M = Path(__file__).parents[1] / "configs" / "weatherbench_s" / "t2m.yaml"


def published_model() -> Checkpoint:
    """SimVP + SVQ with the published settings for t2m, untrained."""
    torch.manual_seed(0)
    experiment = load_experiment(T2M)
    model = build_model(experiment.model, model_shape(experiment.data, GLOBAL_5625, 1))
    normalization = Normalization(("t2m",), (279.0,), (20.0,))
    return Checkpoint(experiment, GLOBAL_5625, normalization, model.state_dict(), name="published")


def make_store(path: Path, checkpoint: Checkpoint, inits: int) -> Times:
    """The sample, repeated as long as the inits need it, as a store of hourly fields; the inits."""
    sample = open_for(checkpoint, "sample").drop_vars("usable", errors="ignore").load()
    hours = 6 * inits + 24
    start = np.datetime64("2017-01-01", "s")
    longer = sample.isel(time=np.arange(hours) % sample.sizes["time"])
    longer = longer.assign_coords(time=start + np.arange(hours) * np.timedelta64(3600, "s"))
    longer.chunk(time=240).to_zarr(path, zarr_format=2, consolidated=True)
    return start + np.timedelta64(11, "h") + np.arange(inits) * STEP


def windows(checkpoint: Checkpoint, dataset: xr.Dataset, inits: Times) -> np.ndarray:
    """(n, T_in, C, H, W) of each init, physical units."""
    hours = np.asarray(checkpoint.experiment.data.inputs) * np.timedelta64(1, "h")
    names = checkpoint.normalization.channels
    fields = [dataset[name].sel(time=(inits[:, None] + hours).ravel()).values for name in names]
    return np.stack(fields, axis=1).reshape(inits.size, len(hours), len(names), *GLOBAL_5625.shape)


def measure_job(checkpoint: Checkpoint, inits: int, repeats: int) -> list[Row]:
    """Inits a second of a whole job and of its model alone."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.zarr", Path(folder) / "forecasts.zarr"
        times = make_store(source, checkpoint, inits)
        fields = windows(checkpoint, open_source(source).load(), times)
        model, inputs = checkpoint.build(), normalized(fields, checkpoint.normalization)

        def bare() -> None:
            with torch.inference_mode():
                for part in inputs.split(BATCH):
                    model(part)

        def job() -> None:
            shutil.rmtree(target, ignore_errors=True)
            write_job(ForecastJob(checkpoint, open_for(checkpoint, str(source)), times), [target])

        seconds = interleaved_seconds({BARE: bare, "job": job}, repeats)
    rows = []
    for case, taken in seconds.items():
        ratio = paired_ratio(seconds[BARE], taken)
        speed = inits / statistics.median(taken)
        name = f"{checkpoint.name}, {inits} inits: {case}"
        rows.append(Row("forecasting", name, speed, "inits/s", BARE, ratio))
    return rows


def measure_forms(checkpoint: Checkpoint, batch: int, repeats: int, compiled: bool) -> list[Row]:
    """One batch, from physical units to physical units, in every form of the model."""
    mean, std = checkpoint.normalization.scale()
    noise = np.random.default_rng(0).normal(size=(batch, *checkpoint.shape.inputs))
    fields = (mean + std * noise).astype(np.float32)
    model = checkpoint.build()

    def plain() -> None:
        with torch.inference_mode():
            model(normalized(fields, checkpoint.normalization)).numpy() * std + mean

    def form_of(precision: Precision, compiling: bool) -> Callable[[], None]:
        form = inference_form(checkpoint, precision=precision, compiled=compiling, device="cpu")
        return lambda: (form.predict(fields, batch), None)[1]

    cases = {PLAIN: plain, "inference form": form_of("fp32", False), "bf16": form_of("bf16", False)}
    if compiled:
        cases |= {"compiled": form_of("fp32", True), "compiled, bf16": form_of("bf16", True)}
    seconds = interleaved_seconds(cases, repeats)
    return [
        Row(
            "forecasting", f"{checkpoint.name}, batch {batch}: {case}", statistics.median(taken),
            "s", PLAIN, paired_ratio(taken, seconds[PLAIN]),
        )
        for case, taken in seconds.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="forecasting: whole jobs and forms of the model")
    parser.add_argument("--quick", action="store_true", help="64 inits, one round, no compiling")
    parser.add_argument("--inits", type=int, help="initial times of a job; 192")
    parser.add_argument("--repeats", type=int, help="rounds; 3 of jobs and 7 of forms")
    parser.add_argument("--only", choices=["jobs", "forms"], help="one half of it")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    inits = options.inits or (64 if options.quick else 192)
    rounds = options.repeats or (1 if options.quick else 3)

    checkpoints = [published_model(), load_checkpoint(bundled_model())]
    rows: list[Row] = []
    for checkpoint in checkpoints:
        if options.only != "jobs":
            times = options.repeats or (3 if options.quick else 7)
            rows += measure_forms(checkpoint, 1, times, compiled=False)
            rows += measure_forms(checkpoint, BATCH, times, compiled=not options.quick)
        if options.only != "forms":
            rows += measure_job(checkpoint, inits, rounds)
    print_rows(
        f"Forecasting on {options.threads} CPU threads: medians of interleaved runs, ratios by round",
        rows,
    )


if __name__ == "__main__":
    main()
