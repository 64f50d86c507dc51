"""What loading batches costs: windows/s from a store beside what a training step consumes.

Two years of hourly maps, 32 x 64, five variables, in a prepared store of synthetic weather (float32,
zstd; 0.7 GB in memory) in a temporary folder. Windows of 12 hours in and 12 out, shuffled, as
training asks for them:

- memory: how a split below 4 GiB is kept;
- scratch file: how a larger one is kept;
- chunks: every batch read from the store anew, which the scratch file is there to avoid.

Beside them training steps (forward, backward, Adam) of the bundled model and of WeatherBench-S's
SimVP + SVQ on the CPU, each with its own channels and precision; and a step of the latter on a GPU,
whose time is assumed and not measured.

    python benchmarks/loading.py            a minute and a half on two cores
    python benchmarks/loading.py --quick    three months, fewer repeats
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from common import Row, interleaved_seconds, paired_ratio, print_rows
from numpy.typing import NDArray

from weathersvq.batches import Batch, Batches, ReadFrames, frame_reader, normalized
from weathersvq.checkpoint import model_shape
from weathersvq.config import Experiment, load_experiment
from weathersvq.data.channels import stack_channels
from weathersvq.data.normalize import fit_normalization
from weathersvq.data.sources import open_source
from weathersvq.data.store import (
    FORM,
    MARK,
    Status,
    chunk_steps,
    empty_dataset,
    write_block,
    write_empty,
)
from weathersvq.data.windows import Period, window_origins
from weathersvq.grid import GLOBAL_5625
from weathersvq.models import build_model

HOUR = np.timedelta64(3600, "s")
NAMES = ("t2m", "r", "u10", "v10", "tcc")
CONFIGS = Path(__file__).parents[1] / "configs"
MODELS = {
    "bundled model": CONFIGS / "sample" / "joint_svq.yaml",
    "WeatherBench-S": CONFIGS / "weatherbench_s" / "t2m.yaml",
}
# One step of WeatherBench-S's model at batch 16 on a current data-centre GPU takes 30-50 ms: an
# assumption, stated as such wherever its figures are shown.
GPU_SECONDS, GPU_BATCH = 0.040, 16
MEMORY, SCRATCH, CHUNKS = "memory", "scratch file", "chunks"


def write_store(path: Path, hours: int) -> None:
    """Travelling waves with noise, which compress about as badly as weather."""
    times = np.datetime64("2015-01-01", "s") + np.arange(hours) * HOUR
    chunk = chunk_steps(GLOBAL_5625, HOUR)
    fields: dict[str, tuple[int, ...]] = {name: () for name in NAMES}
    write_empty(empty_dataset(fields, (), times, GLOBAL_5625, chunk, {MARK: FORM}), path)
    generator = np.random.default_rng(0)
    rows = np.cos(np.deg2rad(GLOBAL_5625.latitude))[None, :, None]
    phase = np.deg2rad(3 * GLOBAL_5625.longitude)[None, None, :]
    for start in range(0, hours, chunk):
        steps = np.arange(start, min(start + chunk, hours))
        wave = (10 * rows * np.cos(phase - 0.1 * steps[:, None, None])).astype(np.float32)
        maps = {n: wave + generator.standard_normal(wave.shape, np.float32) for n in NAMES}
        write_block(
            path, start, maps, {n: np.full(steps.size, Status.GOOD, np.int8) for n in NAMES}
        )


def training_step(experiment: Experiment, batch: Batch) -> Callable[[], None]:
    """A function that makes one step of training on the same batch."""
    torch.manual_seed(0)
    model = build_model(
        experiment.model, model_shape(experiment.data, GLOBAL_5625, len(experiment.fields.channels))
    )
    optimizer = torch.optim.Adam(model.parameters())
    half = experiment.train.precision == "bf16"

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = torch.nn.functional.l1_loss(model(batch.inputs), batch.targets)
        loss.backward()
        optimizer.step()

    return step


def load_all(batches: Batches) -> Callable[[], None]:
    """A function that loads all batches and does nothing with them."""

    def load() -> None:
        for _ in batches:
            pass

    return load


def waiting_share(batches: Batches, step: Callable[[], None]) -> float:
    """Percent of a training loop's time that goes by waiting for batches, after the first one."""
    iterator = iter(batches)
    next(iterator)
    waited, started = 0.0, time.perf_counter()
    for _ in range(len(batches) - 1):
        step()
        asked = time.perf_counter()
        next(iterator)
        waited += time.perf_counter() - asked
    return 100 * waited / (time.perf_counter() - started)


def measure(
    name: str, dataset: xr.Dataset, scratch: Path, step_size: int, repeats: int
) -> list[Row]:
    """Windows/s of one model's training step, and of loading what it is trained on."""
    experiment = load_experiment(MODELS[name])
    size, offsets = experiment.train.batch_size, experiment.data.offsets
    channels = experiment.fields.parsed_channels
    data = dataset[list(experiment.fields.channels)]
    normalization = fit_normalization(data, channels, Period.parse("2015/2016"))
    origins = window_origins(data["time"].values, HOUR, offsets)
    last = data.sizes["time"] - 1
    stacked = stack_channels(data, channels)
    readers: dict[str, ReadFrames] = {}

    def fill(case: str, limit: int) -> None:
        readers[case] = frame_reader(data, normalization, 0, last, limit, scratch)

    filling = interleaved_seconds(
        {MEMORY: lambda: fill(MEMORY, 2**40), SCRATCH: lambda: fill(SCRATCH, 0)}, 1
    )

    def from_chunks(positions: NDArray[np.intp]) -> torch.Tensor:
        wanted, inverse = np.unique(positions, return_inverse=True)
        values = stacked.isel(time=wanted).to_numpy()
        return normalized(values, normalization)[torch.from_numpy(inverse)]

    readers[CHUNKS] = from_chunks

    def batches(case: str, count: int) -> Batches:
        chosen = np.random.default_rng(0).choice(origins, count * size, replace=False)
        return Batches(readers[case], chosen, offsets, size, shuffle_seed=1)

    counts = {MEMORY: 40, SCRATCH: 40, CHUNKS: 2}
    inputs, targets, _ = next(iter(batches(MEMORY, 1)))
    step = training_step(experiment, Batch(inputs[:step_size], targets[:step_size]))
    cases = {case: load_all(batches(case, count)) for case, count in counts.items()}
    seconds = interleaved_seconds({"step": step, **cases}, repeats)
    # Of one window.
    each = {"step": [s / step_size for s in seconds["step"]]} | {
        case: [s / (count * size) for s in seconds[case]] for case, count in counts.items()
    }
    on_gpu = [GPU_SECONDS / GPU_BATCH] * repeats
    trained = f"{name}: a step of {step_size}"
    assumed = f"ASSUMED, GPU: {GPU_BATCH} in {1000 * GPU_SECONDS:.0f} ms"
    rows = [_row(trained, each["step"], each["step"], trained)]
    for against, reference in ((trained, each["step"]), (assumed, on_gpu)):
        rows += [_row(f"{name}: {case}", each[case], reference, against) for case in counts]
    share = waiting_share(batches(SCRATCH, 1 + repeats), step)
    rows.append(
        Row("loading", f"{name}: waiting, {SCRATCH}", share, "%", "time of training", share / 100)
    )
    for case, (took,) in filling.items():
        ratio = filling[MEMORY][0] / took
        speed = stacked.nbytes / 1e6 / took
        rows.append(Row("loading", f"{name}: reading once, {case}", speed, "MB/s", MEMORY, ratio))
    return rows


def _row(case: str, each: list[float], against: list[float], name: str) -> Row:
    """Windows/s, from seconds a window by round."""
    return Row(
        "loading", case, 1 / statistics.median(each), "windows/s", name, paired_ratio(against, each)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="windows/s of loading beside training steps")
    parser.add_argument("--quick", action="store_true", help="three months, fewer repeats")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    hours, repeats = (90 * 24, 1) if options.quick else (2 * 365 * 24, 2)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store.zarr"
        write_store(store, hours)
        size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
        dataset = open_source(store)
        # At its own batch size, 16, a step of the larger model would take most of the time.
        rows = measure("bundled model", dataset, Path(folder), 16, repeats + 1)
        rows += measure("WeatherBench-S", dataset, Path(folder), 4, repeats)
    print_rows(
        f"Windows/s (24 hours of maps each) from {hours} hours of {len(NAMES)} variables "
        f"({dataset.nbytes / 1e6:.0f} MB, {size / 1e6:.0f} MB on disk), threads: {options.threads}; "
        "medians of interleaved runs, ratios by round",
        rows,
    )


if __name__ == "__main__":
    main()
