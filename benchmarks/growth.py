"""How time and memory of SimVP + SVQ grow: with the batch, the codebook, the grid and the lead.

WeatherBench-S, t2m, published settings (12 frames of 32 x 64 in and out, gSTA, 10,000 codes, 12.8 M
parameters), random weights, batch 1, but for what grows. Every point is a process of its own; ratios
are to the first point of the same line.

    python benchmarks/growth.py             forecasts and training steps
    python benchmarks/growth.py --quick     the first two points of each, forecasts alone
    python benchmarks/growth.py --pictures docs/pictures    growth_batch.png and so on, log-log
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from common import Row, output_of, peak_memory_mib, print_rows
from matplotlib.figure import Figure
from rich.progress import track
from tasks import make_task

from weathersvq.atomic import atomic_path
from weathersvq.models.forecaster import Shape, rollout
from weathersvq.models.quantizers.svq import SVQConfig
from weathersvq.models.simvp import SimVP, SimVPConfig

FORECAST, TRAINING = "forecast", "training step"
STEPS = 12
ROWS = 32
# The point that the axes have in common, but for the batch, which is one.
PUBLISHED = {"batch": 1, "codebook": 10_000, "grid": ROWS, "lead": STEPS}
# Seconds after which a slow point is not repeated.
LONG_ENOUGH = 1.5


@dataclass(frozen=True)
class Axis:
    """What grows, all else being as published.

    Attributes:
        label: for people.
        points: of it.
        training: whether training steps are measured, too.
    """

    label: str
    points: tuple[int, ...]
    training: bool = True


AXES = {
    "batch": Axis("windows a batch", (1, 4, 16)),
    "codebook": Axis("codes", (1_000, 10_000, 100_000)),
    "grid": Axis("rows of latitude", (32, 64, 128)),
    "lead": Axis("longest lead [steps]", (12, 48, 192), training=False),
}


def forecast_task(model: SimVP, batch: int, steps: int) -> Callable[[], None]:
    x = torch.randn(batch, *model.shape.inputs)
    model.eval()

    def forecast() -> None:
        with torch.no_grad():
            rollout(model, x, steps)

    return forecast


def measure_alone(axis: str, point: int, repeats: int, training: bool) -> dict[str, float]:
    """Median seconds and peak memory [MiB], by task; the forecast first, which needs less."""
    value = PUBLISHED | {axis: point}
    torch.manual_seed(0)
    shape = Shape(STEPS, STEPS, 1, 1, value["grid"], 2 * value["grid"], longitude_wraps=True)
    model = SimVP(SimVPConfig(quantizer=SVQConfig(codebook_size=value["codebook"])), shape)
    tasks = {FORECAST: forecast_task(model, value["batch"], value["lead"])}
    found = {}
    for name in (FORECAST, TRAINING) if training else (FORECAST,):
        task = tasks.get(name) or make_task(model.train(), True, value["batch"])
        task()
        seconds: list[float] = []
        while len(seconds) < repeats and sum(seconds) < LONG_ENOUGH:
            start = time.perf_counter()
            task()
            seconds.append(time.perf_counter() - start)
        found[name] = statistics.median(seconds)
        found[f"{name}, peak memory"] = peak_memory_mib()
    return found


def rows_of(axis: str, found: dict[int, dict[str, float]]) -> list[Row]:
    first = next(iter(found))
    return [
        Row(
            "growth", f"{axis} {point}: {case}", value, "MiB" if "memory" in case else "s",
            f"{axis} {first}", value / found[first][case],
        )
        for case in found[first]
        for point, values in found.items()
        for value in (values[case],)
    ]  # fmt: skip


def draw(path: Path, axis: str, found: dict[int, dict[str, float]]) -> None:
    """Time and memory over what grows, both axes logarithmic, beside growth in proportion."""
    points, first = list(found), next(iter(found.values()))
    figure = Figure(figsize=(9, 3.9), layout="constrained")
    for axes, label, suffix in zip(
        figure.subplots(1, 2), ("seconds", "peak memory [MiB]"), ("", ", peak memory"), strict=True
    ):
        for task, colour in ((FORECAST, "tab:blue"), (TRAINING, "tab:orange")):
            case = task + suffix
            if case not in first:
                continue
            axes.loglog(
                points, [found[each][case] for each in points], "o-", color=colour, label=task
            )
            power = 2 if axis == "grid" else 1  # twice the rows are four times the cells
            line = [first[case] * (each / points[0]) ** power for each in points]
            axes.loglog(points, line, ":", color=colour, alpha=0.6)
        axes.plot([], [], ":", color="grey", label="in proportion")
        axes.set_ylim(bottom=0.5 * min(values[FORECAST + suffix] for values in found.values()))
        axes.set_ylim(
            top=3
            * max(
                values.get(TRAINING + suffix, values[FORECAST + suffix])
                for values in found.values()
            )
        )
        axes.set_xticks(points, [f"{each:,}" for each in points])
        axes.minorticks_off()
        axes.set_xlabel(AXES[axis].label)
        axes.set_ylabel(label)
        axes.legend()
    figure.suptitle(f"SimVP + SVQ on the CPU, {torch.get_num_threads()} threads, fp32")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description="growth of time and memory")
    parser.add_argument("--quick", action="store_true", help="two points each, forecasts alone")
    parser.add_argument("--only", choices=sorted(AXES), help="one of the axes")
    parser.add_argument("--pictures", type=Path, help="folder of the PNGs")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--alone", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.alone:
        axis, point, repeats, training = options.alone
        print(json.dumps(measure_alone(axis, int(point), int(repeats), training == "True")))
        return

    rows = []
    names = [options.only] if options.only else list(AXES)
    jobs = [
        (name, point)
        for name in names
        for point in (AXES[name].points[:2] if options.quick else AXES[name].points)
    ]
    found: dict[str, dict[int, dict[str, float]]] = {name: {} for name in names}
    published: dict[str, float] = {}
    for name, point in track(jobs, "measuring"):
        training = AXES[name].training and not options.quick
        measured = published if point == PUBLISHED[name] else {}
        if not measured:
            arguments = [name, str(point), "1" if options.quick else "9", str(training)]
            text = output_of(__file__, "--threads", str(options.threads), "--alone", *arguments)
            measured = json.loads(text.splitlines()[-1])
        # All lines go through the published setting, which is measured once.
        if point == PUBLISHED[name]:
            published = measured
        found[name][point] = {
            case: value for case, value in measured.items() if training or TRAINING not in case
        }
    for name in names:
        rows += rows_of(name, found[name])
        if options.pictures:
            draw(options.pictures / f"growth_{name}.png", name, found[name])
    print_rows(f"Growth on {options.threads} CPU threads: medians, a process a point", rows)


if __name__ == "__main__":
    main()
