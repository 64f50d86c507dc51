"""Hours and costs of large jobs on a cluster, from what was measured and what is assumed.

    python pipelines/estimate_cluster.py [--tflops 100] [--gpu-price 3] [--core-price 0.05]

Prints the tables of docs/cluster.md. Counted: windows, epochs, multiply-accumulates. Measured on two
CPU cores: how fast archives are prepared. Assumed: all that the options say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from running import run_script

from weathersvq.config import DataConfig, Experiment
from weathersvq.data.windows import Period
from weathersvq.models.published import load_benchmark
from weathersvq.models.size import measure
from weathersvq.reproduce.tables import load_table, plan_runs

ROOT = Path(__file__).parents[1]
GPUS = (1, 8, 64)
# A backward pass costs twice a forward one; a multiply-accumulate is two operations.
PASSES, OPERATIONS = 3, 2
# One process, local 0.25 degree archive, reading and checks included (docs/preparing.md).
FRAMES_PER_SECOND = 106
FRAME_BYTES = 721 * 1440 * 4
CORES = (1, 16, 256)


def train_windows(data: DataConfig) -> int:
    """Windows of the training period, without gaps."""
    period = Period.parse(data.train)
    step = np.timedelta64(1, "h") * int(data.step.removesuffix("h"))
    times = int((period.stop - period.start) / step) + 1
    reach = data.targets[-1] - data.inputs[0]
    return (times - reach) // data.train_every


def operations(experiment: Experiment, macs: int) -> float:
    """Floating-point operations of a training that uses all its epochs."""
    windows = train_windows(experiment.fields)
    return float(windows) * experiment.train.epochs * PASSES * OPERATIONS * macs


def main(
    tflops: Annotated[
        float, typer.Option(help="Operations a second that a GPU does of these models, in 1e12.")
    ] = 100.0,
    gpu_price: Annotated[float, typer.Option(help="Of a GPU hour.")] = 3.0,
    core_price: Annotated[float, typer.Option(help="Of a CPU core's hour.")] = 0.05,
    years: Annotated[float, typer.Option(help="Of hourly archive.")] = 40.0,
) -> None:
    """Print the estimates."""
    console = Console(width=200)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    frames = years * 365.25 * 24
    say(f"{years:g} years, hourly, 0.25 deg, one variable: {frames:,.0f} fields, "
        f"{frames * FRAME_BYTES / 1e12:.2f} TB as float32; {FRAMES_PER_SECOND} fields a second and "
        f"core (measured), {core_price:g} a core hour (assumed)")  # fmt: skip
    say("| cores | hours a variable | read [GB/s] | cost a variable |")
    say("| --- | --- | --- | --- |")
    for cores in CORES:
        hours = frames / FRAMES_PER_SECOND / cores / 3600
        rate = FRAMES_PER_SECOND * cores * FRAME_BYTES / 1e9
        say(f"| {cores} | {hours:.2f} | {rate:.1f} | {hours * cores * core_price:.2f} |")

    table = load_table("table1", ROOT / "configs" / "tables")
    benchmarks = {"WeatherBench-M": "weatherbench_m"}
    total = 0.0
    say("")
    say("| study | runs | operations [1e18] | GPU hours |")
    say("| --- | --- | --- | --- |")
    for name in table.studies:
        benchmark = load_benchmark(benchmarks.get(name, "weatherbench_s"))
        own, counted = 0.0, dict[str, int]()
        runs = plan_runs(table, "full", ROOT, study=name)
        for run in runs:
            key = run.values["model"]
            if key not in counted:
                case = "uv10" if name.endswith("uv10") else next(iter(benchmark.cases))
                counted[key] = measure(run.experiment.model, benchmark.shape(case)).macs
            own += operations(run.experiment, counted[key])
        total += own
        say(f"| {name} | {len(runs)} | {own / 1e18:.1f} | {own / tflops / 1e12 / 3600:,.0f} |")
    hours = total / tflops / 1e12 / 3600
    say("")
    say(
        f"Table 1 at full scale: {hours:,.0f} GPU hours at {tflops:g} TFLOP/s (assumed), all epochs"
    )
    say("| GPUs | hours | cost |")
    say("| --- | --- | --- |")
    for gpus in GPUS:
        say(f"| {gpus} | {hours / gpus:,.0f} | {hours * gpu_price:,.0f} |")


if __name__ == "__main__":
    run_script(main)
