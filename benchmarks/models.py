"""What each model costs: time and memory of a forecast and of a training step, beside SimVP's.

WeatherBench-S, t2m: 12 frames of 32 x 64 in and out, published settings, batch 1, random weights.

    python benchmarks/models.py                        all models of the list
    python benchmarks/models.py --only predrnn,tau     some of them
    python benchmarks/models.py --quick                one round each
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator

import torch
from common import (
    Row,
    interleaved_seconds,
    output_of,
    paired_ratio,
    peak_memory_mib,
    print_rows,
)
from rich.progress import track
from tasks import make_task

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


def measure_alone(name: str, repeats: int) -> dict[str, list[float]]:
    """In a process of its own: peak memory of each task, then its time and SimVP's in turns.

    Returns:
        By task, and by task with ` memory` behind it.
    """
    found: dict[str, list[float]] = {}
    for task, training in TASKS.items():
        if not training or learns(name):
            make_task(make_model(name), training, batch=1)()
            found[f"{task} memory"] = [peak_memory_mib()]
    for task, training in TASKS.items():
        if f"{task} memory" in found:
            cases = {
                each: make_task(make_model(each), training, batch=1)
                for each in dict.fromkeys((name, AGAINST))
            }
            seconds = interleaved_seconds(cases, repeats)
            found[task], found[f"{task} {AGAINST}"] = seconds[name], seconds[AGAINST]
    return found


def rows_of(
    name: str, found: dict[str, list[float]], against: dict[str, list[float]]
) -> Iterator[Row]:
    """Time and peak memory of one model, beside SimVP's."""
    for task in TASKS:
        if task not in found:
            continue
        case = f"{name}: {task}"
        ratio = paired_ratio(found[task], found[f"{task} {AGAINST}"])
        yield Row("models", case, statistics.median(found[task]), "s", AGAINST, ratio)
        memory, other = found[f"{task} memory"][0], against[f"{task} memory"][0]
        yield Row("models", f"{case}, peak memory", memory, "MiB", AGAINST, memory / other)


def main() -> None:
    parser = argparse.ArgumentParser(description="time and memory of every model")
    parser.add_argument("--only", help="names, separated by commas")
    parser.add_argument("--quick", action="store_true", help="one round each")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    repeats = 1 if options.quick else 3
    if options.alone:
        print(json.dumps(measure_alone(options.alone, repeats)))
        return

    names = options.only.split(",") if options.only else list(BENCHMARK.models)
    for name in names:
        if name not in BENCHMARK.models:
            raise InputError(f"no model {name!r}{near_misses(name, BENCHMARK.models)}")
    quick = ["--quick"] if options.quick else []
    found = {}
    for name in track(dict.fromkeys((AGAINST, *names)), "measuring"):
        text = output_of(__file__, "--alone", name, "--threads", str(options.threads), *quick)
        found[name] = json.loads(text.splitlines()[-1])
    rows = [row for name in names for row in rows_of(name, found[name], found[AGAINST])]
    print_rows(
        f"Models on {options.threads} CPU threads, batch 1: medians of interleaved runs, ratios by "
        "round; memory of a process that does nothing else",
        rows,
    )


if __name__ == "__main__":
    main()
