"""What each model costs: time and memory of a forecast and of a training step, beside SimVP's.

WeatherBench-S, t2m: 12 frames of 32 x 64 in and out, published settings, batch 1, random weights.

    python benchmarks/models.py                        all models of the list
    python benchmarks/models.py --only predrnn,tau     some of them
    python benchmarks/models.py --quick                one round each
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator

import torch
from common import (
    Row,
    interleaved_seconds,
    make_task,
    paired_ratio,
    peak_memory_mib,
    peak_memory_of,
    print_rows,
)
from rich.progress import track

from weathersvq.errors import InputError, near_misses
from weathersvq.models import build_model
from weathersvq.models.forecaster import Forecaster
from weathersvq.models.published import load_benchmark

BENCHMARK = load_benchmark("weatherbench_s")
SHAPE = BENCHMARK.shape("t2m")
AGAINST = "simvp"
TASKS = {"forecast": False, "training step": True}


def make_model(name: str) -> Forecaster:
    torch.manual_seed(0)
    return build_model(BENCHMARK.models[name].model, SHAPE)


def learns(name: str) -> bool:
    return any(parameter.requires_grad for parameter in make_model(name).parameters())


def measure(name: str, task: str, repeats: int, threads: int) -> Iterator[Row]:
    """Time and peak memory of one model at one task, beside SimVP in turns."""
    cases = {
        each: make_task(make_model(each), TASKS[task], batch=1)
        for each in dict.fromkeys((name, AGAINST))
    }
    seconds = interleaved_seconds(cases, repeats)
    memory = {
        each: peak_memory_of(__file__, "--memory", each, task, "--threads", str(threads))
        for each in cases
    }
    case = f"{name}: {task}"
    value, ratio = statistics.median(seconds[name]), paired_ratio(seconds[name], seconds[AGAINST])
    yield Row("models", case, value, "s", AGAINST, ratio)
    ratio = memory[name] / memory[AGAINST]
    yield Row("models", f"{case}, peak memory", memory[name], "MiB", AGAINST, ratio)


def main() -> None:
    parser = argparse.ArgumentParser(description="time and memory of every model")
    parser.add_argument("--only", help="names, separated by commas")
    parser.add_argument("--quick", action="store_true", help="one round each")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    if options.memory:
        name, task = options.memory
        make_task(make_model(name), TASKS[task], batch=1)()
        print(peak_memory_mib())
        return

    names = options.only.split(",") if options.only else list(BENCHMARK.models)
    for name in names:
        if name not in BENCHMARK.models:
            raise InputError(f"no model {name!r}{near_misses(name, BENCHMARK.models)}")
    jobs = [(name, task) for name in names for task in TASKS if not TASKS[task] or learns(name)]
    rows = [
        row
        for name, task in track(jobs, "measuring")
        for row in measure(name, task, 1 if options.quick else 3, options.threads)
    ]
    print_rows(
        f"Models on {options.threads} CPU threads, batch 1: medians of interleaved runs, ratios by "
        "round; memory of a process that does nothing else",
        rows,
    )


if __name__ == "__main__":
    main()
